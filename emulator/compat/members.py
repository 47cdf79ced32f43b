"""What a network of a script consists of: nodes and links added, removed, and found by name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from emulator.compat.controllers import Controller
from emulator.compat.growth import Growth
from emulator.compat.interfaces import Intf
from emulator.compat.mininet.util import ipAdd, macColonHex, natural, numCores
from emulator.compat.nodes import Node
from emulator.errors import UsageError
from emulator.names import choice_hint


class UnknownNodeError(UsageError, KeyError):
    """There is no node of a name; scripts may expect a ``KeyError``."""


class Members:
    """The nodes and links of a network.

    Attributes:
        hosts, switches, controllers, links: what there is.
        nameToNode: the nodes by name.
        host, switch, controller, link, intf: the classes of what is added without one.
        ipBaseNum, prefixLen, nextIP: the network that hosts get addresses from, and the number of
            the next one.
        built: whether the hosts have been configured.
        growth: what lives, or is to live.
    """

    hosts: list[Any]
    switches: list[Any]
    controllers: list[Any]
    links: list[Any]
    nameToNode: dict[str, Any]
    host: Any
    switch: Any
    controller: Any
    link: Any
    intf: Any
    ipBaseNum: int
    prefixLen: int
    nextIP: int
    nextCore: int
    autoSetMacs: bool
    autoPinCpus: bool
    listenPort: int | None
    built: bool
    growth: Growth

    # Adding and removing ------------------------------------------------------------------------

    def addHost(self, name: str, cls: Any = None, **params: Any) -> Any:
        """Adds a host, of a class or of the network's; the next address is its by default."""
        defaults: dict[str, Any] = {
            "ip": f"{ipAdd(self.nextIP, self.prefixLen, self.ipBaseNum)}/{self.prefixLen}"
        }
        if self.autoSetMacs:
            defaults["mac"] = macColonHex(self.nextIP)
        if self.autoPinCpus:
            defaults["cores"] = self.nextCore
            self.nextCore = (self.nextCore + 1) % numCores()
        self.nextIP += 1
        host = self._make(cls or self.host, name, {**defaults, **params})
        self.hosts.append(host)
        return host

    def addSwitch(self, name: str, cls: Any = None, **params: Any) -> Any:
        """Adds a switch, of a class or of the network's."""
        defaults = {} if self.listenPort is None else {"listenPort": self.listenPort}
        switch = self._make(cls or self.switch, name, {**defaults, **params})
        if self.listenPort is not None:
            self.listenPort += 1
        self.switches.append(switch)
        return switch

    def addController(self, name: Any = "c0", controller: Any = None, **params: Any) -> Any:
        """Adds a controller, of a class or of the network's, or one that was made before."""
        made = None
        if isinstance(name, Controller):
            made = name
        elif isinstance(controller, Controller):
            made = controller
        else:
            make = controller or self.controller
            made = None if make is None else self._make(make, name, params, register=False)
        if made is None:
            return None
        self.growth.take_over(made)
        self.nameToNode[made.name] = made
        self.controllers.append(made)
        if made.needs_openflow:
            self.growth.want_openflow(made.name)
        return made

    def addNAT(
        self,
        name: str = "nat0",
        connect: bool | str | Node = True,
        inNamespace: bool = False,
        **params: Any,
    ) -> Any:
        """Adds a node that leads to the outside, at a switch; hosts have it as their gateway.

        Args:
            connect: the switch, by default the first one; or False for none.
            inNamespace: accepted as Mininet's; the node is in the lab, and leads out all the same.
        """
        from emulator.compat.mininet.nodelib import NAT

        network = f"{ipAdd(0, self.prefixLen, self.ipBaseNum)}/{self.prefixLen}"
        nat = self.addHost(name, cls=NAT, subnet=params.pop("subnet", network), **params)
        if connect:
            switch = connect if not isinstance(connect, bool) else next(iter(self.switches), None)
            if switch is None:
                raise UsageError("there is no switch to connect it to", where=name)
            self.addLink(nat, switch)
            nat.prepare()
            route = f"via {nat.params['ip'].partition('/')[0]}"
            for host in self.hosts:
                if host is not nat:
                    host.once_alive(partial(host.setDefaultRoute, route))
        return nat

    def addLink(
        self,
        node1: Any,
        node2: Any,
        port1: int | None = None,
        port2: int | None = None,
        cls: Any = None,
        **params: Any,
    ) -> Any:
        """Links two nodes, given by name or as objects."""
        node1, node2 = self._node(node1), self._node(node2)
        options = {"port1": port1, "port2": port2, **params}
        options = {key: value for key, value in options.items() if value is not None}
        if self.intf is not Intf:
            options.setdefault("intf", self.intf)
        link = (cls or self.link)(node1, node2, **options)
        self.links.append(link)
        return link

    def delNode(self, node: Any, nodes: list[Any] | None = None) -> None:
        """Removes a node and its links."""
        node = self._node(node)
        for known in (self.hosts, self.switches, self.controllers):
            if node in known:
                known.remove(node)
        for link in [each for each in self.links if node in (each.intf1.node, each.intf2.node)]:
            self.delLink(link)
        node.stop(deleteIntfs=True)
        self.growth.remove_node(node)
        self.nameToNode.pop(node.name, None)

    def delHost(self, host: Any) -> None:
        """Removes a host and its links."""
        self.delNode(host)

    def delSwitch(self, switch: Any) -> None:
        """Removes a switch and its links."""
        self.delNode(switch)

    def delController(self, controller: Any) -> None:
        """Removes a controller."""
        self.delNode(controller)

    def delLink(self, link: Any) -> None:
        """Removes a link."""
        link.delete()
        if link in self.links:
            self.links.remove(link)

    def delLinkBetween(self, node1: Any, node2: Any, index: int = 0, allLinks: bool = False) -> Any:
        """Removes one of the links between two nodes, or all of them; returns what it removed."""
        links = self.linksBetween(self._node(node1), self._node(node2))
        if not links:
            raise UsageError(f"there is no link between {node1} and {node2}")
        chosen = links if allLinks else [links[index]]
        for link in chosen:
            self.delLink(link)
        return chosen if allLinks else chosen[0]

    # Looking ------------------------------------------------------------------------------------

    def getNodeByName(self, *args: str) -> Any:
        """The node of a name; of several names, a list."""
        found = [self._node(name) for name in args]
        return found[0] if len(found) == 1 else found

    def get(self, *args: str) -> Any:
        """The node of a name; of several names, a list."""
        return self.getNodeByName(*args)

    def __getitem__(self, key: str) -> Any:
        return self._node(key)

    def __delitem__(self, key: str) -> None:
        self.delNode(key)

    def __iter__(self) -> Iterator[str]:
        for node in (*self.hosts, *self.switches, *self.controllers):
            yield node.name

    def __len__(self) -> int:
        return len(self.hosts) + len(self.switches) + len(self.controllers)

    def __contains__(self, item: object) -> bool:
        return item in self.nameToNode

    def keys(self) -> list[str]:
        """The names of all nodes."""
        return list(self)

    def values(self) -> list[Any]:
        """All nodes."""
        return [self[name] for name in self]

    def items(self) -> list[tuple[str, Any]]:
        """The names of all nodes with the nodes."""
        return list(zip(self.keys(), self.values(), strict=True))

    def linksBetween(self, node1: Any, node2: Any) -> list[Any]:
        """The links between two nodes."""
        return [
            link
            for link in self.links
            if (node1, node2)
            in ((link.intf1.node, link.intf2.node), (link.intf2.node, link.intf1.node))
        ]

    @staticmethod
    def randMac() -> str:
        """A MAC address at random."""
        return macColonHex(random.getrandbits(46) << 2 & 0xFCFFFFFFFFFF | 0x020000000000)

    # Inside -------------------------------------------------------------------------------------

    def _make(self, make: Any, name: str, params: dict[str, Any], *, register: bool = True) -> Any:
        with self.growth.adopting():
            node = make(name, **params)
        if node is not None and register:
            self.nameToNode[name] = node
        return node

    def _node(self, name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if name not in self.nameToNode:
            known = sorted(self.nameToNode, key=natural)
            raise UnknownNodeError(f"there is no node {name}", hint=choice_hint(name, known))
        return self.nameToNode[name]
