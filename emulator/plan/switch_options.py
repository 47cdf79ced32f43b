"""What the options of a switch ask for, and which of them cannot be had."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, get_args

from emulator.errors import Problem
from emulator.names import suggestion
from emulator.plan.option_reader import PORT_NUMBERS, OptionReader
from emulator.plan.options import class_name
from emulator.plan.polled_ports import PolledPorts, read_polled_ports
from emulator.plan.switch_model import (
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
    "driver",
    "idle",
    "cores",
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
    ports: PolledPorts = field(default_factory=PolledPorts)
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
            driver=self.ports.driver,
            idle=self.ports.idle,
            cores=self.ports.cores,
            priority=self.priority,
            controllers=self.controllers or (),
            reconnect_ms=self.reconnect_ms,
            listen_port=self.listen_port,
        )
        return SwitchPlan(kind="ovs", ovs=ovs)


def read_switch(
    where: str, options: dict[str, Any], problems: list[Problem]
) -> tuple[SwitchWish, tuple[str, ...]]:
    """Take a switch's options out of ``options``; what they ask for, and which ones there are.

    What is left over are options that no switch of that kind has.
    """
    reader = OptionReader(where, options, problems)
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


def _apply_class(reader: OptionReader) -> None:
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


def _read_kind(reader: OptionReader) -> SwitchKind:
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


def _read_ovs(reader: OptionReader, wish: SwitchWish) -> None:
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
    wish.ports = read_polled_ports(reader.where, reader.options, wish.port_type, reader.problems)
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
    wish.listen_port = reader.number("listenPort", PORT_NUMBERS)


def _read_dpid(reader: OptionReader, given: Any) -> str | None:
    text = given.replace(":", "") if isinstance(given, str) else ""
    text = text.removeprefix("0x")
    if not _DPID.fullmatch(text) or int(text, 16) == 0:
        hint = 'give 1 to 16 hexadecimal digits, not all of them 0: "00000000000000a1"'
        reader.tell(f"dpid cannot be {given!r}", hint)
        return None
    return text.lower().zfill(16)


def _refuse_other_kinds(reader: OptionReader, kind: SwitchKind) -> None:
    """Options of another kind of switch say so, rather than that there are no such."""
    if "stp" in reader.options and kind != "xdp":
        del reader.options["stp"]  # the caller's
    for name in [name for name in reader.options if name not in _OF_KIND[kind]]:
        owners = [other for other, known in _OF_KIND.items() if name in known]
        if owners and reader.options.pop(name) not in (None, False, ""):
            text = f"{name} means nothing to a switch of the kind {kind}"
            reader.tell(text, f'leave it out, or give kind="{owners[-1]}"')
