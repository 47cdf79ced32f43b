"""Mininet's network, on our engine."""

from __future__ import annotations

import random
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from emulator.compat import traffic
from emulator.compat.controllers import Controller, DefaultController
from emulator.compat.growth import Growth, script_name
from emulator.compat.links import Intf, Link
from emulator.compat.mininet.log import error, info
from emulator.compat.mininet.util import ipAdd, macColonHex, natural, netParse, numCores
from emulator.compat.nodes import Host, Node
from emulator.compat.switches import Switch
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.errors import TopologyError, UsageError
from emulator.names import choice_hint

VERSION = "2.3.0"
"""Mininet's version whose names these are."""


class Mininet:
    """A network of a script.

    Nodes and links that are added come to life together, when the network starts or as soon as
    something needs one of them alive.

    Attributes:
        engine: the network that they live in: ``emulator.Network``.
        topo: the topology that it is built from, if there is one.
        hosts, switches, controllers, links: what it has.
        nameToNode: its nodes by name.
    """

    def __init__(
        self,
        topo: Any = None,
        switch: Any = Switch,
        host: Any = Host,
        controller: Any = DefaultController,
        link: Any = Link,
        intf: Any = Intf,
        build: bool = True,
        xterms: bool = False,
        cleanup: bool = False,
        ipBase: str = "10.0.0.0/8",
        inNamespace: bool = False,
        autoSetMacs: bool = False,
        autoStaticArp: bool = False,
        autoPinCpus: bool = False,
        listenPort: int | None = None,
        waitConnected: bool | float = False,
    ) -> None:
        if inNamespace:
            raise UnsupportedError(
                "inNamespace=True is not supported",
                hint="the switches of a lab share a namespace of the lab's own",
            )
        self.topo = topo
        self.switch, self.host, self.controller = switch, host, controller
        self.link, self.intf = link, intf
        self.ipBase = ipBase
        self.ipBaseNum, self.prefixLen = netParse(ipBase)
        self.nextIP = (0xFFFFFFFF >> self.prefixLen & self.ipBaseNum) or 1
        self.inNamespace = inNamespace
        self.xterms = xterms
        self.cleanup = cleanup
        self.autoSetMacs, self.autoStaticArp = autoSetMacs, autoStaticArp
        self.autoPinCpus = autoPinCpus
        self.nextCore = 0
        self.listenPort = listenPort
        self.waitConn = waitConnected
        self.hosts: list[Any] = []
        self.switches: list[Any] = []
        self.controllers: list[Any] = []
        self.links: list[Any] = []
        self.nameToNode: dict[str, Any] = {}
        self.terms: list[Any] = []
        self.built = False
        name = script_name() if topo is None else type(topo).__name__.lower()
        self.growth = Growth(name, ip_base=f"{ipBase}" if "/" in ipBase else f"{ipBase}/8")
        self.engine = self.growth.engine
        if topo is not None and build:
            self.build()

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
            gateway = nat.params["ip"].partition("/")[0]
            for host in self.hosts:
                if host is not nat and host.inNamespace:
                    host.params.setdefault("defaultRoute", f"via {gateway}")
                    if self.built:
                        host.setDefaultRoute(f"via {gateway}")
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

    # Life ---------------------------------------------------------------------------------------

    def build(self) -> None:
        """Adds what the topology has, and configures the hosts."""
        if self.topo is not None and not self.nameToNode:
            self.buildFromTopo(self.topo)
        self.configHosts()
        if self.autoStaticArp:
            for host in self.hosts:
                host.once_alive(lambda host=host: self._tell_neighbours(host))
        self.built = True

    def buildFromTopo(self, topo: Any = None) -> None:
        """Adds everything that a topology has."""
        topo = self.topo if topo is None else topo
        problems = topo.problems() if hasattr(topo, "problems") else []
        if problems:
            raise TopologyError(problems, where=type(topo).__name__.lower())
        info("*** Creating network\n")
        if not self.controllers and self.controller:
            info("*** Adding controller\n")
            classes = self.controller if isinstance(self.controller, list) else [self.controller]
            for number, cls in enumerate(classes):
                self.addController(cls if isinstance(cls, Controller) else f"c{number}", cls)
        info("*** Adding hosts:\n")
        for name in topo.hosts():
            self.addHost(name, **topo.nodeInfo(name))
            info(f"{name} ")
        info("\n*** Adding switches:\n")
        for name in topo.switches():
            options = {key: val for key, val in topo.nodeInfo(name).items() if key != "isSwitch"}
            self.addSwitch(name, **options)
            info(f"{name} ")
        info("\n*** Adding links:\n")
        for _, _, options in topo.links(sort=True, withInfo=True):
            self.addLink(**options)
            info(f"({options['node1']}, {options['node2']}) ")
        info("\n")

    def configHosts(self) -> None:
        """Gives the hosts their addresses and routes."""
        info("*** Configuring hosts\n")
        for host in self.hosts:
            host.prepare()
        for host in self.hosts:
            info(f"{host.name} ")
            if host.plainly_configured:
                host.once_alive(host.configDefault)
            else:
                host.configDefault()
        info("\n")

    def start(self) -> None:
        """Brings the network to life: its controllers, its switches and what is linked to them."""
        if not self.built:
            self.build()
        info("*** Starting controller\n")
        for controller in self.controllers:
            info(f"{controller.name} ")
            controller.start()
        info(f"\n*** Starting {len(self.switches)} switches\n")
        for switch in self.switches:
            info(f"{switch.name} ")
            switch.begin(self.controllers)
        info("...\n")
        self.growth.live()
        idle = [each.name for each in self.controllers if not each.in_use]
        if idle and self.switches:
            info(f"*** {', '.join(idle)}: nothing to control, Linux bridges learn by themselves\n")
        if self.xterms:
            self.startTerms()
        if self.waitConn:
            self.waitConnected(self.waitConn if not isinstance(self.waitConn, bool) else None)

    def stop(self) -> None:
        """Takes everything back."""
        info(f"*** Stopping {len(self.hosts)} hosts\n")
        try:
            self.stopXterms()
            if self.growth.alive:
                for node in (*self.controllers, *self.switches, *self.hosts):
                    self._end(node)
        finally:
            self.growth.end()
            info("*** Done\n")

    def run(self, test: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts the network, has a function do its work, and stops it whatever happens."""
        self.start()
        try:
            info("*** Running test\n")
            return test(*args, **kwargs)
        finally:
            self.stop()

    def interact(self) -> Any:
        """Starts the network, opens a shell on it, and stops it when that is left."""
        from emulator.compat.mininet.cli import CLI

        self.start()
        try:
            return CLI(self)
        finally:
            self.stop()

    @classmethod
    def init(cls) -> None:
        """What the class needs before its first network; here nothing."""

    def waitConnected(self, timeout: float | None = None, delay: float = 0.5) -> bool:
        """Whether all switches work and have reached their controllers.

        They have when the network has started, so there is nothing to wait for.
        """
        info("*** Waiting for switches to connect\n")
        self.growth.live()
        missing = [switch.name for switch in self.switches if not switch.connected()]
        if missing:
            error(f"Warning: {', '.join(missing)} not connected\n")
        else:
            info(" ".join(switch.name for switch in self.switches) + "\n")
        return not missing

    def startTerms(self) -> None:
        """Opens a terminal for every node."""
        from emulator.compat.mininet.term import makeTerms

        self.terms += makeTerms(self.controllers, "controller")
        self.terms += makeTerms(self.switches, "switch")
        self.terms += makeTerms(self.hosts, "host")

    def stopXterms(self) -> None:
        """Closes the terminals."""
        for term in self.terms:
            if hasattr(term, "terminate"):
                term.terminate()
        self.terms = []

    def staticArp(self) -> None:
        """Tells all hosts each other's MAC addresses."""
        for host in self.hosts:
            self._tell_neighbours(host)

    # Traffic ------------------------------------------------------------------------------------

    def monitor(
        self, hosts: Sequence[Any] | None = None, timeoutms: float = -1
    ) -> Iterator[tuple[Any, str | None]]:
        """What the commands under way of hosts print, as ``(host, text)``.

        When nothing comes within the time, it yields ``(None, None)``; it ends when no command is
        under way any more.
        """
        hosts = list(self.hosts if hosts is None else hosts)
        while waiting := [host for host in hosts if host.waiting]:
            poller = select.poll()
            by_fd = {host.stdout.fileno(): host for host in waiting}
            for fd in by_fd:
                poller.register(fd, select.POLLIN)
            ready = poller.poll(timeoutms if timeoutms >= 0 else None)
            for fd, _ in ready:
                text = by_fd[fd].monitor()
                if text:
                    yield by_fd[fd], text
            if not ready:
                yield None, None

    def ping(self, hosts: Sequence[Any] | None = None, timeout: str | float | None = None) -> float:
        """Pings between all pairs of hosts, all at once; the percentage that was lost."""
        return traffic.print_pings(self.hosts if hosts is None else hosts, timeout)

    def pingAll(self, timeout: str | float | None = None) -> float:
        """Pings between all hosts; the percentage that was lost."""
        return self.ping(timeout=timeout)

    def pingPair(self) -> float:
        """Pings between the first two hosts; the percentage that was lost."""
        return self.ping(self.hosts[:2])

    def pingFull(
        self, hosts: Sequence[Any] | None = None, timeout: str | float | None = None
    ) -> list[traffic.FullPing]:
        """Pings between all pairs of hosts, with times: see ``traffic.print_full_pings``."""
        return traffic.print_full_pings(self.hosts if hosts is None else hosts, timeout)

    def pingAllFull(self) -> list[traffic.FullPing]:
        """Pings between all hosts, with times."""
        return self.pingFull()

    def pingPairFull(self) -> list[traffic.FullPing]:
        """Pings between the first two hosts, with times."""
        return self.pingFull(self.hosts[:2])

    def iperf(
        self,
        hosts: Sequence[Any] | None = None,
        l4Type: str = "TCP",
        udpBw: str = "10M",
        fmt: str | None = None,
        seconds: float = 5,
        port: int = 5001,
    ) -> list[str]:
        """Measures throughput between two hosts, the first and the last by default."""
        ends = [self.hosts[0], self.hosts[-1]] if hosts is None else hosts
        return traffic.iperf(ends, l4Type, udpBw, fmt, seconds, port)

    def runCpuLimitTest(self, cpu: float, duration: int = 5) -> list[float]:
        """Has every host compute; what each got in each second, in percent of the machine."""
        return traffic.measure_cpu_limits(self.hosts, cpu, duration)

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:
        """Takes the links between two nodes ``up`` or ``down``."""
        self._node(src), self._node(dst)
        self.growth.live()
        self.engine.configLinkStatus(str(src), str(dst), status)

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
            raise UsageError(f"there is no node {name}", hint=choice_hint(name, known))
        return self.nameToNode[name]

    def _tell_neighbours(self, host: Any) -> None:
        for other in self.hosts:
            if other is not host and other.IP() is not None:
                host.setARP(other.IP(), other.MAC())

    def _end(self, node: Any) -> None:
        # One that fails here is no reason to leave the others, or the lab, behind.
        try:
            if node in self.hosts:
                node.terminate()
            else:
                node.stop()
        except Exception as mistake:  # noqa: BLE001 - the script's own classes may raise anything
            error(f"*** {node.name}: {type(mistake).__name__}: {mistake}\n")


__getattr__ = refuse_names("mininet.net")
