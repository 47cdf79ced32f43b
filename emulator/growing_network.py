"""Nodes, links and chains of a network, added and removed, before its start or while it runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from emulator.chains.chain import Chain
from emulator.errors import UsageError
from emulator.linked_network import LinkedNetwork
from emulator.names import choice_hint
from emulator.network_nodes import name_of
from emulator.node import Node

if TYPE_CHECKING:
    from emulator.link import Link
    from emulator.plan.model import ChainPlan
    from emulator.topo import Topo


class GrowingNetwork(LinkedNetwork):
    """The part of a network that changes what it consists of, each time by one ``change``."""

    @property
    @abstractmethod
    def running(self) -> bool: ...

    @abstractmethod
    def change(self) -> AbstractContextManager[Topo]: ...

    # Nodes --------------------------------------------------------------------------------------

    def addHost(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addHost``; on a running network, returns the new node."""
        return self._add("addHost", name, opts)

    def addSwitch(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addSwitch``; on a running network, returns the new node."""
        return self._add("addSwitch", name, opts)

    def addController(self, name: str = "c0", kind: str | None = None, **opts: Any) -> Node | str:
        """As ``Topo.addController``; on a running network, returns the new node."""
        return self._add("addController", name, opts if kind is None else {"kind": kind, **opts})

    def addRouter(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addRouter``; on a running network, returns the new node."""
        return self._add("addRouter", name, opts)

    def addNAT(
        self, name: str = "nat0", connect: bool | str | Node = True, **opts: Any
    ) -> Node | str:
        """As ``Topo.addNAT``; on a running network, returns the new node."""
        to = name_of(connect) if isinstance(connect, Node) else connect
        return self._add("addNAT", name, {"connect": to, **opts})

    def addDocker(self, name: str, image: str | None = None, **opts: Any) -> Node | str:
        """As ``Topo.addDocker``; on a running network, returns the new node."""
        return self._add("addDocker", name, {"image": image, **opts})

    def addDockerHost(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addDockerHost``; on a running network, returns the new node."""
        return self._add("addDockerHost", name, opts)

    def addAppContainer(
        self, name: str, host: str | Node, image: str | None = None, **opts: Any
    ) -> Node | str:
        """As ``Topo.addAppContainer``; on a running network, returns the new node."""
        return self._add("addAppContainer", name, {"host": name_of(host), "image": image, **opts})

    def addVNF(self, name: str, vnf: str, **opts: Any) -> Node | str:
        """As ``Topo.addVNF``.

        A VNF cannot be without its links, so on a running network add both in one ``change``.
        """
        return self._add("addVNF", name, {"vnf": vnf, **opts})

    def delNode(self, node: str | Node) -> None:
        """Removes a node and its links; app containers that live in it have to go first."""
        with self.change() as topo:
            topo.removeNode(name_of(node))

    def removeDocker(self, node: str | Node) -> None:
        """As :meth:`delNode`, by Containernet's name."""
        self.delNode(node)

    # Links --------------------------------------------------------------------------------------

    def addLink(self, node1: str | Node, node2: str | Node, **opts: Any) -> Link | None:
        """As ``Topo.addLink``; on a running network, returns the new link."""
        with self.change() as topo:
            topo.addLink(name_of(node1), name_of(node2), **opts)
        return self.link(self.plan.links[-1].id) if self.running else None

    def delLink(self, node1: str | Node, node2: str | Node) -> None:
        """Removes the link between two nodes; with parallel ones, the one added first."""
        with self.change() as topo:
            topo.removeLink(name_of(node1), name_of(node2))

    def addExternal(self, interface: str, to: str | Node, **opts: Any) -> None:
        """As ``Topo.addExternal``; on a running network, at once."""
        with self.change() as topo:
            topo.addExternal(interface, name_of(to), **opts)

    def removeExternal(self, interface: str) -> None:
        """Gives an interface of the machine back."""
        with self.change() as topo:
            topo.removeExternal(interface)

    # Chains -------------------------------------------------------------------------------------

    def addChain(
        self,
        name: str,
        src: str | Node,
        dst: str | Node,
        via: Iterable[str | Node] | str | Node = (),
        match: str = "any",
        both_ways: bool = False,
    ) -> Chain | str:
        """As ``Topo.addChain``; on a running network, returns the new chain."""
        with self.change() as topo:
            asked: Any = (src, dst, via, match, both_ways)
            topo.addChain(name, *asked)
        return self.chain(name) if self.running else name

    def setChain(self, name: str, **changes: Any) -> None:
        """As ``Topo.setChain``; on a running network, no frame is lost that it is not about.

        Frames of the chain that are under way get the time to arrive.
        """
        with self.change() as topo:
            topo.setChain(name, **changes)

    def removeChain(self, name: str) -> None:
        """As ``Topo.removeChain``; on a running network, as :meth:`setChain`."""
        with self.change() as topo:
            topo.removeChain(name)

    @property
    def chains(self) -> list[Chain]:
        """The chains of the running network, in the order they were added."""
        lab = self._running()
        lab.follow_links()
        return [self.chain(plan.name) for plan in lab.plan.chains]

    def chain(self, name: str) -> Chain:
        """A chain of the running network, to look at and to change.

        Raises:
            UsageError: there is no such chain.
            LabError: the network is not running.
        """
        self._chain_plan(name)
        return Chain(
            name,
            lambda: self._chain_plan(name),
            lambda: self._running().chain_counts(),
            self.setChain,
        )

    def _chain_plan(self, name: str) -> ChainPlan:
        lab = self._running()
        lab.follow_links()
        known = {plan.name: plan for plan in lab.plan.chains}
        if name not in known:
            hint = choice_hint(name, known) if known else "addChain adds one"
            raise UsageError(f"there is no chain {name}", where=self.id, hint=hint)
        return known[name]

    # Inside -------------------------------------------------------------------------------------

    def _add(self, method: str, name: str, opts: dict[str, Any]) -> Node | str:
        with self.change() as topo:
            getattr(topo, method)(name, **opts)
        return self._live().get(name, name)
