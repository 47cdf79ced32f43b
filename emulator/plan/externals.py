"""Interfaces of the machine that become a node's, or a port of a switch."""

from __future__ import annotations

from typing import Any

from emulator.errors import Problem
from emulator.multigraph import ExternalEntry
from emulator.names import missing_hint, place_of, suggestion
from emulator.plan.link_options import EndWish
from emulator.plan.model import ExternalPlan
from emulator.plan.options import AUTOMATIC
from emulator.plan.wiring import Interface, Wiring

_KINDS = ("host", "router", "switch")
_OPTIONS = ("name", "ip", "ipv6", "mac", "mtu", "force")
_LONGEST = 15


def wire_externals(wiring: Wiring, entries: list[ExternalEntry], problems: list[Problem]) -> None:
    """Give nodes the interfaces of the machine that are to be theirs."""
    taken: dict[str, str] = {}
    for entry in entries:
        where = place_of(entry.place, f"external {entry.interface}")
        node = wiring.nodes.get(entry.node)
        if node is None:
            hint = missing_hint(entry.node, wiring.nodes)
            problems.append(Problem(where, f"there is no node {entry.node}", hint))
            continue
        name = entry.interface
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or "/" in name:
            text = f"{name!r} is not the name of an interface"
            problems.append(Problem(where, text, "ip -br link shows those of the machine"))
            continue
        if name in taken:
            text = f"{name} is to be {taken[name]}'s already"
            problems.append(Problem(where, text, "it can be in one place only"))
        taken[name] = entry.node
        xdp = node.wish.switch is not None and node.wish.switch.kind == "xdp"
        if node.kind not in _KINDS or node.wish.runtime == "docker" or xdp:
            text = f"{entry.node} cannot have an interface of the machine"
            hint = "give it to a host, a router, or a switch of the kind bridge or ovs"
            problems.append(Problem(where, text, hint))
        node.interfaces.append(_interface(node, entry, where, problems))
        node.interfaces.sort(key=lambda interface: interface.port)


def _interface(node: Any, entry: ExternalEntry, where: str, problems: list[Problem]) -> Interface:
    options = dict(entry.options)
    wish = EndWish(entry.node, entry.port, options.pop("name", None) or entry.interface, where)
    # The network that it leads to has addresses of its own, which nobody here knows.
    wish.ip, wish.ipv6 = options.pop("ip", None), options.pop("ipv6", None)
    wish.mac = options.pop("mac", None) or AUTOMATIC
    wish.mtu = options.pop("mtu", None) or wish.mtu
    force = bool(options.pop("force", False))
    for key in options:
        hint = suggestion(key, _OPTIONS) or f"its options: {', '.join(_OPTIONS)}"
        problems.append(Problem(where, f"an external interface has no option {key}", hint))
    if any(wish.name == each.name for each in node.interfaces):
        text = f"{node.name} already has an interface {wish.name}"
        problems.append(Problem(where, text, 'give it another one: name="wan"'))
    interface = Interface(node, wish, wish.name, entry.port)
    interface.peer = interface
    interface.external = ExternalPlan(
        interface=entry.interface, keeps_mac=wish.mac is AUTOMATIC, force=force
    )
    return interface
