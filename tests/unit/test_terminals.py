"""Which window is opened on a node, and how; the terminals are programs that note what they got."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from emulator.errors import LabError, MachineError
from emulator.terminals import open_window

COMMAND = [sys.executable, "-m", "emulator", "exec", "lab-1", "h1"]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "TERMINAL", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, name: str, then: str = "exit 0") -> Path:
    """A program that notes its arguments; returns where."""
    notes = folder / f"{name}.args"
    program = folder / name
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {notes}\n{then}\n')
    program.chmod(0o755)
    return notes


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("xterm", ["-T", "h1", "-e"]),
        ("x-terminal-emulator", ["-T", "h1", "-e"]),
        ("gnome-terminal", ["--title", "h1", "--"]),
        ("konsole", ["-p", "tabtitle=h1", "-e"]),
        ("xfce4-terminal", ["--disable-server", "-T", "h1", "-x"]),
        ("kitty", ["--title", "h1"]),
    ],
)
def test_each_terminal_is_called_in_its_own_way(
    programs: Path, monkeypatch: pytest.MonkeyPatch, name: str, before: list[str]
):
    monkeypatch.setenv("DISPLAY", ":9")
    notes = install(programs, name)
    window = open_window("lab-1", "h1")
    assert (window.program, window.attach) == (name, "")
    assert notes.read_text().splitlines() == [*before, *COMMAND]


def test_the_users_own_terminal_comes_first_but_for_one_that_is_asked_for(
    programs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setenv("TERMINAL", "mine --dark")
    mine, gnome = install(programs, "mine"), install(programs, "gnome-terminal")
    install(programs, "xterm")
    assert open_window("lab-1", "h1", ["top"]).program == "mine"
    assert mine.read_text().splitlines() == ["--dark", "-T", "h1", "-e", *COMMAND, "top"]
    assert open_window("lab-1", "h1", prefer="gnome-terminal").program == "gnome-terminal"
    assert gnome.exists()


def test_a_terminal_that_cannot_open_a_window_is_told(
    programs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISPLAY", ":9")
    install(programs, "xterm", "echo cannot open display >&2; exit 1")
    with pytest.raises(LabError, match="xterm could not open a window: cannot open display"):
        open_window("lab-1", "h1")


def test_inside_tmux_without_a_display_the_window_is_one_there(
    programs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    notes = install(programs, "tmux")
    window = open_window("lab-1", "h1")
    assert (window.program, window.attach) == ("tmux", "")
    assert notes.read_text().splitlines() == ["new-window", "-d", "-n", "h1", *COMMAND]


def test_with_neither_what_is_missing_is_told(programs: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MachineError, match="no display, and no tmux"):
        open_window("lab-1", "h1")
    monkeypatch.setenv("DISPLAY", ":9")
    with pytest.raises(MachineError, match="no terminal program"):
        open_window("lab-1", "h1")
