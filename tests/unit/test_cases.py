"""Mistakes in the cases of a VNF, told before any of them is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.catalog import Manifest, read_manifest
from emulator.errors import UsageError
from emulator.trying.cases import load_cases

HEAD = """
from scapy.all import IP, Ether
from emulator.trying.cases import Case, Step
F = bytes(60)
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "vnf.c").touch()
    (folder / "vnf.toml").write_text(
        'name = "mine"\nsummary = "x"\nports = {min = 2, max = 3}\n[dataplanes.packet]\n'
    )
    return read_manifest(folder / "vnf.toml")


def write(manifest: Manifest, cases: str) -> Path:
    path = manifest.folder / "cases.py"
    path.write_text(f"{HEAD}\nCASES = {cases}\n")
    return path


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ('Case("c", [Step(F, port=2)])', "step 1: there is no port 2; the VNF has 2"),
        ('Case("c", [Step(F), Step(F, port=-1)])', "step 2: there is no port -1"),
        ('Case("c", [Step(F, out={3: F})], ports=3)', "step 1: there is no port 3; the VNF has 3"),
        ('Case("c", [Step(b"")])', "a frame has 0 bytes"),
        ('Case("c", [Step(F, out={1: bytes(9217)})])', "a frame has 9217 bytes"),
        ('Case("c", [Step(F, to_host=7)])', "the number 7 is no frame"),
        ('Case("c", [Step("text")])', "a frame cannot be built: TypeError"),
        ('Case("c", [Step(Ether() / IP(ttl="x"))])', "a frame cannot be built: "),
        ('Case("c", [Step(F, after_ns=-5)])', "time goes on, and not back by 5 ns"),
        ('Case("c", [], seed=-1)', "seed -1 is not a whole number of 64 bits"),
    ],
)
def test_a_case_that_cannot_be_run_says_what_is_wrong_with_it(
    manifest: Manifest, case: str, said: str
) -> None:
    path = write(manifest, f"[{case}]")
    with pytest.raises(UsageError) as caught:
        load_cases(manifest)
    assert caught.value.message.startswith("case 'c': ")
    assert said in caught.value.message
    assert caught.value.where == str(path)


def test_a_case_for_more_ports_than_the_least(manifest: Manifest) -> None:
    write(manifest, '[Case("c", [Step(F, port=2, out={0: F})], ports=3)]')
    (case,) = load_cases(manifest)
    assert case.ports == 3
