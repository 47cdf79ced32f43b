"""The hops of impaired links: where what impairs them works, past no node's data plane."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emulator.kernel.netns import Netns
from emulator.kernel.offload import receive_unmerged
from emulator.kernel.rtnl import End, Rtnl
from emulator.plan.model import LinkPlan, Plan


@dataclass(frozen=True)
class WirePort:
    """The inner end of one half of an impaired link."""

    name: str
    index: int


@dataclass(frozen=True)
class WirePorts:
    """Both inner ends of an impaired link, and the number by which ``vnf-wire`` knows it."""

    number: int
    a: WirePort
    b: WirePort


class _Numbers:
    """Small numbers, each given out once until it comes back."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        heapq.heappush(self._free, number)


class WireHops:
    """The inner ends of a lab's impaired links, in a namespace of their own.

    Args:
        take_index: gives a number that no interface of the lab has.

    Attributes:
        netns: where they are; None until there is one.
    """

    def __init__(self, take_index: Callable[[], int]) -> None:
        self.netns: Netns | None = None
        self._take_index = take_index
        self._ports: dict[str, WirePorts] = {}
        self._numbers = _Numbers()

    def __contains__(self, link: object) -> bool:
        return link in self._ports

    def __getitem__(self, link: str) -> WirePorts:
        return self._ports[link]

    def add(self, rtnl: Rtnl, link: LinkPlan, ends: tuple[End, End]) -> None:
        """Queues a link as two pairs, each from a node's end to one of the hop's.

        Args:
            ends: those of the nodes, as the link names them.
        """
        if self.netns is None:
            self.netns = Netns.create()
        number = self._numbers.take()
        ports = []
        for end, letter in zip(ends, "ab", strict=True):
            index = self._take_index()
            name = f"w{number}{letter}"
            mac = f"02:04:{index.to_bytes(4).hex(':')}"
            port = End(name, index, self.netns, mac, mtu=end.mtu)
            rtnl.add_veth(end, port, where=link.id)
            ports.append(WirePort(name, index))
        self._ports[link.id] = WirePorts(number, ports[0], ports[1])

    def open(self, plan: Plan, links: Iterable[LinkPlan]) -> None:
        """Raises the inner ends of links, those that are not impaired apart."""
        wired = [link for link in links if link.id in self._ports]
        if not wired or self.netns is None:
            return
        redirected_to: dict[str, int] = {}
        with Rtnl.inside(self.netns) as rtnl:
            for link in wired:
                ports = self._ports[link.id]
                for port, end in ((ports.a, link.a), (ports.b, link.b)):
                    rtnl.set_up(port.index, where=link.id)
                    if plan.node(end.node).runs_xdp:
                        redirected_to[port.name] = port.index
            rtnl.commit()
        if redirected_to:
            receive_unmerged(self.netns, redirected_to, where="wires")

    def forget(self, link: str) -> None:
        """Forgets a link whose nodes' ends have been removed, and with them the inner ones."""
        self._numbers.give(self._ports.pop(link).number)

    def close(self) -> None:
        """Lets go of the namespace, and thereby of all that is in it."""
        if self.netns is not None:
            self.netns.close()
