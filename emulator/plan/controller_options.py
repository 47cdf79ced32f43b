"""What the options of a controller ask for, and which of them cannot be had."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from emulator.errors import Problem
from emulator.names import choice_hint, suggestion
from emulator.plan.option_reader import PORT_NUMBERS, OptionReader
from emulator.plan.options import class_name
from emulator.plan.switch_model import PORT_MARK, ControllerKind, ControllerPlan

_HOST_NAME = re.compile(r"[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9.-]*")
_CONTROLLER_CLASSES: dict[str, ControllerKind] = {
    "Controller": "learning",
    "DefaultController": "learning",
    "OVSController": "ovs",
    "RemoteController": "remote",
    "NullController": "none",
    "Ryu": "app",
}
_CONTROLLER_OPTIONS = {
    "learning": ("kind", "port", "wait_s"),
    "ovs": ("kind", "port", "options", "wait_s"),
    "remote": ("kind", "ip", "port", "wait_s"),
    "app": ("kind", "app", "apps", "port", "options", "wait_s"),
    "command": ("kind", "command", "folder", "port", "wait_s"),
    "manual": ("kind", "port"),
    "none": ("kind",),
}
_REMOTE_WAIT_S = 10.0
_OWN_WAIT_S = 30.0
_FIRST_PORT = 6653
_EXAMPLE = "pox.py openflow.of_01 --port={port} forwarding.l2_learning"
_SHELL_SIGNS = ("|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>", ">&2")
"""Words that a program would take for arguments, and whoever wrote them did not mean so."""


@dataclass
class ControllerWish:
    """What a controller's options ask for; ``port`` is None where any free one will do."""

    kind: ControllerKind
    ip: str = "127.0.0.1"
    port: int | None = None
    relay_port: int | None = None
    apps: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder: str | None = None
    wait_s: float = _OWN_WAIT_S

    def plan(self) -> ControllerPlan:
        """The wish, with everything in it decided."""
        return ControllerPlan(
            kind=self.kind,
            ip=self.ip,
            port=self.port if self.port is not None else _FIRST_PORT,
            relay_port=self.relay_port,
            apps=self.apps,
            options=self.options,
            command=self.command,
            folder=self.folder,
            wait_s=self.wait_s,
        )


def read_controller(
    where: str, options: dict[str, Any], folder: str, problems: list[Problem]
) -> tuple[ControllerWish, tuple[str, ...]]:
    """Take a controller's options out of ``options``; what they ask for, and which there are.

    Args:
        folder: where the paths of applications, and of a command's folder, start from.
    """
    reader = OptionReader(where, options, problems)
    wish = ControllerWish(kind=_read_controller_kind(reader))
    known = _CONTROLLER_OPTIONS[wish.kind]
    if "port" in known:
        wish.port = reader.number("port", PORT_NUMBERS)
    if "wait_s" in known:
        wait_s = _REMOTE_WAIT_S if wish.kind == "remote" else _OWN_WAIT_S
        wish.wait_s = reader.seconds("wait_s", wait_s)
    if wish.kind == "remote":
        wish.port = wish.port or _FIRST_PORT
        wish.ip = _read_ip(reader)
    if "options" in known:
        wish.options = _read_arguments(reader, "options", "--observe-links")
    if wish.kind == "app":
        wish.apps = _read_apps(reader, folder)
    if wish.kind == "command":
        _read_command(reader, wish, folder)
    for name in [name for name in options if name not in known]:
        owners = [other for other, theirs in _CONTROLLER_OPTIONS.items() if name in theirs]
        if owners and options.pop(name) is not None:
            text = f"{name} means nothing to a controller of the kind {wish.kind}"
            reader.tell(text, f'leave it out, or give kind="{owners[-1]}"')
    return wish, known


def _read_controller_kind(reader: OptionReader) -> ControllerKind:
    options, kinds = reader.options, get_args(ControllerKind)
    chosen, kind = options.pop("cls", None), options.pop("kind", None)
    if chosen is not None:
        name = class_name(chosen)
        if name not in _CONTROLLER_CLASSES:
            hint = choice_hint(name, _CONTROLLER_CLASSES)
            reader.tell(f"controllers of the class {name} are not available", hint)
            options.clear()
            return "none"
        meant = _CONTROLLER_CLASSES[name]
        if kind not in (None, meant):
            text = f"a controller of the class {name} cannot be of the kind {kind}"
            reader.tell(text, "leave one out")
        return meant
    if kind is None:
        if options.get("app") is not None or options.get("apps"):
            return "app"
        if options.get("command") is not None:
            return "command"
        return "remote" if options.get("ip") is not None else "learning"
    if kind not in kinds:
        hint = suggestion(kind, kinds) or f"its kinds: {', '.join(kinds)}"
        reader.tell(f"there is no controller of the kind {kind}", hint)
        options.clear()
        return "none"
    found: ControllerKind = kind
    return found


def _read_ip(reader: OptionReader) -> str:
    given = reader.options.pop("ip", None)
    if given is None:
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        if isinstance(given, str) and _HOST_NAME.fullmatch(given):
            return given
        reader.tell(f"ip cannot be {given!r}", "give an address that the machine reaches")
        return "127.0.0.1"


def _read_arguments(reader: OptionReader, name: str, example: str) -> tuple[str, ...]:
    given = reader.options.pop(name, None)
    if isinstance(given, str):
        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            reader.tell(f"{name} cannot be {given!r}: {error}", "close the quotation marks")
            return ()
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        reader.tell(f"{name} cannot be {given!r}", f'give a text or a list: "{example}"')
        return ()
    return tuple(given)


def _read_apps(reader: OptionReader, folder: str) -> tuple[str, ...]:
    given = [*(reader.words("app") or ()), *(reader.words("apps") or ())]
    if not given:
        reader.tell("there is no application for it to run", 'give app="my_switch.py"')
    apps = []
    for each in given:
        if not each.endswith(".py") and "/" not in each:
            apps.append(each)
            continue
        path = Path(folder, Path(each).expanduser())
        if not path.is_file():
            reader.tell(f"there is no file {path}", "give the path of an application, or a module")
        apps.append(str(path.absolute()))
    return tuple(apps)


def _read_command(reader: OptionReader, wish: ControllerWish, folder: str) -> None:
    given, before = reader.options.get("command"), len(reader.problems)
    wish.command = _read_arguments(reader, "command", _EXAMPLE)
    if not wish.command and len(reader.problems) == before:
        reader.tell("there is no program for it to run", f'give command="{_EXAMPLE}"')
    signs = [sign for sign in _SHELL_SIGNS if isinstance(given, str) and sign in wish.command]
    if signs:
        text = (
            f"command cannot be {given!r}: no shell reads it, to which {signs[0]} would mean more"
        )
        reader.tell(text, 'have one run it: command=["sh", "-c", "…"]')
    elif wish.command and wish.port is None and not any(PORT_MARK in word for word in wish.command):
        text = f"its command does not say where to listen: {shlex.join(wish.command)}"
        reader.tell(text, f"put {PORT_MARK} where the port belongs, or give the port that it has")
    path = Path(folder, Path(reader.options.pop("folder", None) or "").expanduser())
    if not path.is_dir():
        reader.tell(f"there is no folder {path}", "give the folder that the program works in")
    wish.folder = str(path.absolute())
