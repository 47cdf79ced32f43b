"""The live network: a plan brought to life, and taken back."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from emulator import labs
from emulator.compat.mininet import from_mininet, is_mininet_topo
from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.fabric import Fabric, Progress, restore_routes, set_interface, wait_ready
from emulator.kernel.netns import Netns, ensure_root
from emulator.kernel.rtnl import forget_neighbours
from emulator.node import Node
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference
from emulator.plan.model import LinkPlan, NodePlan, Plan
from emulator.runtime.namespace import Processes
from emulator.topo import Topo

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.dataplane import RunningVnf
    from emulator.traffic.iperf import IperfResult
    from emulator.traffic.ping import PingMatrix


class Network:
    """A topology as a running network.

    Used as a context manager, it starts on entry and stops on exit; ``start`` and ``stop`` do the
    same by hand. Without a topology it begins empty and nodes and links are added one by one,
    before the start or while it runs.

    Args:
        topo: a ``Topo``, or an object made with Mininet's ``mininet.topo.Topo``.
        name: the lab's id; made from the topology's name when not given.
        ip_base: the network that hosts get their addresses from.
        ipv6: give hosts IPv6 addresses too.
        catalog: the VNFs to choose from; those that ship with the product by default.
        progress: called with (stage, done, total) while the lab starts.

    Attributes:
        topo: the topology; change it through this class while the lab runs.

    Raises:
        TopologyError: on ``start``, with all the mistakes in the topology.
        MachineError: on ``start``, when the machine lacks something.
    """

    def __init__(
        self,
        topo: Any = None,
        *,
        name: str | None = None,
        ip_base: str = "10.0.0.0/8",
        ipv6: bool = False,
        catalog: Catalog | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.topo = _as_topo(topo)
        self._wanted_id = name
        self._ip_base = ip_base
        self._ipv6 = ipv6
        self._catalog = catalog
        self._progress = progress
        self._plan: Plan | None = None
        self._fabric: Fabric | None = None
        self._processes: Processes | None = None
        self._folder: labs.LabFolder | None = None
        self._record: labs.LabRecord | None = None
        self._nodes: dict[str, Node] = {}
        self._stack = ExitStack()

    @classmethod
    def attach(cls, lab: str) -> Network:
        """A lab that another process runs, found by its id or the beginning of it.

        Commands, pings, counters and links up and down work as at home; nodes and links can be
        changed only by the owner. ``stop`` leaves the lab running.

        Raises:
            UsageError: when there is no such lab.
        """
        ensure_root("reaching a running lab")
        record = labs.find_lab(lab)
        net = cls(name=record.id)
        plan = Plan.model_validate(record.plan)
        net._plan, net._record, net._ipv6 = plan, record, plan.ipv6
        try:
            with net._undone_on_failure():
                net._join(record, plan)
        except OSError as error:
            raise LabError("the lab is just ending", where=record.id) from error
        return net

    # Life ---------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Checks the topology, then brings it to life; returns when packets can flow.

        Whatever fails, nothing stays behind.
        """
        if self.running:
            raise UsageError("the network is running already", where=self.id)
        plan = self._compile()
        ensure_root()
        labs.clean()
        with self._undone_on_failure():
            atexit.register(self.stop)
            self._stack.callback(atexit.unregister, self.stop)
            folder = labs.LabFolder.create(plan.name, self._wanted_id)
            self._folder = folder
            self._stack.callback(folder.close)
            folder.write_hosts(_addresses(plan))
            self._fabric = Fabric(ipv6=plan.ipv6, progress=self._progress)
            self._stack.callback(self._fabric.close)
            self._processes = Processes.start(folder.hosts_file)
            self._stack.callback(self._processes.close)
            self._stack.callback(self._close_nodes)
            self._fabric.add_nodes(plan.nodes)
            self._fabric.add_links(plan, plan.links)
            for node in plan.nodes:
                self._add_node(node)
            self._plan = plan
            wait_ready(plan, self._netns)
            self._write_record()
        return self

    def stop(self) -> None:
        """Ends the lab and everything in it; stopping twice is allowed."""
        self._stack.close()
        self._plan = self._fabric = self._processes = self._folder = self._record = None

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the network is up."""
        return self._processes is not None

    @property
    def id(self) -> str:
        """The lab's id, such as ``chain-3f2a``.

        Raises:
            LabError: when it is not running.
        """
        if self._record is not None:
            return self._record.id
        if self._folder is not None:
            return self._folder.id
        raise _not_running()

    @property
    def plan(self) -> Plan:
        """Everything that was decided for the topology; compiled on demand before the start.

        Raises:
            TopologyError: when the topology has mistakes.
        """
        return self._plan if self._plan is not None else self._compile()

    # Nodes and links ----------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Node:
        """The running node of that name.

        Raises:
            UsageError: when there is none.
            LabError: when the network is not running.
        """
        if not self.running:
            raise _not_running()
        try:
            return self._nodes[name]
        except KeyError:
            self.plan.node(name)
            raise

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, *names: str) -> list[Node]:
        """The running nodes of these names."""
        return [self[name] for name in names]

    @property
    def nodes(self) -> list[Node]:
        """All running nodes, in natural order."""
        return list(self._nodes.values())

    @property
    def hosts(self) -> list[Node]:
        """The running hosts and routers, in natural order."""
        return [node for node in self.nodes if node.kind in ("host", "router")]

    @property
    def switches(self) -> list[Node]:
        """The running switches, in natural order."""
        return [node for node in self.nodes if node.kind == "switch"]

    @property
    def vnfs(self) -> list[Node]:
        """The running VNFs, in natural order."""
        return [node for node in self.nodes if node.kind == "vnf"]

    @property
    def links(self) -> tuple[LinkPlan, ...]:
        """The links, in the order they were added."""
        return self.plan.links

    def addHost(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addHost``; on a running network, returns the new node."""
        return self._add("addHost", name, opts)

    def addSwitch(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addSwitch``; on a running network, returns the new node."""
        return self._add("addSwitch", name, opts)

    def addRouter(self, name: str, **opts: Any) -> Node | str:
        """As ``Topo.addRouter``; on a running network, returns the new node."""
        return self._add("addRouter", name, opts)

    def addVNF(self, name: str, vnf: str, **opts: Any) -> Node | str:
        """As ``Topo.addVNF``.

        A VNF cannot be without its links, so on a running network add both in one ``change``.
        """
        return self._add("addVNF", name, {"vnf": vnf, **opts})

    def addLink(self, node1: str | Node, node2: str | Node, **opts: Any) -> LinkPlan | None:
        """As ``Topo.addLink``; on a running network, returns the new link."""
        with self.change() as topo:
            topo.addLink(_name(node1), _name(node2), **opts)
        return self._plan.links[-1] if self._plan is not None else None

    def delNode(self, node: str | Node) -> None:
        """Removes a node and its links."""
        with self.change() as topo:
            topo.removeNode(_name(node))

    def delLink(self, node1: str | Node, node2: str | Node) -> None:
        """Removes the link between two nodes; with parallel ones, the one added first."""
        with self.change() as topo:
            topo.removeLink(_name(node1), _name(node2))

    @contextlib.contextmanager
    def change(self) -> Iterator[Topo]:
        """Changes several things at once: edit the topology it gives, and leave the block.

        The result is checked as a whole before anything is touched. What was there before keeps
        its addresses and names.

        Raises:
            TopologyError: when the changed topology has mistakes; the network then stays as it is.
        """
        if self.running and self._fabric is None:
            raise LabError(
                "only the process that runs the lab can change its nodes and links",
                where=self.id,
                hint="do it in the terminal of vnf run, or in the script",
            )
        topo = self.topo.copy()
        yield topo
        if self._plan is None:
            self.topo = topo
            return
        plan = compile_plan(
            topo,
            ip_base=self._ip_base,
            ipv6=self._ipv6,
            catalog=self._catalog,
            previous=self._plan,
        )
        self._apply(plan)
        self.topo = topo

    def configLinkStatus(self, node1: str, node2: str, status: str) -> None:
        """Takes every link between two nodes ``up`` or ``down``.

        Raises:
            UsageError: when they are not linked, or for another status.
        """
        if status not in ("up", "down"):
            raise UsageError(f"a link cannot be {status}", hint="up or down")
        links = self.plan.links_between(node1, node2)
        if not links:
            raise UsageError(f"there is no link between {node1} and {node2}")
        for link in links:
            end = min((link.a, link.b), key=lambda end: _PULLED_FIRST[self[end.node].kind])
            node = self[end.node]
            set_interface(node.netns, node.plan.interface(end.interface), up=status == "up")
            if status == "up":
                restore_routes(node.netns, node.plan)
        if status == "up":
            # The end that was left alone hears of its carrier a moment later: wait for both.
            wait_ready(self.plan, self._netns, [end for link in links for end in (link.a, link.b)])
            # Whoever asked for a neighbour in vain meanwhile would not ask again for a second.
            forget_neighbours(node.netns for node in self.hosts)

    # Traffic ------------------------------------------------------------------------------------

    def ping(
        self,
        nodes: Sequence[str | Node] | None = None,
        *,
        count: int = 1,
        timeout_s: float = 1.0,
    ) -> PingMatrix:
        """Pings between all pairs of nodes, both ways, all at the same time.

        Args:
            nodes: which ones; by default every host and router with an address.
            count: requests per pair.
            timeout_s: how long to wait for a reply.

        Raises:
            UsageError: when a node that was named has no address.
        """
        from emulator.traffic.ping import Endpoint, ping

        chosen = [self[n] if isinstance(n, str) else n for n in nodes or self.hosts]
        endpoints = []
        for node in chosen:
            address = node.IP()
            if address is not None:
                endpoints.append(Endpoint(node.name, node.netns, address))
            elif nodes is not None:
                raise UsageError("the node has no address to ping", where=node.name)
        indices = range(len(endpoints))
        pairs = [(a, b) for a in indices for b in indices if a != b]
        return ping(endpoints, pairs, count=count, timeout_s=timeout_s)

    def pingAll(self, timeout: float = 1.0) -> float:
        """Pings between all hosts; returns the percentage that was lost."""
        return self.ping(timeout_s=timeout).lost_percent

    def pingPair(self) -> float:
        """Pings between the first two hosts; returns the percentage that was lost."""
        return self.ping(self.hosts[:2]).lost_percent

    def iperf(
        self,
        hosts: Sequence[str | Node] | None = None,
        l4Type: str = "TCP",
        seconds: int = 5,
        *,
        udpBw: str | float | None = None,
        port: int = 5001,
    ) -> IperfResult:
        """Sends from one host to another by iperf3: the first and the last host by default.

        Args:
            l4Type: ``TCP`` or ``UDP``.
            udpBw: the rate for UDP: bits per second, or text such as ``10M``.

        Raises:
            UsageError, MachineError, MeasurementError: see ``emulator.traffic.iperf``.
        """
        from emulator.traffic.iperf import iperf, parse_rate_bps

        ends = list(hosts) if hosts is not None else [self.hosts[0], self.hosts[-1]]
        if len(ends) != 2:
            raise UsageError(f"iperf runs between two hosts, not {len(ends)}")
        source, destination = (self[n] if isinstance(n, str) else n for n in ends)
        rate_bps = parse_rate_bps(udpBw) if udpBw is not None else None
        return iperf(
            source, destination, protocol=l4Type, seconds=seconds, rate_bps=rate_bps, port=port
        )

    # Inside -------------------------------------------------------------------------------------

    def _compile(self) -> Plan:
        return compile_plan(
            self.topo, ip_base=self._ip_base, ipv6=self._ipv6, catalog=self._catalog
        )

    def _netns(self, node: str) -> Netns:
        return self._nodes[node].netns

    def _far_end(self, node: str, kernel_name: str) -> tuple[Netns, str]:
        for interface in self.plan.node(node).interfaces:
            if interface.kernel_name == kernel_name:
                end = self.plan.peer(node, interface.name)
                return self._netns(end.node), self.plan.interface(end).kernel_name
        raise UsageError(f"there is no interface {kernel_name}", where=node)

    @contextlib.contextmanager
    def _undone_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def _join(self, record: labs.LabRecord, plan: Plan) -> None:
        from emulator.dataplane import attach_vnf

        self._processes = Processes.join(record.init_pid)
        self._stack.callback(self._processes.close)
        self._stack.callback(self._close_nodes)
        for node in plan.nodes:
            netns = Netns.from_path(record.netns_path(node.name))
            self._stack.callback(netns.close)
            vnf = None
            if node.name in record.vnfs:
                vnf = attach_vnf(record.vnfs[node.name], netns)
            self._nodes[node.name] = Node(node, netns, self._processes, self._far_end, vnf)

    def _add_node(self, plan: NodePlan) -> None:
        assert self._fabric is not None
        assert self._processes is not None
        node = self._nodes.get(plan.name)
        if node is None:
            netns = self._fabric.namespace(plan.name)
            node = self._nodes[plan.name] = Node(plan, netns, self._processes, self._far_end)
        node.plan = plan
        self._fabric.apply_offloads(plan)
        if plan.vnf is not None:
            node.vnf = self._start_vnf(plan, node.netns)

    def _drop_node(self, name: str) -> None:
        node = self._nodes.pop(name, None)
        if node is not None:
            node.close()

    def _start_vnf(self, plan: NodePlan, netns: Netns) -> RunningVnf:
        from emulator.catalog import Catalog
        from emulator.dataplane import start_vnf

        assert plan.vnf is not None
        if self._catalog is None:
            self._catalog = Catalog.load()
        return start_vnf(plan, netns, self._catalog[plan.vnf.vnf])

    def _close_nodes(self) -> None:
        for name in list(self._nodes):
            self._drop_node(name)

    def _write_record(self) -> None:
        assert self._folder is not None
        assert self._processes is not None
        assert self._plan is not None
        started_at = self._record.started_at if self._record is not None else labs.now()
        self._record = labs.LabRecord(
            id=self._folder.id,
            name=self._plan.name,
            pid=os.getpid(),
            started_at=started_at,
            init_pid=self._processes.init_pid,
            netns={node.name: node.netns.fd for node in self.nodes},
            vnfs={node.name: node.vnf.describe() for node in self.nodes if node.vnf is not None},
            plan=self._plan.model_dump(mode="json"),
        )
        self._folder.write(self._record)

    def _add(self, method: str, name: str, opts: dict[str, Any]) -> Node | str:
        with self.change() as topo:
            getattr(topo, method)(name, **opts)
        return self._nodes[name] if self.running else name

    def _apply(self, plan: Plan) -> None:
        assert self._fabric is not None
        assert self._folder is not None
        assert self._plan is not None
        before = self._plan
        try:
            self._carry_out(Difference.between(before, plan), plan)
        except BaseException:
            try:
                self._carry_out(Difference.between(plan, before), before)
            except BuildVnfError:
                # Neither the old state nor the new one can be had: better no lab than half a one.
                self.stop()
            raise
        self._plan = plan
        self._folder.write_hosts(_addresses(plan))
        self._write_record()

    def _carry_out(self, difference: Difference, plan: Plan) -> None:
        assert self._fabric is not None
        for node in difference.nodes_changed:
            known = self._nodes.get(node.name)
            if known is not None:
                known.stop_vnf()
        for node in difference.nodes_gone:
            self._drop_node(node.name)
        self._fabric.remove_links(difference.links_gone)
        self._fabric.remove_nodes(difference.nodes_gone)
        self._fabric.add_nodes(difference.nodes_new)
        self._fabric.add_links(plan, difference.links_new)
        for node in (*difference.nodes_new, *difference.nodes_changed):
            self._add_node(node)
        self._nodes = {node.name: self._nodes[node.name] for node in plan.nodes}
        wait_ready(plan, self._netns)


_PULLED_FIRST = {"switch": 0, "vnf": 1, "router": 2, "host": 3}
"""A link goes down at the end that loses least: the other end then merely has no carrier, as with
a cable that is pulled, and keeps its addresses and routes."""


def _name(node: str | Node) -> str:
    return node.name if isinstance(node, Node) else node


def _as_topo(topo: Any) -> Topo:
    if topo is None:
        return Topo()
    if isinstance(topo, Topo):
        return topo
    if is_mininet_topo(topo):
        return from_mininet(topo)
    raise UsageError(
        f"a {type(topo).__name__} is not a topology", hint="give an object of a Topo subclass"
    )


def _addresses(plan: Plan) -> dict[str, str]:
    found = ((node.name, plan.address_of(node.name)) for node in plan.nodes)
    return {name: address for name, address in found if address is not None}


def _not_running() -> LabError:
    return LabError("the network is not running", hint="call start() or use `with Network(…)`")
