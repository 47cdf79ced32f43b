"""What is told of a control module that is at fault itself, and of what it asks for."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from emulator.catalog import Manifest, read_manifest
from emulator.control import ParameterError, PortInfo, content_of
from emulator.dataplane.live import check_entry
from emulator.errors import UsageError

PORTS = (PortInfo("a", "02:00:00:00:00:01"), PortInfo("b", "02:00:00:00:00:02"))
HEAD = "from emulator.control import ParameterError, TableContent\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    folder = tmp_path / "my-vnf.2"
    folder.mkdir()
    (folder / "vnf.c").touch()
    (folder / "control.py").touch()
    (folder / "vnf.toml").write_text(
        'name = "my-vnf.2"\nsummary = "x"\nports = 2\ncontrol = "control.py"\n[dataplanes.packet]\n'
    )
    return read_manifest(folder / "vnf.toml")


def write(manifest: Manifest, text: str) -> None:
    path = manifest.folder / "control.py"
    before_ns = path.stat().st_mtime_ns
    path.write_text(HEAD + text)
    # The kernel's clock for files may not have moved on since.
    os.utime(path, ns=(before_ns + 1, before_ns + 1))


def test_a_control_module_is_given_parameters_and_ports(manifest: Manifest) -> None:
    write(
        manifest,
        "import struct\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Rule:\n"
        "    port: int\n"
        "def control(parameters, ports):\n"
        "    rules = [Rule(parameters['first'] + n) for n, _ in enumerate(ports)]\n"
        "    parameters.clear()\n"
        "    return TableContent({'rules': [struct.pack('=I', rule.port) for rule in rules]})\n",
    )
    values = {"first": 7}
    content = content_of(manifest, values, PORTS)
    assert content.settings == {"rules": [struct.pack("=I", 7), struct.pack("=I", 8)]}
    assert values == {"first": 7}
    assert not list(manifest.folder.glob("__pycache__"))


def test_a_control_module_that_was_edited_is_read_anew(manifest: Manifest) -> None:
    write(manifest, "def control(parameters, ports): return TableContent()\n")
    assert content_of(manifest, {}, PORTS).settings == {}
    write(manifest, "def control(parameters, ports): return TableContent({'x': [b'1']})\n")
    assert content_of(manifest, {}, PORTS).settings == {"x": [b"1"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def control(:", "invalid syntax: def control("),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def control(parameters, ports): return parameters['x']", "KeyError: 'x'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_mistake_in_a_control_module_is_told_with_its_line(
    manifest: Manifest, text: str, said: str
) -> None:
    write(manifest, f"\n{text}\n")
    with pytest.raises(UsageError) as caught:
        content_of(manifest, {}, PORTS)
    assert said == caught.value.message
    line = (HEAD + "\n").count("\n") + 1
    assert caught.value.where == f"{manifest.folder / 'control.py'}:{line}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "there is no function control(parameters, ports)"),
        ("control = 3", "there is no function control(parameters, ports)"),
        ("def control(parameters, ports): return {}", "returns no TableContent"),
        ("def control(parameters): return TableContent()", "TypeError: control() takes 1"),
        (
            "def control(parameters, ports): return TableContent({'rules': ['text']})",
            "what control() returns for rules is not bytes",
        ),
        (
            "def control(parameters, ports): return TableContent(tables={'flows': {1: b'2'}})",
            "what control() returns for flows is not bytes",
        ),
    ],
)
def test_a_control_module_at_fault(manifest: Manifest, text: str, said: str) -> None:
    write(manifest, f"{text}\n")
    with pytest.raises(UsageError) as caught:
        content_of(manifest, {}, PORTS)
    assert said in caught.value.message
    assert caught.value.where == str(manifest.folder / "control.py")


def test_a_parameter_that_means_nothing_is_the_users_fault_and_not_the_modules(
    manifest: Manifest,
) -> None:
    write(
        manifest,
        "def control(parameters, ports):\n"
        "    raise ParameterError('rules', 'no rule begins with x', hint='begin with allow')\n",
    )
    with pytest.raises(ParameterError) as caught:
        content_of(manifest, {}, PORTS)
    assert (caught.value.parameter, caught.value.hint) == ("rules", "begin with allow")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (b"12345", b"12345678", "a key of 5 bytes was given for a C type of 4"),
        (b"1234", b"1", "a value of 1 bytes was given for a C type of 8"),
        (b"", None, "a key of 0 bytes was given for a C type of 4"),
    ],
)
def test_an_entry_that_does_not_fit_its_table(key: bytes, value: bytes | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_entry("flows", key, 4, value, 8)
    assert (caught.value.where, caught.value.message) == ("table flows", said)
