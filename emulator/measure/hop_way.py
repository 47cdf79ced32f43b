"""Which nodes packets pass between two others, as far as a plan can tell. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.match import HAS_ARP, HAS_IPV6, HAS_VLAN, Match, parse_matches
from emulator.plan.steering_rules import turned
from emulator.traffic.native import DESTINATION_PORT, SOURCE_PORT

if TYPE_CHECKING:
    from emulator.plan.model import LinkPlan, Plan

_FORWARDING = ("switch", "router", "vnf")


@dataclass(frozen=True)
class Stop:
    """A node on the way between two others.

    Attributes:
        in_port, out_port: where packets come in and go out: places among the node's interfaces.
    """

    node: str
    in_port: int
    out_port: int


@dataclass(frozen=True)
class Way:
    """From a source to a destination.

    Attributes:
        stops: the nodes between them, in order.
        links: the links between all of them, one more than stops.
    """

    source: str
    destination: str
    stops: tuple[Stop, ...]
    links: tuple[LinkPlan, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, the source and the destination included."""
        return (self.source, *(stop.node for stop in self.stops), self.destination)


def find_way(plan: Plan, source: str, destination: str, via: Sequence[str] = ()) -> Way:
    """The only way between two nodes that does not pass a node twice.

    Switches, routers and VNFs pass packets on, hosts do not.

    Args:
        via: nodes that are on the way, in order: needed where there are several ways.

    Raises:
        UsageError: there is no such node, no way, or more than one; or a chain leads packets of
            the probe through a switch several times.
    """
    for name in (source, destination, *via):
        plan.node(name)
    where = f"{source} → {destination}"
    if source == destination:
        raise UsageError("a way goes from one node to another", where=source)
    _refuse_chains(plan, source, destination)
    found: Way | None = None
    for way in _ways(plan, source, destination):
        if not _passes(way, via):
            continue
        if found is not None:
            raise UsageError(
                "there are several ways, and a plan does not tell which one packets take",
                where=where,
                hint=f"say by way of which nodes: {_difference(found, way)}",
            )
        found = way
    if found is None:
        passing = f" by way of {', '.join(via)}" if via else ""
        raise UsageError(f"no way leads there{passing}", where=where, hint="see vnf plan")
    return found


def _refuse_chains(plan: Plan, source: str, destination: str) -> None:
    """Where a chain takes the probe's packets, no stop is passed once only."""
    for chain in plan.chains:
        directions = [(chain.src, chain.dst, False)]
        directions += [(chain.dst, chain.src, True)] if chain.both_ways else []
        for src, dst, back in directions:
            if not chain.via or (src, dst) != (source, destination):
                continue
            matches = parse_matches(chain.match, parameter="match")
            if any(_is_about_probe(turned(match) if back else match) for match in matches):
                raise UsageError(
                    f"chain {chain.name} leads the probe's packets through switches several times,"
                    " and hops are told apart only where each is passed once",
                    where=f"{source} → {destination}",
                    hint="set the chain to another match, or measure without hops",
                )


def _is_about_probe(match: Match) -> bool:
    """Whether it can hold for packets of the probe, which are UDP on IPv4."""
    ports = ((match.source_ports, SOURCE_PORT), (match.destination_ports, DESTINATION_PORT))
    return (
        match.protocol in (None, socket.IPPROTO_UDP)
        and not match.needs & (HAS_IPV6 | HAS_ARP | HAS_VLAN)
        and all(first <= port <= last for (first, last), port in ports)
    )


def _ways(plan: Plan, source: str, destination: str) -> Iterator[Way]:
    """Every way, one after another, by a search that goes as deep as it can."""
    neighbours: dict[str, list[LinkPlan]] = {}
    for link in plan.links:
        # Only chains lead to a VNF beside a switch.
        ends = {link.a.node, link.b.node}
        if not {link.a, link.b}.isdisjoint(plan.steered) and ends.isdisjoint({source, destination}):
            continue
        neighbours.setdefault(link.a.node, []).append(link)
        neighbours.setdefault(link.b.node, []).append(link)
    links: list[LinkPlan] = []
    nodes = [source]
    choices = [iter(neighbours.get(source, ()))]
    while choices:
        try:
            link = next(choices[-1])
        except StopIteration:
            choices.pop()
            nodes.pop()
            if links:
                links.pop()
            continue
        far = link.b.node if link.a.node == nodes[-1] else link.a.node
        if far in nodes:
            continue
        if far == destination:
            yield _way(plan, [*nodes, far], [*links, link])
        elif plan.node(far).kind in _FORWARDING:
            nodes.append(far)
            links.append(link)
            choices.append(iter(neighbours[far]))


def _way(plan: Plan, nodes: Sequence[str], links: Sequence[LinkPlan]) -> Way:
    stops = []
    for name, before, after in zip(nodes[1:-1], links, links[1:], strict=False):
        names = [interface.name for interface in plan.node(name).interfaces]
        ports = [
            names.index(next(end for end in (link.a, link.b) if end.node == name).interface)
            for link in (before, after)
        ]
        stops.append(Stop(name, *ports))
    return Way(nodes[0], nodes[-1], tuple(stops), tuple(links))


def _passes(way: Way, via: Sequence[str]) -> bool:
    rest = iter(way.nodes)
    return all(name in rest for name in via)


def _difference(one: Way, other: Way) -> str:
    first = [name for name in one.nodes if name not in other.nodes]
    second = [name for name in other.nodes if name not in one.nodes]
    if not (first or second):
        return "but parallel links cannot be told apart"
    return " or ".join(", ".join(names) or "not by these" for names in (first, second))
