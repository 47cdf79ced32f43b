"""The switches of a lab that are Linux bridges, and the ports that each has room for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import End, Rtnl
from emulator.plan.model import NodePlan

_PORTS_PER_BRIDGE = 1000
"""A Linux bridge takes 1023 ports; the rest are for the links between the parts of a switch."""


@dataclass
class _Switch:
    """A switch of the plan: one bridge, or several joined in a star when it has many ports."""

    node: NodePlan
    bridges: list[int] = field(default_factory=list)
    members: list[set[str]] = field(default_factory=list)

    @property
    def is_bridge(self) -> bool:
        """Whether the kernel's bridge does its work; otherwise its ports are veths and no more."""
        return self.node.switch is None or self.node.switch.kind == "bridge"

    def bridge_with_room(self) -> int | None:
        """Which of the bridges takes another port; None when all are full."""
        for number, members in enumerate(self.members):
            if len(members) < _PORTS_PER_BRIDGE:
                return number
        return None

    def release(self, interface: str) -> None:
        for members in self.members:
            members.discard(interface)


class Bridges:
    """The switches of a lab by name; those of other kinds are known here too, and have no bridge.

    Args:
        netns: where they are.
        rtnl: a netlink socket there; whoever calls commits what is queued on it.
        take_index: gives a number that no interface of the lab has.
    """

    def __init__(self, netns: Netns, rtnl: Rtnl, take_index: Callable[[], int]) -> None:
        self._netns = netns
        self._rtnl = rtnl
        self._take_index = take_index
        self._switches: dict[str, _Switch] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._switches

    def __iter__(self) -> Iterator[str]:
        return iter(self._switches)

    def add(self, node: NodePlan) -> None:
        """Queues the bridge of a switch."""
        switch = self._switches[node.name] = _Switch(node)
        if switch.is_bridge:
            self._add_bridge(switch)

    def remove(self, name: str) -> None:
        """Queues the end of a switch's bridges."""
        for index in self._switches.pop(name).bridges:
            self._rtnl.delete_link(index, where=name)

    def port(self, name: str, interface: str) -> int | None:
        """The bridge that another port of a switch is to belong to; None where it has none."""
        switch = self._switches[name]
        if not switch.is_bridge:
            return None
        number = switch.bridge_with_room()
        if number is None:
            number = len(switch.bridges)
            self._add_bridge(switch)
        switch.members[number].add(interface)
        return switch.bridges[number]

    def release(self, name: str, interface: str) -> None:
        """Forget a port of a node that has gone; nothing happens to those that are no switches."""
        if name in self._switches:
            self._switches[name].release(interface)

    def _add_bridge(self, switch: _Switch) -> None:
        number = len(switch.bridges)
        index = self._take_index()
        name = (switch.node.kernel_name or switch.node.name) if not number else f"~{index}"
        mac = f"02:02:{zlib.crc32(name.encode()).to_bytes(4).hex(':')}"
        self._rtnl.add_bridge(name, index, mac, stp=switch.node.stp, where=switch.node.name)
        switch.bridges.append(index)
        switch.members.append(set())
        if number:
            self._join_bridges(switch, index)

    def _join_bridges(self, switch: _Switch, bridge: int) -> None:
        near, far = self._take_index(), self._take_index()
        macs = [f"02:03:{index.to_bytes(4).hex(':')}" for index in (near, far)]
        trunk = f"~{near}"
        self._rtnl.add_veth(
            End(trunk, near, self._netns, macs[0], master=switch.bridges[0]),
            End(f"{trunk}~", far, self._netns, macs[1]),
            where=switch.node.name,
        )
        self._rtnl.set_master(far, bridge, where=switch.node.name)
        self._rtnl.set_up(far, where=switch.node.name)
