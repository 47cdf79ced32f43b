"""Deciding every address and kernel name of a network that is being compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from emulator.errors import Problem
from emulator.plan.addresses import (
    AddressMistake,
    BaseNetwork,
    free_mac,
    read_gateway,
    read_ipv4,
    read_ipv6,
    read_mac,
    same_network,
    split,
)
from emulator.plan.kernel_names import KernelNames
from emulator.plan.model import Plan
from emulator.plan.more_addresses import assign_more, networks_of, part_lists
from emulator.plan.options import AUTOMATIC
from emulator.plan.wiring import Interface, Node, Wiring

Given = ParamSpec("Given")
Read = TypeVar("Read")


def recall(wiring: Wiring, previous: Plan) -> None:
    """Tie the interfaces that are in a running lab's plan to what they are there."""
    before = {node.name: node for node in previous.nodes}
    for node in wiring.nodes.values():
        old = before.get(node.name)
        if old is None or old.kind != node.kind:
            continue
        node.kernel_name = old.kernel_name
        kept = {interface.name: interface for interface in old.interfaces}
        for interface in node.interfaces:
            interface.kept = kept.get(interface.name)


def assign_addresses(
    wiring: Wiring, base: BaseNetwork, *, ipv6: bool, problems: list[Problem]
) -> None:
    """Give every interface its IPv4 and IPv6 address, or none."""
    part_lists(wiring)
    wanting: dict[Node, Interface | None] = {}
    taken: set[int] = set()
    for node in wiring.nodes.values():
        lacking = _read_node_address(node, base.prefixlen, taken, problems)
        if node.kind in ("host", "router"):
            wanting[node] = lacking
        for interface in node.interfaces:
            _read_interface_address(interface, base.prefixlen, problems)
            if interface.ipv4 is not None:
                taken.add(split(interface.ipv4)[0])
    _hand_out(wanting, base, taken, problems)
    for node in wiring.nodes.values():
        main = node.main
        for interface in node.interfaces:
            _assign_ipv6(node, interface, interface is main, base, ipv6, problems)
    assign_more(wiring, base, ipv6=ipv6, problems=problems)
    _check_duplicates(wiring, problems)


def _hand_out(
    wanting: dict[Node, Interface | None],
    base: BaseNetwork,
    taken: set[int],
    problems: list[Problem],
) -> None:
    """Give every interface that wants one an address; nodes that want none keep their place."""
    displaced = []
    for node, interface in wanting.items():
        place = base.place()
        if interface is None:
            continue
        if place is None or place in taken:
            displaced.append((node, interface))
        else:
            taken.add(place)
            interface.ipv4 = base.written(place)
    for node, interface in displaced:
        place = base.place()
        while place in taken:
            place = base.place()
        if place is None:
            problems.append(
                Problem(
                    node.wish.where,
                    f"no address is left in {base} for it",
                    "choose a larger network as ip_base",
                )
            )
        else:
            taken.add(place)
            interface.ipv4 = base.written(place)


def _read_node_address(
    node: Node, prefixlen: int, taken: set[int], problems: list[Problem]
) -> Interface | None:
    """Apply a node's own ``ip``; the interface that is still to get an address by itself."""
    wish, main = node.wish, node.main
    if wish.ip is AUTOMATIC:
        return main if main is not None and main.wish.ip is AUTOMATIC else None
    address = _try(problems, wish.where, read_ipv4, wish.ip, prefixlen)
    if address is not None and not node.interfaces:
        # Nobody else is to get it while the node waits for its first link.
        taken.add(split(address)[0])
    if main is not None and main.wish.ip is AUTOMATIC:
        main.ipv4 = address
    elif main is not None and address is not None:
        # The link's own word counts; it is only a mistake to say two different things.
        _read_interface_address(main, prefixlen, [])
        if main.ipv4 not in (None, address):
            problems.append(
                Problem(
                    main.wish.where,
                    f"{main.name} is to be {main.ipv4}, and {node.name} is to be {address}",
                    "keep one of them",
                )
            )
    return None


def _read_interface_address(interface: Interface, prefixlen: int, problems: list[Problem]) -> None:
    wish = interface.wish
    if wish.ip is not AUTOMATIC:
        interface.ipv4 = _try(problems, wish.where, read_ipv4, wish.ip, prefixlen)
    elif interface.kept is not None and interface.ipv4 is None:
        interface.ipv4 = interface.kept.ipv4


def _assign_ipv6(
    node: Node,
    interface: Interface,
    is_main: bool,
    base: BaseNetwork,
    ipv6: bool,
    problems: list[Problem],
) -> None:
    given, where = interface.wish.ipv6, interface.wish.where
    if given is AUTOMATIC and is_main:
        given, where = node.wish.ipv6, node.wish.where
    if given is not AUTOMATIC:
        interface.ipv6 = _try(problems, where, read_ipv6, given)
        if interface.ipv6 is not None and not ipv6:
            text = f"{interface.ipv6} is an IPv6 address, and the lab has no IPv6"
            problems.append(Problem(where, text, "run it with --ipv6, or Network(ipv6=True)"))
    elif interface.kept is not None:
        interface.ipv6 = interface.kept.ipv6
    elif ipv6 and interface.ipv4 is not None:
        interface.ipv6 = base.ipv6_of(interface.ipv4)


def _check_duplicates(wiring: Wiring, problems: list[Problem]) -> None:
    """An address may come again only where the other owner cannot hear of it."""
    owners: dict[tuple[Interface, str], Interface] = {}
    for node in wiring.nodes.values():
        for interface in node.interfaces:
            for address in (interface.ipv4, interface.ipv6, *interface.more_addresses):
                if address is None:
                    continue
                bare = address.partition("/")[0]
                first = owners.setdefault((interface.segment, bare), interface)
                if first is not interface:
                    problems.append(
                        Problem(
                            _place_of_address(interface),
                            f"{interface.name} has the address {bare}, as has {first.name}",
                            "leave the address out to get a free one",
                        )
                    )
                    break


def _place_of_address(interface: Interface) -> str:
    on_link = interface.wish.ip is not AUTOMATIC or interface.wish.ipv6 is not AUTOMATIC
    return interface.wish.where if on_link else interface.owner.wish.where


def assign_macs(wiring: Wiring, problems: list[Problem]) -> None:
    """Give every interface its MAC address."""
    owners: dict[str, Interface] = {}
    for node in wiring.nodes.values():
        main = node.main
        for interface in node.interfaces:
            given, where = interface.wish.mac, interface.wish.where
            if given is AUTOMATIC and interface is main:
                given, where = node.wish.mac, node.wish.where
            if given is not AUTOMATIC:
                interface.mac = _try(problems, where, read_mac, given) or ""
            elif interface.kept is not None:
                interface.mac = interface.kept.mac
            first = owners.setdefault(interface.mac, interface) if interface.mac else interface
            if first is not interface:
                problems.append(
                    Problem(
                        where,
                        f"{interface.name} has the MAC address {interface.mac}, "
                        f"as has {first.name}",
                        "leave it out to get a free one",
                    )
                )
    taken = set(owners)
    for node in wiring.nodes.values():
        for interface in node.interfaces:
            if not interface.mac:
                owner = f"{node.name}/{interface.name}"
                interface.mac = free_mac(interface.ipv4, owner, taken)


def assign_kernel_names(wiring: Wiring) -> None:
    """Give every interface and every switch a name that the kernel takes.

    All switches and their ports share one namespace, every other node has its own.
    """
    switches = [node for node in wiring.nodes.values() if node.kind == "switch"]
    _name_all(switches)
    for node in wiring.nodes.values():
        if node.kind != "switch":
            _name_all([node])


def _name_all(nodes: list[Node]) -> None:
    names = KernelNames()
    unnamed: list[Interface | Node] = []
    for node in nodes:
        if node.kernel_name is not None:
            names.keep(node.kernel_name)
        elif node.kind == "switch":
            unnamed.append(node)
        for interface in node.interfaces:
            if interface.kept is not None:
                interface.kernel_name = interface.kept.kernel_name
                names.keep(interface.kernel_name)
            else:
                unnamed.append(interface)
    # Names that fit come first, so that no shortened one can stand in their way.
    long: list[Interface | Node] = []
    for item in unnamed:
        name = names.take_as_is(item.name)
        if name is None:
            long.append(item)
        else:
            item.kernel_name = name
    for item in long:
        owner = item.owner.name if isinstance(item, Interface) else ""
        item.kernel_name = names.take_short(item.name, owner)


def assign_routes(wiring: Wiring, problems: list[Problem]) -> None:
    """Check every default route and find the IPv6 gateway that goes with it."""
    ipv6_of: dict[tuple[Interface, str], str] = {}
    for node in wiring.nodes.values():
        for interface in node.interfaces:
            if interface.ipv4 is not None and interface.ipv6 is not None:
                key = (interface.segment, interface.ipv4.partition("/")[0])
                ipv6_of[key] = interface.ipv6.partition("/")[0]
    for node in wiring.nodes.values():
        route, where = node.wish.default_route, node.wish.where
        if not route:
            continue
        gateway = _try(problems, where, read_gateway, route)
        if gateway is None:
            continue
        node.default_route = gateway
        addressed = [(i, address) for i in node.interfaces for address in networks_of(i)]
        through = next((i for i, address in addressed if same_network(gateway, address)), None)
        if through is None:
            if node.interfaces:
                networks = ", ".join(f"{i.name} {address}" for i, address in addressed)
                networks = networks or "no address"
                text = (
                    f"its default route goes through {gateway}, which is in no network of its own"
                )
                problems.append(Problem(where, text, f"it has {networks}"))
        elif gateway in [address.partition("/")[0] for address in networks_of(through)]:
            text = f"its default route goes through {gateway}, which is itself"
            problems.append(Problem(where, text, "name the router's address"))
        else:
            node.default_route_ipv6 = ipv6_of.get((through.segment, gateway))


def _try(
    problems: list[Problem],
    where: str,
    read: Callable[Given, Read],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> Read | None:
    try:
        return read(*args, **kwargs)
    except AddressMistake as mistake:
        problems.append(Problem(where, str(mistake), mistake.hint))
        return None
