"""The parts of the data planes that need no kernel."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from emulator.catalog import AVAILABLE, Catalog, Manifest, read_manifest
from emulator.dataplane import attach_vnf, build
from emulator.errors import UsageError
from emulator.kernel.clang import find_cc
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


FIELDS = ("bool", "mac", "ipv4", "int", "int 64", "int signed", "int signed 64", "str", "float")


def test_every_mixture_of_parameters_lies_in_memory_as_the_compiler_has_it(tmp_path: Path) -> None:
    chance = random.Random(1)
    program, expected = ["#include <stdio.h>", "#include <linux/types.h>"], []
    main = []
    for number in range(60):
        kinds = [chance.choice(FIELDS) for _ in range(chance.randrange(9))]
        folder = tmp_path / f"vnf{number}"
        folder.mkdir()
        (folder / "vnf.c").touch()
        manifest = read_manifest(_write_manifest(folder, kinds))
        values = {f"p{at}": _value(kind, chance) for at, kind in enumerate(kinds)}
        assert manifest.check_parameters(values)[1] == []
        expected.append(build.pack_config(manifest, values).hex())
        header = build.config_header(manifest).replace("struct vnf_", f"struct n{number}_")
        program.append(header)
        main.append(f"static struct n{number}_config c{number};")
        for name, parameter in manifest.parameters.items():
            if parameter.c_field:
                given = ", ".join(map(str, parameter.pack(values[name])[0]))
                main.append(
                    f"memcpy(&c{number}.{name}, (__u8[]){{{given}}}, sizeof(c{number}.{name}));"
                )
        main.append(f"dump(&c{number}, sizeof(c{number}));")
    program += [
        "#include <string.h>",
        "static void dump(const void *at, size_t bytes) {",
        '    while (bytes--) printf("%02x", *(const __u8 *)at++);',
        '    puts("");',
        "}",
        "int main(void) {",
        *main,
        "return 0; }",
    ]
    source = tmp_path / "layout.c"
    source.write_text("\n".join(program))
    subprocess.run([str(find_cc()), "-o", str(tmp_path / "layout"), str(source)], check=True)
    said = subprocess.run([str(tmp_path / "layout")], capture_output=True, text=True, check=True)

    assert said.stdout.split() == expected


def _write_manifest(folder: Path, kinds: list[str]) -> Path:
    lines = [f'name = "{folder.name}"\nsummary = "x"\nports = 2\n[dataplanes.packet]']
    for number, kind in enumerate(kinds):
        kind, *more = kind.split()
        lines.append(f'[parameters.p{number}]\ntype = "{kind}"\nsummary = "x"')
        if "signed" in more:
            lines.append("minimum = -9")
        if "64" in more:
            lines.append(f"maximum = {2**40}")
    path = folder / "vnf.toml"
    path.write_text("\n".join(lines))
    return path


def _value(kind: str, chance: random.Random) -> object:
    kind, *more = kind.split()
    number = chance.randrange(-9 if "signed" in more else 0, 2**40 if "64" in more else 2**31)
    values: dict[str, object] = {
        "bool": bool(number & 1),
        "mac": ":".join(f"{chance.randrange(256):02x}" for _ in range(6)),
        "ipv4": f"10.{chance.randrange(256)}.0.1",
        "int": number,
        "str": "text",
        "float": 0.5,
    }
    return values[kind]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_folder_that_c_cannot_include_from_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "vnf"
    folder.mkdir(parents=True)
    (folder / "vnf.c").touch()
    with pytest.raises(UsageError, match="quotation mark"):
        build.build_program(read_manifest(_write_manifest(folder, [])), "packet")


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
