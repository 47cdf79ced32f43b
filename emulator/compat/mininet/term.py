"""Mininet's terminals on nodes: windows of the user's terminal, or of tmux without a display."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emulator.compat.mininet.log import output
from emulator.compat.unsupported import UnsupportedError, refuse_names

if TYPE_CHECKING:
    from emulator.terminals import Window

_PREFERRED = {"xterm": "xterm", "gterm": "gnome-terminal"}


def makeTerm(
    node: Any,
    title: str = "Node",
    term: str = "xterm",
    display: str | None = None,
    cmd: str = "bash",
) -> list[Window]:
    """Opens a terminal on a node; it ends with the lab.

    Args:
        title: accepted as Mininet's; a window is called after its node.
        term: ``xterm`` or ``gterm``, which is taken if it is there.
        cmd: what runs in it.
    """
    if display is not None:
        raise UnsupportedError(
            "another display cannot be chosen", where=node.name, hint="set DISPLAY"
        )
    if term not in _PREFERRED:
        raise UnsupportedError(f"there is no terminal {term}", hint="xterm or gterm")
    node.living()
    command = [] if cmd == "bash" else ["bash", "-c", cmd]
    window = node.growth.engine.open_window(node.name, command, prefer=_PREFERRED[term])
    if window.attach:
        output(f"*** {node.name}: {window.attach}\n")
    return [window]


def makeTerms(nodes: Iterable[Any], title: str = "Node", term: str = "xterm") -> list[Window]:
    """Opens a terminal on each of several nodes."""
    return [window for node in nodes for window in makeTerm(node, title, term)]


def runX11(node: Any, cmd: str) -> list[None]:
    """Starts a program in a node that opens windows of its own on the user's display."""
    node.living()
    node.growth.engine.run_on_display(node.name, cmd)
    return []


def cleanUpScreens() -> None:
    """Does nothing: terminals end with their lab."""


__getattr__ = refuse_names("mininet.term")
