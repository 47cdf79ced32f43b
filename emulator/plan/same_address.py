"""Who else has an address, where the two would answer for each other; pure."""

from __future__ import annotations

from emulator.plan.model import EndPlan, Plan

_PASSING = ("switch", "vnf")
"""The kinds of nodes behind which others are heard."""


def others_with(plan: Plan, node: str, interface: str, address: str) -> list[str]:
    """The other nodes that have an address and are heard by an interface.

    Args:
        address: without its prefix length.
    """
    owners = {
        EndPlan(node=each.name, interface=own.name): each.name
        for each in plan.nodes
        if each.name != node
        for own in each.interfaces
        if any(written.partition("/")[0] == address for written in own.addresses)
    }
    # Hardly ever are there any, and then nothing has to be walked.
    if not owners:
        return []
    heard = _heard_by(plan, EndPlan(node=node, interface=interface))
    return list(dict.fromkeys(name for end, name in owners.items() if end in heard))


def _heard_by(plan: Plan, start: EndPlan) -> set[EndPlan]:
    far = {end: other for link in plan.links for end, other in _both_ways(link.a, link.b)}
    passing = {node.name: node.interfaces for node in plan.nodes if node.kind in _PASSING}
    heard: set[EndPlan] = set()
    waiting = [start]
    while waiting:
        end = far.get(waiting.pop())
        if end is None or end in heard:
            continue
        heard.add(end)
        ends = [EndPlan(node=end.node, interface=i.name) for i in passing.get(end.node, ())]
        waiting += [each for each in ends if each != end]
    return heard


def _both_ways(a: EndPlan, b: EndPlan) -> tuple[tuple[EndPlan, EndPlan], tuple[EndPlan, EndPlan]]:
    return (a, b), (b, a)
