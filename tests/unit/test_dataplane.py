"""The parts of the data planes that need no kernel."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from emulator.catalog import AVAILABLE, Catalog, Manifest, read_manifest
from emulator.dataplane import attach_vnf, build
from emulator.errors import UsageError
from emulator.kernel.netns import Netns

MANIFEST = """
name = "mixed"
summary = "has a parameter of every kind"
ports = 2
[dataplanes.xdp]
source = "vnf.c"
[parameters]
strict = { type = "bool", default = true, summary = "a flag" }
limit = { type = "int", default = 7, maximum = 1e18, summary = "a large number" }
shift = { type = "int", default = -3, minimum = -10, summary = "a number with a sign" }
rate = { type = "float", default = 0.5, summary = "a fraction" }
label = { type = "str", default = "x", summary = "text" }
[counters]
seen = "frames looked at"
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Manifest:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "vnf.c").touch()
    (folder / "vnf.toml").write_text(MANIFEST.replace("1e18", str(10**18)))
    return read_manifest(folder / "vnf.toml")


def test_parameters_and_counters_become_c_structures(mixed: Manifest) -> None:
    assert build.config_header(mixed).splitlines()[1:] == [
        "struct vnf_config {",
        "    __u8 strict;",
        "    __u64 limit;",
        "    __s32 shift;",
        "};",
        "struct vnf_counters {",
        "    __u64 seen;",
        "};",
    ]


def test_values_are_laid_out_as_c_does(mixed: Manifest) -> None:
    values, problems = mixed.check_parameters({"limit": 9, "strict": False})
    assert not problems
    packed = build.pack_config(mixed, values)
    assert packed == struct.pack("=B7xQi4x", 0, 9, -3)


def test_the_library_knows_as_many_ports_as_its_header() -> None:
    header = (build.library_dir() / "vnf.h").read_text()
    assert f"#define VNF_MAX_PORTS {build.MAX_PORTS}\n" in header


def test_an_unknown_data_plane_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there is no data plane warp") as caught:
        attach_vnf({"dataplane": "warp"}, Netns(-1))
    assert all(available in caught.value.hint for available in AVAILABLE)


def test_every_vnf_of_ours_says_what_it_is_in_a_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)
    catalog = Catalog.load()
    for manifest in (catalog[name] for name in catalog.names()):
        text = (manifest.folder / "README.md").read_text()
        assert text.startswith(f"# {manifest.name}\n")
        for parameter in manifest.parameters:
            assert f"`{parameter}`" in text
