"""A lab without a kernel, for the tests of the shell: a plan, and nodes that note commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emulator.dataplane import PortCounters
from emulator.plan.model import (
    ContainerPlan,
    EndPlan,
    InterfacePlan,
    LinkPlan,
    NodePlan,
    Plan,
    VnfPlan,
)
from emulator.vnf_stats import VnfStats


def make_plan() -> Plan:
    """h1 and h2 on a switch, and a VNF between the switch and h3."""

    def interface(name: str, port: int, ipv4: str | None = None) -> InterfacePlan:
        return InterfacePlan(
            name=name, kernel_name=name, mac="02:01:00:00:00:01", port=port, ipv4=ipv4
        )

    def link(a: str, b: str) -> LinkPlan:
        ends = [EndPlan(node=name.partition("-")[0], interface=name) for name in (a, b)]
        return LinkPlan(id=f"{a}<->{b}", a=ends[0], b=ends[1])

    return Plan(
        name="fake",
        ip_base="10.0.0.0/8",
        nodes=(
            NodePlan(
                name="fw",
                kind="vnf",
                interfaces=(interface("fw-eth0", 0), interface("fw-eth1", 1)),
                vnf=VnfPlan(
                    vnf="drop",
                    dataplane="xdp",
                    mechanism="bpf",
                    parameters={"every": 3, "allow": "any", "quiet": False},
                ),
            ),
            NodePlan(name="h1", kind="host", interfaces=(interface("h1-eth0", 0, "10.0.0.1/8"),)),
            NodePlan(name="h2", kind="host", interfaces=(interface("h2-eth0", 0, "10.0.0.2/8"),)),
            NodePlan(name="h3", kind="host", interfaces=(interface("h3-eth0", 0, "10.0.0.3/8"),)),
            NodePlan(
                name="s1",
                kind="switch",
                interfaces=tuple(interface(f"s1-eth{port}", port) for port in (1, 2, 3)),
            ),
        ),
        links=(
            link("h1-eth0", "s1-eth1"),
            link("h2-eth0", "s1-eth2"),
            link("s1-eth3", "fw-eth0"),
            link("fw-eth1", "h3-eth0"),
        ),
    )


@dataclass
class FakeContainer:
    """A container that does not run, or whose program has ended with a status."""

    ports: list[tuple[str, int, int]] = field(default_factory=list)
    program_status: int | None = None
    alive: bool = False


@dataclass
class FakeNode:
    """Notes the commands it is given, and what parameters are set to."""

    plan: NodePlan
    address: str | None
    commands: list[str] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    restarts: int = 0
    container: FakeContainer | None = None
    limits: list[dict[str, Any]] = field(default_factory=list)
    printed: str = ""

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def kind(self) -> str:
        return self.plan.kind

    @property
    def parameters(self) -> dict[str, Any]:
        assert self.plan.vnf is not None
        return dict(self.plan.vnf.parameters)

    def set(self, **changes: Any) -> None:
        self.changes.append(changes)

    def restart(self) -> None:
        self.restarts += 1
        self.failure = None

    def update(self, **limits: Any) -> None:
        self.limits.append(limits)

    def logs(self, lines: int | None = None) -> str:
        return self.printed if lines is None else f"the last {lines}\n"

    def stats(self) -> VnfStats:
        return self.vnf_stats()

    def vnf_stats(self) -> VnfStats:
        counted = PortCounters(rx_packets=7, dropped_packets=2, own={"odd": 3})
        return VnfStats(
            node=self.name,
            vnf="drop",
            dataplane="packet",
            mode="AF_PACKET ring",
            failure=self.failure,
            pid=None if self.failure else 4711,
            idle="spin:20us,wait",
            cores=(1,),
            driver=None,
            parameters=self.parameters,
            ports={} if self.failure else {"fw-eth0": counted, "fw-eth1": PortCounters()},
        )

    def interact(
        self, command: str, *, echo: bool = True, on_unread: Callable[[str], None] | None = None
    ) -> int:
        self.commands.append(command)
        return 0

    def interrupt(self) -> None:
        self.commands.append("^C")

    def IP(self) -> str | None:
        return self.address


class FakeNetwork:
    """A network whose nodes are :class:`FakeNode`."""

    def __init__(self) -> None:
        self.plan = make_plan()
        self.id = "fake-0000"
        self.wires_failure: str | None = None
        self.schedules: tuple[Any, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.settings: list[tuple[list[str], dict[str, Any]]] = []
        self.wire_restarts = 0
        self.links_set: list[tuple[str, str, str]] = []
        self._nodes = {
            node.name: FakeNode(node, self.plan.address_of(node.name)) for node in self.plan.nodes
        }

    def __getitem__(self, name: str) -> FakeNode:
        return self._nodes[name]

    def enclose(
        self, name: str, container: ContainerPlan, *, host: str | None = None
    ) -> FakeContainer:
        """Put a node in a container; with a host, as its app container."""
        node = self._nodes[name]
        update = {"runtime": "docker", "container": container, "host": host}
        if host is not None:
            update |= {"kind": "app", "interfaces": ()}
        node.plan = node.plan.model_copy(update=update)
        node.container = FakeContainer()
        nodes = tuple(node.plan if each.name == name else each for each in self.plan.nodes)
        self.plan = self.plan.model_copy(update={"nodes": nodes})
        return node.container

    @property
    def nodes(self) -> list[FakeNode]:
        return list(self._nodes.values())

    @property
    def hosts(self) -> list[FakeNode]:
        return [node for node in self.nodes if node.kind == "host"]

    @property
    def switches(self) -> list[FakeNode]:
        return [node for node in self.nodes if node.kind == "switch"]

    @property
    def vnfs(self) -> list[FakeNode]:
        return [node for node in self.nodes if node.kind == "vnf"]

    @property
    def controllers(self) -> list[FakeNode]:
        return []

    def configLinkStatus(self, a: str, b: str, status: str) -> None:
        self.links_set.append((a, b, status))

    @property
    def links(self) -> tuple[LinkPlan, ...]:
        return self.plan.links

    def linksBetween(self, a: str, b: str) -> list[LinkPlan]:
        return self.plan.links_between(a, b)

    def setLinks(self, links: list[LinkPlan], **settings: Any) -> None:
        self.settings.append(([link.id for link in links], settings))

    def restart_wires(self) -> None:
        self.wire_restarts += 1
        self.wires_failure = None
