"""What switches and controllers of one network must agree on: who controls whom, and where."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

from emulator.errors import Problem
from emulator.names import choice_hint
from emulator.plan.controller_options import ControllerWish
from emulator.plan.model import NodePlan, Plan
from emulator.plan.polled_ports import settle_polled_ports
from emulator.plan.switch_model import ControllerKind, Datapath
from emulator.plan.switch_options import SwitchWish
from emulator.plan.wiring import Node, Wiring

_FIRST_PORT = 6653
_PORTS = range(1, 0xFF00)
"""Of OpenFlow: the others have meanings of their own."""
_LEARN_ONLY: tuple[ControllerKind, ...] = ("learning", "ovs")
"""Controllers that flood what they do not know. The others may be written for networks with loops,
and where there is none a secure bridge forwards only by flows that somebody thought about."""

_NUMBER = re.compile(r"\d+")


def settle_switches(
    wiring: Wiring,
    previous: Plan | None,
    problems: list[Problem],
    *,
    auto_datapath: Datapath = "auto",
) -> None:
    """Decide who controls each Open vSwitch bridge, its identity, and where controllers listen.

    Args:
        wiring: the network.
        previous: the plan of the running lab that it is a change of: what was decided stays.
        problems: a list that grows.
        auto_datapath: what ``auto`` stands for on the machine it is to run on, if that is known.
    """
    before = {node.name: node for node in previous.nodes} if previous is not None else {}
    controllers = {
        name: node.wish.controller
        for name, node in wiring.nodes.items()
        if node.wish.controller is not None
    }
    _assign_ports(wiring, controllers, before, problems)
    bridges = [
        (node, node.wish.switch)
        for node in wiring.nodes.values()
        if node.wish.switch is not None and node.wish.switch.kind == "ovs"
    ]
    for node, wish in bridges:
        _choose_controllers(node, wish, controllers, problems)
        if wish.datapath == "auto":
            wish.datapath = auto_datapath
    for node, _ in bridges:
        _check_port_numbers(node, problems)
    _assign_dpids(bridges, before, problems)
    settle_polled_ports([node for node, _ in bridges], problems)


def _check_port_numbers(node: Node, problems: list[Problem]) -> None:
    for interface in node.interfaces:
        if interface.port not in _PORTS and interface.port >= 0:
            text = f"{interface.port} is no port number of Open vSwitch"
            hint = f"give {_PORTS[0]} to {_PORTS[-1]}, or leave the port out"
            problems.append(Problem(interface.wish.where, text, hint))


def _choose_controllers(
    node: Node, wish: SwitchWish, known: Mapping[str, ControllerWish], problems: list[Problem]
) -> None:
    chosen = tuple(known) if wish.controllers is None else tuple(dict.fromkeys(wish.controllers))
    for name in chosen:
        if name not in known:
            hint = choice_hint(name, known) if known else f'add it with addController("{name}")'
            text = f"there is no controller {name}"
            problems.append(Problem(node.wish.where, text, hint))
    wish.controllers = tuple(name for name in chosen if name in known)
    if wish.fail_mode is None:
        wish.fail_mode = "secure" if wish.controllers else "standalone"
    kinds = {known[name].kind for name in wish.controllers}
    wish.told_of_loops = kinds.isdisjoint(_LEARN_ONLY) and wish.fail_mode == "secure"


def _assign_ports(
    wiring: Wiring,
    controllers: Mapping[str, ControllerWish],
    before: Mapping[str, NodePlan],
    problems: list[Problem],
) -> None:
    """Every controller has a port of the fabric to itself, which in a running lab it keeps."""
    owners: dict[int, str] = {}

    def claim(port: int, name: str) -> None:
        first = owners.setdefault(port, name)
        if first != name:
            text = f"it is to listen at port {port}, as does {first}"
            hint = "leave the port out to get a free one"
            problems.append(Problem(wiring.nodes[name].wish.where, text, hint))

    for name, node in wiring.nodes.items():
        if node.wish.switch is not None and node.wish.switch.listen_port is not None:
            claim(node.wish.switch.listen_port, name)
    lacking = []
    for name, wish in controllers.items():
        if wish.kind == "none":
            continue
        if wish.kind != "remote" and wish.port is not None:
            claim(wish.port, name)
        else:
            lacking.append((name, wish, _kept_port(before.get(name), wish)))
    for name, _, kept in lacking:
        if kept is not None:
            owners.setdefault(kept, name)
    free = (port for port in range(_FIRST_PORT, 65536) if port not in owners)
    for name, wish, kept in lacking:
        port = kept if kept is not None and owners[kept] == name else next(free)
        owners[port] = name
        if wish.kind == "remote":
            wish.relay_port = port
        else:
            wish.port = port


def _kept_port(old: NodePlan | None, wish: ControllerWish) -> int | None:
    if old is None or old.controller is None or old.controller.kind != wish.kind:
        return None
    return old.controller.relay_port if wish.kind == "remote" else old.controller.port


def _assign_dpids(
    bridges: list[tuple[Node, SwitchWish]], before: Mapping[str, NodePlan], problems: list[Problem]
) -> None:
    """Every bridge has an identity of its own; by itself it is the number in its name."""
    owners: dict[str, str] = {}
    for node, wish in bridges:
        if wish.dpid is None:
            continue
        first = owners.setdefault(wish.dpid, node.name)
        if first != node.name:
            text = f"it has the dpid {wish.dpid}, as has {first}"
            problems.append(Problem(node.wish.where, text, "leave it out to get a free one"))
    lacking = [(node, wish) for node, wish in bridges if wish.dpid is None]
    for node, wish in lacking:
        old = before.get(node.name)
        kept = old.switch.ovs if old is not None and old.switch is not None else None
        if kept is not None and owners.setdefault(kept.dpid, node.name) == node.name:
            wish.dpid = kept.dpid
    for node, wish in lacking:
        if wish.dpid is None:
            wish.dpid = next(each for each in _dpids_for(node.name) if each not in owners)
            owners[wish.dpid] = node.name


def _dpids_for(name: str) -> Iterator[str]:
    found = _NUMBER.search(name)
    number = int(found[0]) if found else 0
    if 0 < number < 1 << 48:
        yield f"{number:016x}"
    # Apart from those that are numbers in names, which are small.
    start = (1 << 32) + zlib.crc32(name.encode())
    yield from (f"{start + more:016x}" for more in range(1 << 16))
