"""What was changed of nodes while they ran, and stays when the topology changes beside them."""

from __future__ import annotations

from emulator.plan.model import InterfacePlan, NodePlan

_OF_A_NODE = ("default_route", "default_route_ipv6", "limits")
_OF_AN_INTERFACE = ("ipv4", "ipv6", "more_addresses", "mac")


def keep_node(node: NodePlan, asked: NodePlan, running: NodePlan) -> NodePlan:
    """A node of a changed topology with what it was given while it ran.

    Args:
        node: what the changed topology asks for.
        asked: what was asked for before the change; where the two differ, the new word counts.
        running: as it runs.
    """
    changes: dict[str, object] = {
        name: getattr(running, name)
        for name in _OF_A_NODE
        if getattr(node, name) == getattr(asked, name) != getattr(running, name)
    }
    before = {interface.name: interface for interface in asked.interfaces}
    now = {interface.name: interface for interface in running.interfaces}
    interfaces = tuple(
        _keep_interface(each, before[each.name], now[each.name])
        if each.name in before and each.name in now
        else each
        for each in node.interfaces
    )
    if interfaces != node.interfaces:
        changes["interfaces"] = interfaces
    return node.model_copy(update=changes) if changes else node


def _keep_interface(
    interface: InterfacePlan, asked: InterfacePlan, running: InterfacePlan
) -> InterfacePlan:
    changes = {
        name: getattr(running, name)
        for name in _OF_AN_INTERFACE
        if getattr(interface, name) == getattr(asked, name) != getattr(running, name)
    }
    return interface.model_copy(update=changes) if changes else interface
