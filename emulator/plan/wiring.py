"""The network while it is being compiled: nodes with their interfaces, joined by links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from emulator.errors import Problem
from emulator.names import NAME_RULE, is_name
from emulator.plan.graph import Groups, loops
from emulator.plan.impairments import UNIMPAIRED, Impairments, idle_wire
from emulator.plan.link_options import EndWish, LinkWish
from emulator.plan.model import ExternalPlan, InterfacePlan
from emulator.plan.node_options import NodeWish
from emulator.plan.process_options import added_ports
from emulator.plan.xdp_ports import loop_hint

_NAMED_AT_MOST = 8

CROWD = 500
"""Listeners on a segment from which on each gets a queue of its own. The copies of a broadcast all
go through one queue per core otherwise, and that holds 1000 frames (net.core.netdev_max_backlog,
which belongs to the whole machine): with more hosts, some never hear who is asked for."""


@dataclass(eq=False)
class Interface:
    """An interface while it is being compiled."""

    owner: Node
    wish: EndWish
    name: str
    port: int
    kept: InterfacePlan | None = None
    """The same interface in the plan of the running lab, if it is there."""
    peer: Interface = field(init=False)
    segment: Interface = field(init=False)
    """Stands for all interfaces that hear each other's broadcasts."""
    crowded: bool = False
    """Whether a broadcast on the segment is more than the kernel's common queue can take."""
    ipv4: str | None = None
    ipv6: str | None = None
    more_addresses: tuple[str, ...] = ()
    mac: str = ""
    kernel_name: str = ""
    memif_role: Literal["server", "client"] | None = None
    """Which part it has in a memif link, if it is an end of one."""
    impairments: Impairments = UNIMPAIRED
    """Of its link."""
    external: ExternalPlan | None = None
    """Given: it is an interface of the machine, and an end of no link."""
    link_id: str = ""
    """What its link is called."""
    steered: bool = False
    """Whether it is a port of a switch that leads to a VNF beside it; see ``plan.chains``."""

    @property
    def impaired(self) -> bool:
        """Whether its far end is not the other node, but what impairs the link between them."""
        return self.impairments.mechanism != "none"


@dataclass(eq=False)
class Node:
    """A node while it is being compiled."""

    wish: NodeWish
    interfaces: list[Interface] = field(default_factory=list)
    kernel_name: str | None = None
    near_frames: bool = False
    """Whether frames from here may come to a VNF that sees them as they are."""
    default_route: str | None = None
    default_route_ipv6: str | None = None

    @property
    def name(self) -> str:
        return self.wish.entry.name

    @property
    def kind(self) -> str:
        return self.wish.entry.kind

    @property
    def main(self) -> Interface | None:
        """The interface that the node's own addresses are for: the first one.

        In a running lab they stay where they are. Only when no interface that was there has an
        address, because the one that had it is gone, a new interface takes its place.
        """
        able = [interface for interface in self.interfaces if interface.wish.kind != "memif"]
        kept = [interface.kept for interface in able if interface.kept is not None]
        if not kept:
            return able[0] if able else None
        if not self.wish.ip or any(interface.ipv4 for interface in kept):
            return None
        return next((interface for interface in able if interface.kept is None), None)

    @property
    def runs_xdp(self) -> bool:
        if self.wish.switch is not None:
            return self.wish.switch.kind == "xdp"
        return self.wish.vnf is not None and self.wish.vnf.mechanism == "bpf"

    @property
    def could_run_dpdk(self) -> bool:
        """Whether it is a VNF that runs on DPDK, or of which that cannot be known."""
        if self.wish.vnf is None:
            return self.kind == "vnf"
        return self.wish.vnf.dataplane == "dpdk"

    @property
    def runs_program(self) -> bool:
        """Whether it is a VNF that is a program used as it is."""
        vnf, manifest = self.wish.vnf, self.wish.manifest
        if vnf is None or manifest is None:
            return False
        return manifest.dataplanes[vnf.dataplane].program is not None

    @property
    def sees_frames(self) -> bool:
        """Whether it is one that handles frames as they are on the link, outside the stack."""
        if self.wish.switch is not None:
            return self.wish.switch.sees_frames
        return self.wish.vnf is not None and self.wish.vnf.mechanism in ("bpf", "process")


@dataclass
class Wiring:
    """All nodes, in natural order, and all links between nodes that exist."""

    nodes: dict[str, Node]
    links: list[tuple[Interface, Interface]]


def wire(nodes: Iterable[NodeWish], links: Iterable[LinkWish], problems: list[Problem]) -> Wiring:
    """Give every end of a link its interface; a port or a name used twice is a problem."""
    wiring = Wiring({wish.entry.name: Node(wish) for wish in nodes}, [])
    ports: dict[tuple[str, int], Interface] = {}
    names: dict[tuple[str, str], Interface] = {}
    for link in links:
        first, second = (end.node for end in link.ends)
        bare = [end.node for end in link.ends if _is_bare(wiring, end.node)]
        for name in dict.fromkeys(bare):
            node = wiring.nodes[name]
            what, hint = "an app container", f"link {node.wish.host}"
            if node.kind == "controller":
                what, hint = "a controller", "switches reach it without a link"
            text = f"{name} is {what}, which has no interfaces of its own"
            problems.append(Problem(link.where, text, hint))
        if bare or first == second or not {first, second} <= wiring.nodes.keys():
            # That has been told of already; for the nodes that do exist the link still counts.
            for end in link.ends:
                if end.node in wiring.nodes and end.node not in bare:
                    _loose_end(wiring.nodes[end.node], end)
            continue
        pair = [_interface(wiring.nodes[end.node], end, problems) for end in link.ends]
        for interface in pair:
            _check_unique(interface, ports, names, problems)
            interface.owner.interfaces.append(interface)
        pair[0].peer, pair[1].peer = pair[1], pair[0]
        for interface in pair:
            interface.impairments = link.impairments
            interface.link_id = f"{pair[0].name}<->{pair[1].name}"
        wiring.links.append((pair[0], pair[1]))
    for node in wiring.nodes.values():
        node.interfaces.sort(key=lambda interface: interface.port)
    return wiring


def make_changeable(wiring: Wiring, links: Collection[str]) -> None:
    """Make wires of plain links that are to be impaired while the network runs."""
    for a, b in wiring.links:
        if a.link_id in links and a.wish.kind != "memif" and not a.impaired:
            names, ports = (a.owner.name, b.owner.name), (a.port, b.port)
            a.impairments = b.impairments = idle_wire(names, ports)


def _is_bare(wiring: Wiring, name: str) -> bool:
    """Whether it is a node that never has interfaces."""
    node = wiring.nodes.get(name)
    return node is not None and node.kind in ("app", "controller")


def _interface(node: Node, end: EndWish, problems: list[Problem]) -> Interface:
    port = end.port
    if type(port) is not int or not 0 <= port <= 65535:
        problems.append(
            Problem(end.where, f"{port!r} is not a port number of {node.name}", "count from 0")
        )
        # Below every real number, so that it is in nobody's way while the rest is checked.
        port = -1 - len(node.interfaces)
    name = end.name
    if name is None:
        name = f"{node.name}-eth{port}"
    elif not isinstance(name, str) or not is_name(name):
        problems.append(
            Problem(end.where, f"{name!r} is not a usable interface name", f"use {NAME_RULE}")
        )
        name = f"{node.name}-eth{port}"
    return Interface(node, end, name, port)


def _loose_end(node: Node, end: EndWish) -> None:
    port = end.port if type(end.port) is int else 0
    interface = Interface(node, end, f"{node.name}-eth{port}", port)
    interface.peer = interface
    node.interfaces.append(interface)


def _check_unique(
    interface: Interface,
    ports: dict[tuple[str, int], Interface],
    names: dict[tuple[str, str], Interface],
    problems: list[Problem],
) -> None:
    owner, end = interface.owner, interface.wish
    first = ports.setdefault((owner.name, interface.port), interface)
    if first is not interface:
        problems.append(
            Problem(
                end.where,
                f"port {interface.port} of {owner.name} is already taken by {first.wish.where}",
                "leave the port out to get a free one",
            )
        )
        return
    first = names.setdefault((owner.name, interface.name), interface)
    if first is not interface:
        problems.append(
            Problem(
                end.where,
                f"{owner.name} already has an interface {interface.name}, for {first.wish.where}",
                "every interface of a node needs a name of its own",
            )
        )


def check_port_counts(wiring: Wiring, problems: list[Problem]) -> None:
    """A VNF has the ports its manifest asks for."""
    for node in wiring.nodes.values():
        count, manifest = len(node.interfaces), node.wish.manifest
        added = added_ports(node.wish.vnf.eal) if node.wish.vnf is not None else 0
        count, what = count + added, "port" if added else "link"
        if manifest is not None and not manifest.ports.allow(count):
            short = count < manifest.ports.min
            problems.append(
                Problem(
                    node.wish.where,
                    f"it has {count} {what}{'' if count == 1 else 's'}, "
                    f"and VNF {manifest.name} needs {manifest.ports}",
                    f"link {node.name} to its next node" if short else "take a link away",
                )
            )


def join_memory(wiring: Wiring, problems: list[Problem]) -> None:
    """A memif link joins two DPDK VNFs, of which one calls the other until it answers.

    A program that is used as it is does not call again, so it is the one that is called.
    """
    for node in wiring.nodes.values():
        kinds = {interface.wish.kind for interface in node.interfaces}
        if kinds == {"memif"} and node.kind == "vnf" and node.wish.ip:
            text = "it has an address, and only memif links, which no network stack sees"
            problems.append(Problem(node.wish.where, text, "leave ip out"))
    for a, b in wiring.links:
        if a.wish.kind != "memif":
            continue
        strangers = [end.owner for end in (a, b) if not end.owner.could_run_dpdk]
        problems += [_stranger_to_memory(node, a.wish.where) for node in strangers]
        if not strangers and a.owner.runs_program and b.owner.runs_program:
            text = f"neither {a.owner.name} nor {b.owner.name} calls again until the other answers"
            hint = "put a VNF that is no ready program between them, or leave kind out"
            problems.append(Problem(a.wish.where, text, hint))
        a.memif_role, b.memif_role = "server", "client"
        if b.owner.runs_program:
            a.memif_role, b.memif_role = "client", "server"


def _stranger_to_memory(node: Node, where: str) -> Problem:
    what, hint = f"is a {node.kind}", "leave kind out"
    if node.wish.vnf is not None:
        what = f"runs on {node.wish.vnf.dataplane}"
        hint = f'give {node.name} dataplane="dpdk", or leave kind out'
    text = f"a memif link joins VNFs on the data plane dpdk, and {node.name} {what}"
    return Problem(where, text, hint)


def check_loops(wiring: Wiring, problems: list[Problem]) -> None:
    """Where frames could go round for ever, switches must run the spanning tree protocol."""
    forwarders = {name: node for name, node in wiring.nodes.items() if node.wish.forwards_frames}
    edges = [(a.owner.name, b.owner.name) for a, b in wiring.links if not (a.steered or b.steered)]
    for part in loops(forwarders, edges):
        nodes = [forwarders[name] for name in part]
        switches = [node for node in nodes if node.kind == "switch"]
        lacking = [node.name for node in switches if not node.wish.ends_loops]
        # A VNF passes the protocol's frames on but takes no part in it.
        circles = loops([node.name for node in nodes if node.kind == "vnf"], edges)
        if not lacking and not circles:
            continue
        if lacking:
            hint = loop_hint(lacking, _listed(lacking), wiring)
        else:
            hint = "take a link away, or put a switch with stp=True into the loop"
        problems.append(
            Problem(
                f"loop of {_listed(part)}",
                "frames would go round in it for ever",
                hint,
            )
        )


def mark_segments(wiring: Wiring) -> None:
    """Find which interfaces hear each other, and which nodes' frames a VNF may see as they are."""
    heard: Groups[Interface] = Groups()
    joined: Groups[Node] = Groups()
    for a, b in wiring.links:
        heard.join(a, b)
        joined.join(a.owner, b.owner)
    for node in wiring.nodes.values():
        if node.wish.forwards_frames:
            for interface in node.interfaces[1:]:
                heard.join(interface, node.interfaces[0])
    seen = {joined.find(node) for node in wiring.nodes.values() if node.sees_frames}
    listeners: Counter[Interface] = Counter()
    for node in wiring.nodes.values():
        node.near_frames = joined.find(node) in seen
        for interface in node.interfaces:
            interface.segment = heard.find(interface)
            listeners[interface.segment] += node.kind != "switch"
    for node in wiring.nodes.values():
        for interface in node.interfaces:
            crowd = listeners[interface.segment] > CROWD
            interface.crowded = crowd and node.kind != "switch"


def _listed(names: list[str]) -> str:
    shown = names[:_NAMED_AT_MOST]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
