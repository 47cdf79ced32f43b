"""Interfaces with several addresses, and MAC addresses that count like the hosts."""

from __future__ import annotations

from typing import Any

from emulator.errors import Problem
from emulator.plan.addresses import (
    AddressMistake,
    BaseNetwork,
    read_ipv4,
    read_ipv6,
    same_network,
    split,
)
from emulator.plan.link_options import EndWish
from emulator.plan.node_options import NodeWish
from emulator.plan.options import AUTOMATIC
from emulator.plan.wiring import Interface, Wiring


def part_lists(wiring: Wiring) -> None:
    """Where several addresses were given as a list, leave the first and put the rest aside."""
    for node in wiring.nodes.values():
        wishes: list[NodeWish | EndWish] = [node.wish]
        wishes += [interface.wish for interface in node.interfaces]
        for wish in wishes:
            rest = [*_part(wish, "ip"), *_part(wish, "ipv6")]
            wish.more_addresses = tuple(rest)


def assign_more(wiring: Wiring, base: BaseNetwork, *, ipv6: bool, problems: list[Problem]) -> None:
    """Give interfaces the addresses that :func:`part_lists` has put aside."""
    for node in wiring.nodes.values():
        main = node.main
        for interface in node.interfaces:
            given, where = interface.wish.more_addresses, interface.wish.where
            if interface is main and not given:
                given, where = node.wish.more_addresses, node.wish.where
            if not given and interface.kept is not None:
                interface.more_addresses = interface.kept.more_addresses
                continue
            found = [_read(where, each, base.prefixlen, ipv6, problems) for each in given]
            interface.more_addresses = tuple(each for each in found if each is not None)


def count_macs(wiring: Wiring, ip_base: str) -> None:
    """Have the hosts' and routers' first interfaces count in MAC addresses, as Mininet does.

    00:00:00:00:00:01 is that of the host whose place in the base network is 10.0.0.1.
    """
    base = BaseNetwork(ip_base)
    network = split(str(base))[0]
    taken = {i.kept.mac for node in wiring.nodes.values() for i in node.interfaces if i.kept}
    for node in wiring.nodes.values():
        if node.kind not in ("host", "router"):
            continue
        place, main = base.place(), node.main
        free = node.wish.mac is AUTOMATIC and main is not None and main.wish.mac is AUTOMATIC
        if not free or main is None or main.kept is not None or place is None:
            continue
        number = place - network
        while (mac := number.to_bytes(6).hex(":")) in taken:
            number += 1
        taken.add(mac)
        main.wish.mac = mac


def serve_nats(wiring: Wiring) -> dict[str, tuple[str, ...]]:
    """Have the routers that lead out be the default route of the hosts beside them.

    Those that ask for another one, or for none (``defaultRoute=""``), keep to that.

    Returns:
        For each such router, the hosts.
    """
    serves: dict[str, list[str]] = {}
    doors = []
    for node in wiring.nodes.values():
        if node.wish.own.nat:
            serves[node.name] = []
            doors += [(each, node) for each in node.interfaces]
    for node in wiring.nodes.values() if doors else ():
        if node.kind != "host" or node.wish.default_route is not None:
            continue
        for door, nat in doors:
            if door.ipv4 is None:
                continue
            own = [(i, a) for i in node.interfaces for a in networks_of(i)]
            gateway = door.ipv4.partition("/")[0]
            heard = [i for i, a in own if i.segment is door.segment and same_network(gateway, a)]
            if heard:
                node.wish.default_route = f"via {gateway}"
                serves[nat.name].append(node.name)
                break
    return {name: tuple(hosts) for name, hosts in serves.items()}


def networks_of(interface: Interface) -> list[str]:
    """The IPv4 addresses of an interface that is being compiled, with prefix lengths."""
    found = [each for each in (interface.ipv4, *interface.more_addresses) if each is not None]
    return [each for each in found if ":" not in each]


def _part(wish: NodeWish | EndWish, name: str) -> list[Any]:
    value = getattr(wish, name)
    if not isinstance(value, list | tuple):
        return []
    setattr(wish, name, value[0] if value else None)
    return list(value[1:])


def _read(where: str, text: Any, prefixlen: int, ipv6: bool, problems: list[Problem]) -> str | None:
    try:
        if not isinstance(text, str) or ":" not in text:
            return read_ipv4(text, prefixlen)
        address = read_ipv6(text)
    except AddressMistake as mistake:
        problems.append(Problem(where, str(mistake), mistake.hint))
        return None
    if not ipv6:
        message = f"{address} is an IPv6 address, and the lab has no IPv6"
        problems.append(Problem(where, message, "run it with --ipv6, or Network(ipv6=True)"))
    return address
