"""Which tools there are, and what is said of those that are missing."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.doctor import diagnose
from emulator.errors import MachineError, MeasurementError, UsageError
from emulator.traffic.adapters import TOOLS, NodeTool, available_tools, running, tool_named
from emulator.traffic.adapters.moongen import FOLDER_VARIABLE as MOONGEN
from emulator.traffic.adapters.running import Arrived, Finished, choose_interfaces, is_open
from emulator.traffic.adapters.trex import FOLDER_VARIABLE as TREX

NAMES = ["iperf3", "sockperf", "ping", "tcpreplay", "testpmd", "trex", "moongen"]


class Here:
    """A node that is this machine: programs start where the tests run."""

    name = "here"

    def popen(self, args: list[str], **options: Any) -> subprocess.Popen[Any]:
        try:
            return subprocess.Popen(args, **options)
        except FileNotFoundError as error:
            raise UsageError(f"there is no program {error.filename}") from error


HERE: Any = Here()
NODE: Any = SimpleNamespace(name="n", netns=None)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(TREX, raising=False)
    monkeypatch.delenv(MOONGEN, raising=False)
    return tmp_path


def add(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_every_tool_has_its_name() -> None:
    assert list(TOOLS) == NAMES
    assert all(tool_named(name).name == name for name in NAMES)


def test_a_tool_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match="no adapter for iperf") as caught:
        tool_named("iperf")

    assert caught.value.hint == "did you mean iperf3?"


def test_every_missing_tool_says_why_and_what_helps(bare: Path) -> None:
    states = {state.name: state for state in available_tools()}

    assert list(states) == NAMES
    assert not any(state.available for state in states.values())
    assert states["sockperf"].reason == "sockperf is not installed"
    assert states["sockperf"].remedy == "apt-get install sockperf"
    assert states["testpmd"].remedy == "apt-get install dpdk"
    assert TREX in states["trex"].reason
    assert MOONGEN in states["moongen"].reason
    assert all(state.remedy for state in states.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_needs_a_missing_tool_is_told_so(bare: Path, name: str) -> None:
    tool = tool_named(name)

    with pytest.raises(MachineError) as caught:
        tool.version()

    assert caught.value.where == name
    assert caught.value.hint == tool.remedy


@pytest.mark.parametrize("name", ["trex", "moongen"])
def test_a_generator_that_is_not_there_is_missed_before_anything_starts(
    bare: Path, name: str
) -> None:
    nowhere: Any = SimpleNamespace(name="gen")
    tool = tool_named(name)
    assert isinstance(tool, NodeTool)

    with pytest.raises(MachineError) as caught:
        tool.measure(nowhere)

    assert "no package registry" in caught.value.message


@pytest.mark.parametrize(
    ("name", "program", "script", "version"),
    [
        ("iperf3", "iperf3", "echo 'iperf 3.12 (cJSON 1.7.15)'", "3.12"),
        ("iperf3", "iperf3", "echo something else", "unknown"),
        ("sockperf", "sockperf", "echo 'sockperf, version 3.7-no.git '", "3.7-no.git"),
        ("ping", "ping", "echo 'ping from iputils 20221126'", "20221126"),
        ("ping", "ping", "echo 'ping utility, iputils-s20190709'", "s20190709"),
        ("tcpreplay", "tcpreplay", "echo 'tcpreplay version: 4.4.3 (build git)' >&2", "4.4.3"),
        ("testpmd", "dpdk-testpmd", "echo \"EAL: RTE Version: 'DPDK 22.11.11'\"", "22.11.11"),
    ],
)
def test_versions_are_asked_of_the_programs(
    bare: Path, name: str, program: str, script: str, version: str
) -> None:
    add(bare, program, script)

    assert tool_named(name).version() == version
    (state,) = (state for state in available_tools() if state.name == name)
    assert (state.available, state.version, state.reason, state.remedy) == (True, version, "", "")


def test_a_ping_of_somebody_else_is_not_taken(bare: Path) -> None:
    add(bare, "ping", "echo 'BusyBox v1.36'; exit 1")

    assert "not that of iputils" in tool_named("ping").why_not()


@pytest.mark.parametrize(
    ("name", "variable", "program"),
    [("trex", TREX, "t-rex-64"), ("moongen", MOONGEN, "build/MoonGen")],
)
def test_generators_are_looked_for_where_the_user_says(
    bare: Path, monkeypatch: pytest.MonkeyPatch, name: str, variable: str, program: str
) -> None:
    folder = bare / "v3.06"
    monkeypatch.setenv(variable, str(folder))
    assert f"no {program} in {folder}" in tool_named(name).why_not()

    add(folder, program, "true")

    assert tool_named(name).why_not() == ""
    assert tool_named(name).version() == ("3.06" if name == "trex" else "unknown")


def test_options_come_by_name() -> None:
    spec = tool_named("sockperf").specify(rate_mps=1000, message_bytes=64)

    assert (spec.rate_mps, spec.message_bytes, spec.mode) == (1000, 64, "ping-pong")


def test_an_option_that_a_tool_does_not_have() -> None:
    with pytest.raises(UsageError, match="no option rate") as caught:
        tool_named("ping").specify(rate=1000)

    assert caught.value.where == "ping"
    with pytest.raises(UsageError) as caught:
        tool_named("ping").specify(intervals=1)
    assert caught.value.hint == "did you mean interval_s?"


def test_the_doctor_knows_the_tools(bare: Path) -> None:
    checks = {check.name: check for check in diagnose()}

    assert checks["sockperf"].fix == "apt-get install sockperf"
    assert checks["tcpreplay"].fix == "apt-get install tcpreplay"
    assert checks["ping"].fix == "apt-get install iputils-ping"
    assert {checks[name].status for name in ("sockperf", "TRex", "MoonGen")} == {"missing"}


# Programs that are run.


def run(script: str, seconds: float = 5.0) -> Finished:
    command = [sys.executable, "-c", script]
    return running.run(HERE, command, seconds=seconds, remedy="")


def test_what_a_program_prints_is_kept_without_colours() -> None:
    done = run("import sys; print('\\x1b[2;35mout\\x1b[0m'); sys.exit('bad\\n\\nworse')")

    assert (done.status, done.output) == (1, "out\n")
    assert done.last_lines() == "bad / worse"


def test_a_program_that_says_nothing() -> None:
    assert run("").last_lines() == "it said nothing"


def test_a_program_that_is_missing_in_a_node() -> None:
    with pytest.raises(MachineError, match="there is no no-such-program") as caught:
        running.run(HERE, ["no-such-program"], seconds=1, remedy="apt-get install it")

    assert (caught.value.where, caught.value.hint) == ("here", "apt-get install it")


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SPARE_S", 0.2)
    with pytest.raises(MeasurementError, match="did not end within 1 s: it said nothing"):
        run("import time; time.sleep(600)", seconds=0.8)


def test_a_program_ends_with_the_block() -> None:
    script = [sys.executable, "-c", "import time; time.sleep(600)"]

    with pytest.raises(KeyboardInterrupt), running.started(HERE, script, remedy="") as process:
        raise KeyboardInterrupt

    assert process.returncode is not None


def test_a_port_is_open_once_somebody_waits_there() -> None:
    import socket

    with socket.socket() as listening, socket.socket(type=socket.SOCK_DGRAM) as bound:
        listening.bind(("127.0.0.1", 0))
        bound.bind(("127.0.0.1", 0))
        tcp, udp = listening.getsockname()[1], bound.getsockname()[1]
        assert not is_open(tcp, "tcp")
        listening.listen()
        assert is_open(tcp, "tcp")
        assert is_open(udp, "udp")
    assert not is_open(tcp, "tcp")
    assert not is_open(udp, "udp")


def in_this_namespace(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def test_a_program_that_ends_instead_of_listening_is_quoted() -> None:
    node: Any = Here()
    node.netns = SimpleNamespace(run=in_this_namespace)
    script = [sys.executable, "-c", "import sys; sys.exit('no such address')"]

    with (
        running.started(node, script, remedy="") as process,
        pytest.raises(MeasurementError, match="it failed: no such address"),
    ):
        running.await_port(node, process, "it", 1, "tcp")


def test_a_program_that_never_listens_is_given_up() -> None:
    node: Any = Here()
    node.netns = SimpleNamespace(run=in_this_namespace)
    script = [sys.executable, "-c", "import time; time.sleep(600)"]

    with (
        running.started(node, script, remedy="") as process,
        pytest.raises(MeasurementError, match="has not opened port 1"),
    ):
        running.await_port(node, process, "it", 1, "tcp", within_s=0.1)


def test_arrivals_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = itertools.chain(range(10), itertools.repeat(10))

    def states(_: object) -> dict[str, Any]:
        return {"e": SimpleNamespace(rx_packets=next(counted), rx_bytes=0, rx_dropped=0)}

    monkeypatch.setattr(running, "link_states", states)
    counter = running.ArrivalCounter(NODE, "e")

    assert counter.when_quiet() == Arrived(10, 0, 0)


def test_an_interface_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "link_states", lambda _: {})

    with pytest.raises(MeasurementError, match="gone"):
        running.ArrivalCounter(NODE, "e")


# The two interfaces of a generator.


def node_with(*names: str, container: object = None) -> Any:
    interfaces = tuple(SimpleNamespace(name=name) for name in names)
    return SimpleNamespace(
        name="gen", plan=SimpleNamespace(interfaces=interfaces, container=container)
    )


@pytest.mark.parametrize(
    ("sends", "receives", "chosen"),
    [
        ("", "", ("e0", "e1")),
        ("e1", "", ("e1", "e0")),
        ("", "e0", ("e1", "e0")),
        ("e2", "e1", ("e2", "e1")),
    ],
)
def test_interfaces_are_chosen(sends: str, receives: str, chosen: tuple[str, str]) -> None:
    found = choose_interfaces(node_with("e0", "e1", "e2"), sends, receives, "trex")

    assert tuple(each.name for each in found) == chosen


@pytest.mark.parametrize(
    ("node", "sends", "receives", "message"),
    [
        (node_with("e0"), "", "", "there is only one"),
        (node_with(), "", "", "there is none"),
        (node_with("e0", "e1"), "e7", "", "no interface e7"),
        (node_with("e0", "e1"), "e1", "e1", "cannot receive where it sends"),
        (node_with("e0", "e1", container=object()), "", "", "a container does not see it"),
    ],
)
def test_interfaces_that_will_not_do(node: Any, sends: str, receives: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_interfaces(node, sends, receives, "trex")
