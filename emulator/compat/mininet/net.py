"""Mininet's network, on our engine."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_interface
from typing import Any

from emulator.compat import traffic
from emulator.compat.controllers import Controller, DefaultController
from emulator.compat.growth import Growth, script_name
from emulator.compat.interfaces import Intf
from emulator.compat.links import Link
from emulator.compat.members import Members
from emulator.compat.mininet.log import error, info
from emulator.compat.mininet.util import netParse
from emulator.compat.nodes import Host
from emulator.compat.switches import Switch
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.errors import TopologyError
from emulator.plan.notices import idle_controllers

VERSION = "2.3.0"
"""Mininet's version whose names these are."""


class Mininet(Members):
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
        self.built = self._has_topo = False
        name = script_name() if topo is None else type(topo).__name__.lower()
        self.growth = Growth(name, ip_base=f"{ipBase}" if "/" in ipBase else f"{ipBase}/8")
        self.engine = self.growth.engine
        if topo is not None and build:
            self.build()

    # Life ---------------------------------------------------------------------------------------

    def build(self) -> None:
        """Adds what the topology has, and configures the hosts."""
        if self.topo is not None and not self._has_topo:
            self.buildFromTopo(self.topo)
        self.configHosts()
        if self.autoStaticArp:
            for host in self.hosts:
                host.once_alive(lambda host=host: self._tell_neighbours(host))
        self.built = True

    def buildFromTopo(self, topo: Any = None) -> None:
        """Adds everything that a topology has."""
        topo = self.topo if topo is None else topo
        self._has_topo = True
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
        if idle and any(not switch.works_alone() for switch in self.switches):
            info(f"*** {idle_controllers(idle)}\n")
        if self.xterms:
            self.startTerms()
        if self.waitConn:
            self.waitConnected(self.waitConn if not isinstance(self.waitConn, bool) else None)

    def stop(self) -> None:
        """Takes everything back."""
        info(f"*** Stopping {len(self.hosts)} hosts\n")
        self.growth.ending = True
        try:
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
        """Waits until all switches have reached their controllers; whether they have.

        Args:
            timeout: seconds at most; without, as long as it takes.
            delay: accepted as Mininet's; what happens is noticed at once.
        """
        info("*** Waiting for switches to connect\n")
        self.growth.live()
        away = self.engine.wait_connected(timeout)
        if away:
            error(f"Warning: {'; '.join(away)}\n")
        else:
            info(" ".join(switch.name for switch in self.switches) + "\n")
        return not away

    def startTerms(self) -> None:
        """Opens a terminal for every node; a controller of nothing is none of the lab."""
        from emulator.compat.mininet.term import makeTerms

        self.terms += makeTerms([each for each in self.controllers if each.in_use], "controller")
        self.terms += makeTerms(self.switches, "switch")
        self.terms += makeTerms(self.hosts, "host")

    def stopXterms(self) -> None:
        """Forgets the terminals, which end with their lab."""
        self.terms.clear()

    def staticArp(self) -> None:
        """Tells all hosts each other's MAC addresses."""
        for host in self.hosts:
            self._tell_neighbours(host)

    # Chains, which Mininet has not --------------------------------------------------------------

    def addChain(
        self,
        name: str,
        src: Any,
        dst: Any,
        via: Any = (),
        match: str = "any",
        both_ways: bool = False,
    ) -> Any:
        """Leads some traffic through hosts; see ``emulator.Network.addChain``."""
        self.growth.live()
        asked = _by_name({"src": src, "dst": dst, "via": via})
        return self.engine.addChain(name, **asked, match=match, both_ways=both_ways)

    def setChain(self, name: str, **changes: Any) -> None:
        """Changes a chain; without members it is a bypass."""
        self.engine.setChain(name, **_by_name(changes))

    def removeChain(self, name: str) -> None:
        """Removes a chain; its traffic then takes the usual way."""
        self.engine.removeChain(name)

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
        return traffic.print_pings(self._pinged(hosts), timeout)

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
        return traffic.print_full_pings(self._pinged(hosts), timeout)

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

    def _pinged(self, hosts: Sequence[Any] | None) -> Sequence[Any]:
        if hosts:
            return hosts
        traffic.announce_pings()
        return self.hosts

    def _tell_neighbours(self, host: Any) -> None:
        networks = [ip_interface(intf.address).network for intf in host.intfList() if intf.ip]
        for other in self.hosts:
            ip = other.IP()
            if other is not host and ip and any(ip_address(ip) in net for net in networks):
                host.setARP(ip, other.MAC())

    def _end(self, node: Any) -> None:
        # One that fails here is no reason to leave the others, or the lab, behind.
        try:
            if node in self.hosts:
                node.terminate()
            else:
                node.stop()
        except Exception as mistake:  # noqa: BLE001 - the script's own classes may raise anything
            error(f"*** {node.name}: {type(mistake).__name__}: {mistake}\n")


def _by_name(asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked of a chain, with the names of nodes in place of a script's objects."""
    named = dict(asked)
    for key in ("src", "dst", "via"):
        if key in named:
            value = named[key]
            several = isinstance(value, list | tuple)
            named[key] = [str(each) for each in value] if several else str(value)
    return named


__getattr__ = refuse_names("mininet.net")
