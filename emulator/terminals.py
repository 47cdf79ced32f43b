"""Windows on the nodes of a running lab: a terminal where there is a display, or else tmux.

What runs in a window is ``vnf exec``, whose program lives in the lab. So windows end with the lab,
however that ends, and nothing of them is left.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from emulator.errors import LabError, MachineError, UsageError
from emulator.paths import run_dir

if TYPE_CHECKING:
    from emulator.lab import Lab
    from emulator.node import Node

PROGRAMS = (
    "x-terminal-emulator", "xterm", "gnome-terminal", "konsole", "xfce4-terminal", "alacritty",
    "kitty", "foot",
)  # fmt: skip
"""Terminals that are looked for, after that of ``$TERMINAL``."""

_SOON_S = 0.5
"""A window that cannot be opened, for want of a right to the display, ends sooner."""

_Words = list[str]
_FORMS: Mapping[str, Callable[[str, Sequence[str]], _Words]] = {
    "gnome-terminal": lambda title, command: ["--title", title, "--", *command],
    "konsole": lambda title, command: ["-p", f"tabtitle={title}", "-e", *command],
    "xfce4-terminal": lambda title, command: ["--disable-server", "-T", title, "-x", *command],
    "kitty": lambda title, command: ["--title", title, *command],
    "foot": lambda title, command: ["-T", title, *command],
}
"""How a title and a command are given to terminals that do not take ``-T TITLE -e COMMAND``."""

_FIRST_X_PORT = 6000
"""Of display 0; the X Window System Protocol, appendix B."""

_opened: list[subprocess.Popen[bytes]] = []
_relayed: WeakKeyDictionary[Lab, set[tuple[str, int]]] = WeakKeyDictionary()
"""The ports in nodes that lead to a display already."""


@dataclass(frozen=True)
class Window:
    """A window that was opened.

    Attributes:
        node: the name of the node that it looks on.
        program: what shows it.
        attach: what to type in another terminal to see it; empty where it is seen already.
    """

    node: str
    program: str
    attach: str = ""


def open_window(
    lab: str, node: str, command: Sequence[str] = (), *, prefer: str | None = None
) -> Window:
    """Open a window on a node of a running lab.

    With a display it is one of the user's terminal, inside of tmux a window there, and otherwise
    one in a tmux of the lab's own.

    Args:
        lab: the lab's id.
        node: the node's name.
        command: what runs in it; bash by default.
        prefer: the terminal to take if it is there.

    Raises:
        MachineError: there is no display, and no tmux.
        LabError: it could not be opened.
    """
    words = [sys.executable, "-m", "emulator", "exec", lab, node, *command]
    if not has_display():
        return _open_in_tmux(lab, node, words)
    program = _terminal(prefer)
    if program is None and shutil.which("tmux"):
        return _open_in_tmux(lab, node, words)
    if program is None:
        hint = "apt-get install xterm, or set TERMINAL to the one you have"
        raise MachineError("there is no terminal program", hint=hint)
    return _open_on_display(program, node, words)


def run_on_display(lab: Lab, node: Node, command: str) -> None:
    """Run a program in a node that opens windows of its own on the user's display.

    Raises:
        UsageError: there is no display, or the node is in a container.
        LabError: the display cannot be reached from the node.
    """
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise UsageError("there is no display", where=node.name, hint="DISPLAY is not set")
    if node.container is not None:
        hint = f"xterm {node.name} opens a terminal on it"
        message = "a program in a container does not see the display"
        raise UsageError(message, where=node.name, hint=hint)
    found = re.fullmatch(r"(?:(?P<host>[^/:]+):)(?P<number>\d+)(?:\.\d+)?", display)
    if found is not None and found["host"] not in ("unix", ""):
        # As over ssh: a port of this machine, which the node does not see.
        _relay_display(lab, node, found["host"], _FIRST_X_PORT + int(found["number"]))
    _forget_ended()
    _opened.append(node.popen(command, stdin=subprocess.DEVNULL))


def has_display() -> bool:
    """Whether windows of programs can be seen."""
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _terminal(prefer: str | None) -> Sequence[str] | None:
    """The first terminal that is there, with arguments of its own."""
    users = shlex.split(os.environ.get("TERMINAL", ""))
    wanted = [[prefer]] if prefer is not None else []
    wanted += [users] if users else []
    for words in [*wanted, *([name] for name in PROGRAMS)]:
        if shutil.which(words[0]) is not None:
            return words
    return None


def _open_on_display(program: Sequence[str], node: str, command: Sequence[str]) -> Window:
    name = os.path.basename(program[0])
    form = _FORMS.get(name, _usual_form)
    _forget_ended()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [*program, *form(node, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )
        _opened.append(process)
        try:
            status = process.wait(_SOON_S)
        except subprocess.TimeoutExpired:
            status = 0
        if status:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            raise LabError(
                f"{name} could not open a window: {lines[-1] if lines else f'status {status}'}",
                where=node,
                hint="sudo -E keeps what shows the way to the display",
            )
    return Window(node, name)


def _usual_form(title: str, command: Sequence[str]) -> _Words:
    return ["-T", title, "-e", *command]


def _open_in_tmux(lab: str, node: str, command: Sequence[str]) -> Window:
    if shutil.which("tmux") is None:
        raise MachineError(
            "there is no display, and no tmux to open windows in",
            hint="apt-get install tmux; or in another terminal: vnf exec LAB NODE",
        )
    if os.environ.get("TMUX"):
        _tmux("new-window", "-d", "-n", node, *command)
        return Window(node, "tmux")
    server = ["-S", str(run_dir() / lab / "tmux")]
    running = _tmux(*server, "has-session", "-t", lab, check=False) == 0
    if running:
        _tmux(*server, "new-window", "-d", "-t", f"{lab}:", "-n", node, *command)
    else:
        _tmux(*server, "new-session", "-d", "-s", lab, "-n", node, *command)
    return Window(node, "tmux", f"tmux {shlex.join(server)} attach")


def _tmux(*arguments: str, check: bool = True) -> int:
    done = subprocess.run(
        ["tmux", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise LabError(f"tmux could not open a window: {done.stderr.strip()}")
    return done.returncode


def _relay_display(lab: Lab, node: Node, host: str, port: int) -> None:
    from socket import gethostbyname

    from emulator.switches.relay import Relay

    known = _relayed.setdefault(lab, set())
    if (node.name, port) not in known:
        try:
            target = (gethostbyname(host), port)
        except OSError as error:
            raise LabError(f"the display's machine {host} is not known: {error}") from error
        relay = Relay(node.netns, port, target)
        lab.close_with(relay)
        known.add((node.name, port))


def _forget_ended() -> None:
    _opened[:] = [process for process in _opened if process.poll() is None]
