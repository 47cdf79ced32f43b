"""Interfaces of nodes, raised and lowered, and the routes that hang on them."""

from __future__ import annotations

from emulator.errors import LabError, UsageError
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import Rtnl
from emulator.plan.model import InterfacePlan, NodePlan
from emulator.switch_service import OUT_OF_SERVICE


def set_interface(netns: Netns, interface: InterfacePlan, *, up: bool) -> None:
    """Raises or lowers an interface of a node.

    Raises:
        UsageError: when it is a port of a switch that is out of service.
        LabError: when it is not there.
    """
    with Rtnl.inside(netns) as rtnl:
        for state in rtnl.links():
            if state.name == interface.kernel_name:
                if state.group == OUT_OF_SERVICE:
                    raise UsageError(
                        "its switch is out of service",
                        where=interface.name,
                        hint="start that first: switch NAME start, or set_switch(NAME, up=True)",
                    )
                rtnl.set_up(state.index, up, where=interface.name)
                rtnl.commit()
                return
    raise LabError("the interface is gone", where=interface.name)


def restore_routes(netns: Netns, node: NodePlan) -> None:
    """Gives a node back its default routes, which the kernel drops with their interface."""
    with Rtnl.inside(netns) as rtnl:
        add_routes(rtnl, node)
        rtnl.commit()


def add_routes(rtnl: Rtnl, node: NodePlan) -> None:
    """Queues a node's default routes, for the next commit."""
    for gateway in (node.default_route, node.default_route_ipv6):
        if gateway is not None:
            rtnl.add_default_route(gateway, where=f"{node.name} default route")
