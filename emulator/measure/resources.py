"""What nodes, the generator and the machine used while something was measured. Pure.

The kernel's counters are read at the begin and at the end, see ``emulator.measure.meter``, and
``emulator.measure.resource_difference`` makes a :class:`ResourceReading` of what lies between. A
value that this machine does not tell is :class:`~emulator.unavailable.Unavailable` and says why; it
is never 0 instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from emulator.kernel.rapl import total_joules
from emulator.unavailable import Unavailable, derived

_NO_PROCESS = (
    "it has no process of its own: the kernel does its work on the back of whoever sends to it"
)


@dataclass(frozen=True)
class ChildrenUse:
    """The programs that this process has started and that have ended, all together."""

    cpu_ns: int
    voluntary_switches: int
    involuntary_switches: int


@dataclass(frozen=True)
class ProcessUse:
    """What a process used in the time between two readings.

    Attributes:
        cpu_ns: CPU time of its threads; where the kernel counts them so, with the softirqs that
            ran on their backs. That of threads which ended meanwhile is missing.
        wait_ns: how long its threads were ready to run and something else had the CPU.
        voluntary_switches: how often they gave up the CPU because they had to wait.
        involuntary_switches: how often the CPU was taken from them.
        rss_bytes: memory in RAM, at the end.
        threads: how many it had at the end.
        threads_ended: how many ended meanwhile.
        cpus: those that it may run on.
    """

    pid: int
    name: str
    cpu_ns: int | Unavailable
    wait_ns: int | Unavailable
    voluntary_switches: int
    involuntary_switches: int
    rss_bytes: int
    threads: int
    threads_ended: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class TotalUse:
    """What several processes used together.

    Attributes:
        cpu_ns: their CPU time.
        cpu_percent: of one CPU, so that two busy CPUs are 200.
        cpu_ns_per_packet: per packet that the node received, of its processes only; see
            ``emulator.measure.cost`` for what the kernel spends on the way.
        wait_ns: how long they were kept waiting for a CPU, added up.
        voluntary_switches, involuntary_switches: see :class:`ProcessUse`.
        rss_bytes: memory in RAM; what they share counts once for each.
    """

    cpu_ns: int | Unavailable
    cpu_percent: float | Unavailable
    cpu_ns_per_packet: float | Unavailable
    wait_ns: int | Unavailable
    voluntary_switches: int
    involuntary_switches: int
    rss_bytes: int


@dataclass(frozen=True)
class NodeUse:
    """What a node used.

    Attributes:
        elapsed_ns: in how much time.
        processes: those of the node that lived from begin to end.
        ended: the numbers of those that ended meanwhile, and whose use is not known.
        packets: received by its interfaces.
        memory_bytes: of its container, as ``docker stats`` has it.
        perf: what the processor counted for its processes.
    """

    node: str
    elapsed_ns: int
    processes: tuple[ProcessUse, ...]
    ended: tuple[int, ...]
    packets: int | Unavailable
    memory_bytes: int | Unavailable
    perf: Mapping[str, int | Unavailable]

    @property
    def total(self) -> TotalUse | Unavailable:
        """What all its processes used together; unavailable where it has none, or one has ended."""
        if self.ended:
            return Unavailable(f"process {self.ended[0]} ended meanwhile")
        if not self.processes:
            return Unavailable(_NO_PROCESS)
        cpu_ns = added(process.cpu_ns for process in self.processes)
        return TotalUse(
            cpu_ns=cpu_ns,
            cpu_percent=derived(cpu_ns, lambda ns: 100 * ns / self.elapsed_ns),
            cpu_ns_per_packet=self._per_packet(cpu_ns),
            wait_ns=added(process.wait_ns for process in self.processes),
            voluntary_switches=sum(process.voluntary_switches for process in self.processes),
            involuntary_switches=sum(process.involuntary_switches for process in self.processes),
            rss_bytes=sum(process.rss_bytes for process in self.processes),
        )

    def _per_packet(self, cpu_ns: int | Unavailable) -> float | Unavailable:
        if isinstance(cpu_ns, Unavailable):
            return cpu_ns
        if isinstance(self.packets, Unavailable):
            return self.packets
        return cpu_ns / self.packets if self.packets else Unavailable("it received no packet")


@dataclass(frozen=True)
class OtherUse:
    """A process that takes no part in what is measured.

    Attributes:
        command: its command line, or its name where it has none.
        cpu_ns: CPU time, in whole ticks.
        share: the same, of one CPU.
        last_cpu: where it ran last.
        in_lab: whether it was started inside of the lab.
    """

    pid: int
    command: str
    cpu_ns: int
    share: float
    last_cpu: int
    in_lab: bool


@dataclass(frozen=True)
class CpuUse:
    """What a CPU did, in whole ticks.

    Attributes:
        busy_ns, irq_ns, softirq_ns, steal_ns, idle_ns: see ``CpuTimes``.
        dropped: frames lost because the CPU's queue of received ones was full.
        squeezed: how often the CPU left received frames for later.
        begin_hz, end_hz: its frequency at the begin and at the end.
        throttled: how often it slowed itself down because it was hot.
    """

    cpu: int
    busy_ns: int
    irq_ns: int
    softirq_ns: int
    steal_ns: int
    idle_ns: int
    dropped: int | Unavailable
    squeezed: int | Unavailable
    begin_hz: int | Unavailable
    end_hz: int | Unavailable
    throttled: int | Unavailable


@dataclass(frozen=True)
class MachineUse:
    """What the machine as a whole did.

    Attributes:
        cpus: each CPU.
        energy_joules: of each zone that RAPL knows, for all that ran on the machine.
        perf: what the processor counted on the CPUs that were asked for.
        carriers_cpu_ns: CPU time of the kernel's threads that carry packets.
        unexplained_cpu_ns: CPU time that belongs to no process there is: to such as began and ended
            meanwhile.
    """

    cpus: tuple[CpuUse, ...]
    energy_joules: Mapping[str, float] | Unavailable
    perf: Mapping[str, int | Unavailable]
    carriers_cpu_ns: int
    unexplained_cpu_ns: int

    @property
    def joules(self) -> float | Unavailable:
        """Energy of the processors and their memory."""
        return derived(self.energy_joules, total_joules)

    @property
    def steal_ns(self) -> int:
        """Time that the hypervisor kept from the CPUs, added up."""
        return sum(cpu.steal_ns for cpu in self.cpus)

    @property
    def busy_ns(self) -> int:
        """Time in which the CPUs worked, added up."""
        return sum(cpu.busy_ns for cpu in self.cpus)

    @property
    def dropped(self) -> int | Unavailable:
        """Frames lost in the CPUs' queues."""
        return added(cpu.dropped for cpu in self.cpus)

    @property
    def squeezed(self) -> int | Unavailable:
        """How often CPUs left received frames for later."""
        return added(cpu.squeezed for cpu in self.cpus)


@dataclass(frozen=True)
class Sample:
    """The use of nodes in a part of the time.

    Attributes:
        at_ns: the end of that part, since the begin of the reading.
        cpu_percent: by node, since the sample before.
        rss_bytes: by node, at that moment.
    """

    at_ns: int
    cpu_percent: Mapping[str, float]
    rss_bytes: Mapping[str, int]


@dataclass(frozen=True)
class ResourceReading:
    """What was used while something was measured.

    Attributes:
        nodes: by name.
        generator: the process that sent, if it lived from begin to end. The probe's own generator
            does not: it tells its CPU time and its waiting in ``ProbeResult``, and is part of
            ``children``.
        children: the programs that this process had started and that ended meanwhile: the probe's
            generator, and of its app mechanism the receiver too.
        others: the processes that used most CPU time and take no part in it, busiest first.
        series: the use of nodes over time; empty unless asked for.
    """

    elapsed_ns: int
    nodes: Mapping[str, NodeUse]
    generator: ProcessUse | Unavailable
    children: ChildrenUse
    machine: MachineUse
    others: tuple[OtherUse, ...]
    series: tuple[Sample, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, with the sums over each node's processes as ``total``; what is
        not known reads ``{"unavailable": why}``."""
        document: dict[str, Any] = _plain(self)
        for name, node in self.nodes.items():
            document["nodes"][name]["total"] = _plain(node.total)
        return document


def added(values: Iterable[int | Unavailable]) -> int | Unavailable:
    """The sum; unavailable as soon as one of the values is."""
    total = 0
    for value in values:
        if isinstance(value, Unavailable):
            return value
        total += value
    return total


def _plain(value: Any) -> Any:
    if isinstance(value, Unavailable):
        return {"unavailable": value.because}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
