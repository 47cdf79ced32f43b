"""The plan: a topology with every name, address, port and switch setting decided.

A plan is data. It is frozen, checked when it is read, and goes to JSON and back unchanged, so
that what ran can be stored beside what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from emulator.errors import UsageError
from emulator.multigraph import NodeKind
from emulator.names import choice_hint
from emulator.plan.chain_model import ChainPlan as ChainPlan
from emulator.plan.host_model import ExternalPlan as ExternalPlan
from emulator.plan.host_model import LimitsPlan as LimitsPlan
from emulator.plan.host_model import NatPlan as NatPlan
from emulator.plan.host_model import PrivateDirPlan as PrivateDirPlan
from emulator.plan.link_model import EndPlan as EndPlan
from emulator.plan.link_model import ImpairmentPlan as ImpairmentPlan
from emulator.plan.link_model import LinkChangePlan as LinkChangePlan
from emulator.plan.link_model import LinkKind as LinkKind
from emulator.plan.link_model import LinkPlan as LinkPlan
from emulator.plan.link_model import StepPlan as StepPlan
from emulator.plan.record import Record
from emulator.plan.switch_model import ControllerPlan as ControllerPlan
from emulator.plan.switch_model import SwitchPlan as SwitchPlan

Runtime = Literal["namespace", "docker"]
Mechanism = Literal["bridge", "ip-forwarding", "bpf", "process"]


@dataclass(frozen=True, kw_only=True)
class MemifPlan(Record):
    """One end of a memif link."""

    link: str
    """What both ends call the link."""
    role: Literal["server", "client"]
    """The client connects to the server, whichever of them starts first."""


@dataclass(frozen=True, kw_only=True)
class InterfacePlan(Record):
    """One interface of a node."""

    name: str
    """What people see: ``h1-eth0``."""
    kernel_name: str
    """What the kernel calls it: ``name``, or a short form of at most 15 bytes."""
    mac: str
    """Lower case, colon separated."""
    port: int
    """The port number on its node."""
    ipv4: str | None = None
    """Address and prefix length: ``10.0.0.1/8``."""
    ipv6: str | None = None
    """Address and prefix length: ``fd00::1/64``."""
    more_addresses: tuple[str, ...] = ()
    """Further ones of both kinds."""
    mtu: int = 1500
    """Bytes of payload per frame."""
    vlan: int | None = None
    """Ports of xdp switches only: the VLAN of frames without a tag; None: of none, where there is
    no ``trunk`` either, and on a trunk that there are no such frames."""
    trunk: tuple[int, ...] = ()
    """Ports of xdp switches only: the VLANs whose frames have a tag."""
    frame_offload: bool = True
    """False: checksums and segments must be made in software before a frame leaves this
    interface, because it crosses an XDP program, which sees frames as they are, or goes to a
    veth whose ``receive_napi`` serves a crowded segment."""
    segment_offload: bool = True
    """False: segments must be made in software before a frame leaves this interface, because each
    is a frame of its own to what impairs the link; or because ``frame_offload`` is False."""
    receive_napi: bool = False
    """True: GRO must be on, which has a veth receive by NAPI, through a queue of its own: either
    the peer is a port of an XDP VNF, which can redirect frames only into such a veth, or so many
    hear each other's broadcasts that the common queue would overflow."""
    memif: MemifPlan | None = None
    """Given: the VNF's port is an end of a memif link, and the kernel knows no such interface."""
    external: ExternalPlan | None = None
    """Given: it is an interface of the machine, and of no link."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses, with their prefix lengths."""
        return tuple(each for each in (self.ipv4, self.ipv6, *self.more_addresses) if each)


@dataclass(frozen=True, kw_only=True)
class VnfPlan(Record):
    """What a VNF node runs."""

    vnf: str
    """The name in the catalog."""
    dataplane: str
    mechanism: Mechanism
    """How the data plane does it, from the manifest."""
    parameters: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Every parameter of the manifest, with its default where none was given."""
    seed: int = 1
    """What the VNF's random numbers begin with."""
    idle: str | None = None
    """Processes only: what the VNF does while no frame comes; see ``emulator.idle``."""
    cores: tuple[int, ...] = ()
    """Processes only: the CPUs it may run on; none given, it may run on all."""
    driver: str | None = None
    """How the data plane reaches its ports, where it has a choice: DPDK's poll mode driver."""
    eal: tuple[str, ...] = ()
    """DPDK only: further arguments of the environment abstraction layer."""
    hugepages: bool = False
    """DPDK only: whether memory comes from the hugepages of the machine."""


@dataclass(frozen=True, kw_only=True)
class VolumePlan(Record):
    """A folder or a file of the machine, or a named volume, inside a container."""

    source: str
    """An absolute path, or a volume's name."""
    target: str
    """An absolute path in the container."""
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishedPortPlan(Record):
    """A port of a node that the machine's own programs reach too."""

    port: int
    """In the node."""
    host_port: int
    """On the machine; 0: any that is free."""
    host_address: str = "127.0.0.1"
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, kw_only=True)
class HealthPlan(Record):
    """How it is found out whether the program in a container is well."""

    command: tuple[str, ...]
    """In Docker's form: ``("CMD", program, …)``, or ``("CMD-SHELL", line)``."""
    interval_s: float | None = None
    timeout_s: float | None = None
    start_period_s: float | None = None
    retries: int | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerPlan(Record):
    """What a node in a container runs, and what it may use; None leaves it to the image."""

    image: str
    build: str | None = None
    """The folder with the image's Dockerfile, where it is to be built first."""
    build_arguments: dict[str, str] = field(default_factory=dict)
    pull: Literal["missing", "always", "never"] = "missing"
    """When the image is asked of a registry."""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    workdir: str | None = None
    volumes: tuple[VolumePlan, ...] = ()
    tmpfs: dict[str, str] = field(default_factory=dict)
    """Path in the container -> mount options."""
    ports: tuple[PublishedPortPlan, ...] = ()
    cpus: float | None = None
    """How many CPUs' worth of time it may take."""
    cpu_shares: int | None = None
    cpuset: tuple[int, ...] = ()
    """The CPUs it may run on; none given, all."""
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    """Memory and swap together; -1 for no limit."""
    shm_bytes: int | None = None
    pids: int | None = None
    capabilities: tuple[str, ...] = ()
    """All that it has, sorted, without ``CAP_``: those of Docker are taken away first."""
    devices: tuple[str, ...] = ()
    """As Docker writes them: ``/dev/x``, ``/dev/x:/dev/y:rwm``."""
    sysctls: dict[str, str] = field(default_factory=dict)
    ulimits: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> soft and hard limit."""
    dns: tuple[str, ...] = ()
    hostname: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    """Whether the container's own file system may not be written."""
    health: HealthPlan | None = None
    """Instead of what the image says."""
    healthy_within_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class NodePlan(Record):
    """One node."""

    name: str
    kind: NodeKind
    runtime: Runtime = "namespace"
    container: ContainerPlan | None = None
    """Given when the runtime is docker."""
    host: str | None = None
    """App containers only: the node in whose network namespace it lives."""
    interfaces: tuple[InterfacePlan, ...] = ()
    """In the order of their port numbers."""
    default_route: str | None = None
    """The IPv4 gateway."""
    default_route_ipv6: str | None = None
    """The IPv6 gateway."""
    limits: LimitsPlan | None = None
    """What its processes may use, where it is in no container."""
    private_dirs: tuple[PrivateDirPlan, ...] = ()
    nat: NatPlan | None = None
    """Routers only: that it leads out of the lab."""
    stp: bool = False
    """Switches only: whether the bridge runs the spanning tree protocol."""
    switch: SwitchPlan | None = None
    """Given for switches."""
    controller: ControllerPlan | None = None
    """Given for controllers."""
    kernel_name: str | None = None
    """Switches only: the bridge device's name, unique among the lab's switches and their ports."""
    vnf: VnfPlan | None = None

    @property
    def runs_xdp(self) -> bool:
        """Whether its ports run XDP programs that redirect frames."""
        if self.switch is not None:
            return self.switch.kind == "xdp"
        return self.vnf is not None and self.vnf.mechanism == "bpf"

    def interface(self, name: str) -> InterfacePlan:
        """The interface of that name.

        Raises:
            UsageError: the node has none.
        """
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        known = [interface.name for interface in self.interfaces]
        raise UsageError(
            f"there is no interface {name}", where=self.name, hint=choice_hint(name, known)
        )


@dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """A whole topology, compiled."""

    version: Literal[1] = 1
    name: str
    ip_base: str
    """The network that addresses were taken from."""
    ipv6: bool = False
    """Whether the lab uses IPv6."""
    static_arp: bool = False
    """Whether nodes know each other's MAC addresses from the start and never ask."""
    nodes: tuple[NodePlan, ...] = ()
    """In natural order of their names."""
    links: tuple[LinkPlan, ...] = ()
    """In the order they were added."""
    schedule: tuple[StepPlan, ...] = ()
    """How links change while the lab runs, in the order of time."""
    chains: tuple[ChainPlan, ...] = ()
    """In the order they were added: of two that mean the same frame, the first has it."""
    steered: tuple[EndPlan, ...] = ()
    """The ports of switches that only chains lead to: nothing is flooded to them, and nothing is
    learnt from them, because a VNF stands behind them beside the switches."""

    def node(self, name: str) -> NodePlan:
        """The node of that name.

        Raises:
            UsageError: the plan has none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UsageError(
                f"there is no node {name}", where=self.name, hint=choice_hint(name, self._by_name)
            ) from None

    def hosts(self) -> list[NodePlan]:
        """The hosts, in natural order."""
        return self._of_kind("host")

    def switches(self) -> list[NodePlan]:
        """The switches, in natural order."""
        return self._of_kind("switch")

    def routers(self) -> list[NodePlan]:
        """The routers, in natural order."""
        return self._of_kind("router")

    def vnfs(self) -> list[NodePlan]:
        """The VNFs, in natural order."""
        return self._of_kind("vnf")

    def controllers(self) -> list[NodePlan]:
        """The controllers, in natural order."""
        return self._of_kind("controller")

    def apps(self, host: str | None = None) -> list[NodePlan]:
        """The app containers, in natural order; given a node, those that live in it."""
        return [node for node in self._of_kind("app") if host is None or node.host == host]

    def interface(self, end: EndPlan) -> InterfacePlan:
        """The interface at one end of a link."""
        try:
            return self._by_end[end.node, end.interface]
        except KeyError:
            return self.node(end.node).interface(end.interface)

    def links_between(self, a: str, b: str) -> list[LinkPlan]:
        """The links between two nodes, in either direction; none gives an empty list.

        Raises:
            UsageError: one of the nodes does not exist.
        """
        self.node(a)
        self.node(b)
        return self._links_by_pair.get(frozenset((a, b)), [])

    def peer(self, node: str, interface: str) -> EndPlan:
        """The far end of the link that an interface is an end of.

        Raises:
            UsageError: there is no such node or interface.
        """
        try:
            return self._peers[node, interface]
        except KeyError:
            self.node(node).interface(interface)
            raise

    def leads_to(self, node: str, interface: str) -> str:
        """What an interface leads to, for a person: that at the other end of its link."""
        external = self.node(node).interface(interface).external
        if external is not None:
            return f"{external.interface} of the machine"
        return self.peer(node, interface).interface

    def address_of(self, node: str) -> str | None:
        """A node's IPv4 address without its prefix length; None when it has none.

        That of the interface with the lowest port number that has one.
        """
        for interface in self.node(node).interfaces:
            if interface.ipv4 is not None:
                return interface.ipv4.partition("/")[0]
        return None

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """The plan that :meth:`to_json` wrote.

        Raises:
            UsageError: the text is not a plan.
        """
        from pydantic import ValidationError

        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(
                first["msg"][:1].lower() + first["msg"][1:],
                where=".".join(["plan", *(str(part) for part in first["loc"])]),
                hint="a plan is written by vnf plan --json",
            ) from error

    def _of_kind(self, kind: NodeKind) -> list[NodePlan]:
        return [node for node in self.nodes if node.kind == kind]

    @cached_property
    def _by_name(self) -> dict[str, NodePlan]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _by_end(self) -> dict[tuple[str, str], InterfacePlan]:
        return {(node.name, i.name): i for node in self.nodes for i in node.interfaces}

    @cached_property
    def _peers(self) -> dict[tuple[str, str], EndPlan]:
        peers: dict[tuple[str, str], EndPlan] = {}
        for link in self.links:
            peers[link.a.node, link.a.interface] = link.b
            peers[link.b.node, link.b.interface] = link.a
        return peers

    @cached_property
    def _links_by_pair(self) -> dict[frozenset[str], list[LinkPlan]]:
        pairs: dict[frozenset[str], list[LinkPlan]] = {}
        for link in self.links:
            pairs.setdefault(frozenset((link.a.node, link.b.node)), []).append(link)
        return pairs
