"""When a network is ready: the kernel says so, and nobody guesses by sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.errors import LabError
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import BLOCKING, FORWARDING, LinkState, Rtnl, link_states
from emulator.plan.graph import Groups
from emulator.plan.model import EndPlan, LinkPlan, NodePlan, Plan

if TYPE_CHECKING:
    from emulator.dataplane import RunningVnf

_DEADLINE_S = 60.0
_FORWARDING = "Forwarding"
"""What Open vSwitch calls it."""
_POLL_S = 0.002
_PATIENCE_S = 0.05
"""So long an interface may take to hear of its carrier before it is asked why there is none."""


def wait_ready(
    plan: Plan,
    namespace_of: Callable[[str], Netns],
    ends: Iterable[EndPlan] | None = None,
    *,
    down: Container[str] = (),
    port_states: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Returns when the kernel reports interfaces operational and ports of a bridge settled.

    Where switches run the spanning tree protocol, they must also have agreed on a tree.

    Args:
        namespace_of: the namespace that holds a node's interfaces.
        ends: which interfaces; by default those of every link that are not ready at once.
            Interfaces that were taken down, and those whose far end was, are not waited for.
        down: the ids of links that were taken down between their ends: no carrier is to come.
        port_states: what Open vSwitch says of the ports of its bridges in the spanning tree.

    Raises:
        LabError: when that takes longer than it ever should.
    """
    began_s = time.monotonic()
    idle = {end for link in plan.links if link.id in down for end in (link.a, link.b)}
    names: dict[Netns, dict[str, EndPlan]] = {}
    for end in ends if ends is not None else _raised_first(plan):
        if end not in idle:
            names.setdefault(namespace_of(end.node), {})[plan.interface(end).kernel_name] = end
    switches = [node.name for node in plan.switches() if node.stp]
    fabric = namespace_of(switches[0]) if switches else None
    for netns, wanted in names.items():
        with Rtnl.inside(netns) as rtnl:
            while True:
                states = {state.name: state for state in rtnl.links()}
                waiting = [name for name in wanted if name in states and not _ready(states[name])]
                waited_s = time.monotonic() - began_s
                if waiting and waited_s > _PATIENCE_S:
                    waiting = [
                        name for name in waiting if not _cut_off(plan, namespace_of, wanted[name])
                    ]
                if not waiting:
                    if netns is not fabric:
                        break
                    told = port_states()
                    everything = _with_other_switches(plan, states, told)
                    if spans(plan, everything) and _leads_to_hosts(plan, states, told):
                        break
                if waited_s > _DEADLINE_S:
                    raise LabError(
                        f"the network was not ready within {_DEADLINE_S:g} s",
                        where=min(waiting, default="spanning tree of the switches"),
                    )
                time.sleep(_POLL_S)


def _cut_off(plan: Plan, namespace_of: Callable[[str], Netns], end: EndPlan) -> bool:
    """Whether the far end of an interface's link was taken down."""
    far = plan.peer(end.node, end.interface)
    state = link_states(namespace_of(far.node)).get(plan.interface(far).kernel_name)
    return state is not None and not state.up


def wait_joined(plan: Plan, vnf_of: Callable[[str], RunningVnf | None]) -> None:
    """Returns when the VNFs at the ends of every memif link have found each other.

    A VNF that does not run any more is not waited for, nor is who is linked to it.

    Raises:
        LabError: when that takes longer than it ever should.
    """
    deadline = time.monotonic() + _DEADLINE_S
    for link in plan.links:
        if link.kind != "memif":
            continue
        vnfs = {end: vnf_of(end.node) for end in (link.a, link.b)}
        while all(vnf is not None and vnf.failure() is None for vnf in vnfs.values()):
            if not any(vnf and end.interface in vnf.apart() for end, vnf in vnfs.items()):
                break
            if time.monotonic() > deadline:
                raise LabError(f"its ends did not meet within {_DEADLINE_S:g} s", where=link.id)
            time.sleep(_POLL_S)


def spans(plan: Plan, states: Mapping[str, LinkState]) -> bool:
    """Whether the links that forward between switches are a tree that joins all it can.

    Before that, a frame for everyone could go round in a circle, and would crowd out the very
    messages by which the switches agree.

    Args:
        states: the interfaces of the fabric, by kernel name.
    """
    linked: Groups[str] = Groups()
    reached: Groups[str] = Groups()
    trunks = list(_trunks(plan))
    for link in trunks:
        ends = [states.get(plan.interface(end).kernel_name) for end in (link.a, link.b)]
        if all(state is not None and state.up for state in ends):
            linked.join(link.a.node, link.b.node)
        if all(state is not None and state.bridge_port_state == FORWARDING for state in ends):
            if reached.find(link.a.node) == reached.find(link.b.node):
                return False
            reached.join(link.a.node, link.b.node)
    return all(
        reached.find(link.a.node) == reached.find(link.b.node)
        for link in trunks
        if linked.find(link.a.node) == linked.find(link.b.node)
    )


def _leads_to_hosts(plan: Plan, states: Mapping[str, LinkState], told: Mapping[str, str]) -> bool:
    """Whether every port of which Open vSwitch tells leads to its host, if it leads to one."""
    for node in plan.switches():
        for interface in node.interfaces:
            state = states.get(interface.kernel_name)
            if state is None or not state.operational:
                continue
            blocked = told.get(interface.kernel_name, _FORWARDING) != _FORWARDING
            if blocked and interface.external is None:
                peer = plan.node(plan.peer(node.name, interface.name).node)
                if peer.kind in ("host", "router"):
                    return False
    return True


def _with_other_switches(
    plan: Plan, states: Mapping[str, LinkState], told: Mapping[str, str]
) -> dict[str, LinkState]:
    """The states of ports of which the kernel's bridges know nothing, as they would write them."""
    known = dict(states)
    for node in plan.switches():
        if node.switch is None or node.switch.kind == "bridge":
            continue
        for interface in node.interfaces:
            name = interface.kernel_name
            forwarding = told.get(name, _FORWARDING if not node.stp else "") == _FORWARDING
            if name in known:
                port_state = FORWARDING if forwarding else BLOCKING
                known[name] = replace(known[name], bridge_port_state=port_state)
    return known


def _trunks(plan: Plan) -> Iterator[LinkPlan]:
    switches = {node.name for node in plan.switches() if not _is_secure(node)}
    return (link for link in plan.links if {link.a.node, link.b.node} <= switches)


def _is_secure(node: NodePlan) -> bool:
    """Whether it forwards as its controller says and no protocol tells which links it uses."""
    ovs = node.switch.ovs if node.switch is not None else None
    return ovs is not None and ovs.fail_mode == "secure" and not node.stp


def _raised_first(plan: Plan) -> Iterator[EndPlan]:
    """The ends that were raised before their peers: a port always is.

    The end raised last is operational at once; the first has to wait for the kernel's work queue.
    """
    for link in plan.links:
        ports = [end for end in (link.a, link.b) if plan.node(end.node).kind == "switch"]
        yield from ports or (link.a, link.b)


def _ready(state: LinkState) -> bool:
    if not state.up:
        return True
    return state.operational and state.bridge_port_state in (None, FORWARDING, BLOCKING)
