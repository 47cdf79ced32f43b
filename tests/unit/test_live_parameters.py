"""Changing a VNF while it runs: all of a change or nothing, and one change at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from emulator.catalog import Manifest, read_manifest
from emulator.dataplane.live import LiveMemory, LiveParameters, pack_entries
from emulator.dataplane.values import ValuesFile
from emulator.errors import LabError, TableFullError, UsageError

MANIFEST = """
name = "keeper"
summary = "keeps words in a table, and those that begin with a capital letter in settings"
ports = 2
control = "control.py"
[dataplanes.packet]
[parameters.limit]
type = "int"
default = 1
maximum = 9
summary = "a number"
[parameters.words]
type = "str"
default = ""
summary = "words of one letter"
"""
CONTROL = """
from emulator.control import ParameterError, TableContent

def control(parameters, ports):
    words = parameters["words"].split()
    if "bad" in words:
        raise ParameterError("words", "bad is no word", hint="leave it out")
    # The last of several equal ones counts.
    table = {word[0].encode(): word[-1].encode() for word in words}
    capitals = [word[0].encode() for word in words if word[0].isupper()]
    return TableContent({"capitals": capitals}, {"words": table})
"""
ROOM = 3


class Memory(LiveMemory):
    """That of a VNF which does not run: a table with room for three words, two settings."""

    def __init__(self) -> None:
        self.active = 0
        self.banks: dict[int, tuple[bytes, bytes]] = {}
        self.table: dict[bytes, bytes] = {}

    def active_bank(self) -> int:
        return self.active

    def write_bank(self, bank: int, config: bytes, settings: Mapping[str, Sequence[bytes]]) -> None:
        assert bank != self.active or not self.banks
        self.banks[bank] = (config, pack_entries("capitals", settings["capitals"], 1, 2))

    def activate(self, bank: int) -> None:
        self.active = bank

    def update(self, table: str, key: bytes, value: bytes) -> None:
        if key not in self.table and len(self.table) == ROOM:
            raise TableFullError("it has room for 3 entries", where=table)
        self.table[key] = value

    def delete(self, table: str, key: bytes) -> None:
        self.table.pop(key, None)

    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.table.items())

    def close(self) -> None:
        pass

    @property
    def state(self) -> tuple[tuple[bytes, bytes], dict[bytes, bytes]]:
        """What frames are handled by."""
        return self.banks[self.active], dict(self.table)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    folder = tmp_path / "keeper"
    folder.mkdir()
    (folder / "vnf.toml").write_text(MANIFEST)
    (folder / "vnf.c").write_text("")
    (folder / "control.py").write_text(CONTROL)
    return read_manifest(folder / "vnf.toml")


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def parameters(manifest: Manifest, memory: Memory, tmp_path: Path) -> LiveParameters:
    made = LiveParameters(
        manifest, (), {"limit": 1, "words": "a b"}, memory, tmp_path / "values.json"
    )
    made.install()
    return made


def test_a_change_reaches_parameters_settings_and_tables(
    parameters: LiveParameters, memory: Memory
) -> None:
    parameters.set({"words": "ax c D", "limit": 4}, where="fw")

    assert parameters.values == {"limit": 4, "words": "ax c D"}
    assert memory.state == ((b"\4\0\0\0", b"D\0"), {b"a": b"x", b"c": b"c", b"D": b"D"})


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"limit": 10}, UsageError, "above the greatest value"),
        ({"limit": 2, "other": 1}, UsageError, "no parameter other"),
        ({"words": "bad"}, UsageError, "parameter words: bad is no word"),
        ({"words": "A B C"}, UsageError, "3 entries are more than the VNF has room for, 2"),
        ({"limit": 2, "words": "ax c d e"}, TableFullError, "room for 3"),
        ({"limit": 2, "words": "c d e f"}, TableFullError, "room for 3"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    parameters: LiveParameters,
    memory: Memory,
    changes: dict[str, object],
    error: type[Exception],
    said: str,
) -> None:
    before = memory.state

    with pytest.raises(error, match=said):
        parameters.set(changes, where="fw")

    assert memory.state == before
    assert parameters.values == {"limit": 1, "words": "a b"}


def test_entries_make_room_for_others_where_a_table_is_nearly_full(
    parameters: LiveParameters, memory: Memory
) -> None:
    parameters.set({"words": "c d e"}, where="fw")

    assert set(memory.table) == {b"c", b"d", b"e"}


def test_what_the_handler_put_into_a_table_is_left_alone(
    parameters: LiveParameters, memory: Memory
) -> None:
    memory.table[b"z"] = b"!"
    parameters.set({"words": "a"}, where="fw")

    assert memory.table == {b"a": b"a", b"z": b"!"}


def test_who_reads_the_values_meanwhile_sees_all_of_a_change(
    parameters: LiveParameters, manifest: Manifest, memory: Memory
) -> None:
    described = json.loads(json.dumps(parameters.describe()))
    reader = LiveParameters.attached(manifest, described, memory)
    done = threading.Event()

    def change() -> None:
        for number in range(60):
            parameters.set({"limit": number % 10, "words": str(number % 10)}, where="fw")
        done.set()

    changing = threading.Thread(target=change)
    changing.start()
    while not done.is_set():
        values = reader.values
        assert values["words"] in ("a b", str(values["limit"]))
    changing.join()


def test_of_two_who_change_a_vnf_the_second_begins_with_what_the_first_left(
    parameters: LiveParameters, manifest: Manifest, memory: Memory
) -> None:
    other = LiveParameters.attached(manifest, parameters.describe(), memory)

    def change(who: LiveParameters, name: str, values: Sequence[object]) -> None:
        for value in values:
            who.set({name: value}, where="fw")

    changing = threading.Thread(target=change, args=(other, "words", ["x", "y", "z"] * 10))
    changing.start()
    change(parameters, "limit", [1, 2, 3] * 10)
    changing.join()

    assert parameters.values == other.values == {"limit": 3, "words": "z"}
    assert memory.state[1] == {b"z": b"z"}


def test_nothing_is_changed_at_a_vnf_that_has_ended(
    parameters: LiveParameters, memory: Memory
) -> None:
    before = memory.state
    parameters.forget()

    with pytest.raises(LabError, match="has ended"):
        parameters.set({"limit": 2}, where="fw")
    with pytest.raises(LabError, match="has ended"):
        _ = parameters.values
    assert memory.state == before


def test_who_waits_for_a_vnf_to_be_changed_is_told_when_it_ends_instead(tmp_path: Path) -> None:
    file = ValuesFile(tmp_path / "values.json")
    file.write({})
    said: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        try:
            with file.locked():
                said.append("locked")
        except LabError as error:
            said.append(error.message)

    with file.locked():
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiting.wait()
        file.remove()
    waiter.join()

    assert said == ["the VNF has ended"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [([b"ab"] * 3, "3 entries are more"), ([b"abc"], "3 bytes was given for a C type of 2")],
)
def test_settings_that_do_not_fit(entries: list[bytes], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pack_entries("rules", entries, 2, 2)


def test_settings_are_zero_behind_the_last_entry() -> None:
    assert pack_entries("rules", [b"ab"], 2, 3) == b"ab\0\0\0\0"
