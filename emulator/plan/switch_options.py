"""What the options of a switch and of a controller ask for, and which of them cannot be had."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from emulator.errors import Problem
from emulator.names import choice_hint, suggestion
from emulator.plan.options import class_name
from emulator.plan.quantities import QuantityMistake, read_duration_ns
from emulator.plan.switch_model import (
    ControllerKind,
    ControllerPlan,
    Datapath,
    FailMode,
    OvsPlan,
    PortType,
    SwitchKind,
    SwitchPlan,
    XdpSwitchPlan,
)

KINDS = get_args(SwitchKind)
PROTOCOLS = tuple(f"OpenFlow1{minor}" for minor in range(6))
"""The versions that Open vSwitch knows."""

_BRIDGE_OPTIONS = ("kind", "stp", "dpid", "runtime")
_OVS_OPTIONS = (
    "kind",
    "stp",
    "dpid",
    "failMode",
    "protocols",
    "datapath",
    "port_type",
    "controllers",
    "priority",
    "reconnectms",
    "listenPort",
)
_XDP_OPTIONS = ("kind", "ageing_s")
_OF_KIND = {"bridge": _BRIDGE_OPTIONS, "ovs": _OVS_OPTIONS, "xdp": _XDP_OPTIONS}
_CLASSES: dict[str, dict[str, Any]] = {
    "LinuxBridge": {"kind": "bridge"},
    "OVSSwitch": {"kind": "ovs"},
    "OVSKernelSwitch": {"kind": "ovs"},
    "OVSBridge": {"kind": "ovs", "failMode": "standalone", "controllers": []},
    "UserSwitch": {"kind": "ovs", "datapath": "userspace"},
}
"""Mininet's classes of switches, and what they are here."""

_SYNONYMS = {"prio": "priority", "controller": "controllers"}
_DATAPATHS = {"user": "userspace"}
_P4 = ("p4", "bmv2")
_WITHOUT_EFFECT = frozenset(("batch",))
"""How Mininet would start its switches; ours are always started together."""

_DPID = re.compile(r"[0-9a-fA-F]{1,16}")
_PORTS = range(1, 65536)
_PRIORITIES = range(0, 61441, 4096)


@dataclass
class SwitchWish:
    """What a switch's options ask for; None where it is for the compiler to decide."""

    kind: SwitchKind = "bridge"
    dpid: str | None = None
    fail_mode: FailMode | None = None
    protocols: tuple[str, ...] = ()
    datapath: Datapath = "auto"
    port_type: PortType = "system"
    priority: int | None = None
    controllers: tuple[str, ...] | None = None
    reconnect_ms: int = 1000
    listen_port: int | None = None
    ageing_s: float = 300.0
    told_of_loops: bool = False
    """Whether something else than the switch itself keeps frames from going round for ever."""

    @property
    def sees_frames(self) -> bool:
        """Whether it handles frames as they are on the link, with checksums yet to be made.

        Of a switch in BPF that is so, and of Open vSwitch's datapath in user space.
        """
        return self.kind == "xdp" or (self.kind == "ovs" and self.datapath != "kernel")

    def plan(self) -> SwitchPlan:
        """The wish, with everything in it decided."""
        if self.kind == "xdp":
            return SwitchPlan(kind="xdp", xdp=XdpSwitchPlan(ageing_s=self.ageing_s))
        if self.kind == "bridge":
            return SwitchPlan()
        assert self.dpid is not None
        assert self.fail_mode is not None
        ovs = OvsPlan(
            dpid=self.dpid,
            fail_mode=self.fail_mode,
            protocols=self.protocols,
            datapath=self.datapath,
            port_type=self.port_type,
            priority=self.priority,
            controllers=self.controllers or (),
            reconnect_ms=self.reconnect_ms,
            listen_port=self.listen_port,
        )
        return SwitchPlan(kind="ovs", ovs=ovs)


class _Reader:
    """Takes options out of a dict, one by one, and notes what is wrong with them."""

    def __init__(self, where: str, options: dict[str, Any], problems: list[Problem]) -> None:
        self.where = where
        self.options = options
        self.problems = problems

    def tell(self, message: str, hint: str) -> None:
        self.problems.append(Problem(self.where, message, hint))

    def choice(self, name: str, known: Collection[str], default: Any) -> Any:
        given = self.options.pop(name, None)
        if given is None:
            return default
        if given not in known:
            hint = suggestion(given, known) or f"one of: {', '.join(known)}"
            self.tell(f"{name} cannot be {given!r}", hint)
            return default
        return given

    def number(self, name: str, allowed: range, unit: str = "") -> int | None:
        given = self.options.pop(name, None)
        if given is None:
            return None
        if type(given) is not int or given not in allowed:
            step = f" in steps of {allowed.step}" if allowed.step > 1 else ""
            last = allowed[-1]
            hint = f"give {allowed.start} to {last}{unit}{step}"
            self.tell(f"{name} cannot be {given!r}", hint)
            return None
        return given

    def seconds(self, name: str, default: float, *, least: float = 0.0) -> float:
        given = self.options.pop(name, None)
        if given is None:
            return default
        try:
            value = read_duration_ns(given) / 1e9 if isinstance(given, str) else float(given)
        except (QuantityMistake, TypeError, ValueError):
            value = -1.0
        if isinstance(given, bool) or not least <= value <= 1e6:
            self.tell(f"{name} cannot be {given!r}", 'give seconds, such as 10 or "10s"')
            return default
        return value

    def words(self, name: str) -> tuple[str, ...] | None:
        """A list of words, or one text with commas between them; None when it is not given."""
        if name not in self.options:
            return None
        given = self.options.pop(name)
        if given is None:
            return ()
        if isinstance(given, str):
            given = [word.strip() for word in given.split(",") if word.strip()]
        elif not isinstance(given, list | tuple):
            given = [given]
        names = [each if isinstance(each, str) else getattr(each, "name", None) for each in given]
        wrong = [each for each, text in zip(given, names, strict=True) if not isinstance(text, str)]
        if wrong:
            self.tell(f"{name} holds {wrong[0]!r}", "give a text, or a list of texts")
        return tuple(text for text in names if isinstance(text, str))


def read_switch(
    where: str, options: dict[str, Any], problems: list[Problem]
) -> tuple[SwitchWish, tuple[str, ...]]:
    """Take a switch's options out of ``options``; what they ask for, and which ones there are.

    What is left over are options that no switch of that kind has.
    """
    reader = _Reader(where, options, problems)
    for name, meant in _SYNONYMS.items():
        if name in options:
            options.setdefault(meant, options.pop(name))
    for name in ("ip", "mac", "verbose", "opts", "dpopts", "inband", *_WITHOUT_EFFECT):
        # What Mininet's classes have as their defaults asks for nothing.
        if name in _WITHOUT_EFFECT or options.get(name, "given") in (None, False, ""):
            options.pop(name, None)
    _apply_class(reader)
    wish = SwitchWish(kind=_read_kind(reader))
    known = _OF_KIND[wish.kind]
    if wish.kind == "ovs":
        _read_ovs(reader, wish)
    else:
        options.pop("dpid", None)
    if wish.kind == "xdp":
        wish.ageing_s = reader.seconds("ageing_s", wish.ageing_s)
    _refuse_other_kinds(reader, wish.kind)
    return wish, known


def _apply_class(reader: _Reader) -> None:
    chosen = reader.options.pop("cls", None)
    if chosen is None:
        return
    name = class_name(chosen)
    if name not in _CLASSES:
        known = ", ".join(_CLASSES)
        reader.tell(f"switches of the class {name} are not available", f"there are: {known}")
        # The other options may be that class's own.
        reader.options.clear()
        return
    meant = _CLASSES[name]
    kind = reader.options.get("kind", meant["kind"])
    if kind != meant["kind"]:
        reader.tell(f"a switch of the class {name} cannot be of the kind {kind}", "leave one out")
    for option, value in meant.items():
        reader.options.setdefault(option, value)


def _read_kind(reader: _Reader) -> SwitchKind:
    kind: Any = reader.options.pop("kind", None) or "bridge"
    if kind not in KINDS:
        hint = suggestion(kind, KINDS) or f"its kinds: {', '.join(KINDS)}"
        if kind in _P4:
            hint = "bmv2 is in no package registry; a VNF on the data plane xdp is programmable too"
        reader.tell(f"there is no switch of the kind {kind}", hint)
        # The other options may be meant for what it should have been.
        reader.options.clear()
        return "bridge"
    found: SwitchKind = kind
    return found


def _read_ovs(reader: _Reader, wish: SwitchWish) -> None:
    dpid = reader.options.pop("dpid", None)
    if dpid is not None:
        wish.dpid = _read_dpid(reader, dpid)
    wish.fail_mode = reader.choice("failMode", get_args(FailMode), None)
    datapath = reader.options.get("datapath")
    if isinstance(datapath, str):
        reader.options["datapath"] = _DATAPATHS.get(datapath, datapath)
    wish.datapath = reader.choice("datapath", get_args(Datapath), "auto")
    wish.port_type = reader.choice("port_type", get_args(PortType), "system")
    if wish.port_type != "system" and wish.datapath != "userspace":
        text = f"ports of the type {wish.port_type} are of the datapath in user space"
        reader.tell(text, 'give datapath="userspace" too')
    wish.protocols = reader.words("protocols") or ()
    for protocol in wish.protocols:
        if protocol not in PROTOCOLS:
            hint = suggestion(protocol, PROTOCOLS) or f"one of: {', '.join(PROTOCOLS)}"
            reader.tell(f"there is no protocol {protocol}", hint)
    wish.controllers = reader.words("controllers")
    wish.priority = reader.number("priority", _PRIORITIES)
    delay_ms = reader.number("reconnectms", range(3_600_001), " ms")
    # As in Mininet 0 leaves it to the switch, which does not call more often than once a second.
    wish.reconnect_ms = max(1000, delay_ms or 0)
    wish.listen_port = reader.number("listenPort", _PORTS)


def _read_dpid(reader: _Reader, given: Any) -> str | None:
    text = given.replace(":", "") if isinstance(given, str) else ""
    text = text.removeprefix("0x")
    if not _DPID.fullmatch(text) or int(text, 16) == 0:
        hint = 'give 1 to 16 hexadecimal digits, not all of them 0: "00000000000000a1"'
        reader.tell(f"dpid cannot be {given!r}", hint)
        return None
    return text.lower().zfill(16)


def _refuse_other_kinds(reader: _Reader, kind: SwitchKind) -> None:
    """Options of another kind of switch say so, rather than that there are no such."""
    if "stp" in reader.options and kind != "xdp":
        del reader.options["stp"]  # the caller's
    for name in [name for name in reader.options if name not in _OF_KIND[kind]]:
        owners = [other for other, known in _OF_KIND.items() if name in known]
        if owners and reader.options.pop(name) not in (None, False, ""):
            text = f"{name} means nothing to a switch of the kind {kind}"
            reader.tell(text, f'leave it out, or give kind="{owners[-1]}"')


# Controllers -----------------------------------------------------------------------------------

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
    "none": ("kind",),
}
_REMOTE_WAIT_S = 10.0
_OWN_WAIT_S = 30.0
_FIRST_PORT = 6653


@dataclass
class ControllerWish:
    """What a controller's options ask for; ``port`` is None where any free one will do."""

    kind: ControllerKind
    ip: str = "127.0.0.1"
    port: int | None = None
    relay_port: int | None = None
    apps: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
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
            wait_s=self.wait_s,
        )


def read_controller(
    where: str, options: dict[str, Any], folder: str, problems: list[Problem]
) -> tuple[ControllerWish, tuple[str, ...]]:
    """Take a controller's options out of ``options``; what they ask for, and which there are.

    Args:
        folder: where the paths of applications start from.
    """
    reader = _Reader(where, options, problems)
    wish = ControllerWish(kind=_read_controller_kind(reader))
    known = _CONTROLLER_OPTIONS[wish.kind]
    if "port" in known:
        wish.port = reader.number("port", _PORTS)
    if "wait_s" in known:
        wait_s = _REMOTE_WAIT_S if wish.kind == "remote" else _OWN_WAIT_S
        wish.wait_s = reader.seconds("wait_s", wait_s)
    if wish.kind == "remote":
        wish.port = wish.port or _FIRST_PORT
        wish.ip = _read_ip(reader)
    if "options" in known:
        wish.options = _read_arguments(reader)
    if wish.kind == "app":
        wish.apps = _read_apps(reader, folder)
    for name in [name for name in options if name not in known]:
        owners = [other for other, theirs in _CONTROLLER_OPTIONS.items() if name in theirs]
        if owners and options.pop(name) is not None:
            text = f"{name} means nothing to a controller of the kind {wish.kind}"
            reader.tell(text, f'leave it out, or give kind="{owners[-1]}"')
    return wish, known


def _read_controller_kind(reader: _Reader) -> ControllerKind:
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
        return "remote" if options.get("ip") is not None else "learning"
    if kind not in kinds:
        hint = suggestion(kind, kinds) or f"its kinds: {', '.join(kinds)}"
        reader.tell(f"there is no controller of the kind {kind}", hint)
        options.clear()
        return "none"
    found: ControllerKind = kind
    return found


def _read_ip(reader: _Reader) -> str:
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


def _read_arguments(reader: _Reader) -> tuple[str, ...]:
    given = reader.options.pop("options", None)
    if isinstance(given, str):
        return tuple(shlex.split(given))
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        reader.tell(f"options cannot be {given!r}", 'give a text or a list: "--observe-links"')
        return ()
    return tuple(given)


def _read_apps(reader: _Reader, folder: str) -> tuple[str, ...]:
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
