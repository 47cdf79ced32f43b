"""The command that a hint tells to type again."""

from __future__ import annotations

import sys

import pytest

import emulator
from emulator.invocation import vnf_program, with_sudo

PACKAGE_MAIN = emulator.__file__.replace("__init__", "__main__")


@pytest.mark.parametrize(
    ("argv", "orig_argv", "again", "program"),
    [
        (
            ["/opt/a venv/bin/vnf", "exec", "lab", "h1", "echo a"],
            ["/opt/a venv/bin/python", "/opt/a venv/bin/vnf", "exec", "lab", "h1", "echo a"],
            "sudo '/opt/a venv/bin/vnf' exec lab h1 'echo a'",
            "'/opt/a venv/bin/vnf'",
        ),
        (
            [PACKAGE_MAIN, "ps"],
            ["python3", "-m", "emulator", "ps"],
            "sudo /opt/python -m emulator ps",
            "/opt/python -m emulator",
        ),
        (
            ["lab.py", "--fast"],
            ["python3", "-B", "lab.py", "--fast"],
            "sudo /opt/python -B lab.py --fast",
            "vnf",
        ),
        (["-c"], ["python3", "-c", "import emulator\nemulator.clean()"], "", "vnf"),
    ],
    ids=["vnf", "module", "script", "lines of code"],
)
def test_the_command_is_whole(
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    orig_argv: list[str],
    again: str,
    program: str,
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    monkeypatch.setattr(sys, "executable", "/opt/python")
    assert with_sudo() == again
    assert vnf_program() == program


def test_vnf_is_named_by_its_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    monkeypatch.setattr(sys, "argv", ["bin/vnf"])
    assert vnf_program() == "/usr/bin/vnf"
