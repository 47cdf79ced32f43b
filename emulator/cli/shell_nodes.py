"""Commands that work on nodes: by other ways than the name of one and a command for it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from emulator.cli.shell_registry import NODES, command, read_positive, read_words
from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.cli.shell import Shell
    from emulator.terminals import Window

_SWITCHES_WAIT_S = 30.0


@command("noecho", "NODE COMMAND...", "node", group=NODES)
def _noecho(shell: Shell, text: str) -> None:
    """Run a command without showing input: noecho h1 cat

    For what shows it again by itself, or is not to show it. It is also the way to a node that is
    named like a command of this shell.
    """
    name, _, line = text.partition(" ")
    if not line.strip():
        raise UsageError(
            "a node and a command are missing", where="noecho", hint="for example: noecho h1 cat"
        )
    shell.node(name, "noecho")
    shell.run_on_node(name, line.strip(), echo=False)


@command("xterm", "NODE...", "node...", group=NODES)
def _xterm(shell: Shell, text: str) -> None:
    """Open a terminal on nodes: xterm h1 h2

    That of $TERMINAL, or the first that is installed. Without a display they are windows of tmux:
    inside of tmux there, and otherwise in one of the lab's own, which is told how to attach to.
    They end with the lab.
    """
    _open(shell, read_words("xterm", text, *range(1, 100)), "xterm")


@command("gterm", "NODE...", "node...", group=NODES)
def _gterm(shell: Shell, text: str) -> None:
    """Open a GNOME terminal on nodes: gterm h1 h2

    As xterm does, but gnome-terminal where it is installed.
    """
    names = read_words("gterm", text, *range(1, 100))
    _open(shell, names, "gterm", prefer="gnome-terminal")


@command("x", "NODE [COMMAND...]", "node", group=NODES)
def _x(shell: Shell, text: str) -> None:
    """Run a program with windows: x h1 wireshark

    On the user's display, also one over ssh. Without a display the command runs in a window of
    tmux, as xterm opens them; without a command it is a terminal.
    """
    from emulator.terminals import has_display

    words = read_words("x", text, *range(1, 100))
    node = shell.node(words[0], "x")
    line = text.split(maxsplit=1)[1:]
    if line and has_display():
        shell.net.run_on_display(node, line[0])
    else:
        _tell([shell.net.open_window(node, shlex.split(line[0]) if line else ())], shell)


@command("dpctl", "COMMAND...", group=NODES)
def _dpctl(shell: Shell, text: str) -> None:
    """Run ovs-ofctl on switches: dpctl dump-flows

    On all Open vSwitch bridges. On one of them alone: py s1.dpctl("dump-flows").
    """
    if not text:
        hint = "for example: dpctl dump-flows"
        raise UsageError("a command of ovs-ofctl is missing", where="dpctl", hint=hint)
    bridges = [
        node
        for node in shell.net.switches
        if node.plan.switch is not None and node.plan.switch.kind == "ovs"
    ]
    if not bridges:
        hint = 'a switch is one with kind="ovs"'
        raise UsageError("this lab has no Open vSwitch bridge", where="dpctl", hint=hint)
    for node in bridges:
        shell.print(f"*** {node.name} ---")
        shell.print(node.dpctl(text).removesuffix("\n"))


@command("wait", "[SECONDS]", group=NODES)
def _wait(shell: Shell, text: str) -> None:
    """Wait for switches and controllers: wait 10

    Until all switches are connected that have a controller, for 30 seconds at most unless told
    otherwise.
    """
    words = read_words("wait", text, 0, 1)
    timeout_s = read_positive(words[0], "wait") if words else _SWITCHES_WAIT_S
    if not shell.net.controllers:
        shell.print("no switch of this lab has a controller")
        return
    away = shell.net.wait_connected(timeout_s)
    if away:
        raise LabError("; ".join(away), where="wait")
    shell.print("all switches are connected to their controllers")


def _open(shell: Shell, names: Sequence[str], where: str, prefer: str | None = None) -> None:
    nodes = [shell.node(name, where) for name in names]
    _tell([shell.net.open_window(node, prefer=prefer) for node in nodes], shell)


def _tell(windows: Sequence[Window], shell: Shell) -> None:
    """Where windows are that the user does not see by himself."""
    for attach in dict.fromkeys(window.attach for window in windows):
        if attach:
            names = " ".join(window.node for window in windows if window.attach == attach)
            shell.print(f"{names}: in tmux; in another terminal: {attach}")
