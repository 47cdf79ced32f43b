"""What a manifest says of a DPDK program that is used as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.errors import UsageError

RELAY = """
name = "relay"
summary = "a program of somebody else's"
ports = 2

[dataplanes.dpdk]
program = "dpdk-relay"
arguments = ["-p", "{portmask}", "--rate={rate}"]

[parameters.rate]
type = "int"
default = 1
summary = "frames a second"
"""


def relay(folder: Path, old: str = "", new: str = "") -> Manifest:
    path = folder / "relay" / "vnf.toml"
    path.parent.mkdir()
    path.write_text(RELAY.replace(old, new))
    return read_manifest(path)


def test_a_program_takes_the_place_of_a_source(tmp_path: Path) -> None:
    manifest = relay(tmp_path)

    support = manifest.dataplanes["dpdk"]
    assert (support.program, support.mechanism, support.threads) == ("dpdk-relay", "process", 1)
    assert manifest.source("dpdk") is None


def test_testpmd_is_one() -> None:
    testpmd = Catalog.load()["testpmd"]

    assert list(testpmd.dataplanes) == ["dpdk"]
    assert testpmd.dataplanes["dpdk"].program == "dpdk-testpmd"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("{rate}", "{rat}", "there is no parameter 'rat' (did you mean rate?)"),
        ("{portmask}", "{}", "there is no parameter '' "),
        ("{portmask}", "{rate.real}", "there is no parameter 'rate.real'"),
        ("{rate}", "{rate", "dataplanes.dpdk: arguments: "),
        ("dataplanes.dpdk", "dataplanes.packet", "only dpdk takes a program"),
        ("[dataplanes.dpdk]", "[dataplanes.dpdk]\nsource = 'vnf.c'", "a program or a source"),
        ("[dataplanes.dpdk]", "[dataplanes.dpdk]\nthreads = 0", "should be 1 or more, not 0"),
        (
            'program = "dpdk-relay"',
            'source = "vnf.toml"',
            "arguments and threads are for a program",
        ),
    ],
)
def test_a_program_with_a_mistake(tmp_path: Path, old: str, new: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        relay(tmp_path, old, new)
    assert text in caught.value.message
