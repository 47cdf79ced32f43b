"""Mininet's links, declared first and alive later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.compat.growth import user_place
from emulator.compat.interfaces import Intf
from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from emulator.compat.nodes import Node
    from emulator.link import Link as EngineLink
    from emulator.topo import Topo


class Link:
    """A link between two nodes.

    Attributes:
        intf1, intf2: its ends.
        born: whether it is alive.
        key: the engine's key of it.
        place: where the script made it.
    """

    def __init__(
        self,
        node1: Node,
        node2: Node,
        port1: int | None = None,
        port2: int | None = None,
        intfName1: str | None = None,
        intfName2: str | None = None,
        addr1: str | None = None,
        addr2: str | None = None,
        intf: Callable[..., Intf] = Intf,
        cls1: Callable[..., Intf] | None = None,
        cls2: Callable[..., Intf] | None = None,
        params1: dict[str, Any] | None = None,
        params2: dict[str, Any] | None = None,
        fast: bool = True,
        mtu: int | None = None,
        **params: Any,
    ) -> None:
        self.born = False
        self.key = 0
        self.place = user_place()
        self.growth = node1.growth
        self._mtu = mtu
        if node2.growth is not self.growth:
            raise UsageError(f"{node1} and {node2} are of different networks", where=self.place)
        port1 = node1.newPort() if port1 is None else port1
        # A link of a node to itself is refused when it comes to life, with all other mistakes.
        port2 = node2.newPort() + (node1 is node2) if port2 is None else port2
        intfName1 = intfName1 or self.intfName(node1, port1)
        intfName2 = intfName2 or self.intfName(node2, port2)
        make1, make2 = cls1 or intf, cls2 or intf
        own1 = {**params, **(params1 or {})}
        own2 = {**params, **(params2 or {})}
        self.intf1 = make1(intfName1, node=node1, port=port1, link=self, mac=addr1, **own1)
        self.intf2 = make2(intfName2, node=node2, port=port2, link=self, mac=addr2, **own2)
        self.growth.links.append(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __str__(self) -> str:
        return f"{self.intf1}<->{self.intf2}"

    def intfName(self, node: Node, n: int) -> str:
        """The name of an interface at a port of a node."""
        return f"{node.name}-eth{n}"

    def status(self) -> str:
        """How its two ends are."""
        return f"({self.intf1.status()} {self.intf2.status()})"

    def delete(self) -> None:
        """Takes it away."""
        # With the network all of them go at once.
        if self in self.growth.links and not self.growth.ending:
            self.growth.remove_link(self)
        for intf in (self.intf1, self.intf2):
            intf.node.delIntf(intf)

    def stop(self) -> None:
        """Takes it away."""
        self.delete()

    # For the engine -----------------------------------------------------------------------------

    def declare(self, topo: Topo) -> None:
        """Adds it to the topology of a lab."""
        ends = (self.intf1, self.intf2)
        for intf in ends:
            intf.engine_name = intf.name
        options: dict[str, Any] = {} if self._mtu is None else {"mtu": self._mtu}
        for number, intf in enumerate(ends, 1):
            options[f"port{number}"] = intf.node.ports[intf]
            options[f"intfName{number}"] = intf.name
            own = {"ip": intf.address, **intf.impairments}
            if intf.mac is not None:
                own["mac"] = intf.mac
            options[f"params{number}"] = own
        self.key = topo.addLink(self.intf1.node.name, self.intf2.node.name, **options)

    def be_born(self) -> None:
        """Takes note of what it is alive."""
        for intf in (self.intf1, self.intf2):
            intf.born = True
            intf.be_born()

    def living(self) -> EngineLink:
        """The engine's link; it comes to life if it does not yet."""
        self.growth.live()
        if not self.born:
            raise LabError("the link has been removed", where=str(self))
        return self.growth.engine.link(f"{self.intf1.engine_name}<->{self.intf2.engine_name}")


class OVSLink(Link):
    """A link between two Open vSwitch bridges: a pair of interfaces, like any other."""


class TCLink(Link):
    """A link with impairments; here every link can have them."""


class TCULink(TCLink):
    """A link with impairments whose frames have their checksums; here impaired ones always do."""
