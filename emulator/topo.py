"""The graph a user writes: hosts, switches, routers, VNFs and the links between them.

The method names and signatures are Mininet's, so that a topology written for it reads the same
here; what is new stands beside them in the same style (``addVNF``, ``addRouter``). A topology is
only a description: building one touches nothing but memory, and a mistake in it is recorded
rather than raised, so that compiling the topology can report every mistake at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from emulator.calling_place import calling_place
from emulator.errors import Problem
from emulator.multigraph import ExternalEntry, MultiGraph, NodeKind, Options
from emulator.schedule import LinkSet, ScheduleEntry
from emulator.topo_graph import TopoGraph
from emulator.written_chains import ChainEntry, WrittenChains
from emulator.written_externals import WrittenExternals
from emulator.written_graph import WrittenGraph
from emulator.written_schedule import WrittenSchedule


class Topo(TopoGraph):
    """A topology; subclass it and override :meth:`build`.

    Positional and keyword arguments of the constructor go to :meth:`build`, apart from ``hopts``,
    ``sopts`` and ``lopts``: default options for every host, switch or link that gives none.
    """

    near_misses: dict[str, str]
    """Settings that ``build`` took as further parameters -> the parameter of its own that each
    resembles, for the hint when nobody knows the setting."""

    hopts: Options
    sopts: Options
    lopts: Options
    _written: WrittenGraph
    _externals: WrittenExternals
    _schedule: WrittenSchedule
    _chains: WrittenChains

    def __new__(cls, *_args: Any, **_params: Any) -> Self:
        # Here and not in __init__, so that a subclass which overrides __init__ and forgets to
        # call ours still has a graph to add nodes to.
        self = super().__new__(cls)
        if not isinstance(getattr(cls, "name", None), str):
            self.name = cls.__name__.lower()
        self.hopts, self.sopts, self.lopts = {}, {}, {}
        self.near_misses = {}
        self._graph = MultiGraph()
        self._written = WrittenGraph(self._graph)
        self._externals = WrittenExternals(self._graph)
        self._schedule = WrittenSchedule()
        self._chains = WrittenChains()
        return self

    def __init__(self, *args: Any, **params: Any) -> None:
        self.hopts = params.pop("hopts", {})
        self.sopts = params.pop("sopts", {})
        self.lopts = params.pop("lopts", {})
        self.build(*args, **params)

    def build(self, *args: Any, **params: Any) -> None:
        """Add the nodes and links; override this. The base class adds nothing."""

    # -- adding ------------------------------------------------------------------------------

    def addNode(self, name: str, **opts: Any) -> str:
        """Add a host, or a switch when ``isSwitch=True``; returns the name."""
        return self._add(name, "switch" if opts.get("isSwitch") else "host", opts)

    def addHost(self, name: str, **opts: Any) -> str:
        """Add a host; returns the name.

        Options: ``ip`` ("10.0.0.9/8", or None for no address), ``ipv6``, ``mac``,
        ``defaultRoute`` ("via 10.0.0.254"), ``runtime`` ("docker" for a host in a container, with
        the options of :meth:`addDocker`).
        """
        return self._add(name, "host", opts or dict(self.hopts))

    def addDocker(self, name: str, image: str | None = None, **opts: Any) -> str:
        """Add a host in a Docker container; returns the name.

        Args:
            name: the node's name.
            image: what it runs; ``build-vnf/base``, which ``vnf image base`` makes, by default.
            opts: those of a host, and what the container runs and may use: ``command``,
                ``environment``, ``volumes``, ``ports``, ``cpus``, ``memory`` and more; see "Hosts
                in containers" in the documentation. The spellings of Containernet, ComNetsEmu and
                the Docker SDK are taken as well (``dimage``, ``dcmd``, ``mem_limit``, …).
        """
        given = opts if image is None else {"image": image, **opts}
        return self._add(name, "host", {"runtime": "docker", **(given or self.hopts)})

    def addDockerHost(self, name: str, **opts: Any) -> str:
        """Add a host in a Docker container, as ComNetsEmu writes it; returns the name.

        Options: ``dimage``, ``dcmd``, ``ip``, ``docker_args`` (a dict of options of the Docker
        SDK), and all those of :meth:`addDocker`.
        """
        return self.addDocker(name, **opts)

    def addAppContainer(self, name: str, host: str, image: str | None = None, **opts: Any) -> str:
        """Add a container that lives in the network namespace of a node; returns the name.

        It sees the interfaces of its host and has none of its own, so it is not linked.

        Args:
            name: the app container's name.
            host: a host, router or VNF whose runtime is docker.
            image: as for :meth:`addDocker`.
            opts: those of :meth:`addDocker` that are about the container.
        """
        given = opts if image is None else {"image": image, **opts}
        return self._add(name, "app", {**given, "host": _name_of(host)})

    def addSwitch(self, name: str, **opts: Any) -> str:
        """Add a learning switch (a Linux bridge, unless another kind is asked for).

        Returns the name. Options: ``stp=True`` for the spanning tree that a loop of switches
        needs; ``kind="ovs"`` for Open vSwitch, with ``dpid``, ``failMode``, ``protocols``,
        ``datapath``, ``port_type``, ``controllers`` and more; ``kind="xdp"`` for our own switch in
        BPF, with ``ageing_s``, so long it believes what it has learnt. Mininet's classes of
        switches are taken as ``cls``. ``dpid`` is accepted for scripts that give one and means
        nothing to a Linux bridge.
        """
        return self._add(name, "switch", {**(opts or self.sopts), "isSwitch": True})

    def addRouter(self, name: str, **opts: Any) -> str:
        """Add a host that forwards IP between its interfaces; returns the name.

        The options are those of a host. Give the further interfaces their addresses on the
        links: ``addLink(s2, r1, params2={"ip": "172.16.0.1/12"})``.
        """
        return self._add(name, "router", opts or dict(self.hopts))

    def addNAT(self, name: str = "nat0", connect: bool | str = True, **opts: Any) -> str:
        """Add a router that leads out of the lab, and is where hosts send what is for outside.

        It has one more link, to the machine, which hides the lab behind its own address. Hosts in
        its network whose ``defaultRoute`` is not given use it; ``defaultRoute=""`` has none.

        Args:
            name: the router's name.
            connect: what it is linked to: True for the switch that was added first, False for
                nothing (link it yourself), or the name of a node.
            opts: those of a router.

        Returns:
            The name.
        """
        self._add(name, "router", {**opts, "nat": True})
        to = next(iter(self.switches(sort=False)), None) if connect is True else connect
        if to:
            self.addLink(name, _name_of(to))
        return name

    def addExternal(self, interface: str, to: str, **opts: Any) -> str:
        """Have an interface of the machine in the lab, until the lab ends.

        It is moved there, and moved back with its addresses and routes. What one has to know of
        virtual interfaces is in "Reach the outside" in the documentation.

        Args:
            interface: what the machine calls it.
            to: the switch that it is to be a port of, or the host or router that is to have it.
            opts: ``name``, what it is called in the lab; ``ip``, ``ipv6``, ``mac``, ``mtu`` in the
                lab; ``force=True`` to take even the one that the machine's default route uses.

        Returns:
            The interface's name on the machine.
        """
        place = self._place().rpartition("/")[2]
        self._externals.add(interface, _name_of(to), opts, place)
        return interface

    def removeExternal(self, interface: str) -> None:
        """Take an interface of the machine out of the topology again.

        Raises:
            UsageError: it is not in it.
        """
        self._externals.remove(interface, where=self.name)

    def addController(self, name: str = "c0", kind: str | None = None, **opts: Any) -> str:
        """Add a controller of Open vSwitch bridges, which is linked to nothing; returns the name.

        Args:
            name: the controller's name.
            kind: ``learning`` (a learning switch for OpenFlow 1.3, the default), ``app`` (the
                user's own, run by os-ken), ``ovs`` (ovs-testcontroller), ``command`` (any program),
                ``manual`` (what is started in the lab later), ``remote`` (what listens on the
                machine) or ``none``.
            opts: ``ip`` and ``port`` of a remote one; ``app`` or ``apps``, the path of a file or
                the name of a module, or several; ``options`` for the program that runs them;
                ``command``, a program and its arguments with ``{port}`` for the port, and the
                ``folder`` that it works in; ``wait_s``, so long its switches may take to connect.
        """
        given = opts if kind is None else {"kind": kind, **opts}
        return self._add(name, "controller", given)

    def addVNF(self, name: str, vnf: str, dataplane: str = "kernel", **parameters: Any) -> str:
        """Add a network function; returns the name.

        Args:
            name: the node's name.
            vnf: the VNF's name in the catalog (``vnf list`` shows them).
            dataplane: what processes its packets.
            parameters: the VNF's own parameters, as its manifest declares them. The names
                ``runtime``, ``ip``, ``ipv6``, ``mac``, ``cores`` and ``idle`` are the node's, as
                are those of a container's options.
        """
        return self._add(name, "vnf", {"vnf": vnf, "dataplane": dataplane, **parameters})

    def addLink(
        self,
        node1: str,
        node2: str,
        port1: int | None = None,
        port2: int | None = None,
        key: int | None = None,
        **opts: Any,
    ) -> int:
        """Link two nodes; returns the link's key, which tells parallel links apart.

        Args:
            node1, node2: names of nodes that were added before.
            port1, port2: port numbers; hosts, routers and VNFs count theirs from 0, switches
                from 1, when none is given.
            key: the link's key; one more than the highest between the two nodes by default.
            opts: ``intfName1``, ``intfName2``, ``addr1``, ``addr2`` (MAC addresses),
                ``params1``, ``params2`` (``{"ip": …, "ipv6": …, "mac": …}``, and ``vlan`` and
                ``trunk`` at ports of switches that know VLANs), ``mtu`` in bytes,
                ``kind``: ``"memif"`` joins two VNFs on the data plane dpdk by memory they share;
                and what impairs the link, in both directions: ``delay`` ("5ms"), ``jitter``,
                ``loss`` ("1%"; a number is percent), ``rate`` ("100mbit") or ``bw`` (Mbit/s),
                ``queue`` ("100p", "50KB", "20ms"), ``seed`` and more, see "Options of links" in
                the documentation. A pair of values is of the two directions, ``up`` (node1 to
                node2) and ``down``, which can be given as dicts too:
                ``up={"delay": "5ms"}``. Mininet's names mean what they mean there.
        """
        names = _name_of(node1), _name_of(node2)
        options = opts or self.lopts
        return self._written.add_link(names, (port1, port2), key, options, self._place())

    # -- chains ------------------------------------------------------------------------------

    def addChain(
        self,
        name: str,
        src: str,
        dst: str,
        via: Iterable[str] | str = (),
        match: str = "any",
        both_ways: bool = False,
    ) -> str:
        """Have some traffic pass VNFs that stand beside the switches; returns the name.

        Args:
            name: the chain's name.
            src, dst: the nodes that the traffic comes from and goes to.
            via: the VNFs, or hosts, that it passes, in order; ``"fw:1-0"`` says in by port 1, out
                by port 0. With none, the traffic takes its usual way.
            match: which traffic, ``"udp dport 9999"``; see "Matches" in the documentation.
            both_ways: whether the way back leads through the chain too, in the other direction.
        """
        asked = {"src": src, "dst": dst, "via": via, "match": match, "both_ways": both_ways}
        self._chains.add(name, self._place().rpartition("/")[2], **asked)
        return str(name)

    def setChain(self, name: str, **changes: Any) -> None:
        """Change ``src``, ``dst``, ``via``, ``match`` or ``both_ways`` of a chain.

        Raises:
            UsageError: there is no such chain, or chains have no such setting.
        """
        self._chains.set(name, self._place().rpartition("/")[2], **changes)

    def removeChain(self, name: str) -> None:
        """Remove a chain; its traffic takes the usual way.

        Raises:
            UsageError: there is no such chain.
        """
        self._chains.remove(name)

    def chains(self) -> list[str]:
        """The names of the chains, in the order they were added."""
        return list(self._chains.entries)

    # -- changing while it runs --------------------------------------------------------------

    def at(self, time: str, links: Any, **change: Any) -> None:
        """Have links change while the network runs, all of them at the same moment.

        Args:
            time: from the start: ``"10s"``.
            links: ``"h1-s1"`` for the links between two nodes, a link's id
                (``"h1-eth0<->s1-eth1"``), the name of a set, or a list of these.
            change: settings as of :meth:`addLink`, those that are not named stay, None takes one
                away; or ``state="down"`` or ``"up"``; or ``flap={"down": "1s", "every": "5s",
                "times": 3}``. With ``over="5s"`` settings change gradually, in as many ``steps``.
        """
        folder, _, place = self._place().rpartition("/")
        entry = ScheduleEntry({"at": time, "links": links, **change}, place, folder)
        self._schedule.entries.append(entry)

    def addLinkSet(self, name: str, links: Any) -> None:
        """Give several links a name, for :meth:`at` and for files of schedules."""
        self._schedule.add_set(name, LinkSet(links, self._place().rpartition("/")[2]))

    def addSchedule(self, path: str | Path) -> None:
        """Add the schedule in a YAML file, whose paths start from its own folder.

        Raises:
            UsageError: the file cannot be read, or is no schedule.
        """
        self._schedule.add_file(path)

    # -- removing ----------------------------------------------------------------------------

    def removeNode(self, name: str) -> None:
        """Remove a node and its links.

        Raises:
            UsageError: there is no such node.
        """
        self._node(name)
        self._written.forget(self._graph.remove_node(name))
        self._externals.forget(name)

    def removeLink(self, node1: str, node2: str, key: int | None = None) -> None:
        """Remove the link with that key between two nodes, or all their links.

        Raises:
            UsageError: there is no such link.
        """
        self._link(node1, node2, key)
        self._written.forget(self._graph.remove_links(node1, node2, key))

    def copy(self) -> Self:
        """An independent copy, to try a change on."""
        return copy.deepcopy(self)

    # -- for the compiler --------------------------------------------------------------------

    def external_entries(self) -> list[ExternalEntry]:
        """The interfaces of the machine as they were given to nodes."""
        return self._externals.entries

    def schedule_entries(self) -> list[ScheduleEntry]:
        """What is to change while the network runs, as it was written."""
        return self._schedule.entries

    def chain_entries(self) -> Mapping[str, ChainEntry]:
        """The chains as they were written, in the order they were added."""
        return self._chains.entries

    def link_sets(self) -> Mapping[str, LinkSet]:
        """The sets of links that have a name."""
        return self._schedule.sets

    def problems(self) -> list[Problem]:
        """The mistakes that adding nodes and links has met so far."""
        return [*self._written.problems(), *self._schedule.problems, *self._chains.problems]

    # -- inside ------------------------------------------------------------------------------

    def _add(self, name: Any, kind: NodeKind, options: Options) -> str:
        return self._written.add_node(name, kind, options, self._place())

    def _place(self) -> str:
        """The file and the line that called the topology from outside: ``/my/topo.py:12``.

        Empty where that is no script of the user's, but a line of the shell.
        """
        return calling_place()


def _name_of(node: Any) -> str:
    if isinstance(node, str):
        return node
    name = getattr(node, "name", node)
    return name if isinstance(name, str) else str(name)
