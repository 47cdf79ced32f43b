"""What the nodes of a running lab do at this moment: packets, CPU, memory, and verdicts of VNFs.

Counters are read at two moments; what lies between them, by time, is what ``vnf top`` shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.dataplane.running import PortCounters
from emulator.errors import LabError
from emulator.kernel.proc import ProcessReading, read_processes
from emulator.kernel.rtnl import link_states
from emulator.measure.inhabitants import processes_by_node
from emulator.measure.resource_difference import process_use
from emulator.measure.resources import added
from emulator.runtime.usage import names_of
from emulator.unavailable import known

if TYPE_CHECKING:
    from emulator.kernel.cgroup import CgroupReading
    from emulator.network import Network
    from emulator.node import Node
    from emulator.plan.model import NodePlan

_INTERFACE_COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes")
_VERDICTS = ("dropped_packets", "back_packets", "to_host_packets", "unsent_packets")
"""What became of frames that did not simply go on, of ``PortCounters``."""


@dataclass(frozen=True)
class NodeSample:
    """The counters of a node at one moment.

    Attributes:
        traffic: of all its interfaces together, by the names of ``LinkState``.
        processes: those that live in it, by number.
        group: of its control group, where it is in a container, or limited.
        verdicts: of a VNF, all ports together; None where it has none, or that has ended.
        status: ``running`` or ``failed``.
    """

    traffic: Mapping[str, int]
    processes: Mapping[int, ProcessReading]
    group: CgroupReading | None
    verdicts: Mapping[str, int] | None
    status: str


@dataclass(frozen=True)
class LabSample:
    """The counters of all nodes at one moment, by ``time.monotonic_ns``."""

    at_ns: int
    nodes: Mapping[str, NodeSample]


@dataclass(frozen=True)
class NodeRates:
    """What a node did between two samples; None where this is not known, or is nothing of its own.

    Attributes:
        kind, dataplane, vnf: what it is, as in its plan.
        status: ``running`` or ``failed``.
        rx_pps, tx_pps: packets per second through its interfaces.
        rx_bps, tx_bps: the same in bits as the kernel counts them, without the frame check
            sequence; on a link with XDP at its far end, without the Ethernet header too of frames
            that did not come from XDP.
        cpu_percent: of one CPU, of its processes only. The kernel's work for it, all of it on the
            data planes kernel and xdp, is borne by whoever sends.
        memory_bytes: of its control group as ``docker stats`` has it, or what its processes have in
            RAM.
        processes: how many live in it.
        verdicts: of a VNF, frames per second by what became of them, and what its own counters
            count, per second.
    """

    node: str
    kind: str
    vnf: str | None
    dataplane: str | None
    status: str
    rx_pps: float
    tx_pps: float
    rx_bps: float
    tx_bps: float
    cpu_percent: float | None
    memory_bytes: int | None
    processes: int | None
    verdicts: Mapping[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


class LabWatch:
    """Looks at a running lab again and again; owner or not.

    Args:
        network: the lab.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._before = self.sample()

    def sample(self) -> LabSample:
        """The counters of all nodes now.

        Raises:
            LabError: the lab has ended.
        """
        from emulator.labs import record_written_ns

        # Counters can still be read for a moment when the lab itself is no more.
        record_written_ns(self._network.id)
        while True:
            nodes = self._network.nodes
            try:
                return _sample_of(nodes)
            except (LabError, OSError):
                # Some of them have gone, which is noticed only when they are looked at.
                if nodes == self._network.nodes:
                    raise

    def rates(self) -> list[NodeRates]:
        """What each node did since the last time, or since this began.

        Raises:
            LabError: the lab has ended.
        """
        now = self.sample()
        before, self._before = self._before, now
        return rates_between(before, now, [node.plan for node in self._network.nodes])


def _sample_of(nodes: Sequence[Node]) -> LabSample:
    at_ns = time.monotonic_ns()
    inhabitants = processes_by_node(nodes)
    return LabSample(at_ns, {node.name: _sample(node, inhabitants[node.name]) for node in nodes})


def rates_between(
    before: LabSample, after: LabSample, nodes: Iterable[NodePlan]
) -> list[NodeRates]:
    """What nodes did between two samples; those that are not in both are left out."""
    seconds = max(1, after.at_ns - before.at_ns) / 1e9
    return [
        _rates(node, before.nodes[node.name], after.nodes[node.name], seconds)
        for node in nodes
        if node.name in before.nodes and node.name in after.nodes
    ]


def _sample(node: Node, pids: Iterable[int]) -> NodeSample:
    verdicts, group = None, None
    vnf = node.vnf
    # What has ended meanwhile shows in the status.
    with suppress(LabError):
        if vnf is not None and vnf.failure() is None:
            verdicts = _verdicts(vnf.counters().values())
    with suppress(LabError):
        cgroup = node.cgroup
        if cgroup is not None:
            group = cgroup.read()
    states = link_states(node.netns)
    present = [states[name] for name in names_of(node.plan) if name in states]
    return NodeSample(
        traffic={
            name: sum(getattr(state, name) for state in present) for name in _INTERFACE_COUNTERS
        },
        processes=read_processes(pids),
        group=group,
        verdicts=verdicts,
        status=node.status,
    )


def _verdicts(ports: Iterable[PortCounters]) -> dict[str, int]:
    total: dict[str, int] = {}
    for port in ports:
        for name in _VERDICTS:
            total[name] = total.get(name, 0) + getattr(port, name)
        for name, count in port.own.items():
            total[name] = total.get(name, 0) + count
    return total


def _rates(node: NodePlan, before: NodeSample, after: NodeSample, seconds: float) -> NodeRates:
    def per_second(name: str) -> float:
        # A container that was started anew has new interfaces, which count from 0.
        now = after.traffic[name]
        then = before.traffic[name]
        return (now - then if now >= then else now) / seconds

    verdicts = None
    if after.verdicts is not None:
        earlier = before.verdicts or {}
        verdicts = {
            name: max(0, count - earlier.get(name, 0)) / seconds
            for name, count in after.verdicts.items()
        }
    vnf = node.vnf
    return NodeRates(
        node=node.name,
        kind=node.kind,
        vnf=None if vnf is None else vnf.vnf,
        dataplane=None if vnf is None else vnf.dataplane,
        status=after.status,
        rx_pps=per_second("rx_packets"),
        tx_pps=per_second("tx_packets"),
        rx_bps=8 * per_second("rx_bytes"),
        tx_bps=8 * per_second("tx_bytes"),
        cpu_percent=_cpu_percent(before, after, seconds),
        memory_bytes=_memory_bytes(after),
        processes=None if node.kind == "switch" else len(after.processes),
        verdicts=verdicts,
    )


def _cpu_percent(before: NodeSample, after: NodeSample, seconds: float) -> float | None:
    cpu_ns: int | None
    then_ns = None if before.group is None else before.group.cpu_ns
    now_ns = None if after.group is None else after.group.cpu_ns
    if then_ns is not None and now_ns is not None:
        # It has the time of processes that ended, too.
        cpu_ns = now_ns - then_ns
    elif not after.processes:
        return None
    else:
        uses = []
        for pid, now in after.processes.items():
            then = before.processes.get(pid)
            if then is None or then.started_ticks != now.started_ticks:
                then = ProcessReading(pid, now.started_ticks, now.name, {}, 0, now.cpus)
            uses.append(process_use(then, now))
        cpu_ns = known(added(use.cpu_ns for use in uses))
    return None if cpu_ns is None else max(0.0, 100 * cpu_ns / (seconds * 1e9))


def _memory_bytes(sample: NodeSample) -> int | None:
    if sample.group is not None and sample.group.memory_bytes is not None:
        return sample.group.memory_bytes
    if not sample.processes:
        return None
    return sum(process.rss_bytes for process in sample.processes.values())
