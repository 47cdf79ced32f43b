"""From a topology to its plan: everything decided, and every mistake found, before anything runs.

Compiling is pure: it needs no root, reads nothing but its arguments (and the catalog, when none
is given), and gives the same plan for the same topology. Its time grows with the number of nodes
and links and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.control import ParameterError, content_of, port_infos
from emulator.errors import Problem, TopologyError
from emulator.foreign_topo import as_topo
from emulator.names import NAME_RULE, is_name
from emulator.plan import assign, wiring
from emulator.plan.addresses import AddressMistake, BaseNetwork
from emulator.plan.chains import check_beside, compile_chains, mark_beside, steered_ends
from emulator.plan.container_checks import check_apps, check_published_ports
from emulator.plan.externals import wire_externals
from emulator.plan.link_options import read_link
from emulator.plan.model import (
    EndPlan,
    InterfacePlan,
    LinkPlan,
    MemifPlan,
    NatPlan,
    NodePlan,
    Plan,
)
from emulator.plan.more_addresses import count_macs, serve_nats
from emulator.plan.node_options import read_node
from emulator.plan.schedules import LinkNames, compile_steps, read_entries
from emulator.plan.steering_rules import check_rules
from emulator.plan.switch_checks import settle_switches
from emulator.plan.switch_model import Datapath
from emulator.plan.xdp_ports import check_xdp_ports

if TYPE_CHECKING:
    from emulator.catalog import Catalog

_DEFAULT_BASE = "10.0.0.0/8"
_PLACE = re.compile(r"(.+?):(\d+): ")


def compile_plan(
    topo: Any,
    *,
    name: str | None = None,
    ip_base: str = _DEFAULT_BASE,
    ipv6: bool = False,
    catalog: Catalog | None = None,
    previous: Plan | None = None,
    ovs_datapath: Datapath = "auto",
    static_arp: bool = False,
    set_macs: bool = False,
) -> Plan:
    """Decide every name, address, port and setting of a topology.

    Args:
        topo: a topology, ours or one made with ``mininet.topo.Topo``.
        name: what the plan is called; the topology's name by default.
        ip_base: the IPv4 network that addresses are handed out from.
        ipv6: whether interfaces with an IPv4 address get an IPv6 address as well.
        catalog: the VNFs there are; read from their folders by default.
        previous: the plan of the running lab that the topology is a change of. Every interface
            that is in both keeps its addresses and its kernel name.
        ovs_datapath: what Open vSwitch bridges get that leave their datapath to the machine.
            With ``auto`` the plan is for both, and hosts beside them finish their frames.
        static_arp: whether nodes know each other's MAC addresses from the start.
        set_macs: whether the hosts' MAC addresses count like the hosts.

    Raises:
        TopologyError: the topology has mistakes; it carries all of them.
        UsageError: ``topo`` is not a topology, or a manifest cannot be read.
    """
    graph = as_topo(topo)
    problems = graph.problems()
    if name is None:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", graph.name).lstrip("_.-0123456789") or "topo"
    elif not is_name(name):
        problems.append(Problem("name", f"{name!r} is not a usable name", f"use {NAME_RULE}"))
    try:
        base = BaseNetwork(ip_base)
    except AddressMistake as mistake:
        problems.append(Problem("ip_base", str(mistake), mistake.hint))
        base = BaseNetwork(_DEFAULT_BASE)

    if catalog is None and graph.vnfs(sort=False):
        from emulator.catalog import Catalog

        catalog = Catalog.load()
    entries = graph.node_entries()
    network = wiring.wire(
        [read_node(entries[node], catalog, problems, graph.near_misses) for node in graph.nodes()],
        [read_link(link, ipv6, problems) for link in graph.link_entries()],
        problems,
    )
    wire_externals(network, graph.external_entries(), problems)
    settle_switches(network, previous, problems, auto_datapath=ovs_datapath)
    check_apps(network, previous, problems)
    check_published_ports(network, problems)
    wiring.check_port_counts(network, problems)
    check_xdp_ports(network, problems)
    wiring.join_memory(network, problems)
    chains = graph.chain_entries()
    mark_beside(network, chains, previous)
    wiring.check_loops(network, problems)
    wiring.mark_segments(network)
    schedule = read_entries(
        graph.schedule_entries(),
        graph.link_sets(),
        LinkNames((a.link_id, a.owner.name, b.owner.name) for a, b in network.links),
        problems,
        forgiving=previous is not None,
    )
    changing = {link for entry in schedule if entry.settings for link in entry.links}
    wiring.make_changeable(network, changing)
    if previous is not None:
        assign.recall(network, previous)
    assign.assign_addresses(network, base, ipv6=ipv6, problems=problems)
    if set_macs:
        count_macs(network, ip_base)
    assign.assign_macs(network, problems)
    assign.assign_kernel_names(network)
    served = serve_nats(network)
    assign.assign_routes(network, problems)
    check_beside(network, problems)
    led = compile_chains(network, chains.values(), problems)
    _check_control(network, problems)
    _tell(problems, name)
    plan = Plan(
        name=name,
        ip_base=str(base),
        ipv6=ipv6,
        static_arp=static_arp,
        nodes=tuple(_node_plan(node, served) for node in network.nodes.values()),
        links=tuple(_link_plan(a, b) for a, b in network.links),
        chains=led,
        steered=steered_ends(network),
    )
    if led:
        problems += check_rules(plan, {name: entry.where for name, entry in chains.items()})
        _tell(problems, name)
    if not schedule:
        return plan
    steps = compile_steps(schedule, plan, problems)
    _tell(problems, name)
    return plan.model_copy(update={"schedule": steps})


def _tell(problems: list[Problem], name: str) -> None:
    if problems:
        raise TopologyError(sorted(dict.fromkeys(problems), key=_line_of), where=name)


def _check_control(network: wiring.Wiring, problems: list[Problem]) -> None:
    """Whether each VNF's control module understands its parameters."""
    if problems:
        return
    for node in network.nodes.values():
        vnf, manifest = node.wish.vnf, node.wish.manifest
        if vnf is None or manifest is None or manifest.control is None:
            continue
        ports = port_infos([_interface_plan(interface) for interface in node.interfaces])
        try:
            content_of(manifest, vnf.parameters, ports)
        except ParameterError as error:
            text = f"parameter {error.parameter}: {error}"
            problems.append(Problem(node.wish.where, text, error.hint))


def _line_of(problem: Problem) -> tuple[bool, str, int]:
    """A key that sorts problems as their lines stand in the script, those without a line last."""
    place = _PLACE.match(problem.where)
    return (False, place[1], int(place[2])) if place else (True, "", 0)


def _node_plan(node: wiring.Node, served: Mapping[str, tuple[str, ...]]) -> NodePlan:
    container, switch = node.wish.container, node.wish.switch
    controller = node.wish.controller
    memory_only = {interface.wish.kind for interface in node.interfaces} == {"memif"}
    return NodePlan(
        name=node.name,
        kind=node.wish.entry.kind,
        runtime=node.wish.runtime,
        container=None
        if container is None
        else container.finished(node.wish.vnf, memory_only=memory_only),
        host=node.wish.host,
        interfaces=tuple(_interface_plan(interface) for interface in node.interfaces),
        default_route=node.default_route,
        default_route_ipv6=node.default_route_ipv6,
        limits=node.wish.own.limits,
        private_dirs=node.wish.own.private_dirs,
        nat=NatPlan(serves=served[node.name]) if node.name in served else None,
        stp=node.wish.stp,
        switch=None if switch is None else switch.plan(),
        controller=None if controller is None else controller.plan(),
        kernel_name=node.kernel_name,
        vnf=node.wish.vnf,
    )


def _interface_plan(interface: wiring.Interface) -> InterfacePlan:
    owner, peer = interface.owner, interface.peer
    # What leaves such a VNF is sent as it is, so its own ports have nothing to offload.
    # And a veth takes to the queue of its own only what comes from one without offloads.
    frame_offload = (owner.sees_frames or not owner.near_frames) and not peer.crowded
    # A port with an XDP program of its own receives redirected frames without further ado, and
    # what impairs a link is not an XDP program.
    redirected = peer.owner.runs_xdp and not owner.runs_xdp and not interface.impaired
    return InterfacePlan(
        name=interface.name,
        kernel_name=interface.kernel_name,
        mac=interface.mac,
        port=interface.port,
        ipv4=interface.ipv4,
        ipv6=interface.ipv6,
        more_addresses=interface.more_addresses,
        mtu=interface.wish.mtu,
        vlan=interface.wish.vlan,
        trunk=interface.wish.trunk,
        frame_offload=frame_offload,
        segment_offload=frame_offload and not interface.impaired,
        receive_napi=redirected or interface.crowded,
        memif=_memif_plan(interface),
        external=interface.external,
    )


def _memif_plan(interface: wiring.Interface) -> MemifPlan | None:
    if interface.memif_role is None:
        return None
    server, client = interface, interface.peer
    if interface.memif_role == "client":
        server, client = client, server
    return MemifPlan(link=f"{server.name}<->{client.name}", role=interface.memif_role)


def _link_plan(a: wiring.Interface, b: wiring.Interface) -> LinkPlan:
    return LinkPlan(
        id=a.link_id,
        a=EndPlan(node=a.owner.name, interface=a.name),
        b=EndPlan(node=b.owner.name, interface=b.name),
        kind=a.wish.kind,
        mechanism=a.impairments.mechanism,
        up=a.impairments.up,
        down=a.impairments.down,
    )
