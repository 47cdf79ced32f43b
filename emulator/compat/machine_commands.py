"""Commands that a script runs on the machine and that are about the switches of its lab.

Mininet's switches are the machine's own, so scripts look after them by ``os.system("tc qdisc show
dev s1-eth1")`` or by ``subprocess``. Ours live in the lab: a command that names an interface of a
switch runs where that is. ``sudo`` before a program of Open vSwitch's is left out, because it
would forget the way to the lab's own Open vSwitch, and whoever runs a lab is root anyhow.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulator.compat import growth

_PACKAGE = str(Path(__file__).resolve().parents[1]) + "/"
_LIBRARY = (subprocess.__file__, os.__file__)
_QUIET_RUN = str(Path(__file__).with_name("mininet") / "util.py")
_WORD = re.compile(r"[\w.:@-]+")
_SUDO = re.compile(r"\bsudo\s+(?:-[EHnS]+\s+)*(?=(?:\S*/)?ovs-)")
_SUDO_FLAGS = re.compile(r"-[EHnS]+")


@contextmanager
def reaching_switches() -> Iterator[None]:
    """Has what the script starts by ``subprocess`` and ``os`` reach its switches."""
    real, system = subprocess.Popen, os.system

    class Popen(real):  # type: ignore[misc, valid-type]
        def __init__(self, args: Any, *more: Any, **options: Any) -> None:
            if not more and _is_scripts():
                args, options = rewritten(args, options)
            super().__init__(args, *more, **options)

    def run_system(command: str) -> int:
        line, options = rewritten(command, {"shell": True})
        if line == command:
            return system(command)
        code = subprocess.call(line, **options)
        return code << 8 if code >= 0 else -code

    subprocess.Popen, os.system = Popen, run_system  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        subprocess.Popen, os.system = real, system  # type: ignore[misc]


def rewritten(args: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A command and the options of ``subprocess.Popen``, so that it reaches the switches.

    What is about nothing of the lab's stays as it is.
    """
    shell = bool(options.get("shell"))
    if isinstance(args, str | bytes | os.PathLike):
        text = os.fsdecode(args)
        if shell:
            text = without_sudo(text)
        if text != os.fsdecode(args):
            args = text
        words: list[str] = _WORD.findall(text)
    else:
        args = _words_without_sudo(
            [each if isinstance(each, str) else os.fsdecode(each) for each in args]
        )
        words = [word for each in args for word in _WORD.findall(each)]
    namespace = _namespace_of(words)
    if namespace is None:
        return args, options
    inside = ["nsenter", f"--net={namespace}", "--"]
    listed = [os.fsdecode(args)] if isinstance(args, str | bytes | os.PathLike) else list(args)
    if shell:
        inside += [options.get("executable") or "/bin/sh", "-c"]
    others = {key: value for key, value in options.items() if key not in ("shell", "executable")}
    return [*inside, *listed], others


def without_sudo(command: str) -> str:
    """A shell's command line without ``sudo`` before programs of Open vSwitch's."""
    return _SUDO.sub("", command)


def _is_scripts() -> bool:
    """Whether the script starts a program, and not this package on its own account."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename in _LIBRARY:
        frame = frame.f_back
    file = frame.f_code.co_filename
    return file == _QUIET_RUN or not file.startswith(_PACKAGE)


def _words_without_sudo(args: Sequence[str]) -> list[str]:
    rest = list(args)
    if rest[:1] == ["sudo"]:
        rest.pop(0)
        while rest and _SUDO_FLAGS.fullmatch(rest[0]):
            rest.pop(0)
    is_ovs = bool(rest) and os.path.basename(rest[0]).startswith("ovs-")
    return rest if is_ovs else list(args)


def _namespace_of(words: Sequence[str]) -> str | None:
    """The network namespace of the switch one of whose interfaces is named, if one is."""
    ports = _ports()
    named = [word for word in words if word in ports]
    if not named:
        return None
    # What the machine itself has under that name is what is meant.
    of_machine = {name for _, name in socket.if_nameindex()}
    return next((ports[name] for name in named if name not in of_machine), None)


def _ports() -> dict[str, str]:
    """The interfaces of the switches of all labs, and where the namespace of each is found."""
    found = {
        name: f"/proc/{os.getpid()}/fd/{switch.netns.fd}"
        for network in growth.alive_networks()
        for switch in network.switches
        if switch.netns.fd >= 0
        for port in switch.plan.interfaces
        for name in (port.name, port.kernel_name)
    }
    return found or _of_parent


_of_parent: dict[str, str] = {}
"""What a process that the script forks knows of the labs, which stay its parent's."""


def _remember() -> None:
    global _of_parent
    _of_parent = _ports()


os.register_at_fork(before=_remember)
