"""Manifests: what they say, what is wrong with them, and which of them are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.catalog import AVAILABLE, Catalog, Manifest, Parameter, read_manifest
from emulator.errors import UsageError

PLAIN = """
name = "meter"
summary = "counts what passes"
ports = 2

[dataplanes.xdp]
source = "vnf.c"
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, folder: str = "meter", under: str = "") -> Path:
        path = tmp_path / under / folder / "vnf.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        (path.parent / "vnf.c").touch()
        return path

    return write


@pytest.fixture
def manifest(write: Write) -> Manifest:
    return read_manifest(
        write(
            PLAIN
            + """
            [parameters.every]
            type = "int"
            unit = "frames"
            default = 1
            minimum = 1
            summary = "count each n-th frame"
            [parameters.share]
            type = "float"
            minimum = 0
            maximum = 1
            default = 0.5
            summary = "how much is counted"
            [parameters.mode]
            type = "str"
            choices = ["fast", "exact"]
            summary = "how it is counted"
            [parameters.loud]
            type = "bool"
            default = false
            summary = "whether it says so"
            [counters]
            counted = "frames counted"
            """
        )
    )


def test_a_manifest_says_what_a_vnf_is(manifest: Manifest) -> None:
    assert (manifest.name, manifest.summary) == ("meter", "counts what passes")
    assert manifest.counters == {"counted": "frames counted"}
    assert manifest.dataplanes["xdp"].mechanism == "bpf"
    assert manifest.source("xdp") == manifest.folder / "vnf.c"
    assert str(manifest.ports) == "2"
    assert [manifest.ports.allow(count) for count in (1, 2, 3)] == [False, True, False]


def test_parameters_get_their_defaults_and_types(manifest: Manifest) -> None:
    values, problems = manifest.check_parameters({"mode": "fast", "share": 1})
    assert values == {"every": 1, "share": 1.0, "mode": "fast", "loud": False}
    assert [type(values[name]) for name in ("every", "share", "loud")] == [int, float, bool]
    assert problems == []


def test_every_wrong_parameter_is_told(manifest: Manifest) -> None:
    values, problems = manifest.check_parameters(
        {"every": 0, "share": float("nan"), "loud": "yes", "evry": 2}, where="VNF m1"
    )
    assert values == {}
    assert [str(problem) for problem in problems] == [
        "VNF m1: VNF meter has no parameter evry (did you mean every?)",
        (
            "VNF m1: parameter every: 0 is below the least value, 1 (every: count each n-th frame; "
            "a whole number of frames from 1 up to 4294967295)"
        ),
        (
            "VNF m1: parameter share: nan is not a number (share: how much is counted; "
            "a number from 0 up to 1)"
        ),
        "VNF m1: parameter mode must be given (mode: how it is counted; one of 'fast', 'exact')",
        (
            "VNF m1: parameter loud: 'yes' is not true or false (loud: whether it says so; "
            "true or false)"
        ),
    ]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (1, ""),
        (2**32 - 1, ""),
        (2**32, "4294967296 is above the greatest value, 4294967295"),
        (True, "true is not a whole number"),
        (1.0, "1.0 is not a whole number"),
        ("1", "'1' is not a whole number"),
        (None, "None is not a whole number"),
        ([1], "[1] is not a whole number"),
    ],
)
def test_a_whole_number_is_one_that_fits_its_field(value: object, wrong: str) -> None:
    assert Parameter(type="int", summary="x").check(value)[1] == wrong


@pytest.mark.parametrize(
    ("limits", "c_type"),
    [
        ({}, "__u32"),
        ({"minimum": 1, "maximum": 255}, "__u32"),
        ({"maximum": 2**32}, "__u64"),
        ({"minimum": -1}, "__s32"),
        ({"minimum": -1, "maximum": 2**31}, "__s64"),
        ({"minimum": -(2**40)}, "__s64"),
    ],
)
def test_the_field_in_c_is_as_wide_as_the_limits_ask(limits: dict[str, int], c_type: str) -> None:
    assert Parameter(type="int", summary="x", **limits).c_field == f"{c_type} {{}};"


def test_fields_in_c_of_other_types() -> None:
    assert Parameter(type="bool", summary="x").c_field == "__u8 {};"
    assert Parameter(type="ipv4", summary="x").c_field == "__be32 {};"
    assert Parameter(type="mac", summary="x").c_field == "__u8 {}[6];"
    assert Parameter(type="str", summary="x").c_field is None
    assert Parameter(type="float", summary="x").c_field is None


def test_addresses_lie_in_memory_as_on_the_wire() -> None:
    assert Parameter(type="ipv4", summary="x").pack("10.0.0.1") == (b"\x0a\0\0\x01", 4)
    assert Parameter(type="mac", summary="x").pack("02:00:00:00:00:0f") == (b"\2\0\0\0\0\x0f", 1)


@pytest.mark.parametrize(
    ("kind", "value"), [("ipv4", "10.0.0.256"), ("mac", "2:0:0:0:0:1"), ("mac", "x"), ("ipv4", 7)]
)
def test_an_address_that_is_none(kind: str, value: object) -> None:
    parameter = Parameter.model_validate({"type": kind, "summary": "x"})
    assert parameter.check(value)[0] is None
    assert "address" in parameter.check(value)[1]


@pytest.mark.parametrize(
    ("ports", "text", "allowed"),
    [
        ("1", "1", [1]),
        ("{ min = 2 }", "at least 2", [2, 3, 4]),
        ("{ min = 2, max = 3 }", "2 to 3", [2, 3]),
    ],
)
def test_ports_are_a_number_or_a_range(
    write: Write, ports: str, text: str, allowed: list[int]
) -> None:
    manifest = read_manifest(write(PLAIN.replace("ports = 2", f"ports = {ports}")))
    assert str(manifest.ports) == text
    assert [count for count in range(5) if manifest.ports.allow(count)] == allowed


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("ports = 2", "", "ports: is missing"),
        ("ports = 2", "ports = 0", "ports.min: should be 1 or more, not 0"),
        ("ports = 2", 'ports = "two"', "ports: "),
        ("ports = 2", "ports = { min = 3, max = 2 }", "ports: min 3 is above max 2"),
        ("ports = 2", "ports = 2\ncolour = 1", "colour: there is no such key"),
        ("summary =", "sumary =", "sumary: there is no such key (did you mean summary?)"),
        (
            'source = "vnf.c"',
            'sorce = "vnf.c"',
            "xdp.sorce: there is no such key (did",
        ),
        ('"meter"', '"metre"', "name metre is not the folder's, meter"),
        ('"meter"', "7", "name: should be text, not 7"),
        ("dataplanes.xdp", "dataplanes.xpd", "dataplanes.xpd: no such data plane (did you mean"),
        ('source = "vnf.c"', 'source = "x.c"', "dataplanes.xdp: there is no file "),
        ("[dataplanes.xdp]", "[dataplanes.kernel]", "dataplanes.kernel: mechanism must be "),
        ('source = "vnf.c"', 'mechanism = "bridge"', "mechanism bridge is the kernel's"),
        ('[dataplanes.xdp]\nsource = "vnf.c"', "", "dataplanes: is missing"),
        ('[dataplanes.xdp]\nsource = "vnf.c"', "dataplanes = {}", "should have 1 or more values"),
        ("ports = 2", "ports = ", "is not TOML: "),
    ],
)
def test_a_manifest_with_a_mistake(write: Write, old: str, new: str, text: str) -> None:
    path = write(PLAIN.replace(old, new))
    with pytest.raises(UsageError) as error:
        read_manifest(path)
    assert text in error.value.message
    assert error.value.where == str(path)


def test_a_source_that_several_data_planes_miss_is_told_once(write: Write) -> None:
    path = write(PLAIN.replace('"vnf.c"', '"x.c"') + '\n[dataplanes.packet]\nsource = "x.c"\n')
    with pytest.raises(UsageError) as error:
        read_manifest(path)
    assert error.value.message == (
        f"dataplanes.xdp, packet: there is no file {path.parent / 'x.c'}"
    )
    assert error.value.hint == "write it, or name the file there is with source"


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ('type = "int"', "parameters.x.summary: is missing"),
        ('summary = "x"\ntype = "number"', "parameters.x.type: "),
        ('summary = "x"\ntype = "int"\ndefault = 0\nminimum = 1', "default 0 is below the least"),
        ('summary = "x"\ntype = "int"\ndefault = "a"', "default 'a' is not a whole number"),
        ('summary = "x"\ntype = "int"\nminimum = 2\nmaximum = 1', "minimum 2 is above the maximum"),
        ('summary = "x"\ntype = "int"\nmaximum = 1e3', "of a whole number are whole numbers"),
        ('summary = "x"\ntype = "int"\nmaximum = 18446744073709551616', "do not fit 64 bits"),
        ('summary = "x"\ntype = "str"\nmaximum = 3', "only numbers have a minimum or a maximum"),
        ('summary = "x"\ntype = "int"\nchoices = [1, "a"]', "choice 'a' is not a whole number"),
    ],
)
def test_a_parameter_with_a_mistake(write: Write, parameter: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        read_manifest(write(f"{PLAIN}\n[parameters.x]\n{parameter}"))
    assert text in error.value.message


@pytest.mark.parametrize("name", ["ip", "dataplane", "with-dash", "_x", "2x", "vnf"])
def test_a_parameter_cannot_have_any_name(write: Write, name: str) -> None:
    with pytest.raises(UsageError, match="usable name|has the name of an option"):
        read_manifest(write(f'{PLAIN}\n[parameters."{name}"]\ntype = "int"\nsummary = "x"'))


@pytest.mark.parametrize(
    ("table", "name", "text"),
    [
        ("parameters", "while", "parameter while has a name that means something in C"),
        ("parameters", "unix", "parameter unix has a name that means something in C"),
        ("parameters", "lambda", "parameter lambda has a name that means something in Python"),
        ("counters", "errno", "counter errno has a name that means something in C"),
        ("counters", "tcp-syn", "counter 'tcp-syn' is not a usable name"),
    ],
)
def test_names_that_languages_have_taken(write: Write, table: str, name: str, text: str) -> None:
    entry = '"x"' if table == "counters" else '{ type = "int", summary = "x" }'
    with pytest.raises(UsageError) as error:
        read_manifest(write(f'{PLAIN}\n[{table}]\n"{name}" = {entry}\n'))
    assert text in error.value.message


def test_all_mistakes_of_a_manifest_are_told_at_once(write: Write) -> None:
    path = write(PLAIN.replace('"meter"', '"2"').replace("xdp", "kernel"), folder="x")
    with pytest.raises(UsageError) as error:
        read_manifest(path)
    assert error.value.message == (
        "name 2 is not the folder's, x; "
        "'2' is not a usable name (letters, digits, '_', '.' and '-', the first a letter); "
        'dataplanes.kernel: mechanism must be "bridge" or "ip-forwarding"; '
        "dataplanes.kernel: the kernel forwards by itself and takes no source"
    )


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "vnf.toml")


def test_the_catalog_has_what_we_ship_and_what_the_user_brings(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PLAIN, under="a")
    write(PLAIN.replace('"meter"', '"other"'), folder="other", under="b")
    mine = write(PLAIN.replace('"meter"', '"forward"'), folder="forward", under="b")
    monkeypatch.setenv("VNF_PATH", f"{tmp_path / 'a'}:{tmp_path / 'nowhere'}:")
    catalog = Catalog.load([tmp_path / "b"])
    assert {"drop", "forward", "meter", "other"} <= set(catalog.names())
    assert catalog.names() == sorted(catalog)
    assert catalog["forward"].folder == mine.parent
    assert "meter" in catalog
    assert len(catalog) == len(catalog.names())


def test_asking_for_a_vnf_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match=r"there is no VNF frward \(did you mean forward\?\)"):
        Catalog.load()["frward"]
    with pytest.raises(UsageError, match=r"there is no VNF x \(there are none\)"):
        Catalog({})["x"]


def test_everything_we_ship_can_run() -> None:
    catalog = Catalog.load()
    for name in catalog:
        assert any(dataplane in AVAILABLE for dataplane in catalog[name].dataplanes)
        assert all(parameter.default is not None for parameter in catalog[name].parameters.values())
