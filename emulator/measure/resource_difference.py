"""What lies between two readings of the kernel's counters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.kernel.perf import Counts
from emulator.kernel.proc import (
    CpuTimes,
    ProcessReading,
    SoftnetCounters,
    TableRow,
    ThreadReading,
)
from emulator.kernel.rapl import EnergyReading, joules_between
from emulator.measure.resources import (
    ChildrenUse,
    CpuUse,
    MachineUse,
    NodeUse,
    OtherUse,
    ProcessUse,
    ResourceReading,
    Sample,
    added,
)
from emulator.unavailable import Unavailable, derived

TOP_CONSUMERS = 5
"""How many of the processes outside are named at most."""
LEAST_NAMED_SHARE = 0.01
"""Of a CPU: a process outside that used less is not named. It is the least that the ticks of a
trial of a second can tell from nothing."""


@dataclass(frozen=True)
class Snapshot:
    """All counters at one moment.

    Attributes:
        at_ns: the moment, by ``time.monotonic_ns``.
        processes: those of the nodes and the generator, by number.
        table: all processes of the machine, by number.
        cpus, softnet, frequency_hz, throttled: by CPU.
        energy: by the folder of the zone.
        children: of this process.
        memory_bytes: of the nodes that are in a container.
        received: packets that the interfaces of each node have received.
        perf: of each node with processes.
        machine_perf: of the CPUs that were asked for.
    """

    at_ns: int
    processes: Mapping[int, ProcessReading]
    table: Mapping[int, TableRow]
    cpus: Mapping[int, CpuTimes]
    softnet: Mapping[int, SoftnetCounters] | Unavailable
    frequency_hz: Mapping[int, int] | Unavailable
    throttled: Mapping[int, int] | Unavailable
    energy: Mapping[str, EnergyReading] | Unavailable
    children: ChildrenUse
    memory_bytes: Mapping[str, int | Unavailable]
    received: Mapping[str, int]
    perf: Mapping[str, Counts]
    machine_perf: Counts


def reading_between(
    before: Snapshot,
    after: Snapshot,
    *,
    processes: Mapping[str, Collection[int]],
    generator: int | None = None,
    roots: Collection[int] = (),
    own: int = 0,
    commands: Callable[[int, str], str] = lambda _pid, name: name,
    series: tuple[Sample, ...] = (),
) -> ResourceReading:
    """What was used between two moments.

    Args:
        before, after: the counters then.
        processes: the numbers of each node's processes.
        generator: the process that sends.
        roots: the processes of which all others in the lab descend.
        own: our own process, which is not named among the others.
        commands: gives the command line of a process by its number and name.
        series: samples taken meanwhile.
    """
    elapsed_ns = max(1, after.at_ns - before.at_ns)
    nodes = {
        node: _node_use(node, pids, before, after, elapsed_ns) for node, pids in processes.items()
    }
    ours = {own, generator, *(pid for pids in processes.values() for pid in pids)}
    spent = _spent(before.table, after.table)
    children = ChildrenUse(
        cpu_ns=after.children.cpu_ns - before.children.cpu_ns,
        voluntary_switches=after.children.voluntary_switches - before.children.voluntary_switches,
        involuntary_switches=(
            after.children.involuntary_switches - before.children.involuntary_switches
        ),
    )
    cpus = tuple(_cpu_uses(before, after))
    accounted_ns = sum(spent.values()) + children.cpu_ns
    return ResourceReading(
        elapsed_ns=elapsed_ns,
        nodes=nodes,
        generator=_generator_use(generator, before, after),
        children=children,
        machine=MachineUse(
            cpus=cpus,
            energy_joules=_energy(before.energy, after.energy),
            perf=_counts_between(before.machine_perf, after.machine_perf),
            carriers_cpu_ns=sum(
                cpu_ns for pid, cpu_ns in spent.items() if after.table[pid].carries_packets
            ),
            unexplained_cpu_ns=max(0, sum(cpu.busy_ns for cpu in cpus) - accounted_ns),
        ),
        others=tuple(_others(spent, after.table, ours, roots, elapsed_ns, commands)),
        series=series,
    )


def process_use(before: ProcessReading, after: ProcessReading) -> ProcessUse:
    """What a process used between two readings of it."""
    nothing = ThreadReading(0, 0, 0, 0)
    pairs = [(before.threads.get(tid, nothing), now) for tid, now in after.threads.items()]
    return ProcessUse(
        pid=after.pid,
        name=after.name,
        cpu_ns=added(_difference(then.cpu_ns, now.cpu_ns) for then, now in pairs),
        wait_ns=added(_difference(then.wait_ns, now.wait_ns) for then, now in pairs),
        voluntary_switches=sum(
            now.voluntary_switches - then.voluntary_switches for then, now in pairs
        ),
        involuntary_switches=sum(
            now.involuntary_switches - then.involuntary_switches for then, now in pairs
        ),
        rss_bytes=after.rss_bytes,
        threads=len(after.threads),
        threads_ended=len(before.threads.keys() - after.threads.keys()),
        cpus=tuple(sorted(after.cpus)),
    )


def _same_process(pid: int, before: Snapshot, after: Snapshot) -> ProcessUse | None:
    """Its use; None when it did not live from begin to end, though its number may be another's."""
    then, now = before.processes.get(pid), after.processes.get(pid)
    if then is None or now is None or then.started_ticks != now.started_ticks:
        return None
    return process_use(then, now)


def _node_use(
    node: str, pids: Collection[int], before: Snapshot, after: Snapshot, elapsed_ns: int
) -> NodeUse:
    uses = {pid: _same_process(pid, before, after) for pid in pids}
    packets: int | Unavailable = Unavailable("its interfaces were not read")
    if node in before.received and node in after.received:
        packets = after.received[node] - before.received[node]
    return NodeUse(
        node=node,
        elapsed_ns=elapsed_ns,
        processes=tuple(use for use in uses.values() if use is not None),
        ended=tuple(pid for pid, use in uses.items() if use is None),
        packets=packets,
        memory_bytes=after.memory_bytes.get(node, Unavailable("the node is in no container")),
        perf=_counts_between(before.perf.get(node, {}), after.perf.get(node, {})),
    )


def _generator_use(pid: int | None, before: Snapshot, after: Snapshot) -> ProcessUse | Unavailable:
    if pid is None:
        return Unavailable("no generator was named; the probe tells of its own in its result")
    return _same_process(pid, before, after) or Unavailable(
        "the generator did not live from the begin to the end"
    )


def _spent(before: Mapping[int, TableRow], after: Mapping[int, TableRow]) -> dict[int, int]:
    """CPU time of each process there is at the end; all it has had where it began meanwhile."""
    spent = {}
    for pid, now in after.items():
        then = before.get(pid)
        same = then is not None and then.started_ticks == now.started_ticks
        spent[pid] = max(0, now.cpu_ns - (then.cpu_ns if then is not None and same else 0))
    return spent


def _others(
    spent: Mapping[int, int],
    table: Mapping[int, TableRow],
    ours: Collection[int | None],
    roots: Collection[int],
    elapsed_ns: int,
    commands: Callable[[int, str], str],
) -> Iterator[OtherUse]:
    busiest = sorted(spent.items(), key=lambda each: (-each[1], each[0]))
    named = 0
    for pid, cpu_ns in busiest:
        if named == TOP_CONSUMERS or cpu_ns < LEAST_NAMED_SHARE * elapsed_ns:
            return
        row = table[pid]
        if pid in ours or row.carries_packets:
            continue
        named += 1
        yield OtherUse(
            pid=pid,
            command=commands(pid, row.name),
            cpu_ns=cpu_ns,
            share=cpu_ns / elapsed_ns,
            last_cpu=row.last_cpu,
            in_lab=_descends(pid, table, roots),
        )


def _descends(pid: int, table: Mapping[int, TableRow], roots: Collection[int]) -> bool:
    seen = set()
    while pid in table and pid not in seen:
        if pid in roots:
            return True
        seen.add(pid)
        pid = table[pid].parent
    return False


def _cpu_uses(before: Snapshot, after: Snapshot) -> Iterator[CpuUse]:
    for cpu, now in after.cpus.items():
        # A CPU that came meanwhile has done all it did since then.
        then = before.cpus.get(cpu, CpuTimes(0, 0, 0, 0, 0))
        lost, left = _softnet(cpu, before.softnet, after.softnet)
        yield CpuUse(
            cpu=cpu,
            # Counters of a CPU may run back by a tick or two, says proc(5).
            busy_ns=max(0, now.busy_ns - then.busy_ns),
            irq_ns=max(0, now.irq_ns - then.irq_ns),
            softirq_ns=max(0, now.softirq_ns - then.softirq_ns),
            steal_ns=max(0, now.steal_ns - then.steal_ns),
            idle_ns=max(0, now.idle_ns - then.idle_ns),
            dropped=lost,
            squeezed=left,
            begin_hz=_of_cpu(cpu, before.frequency_hz),
            end_hz=_of_cpu(cpu, after.frequency_hz),
            throttled=_difference(_of_cpu(cpu, before.throttled), _of_cpu(cpu, after.throttled)),
        )


def _softnet(
    cpu: int,
    before: Mapping[int, SoftnetCounters] | Unavailable,
    after: Mapping[int, SoftnetCounters] | Unavailable,
) -> tuple[int | Unavailable, int | Unavailable]:
    then, now = _of_cpu(cpu, before), _of_cpu(cpu, after)
    for each in (then, now):
        if isinstance(each, Unavailable):
            return each, each
    assert isinstance(then, SoftnetCounters)
    assert isinstance(now, SoftnetCounters)
    return _wrapped(then.dropped, now.dropped), _wrapped(then.squeezed, now.squeezed)


def _of_cpu(cpu: int, values: Mapping[int, Any] | Unavailable) -> Any:
    if isinstance(values, Unavailable):
        return values
    return values.get(cpu, Unavailable(f"it is not told for CPU {cpu}"))


def _wrapped(before: int, after: int) -> int:
    """Between two readings of a counter of 32 bits, which starts over from 0."""
    return (after - before) % (1 << 32)


def _energy(
    before: Mapping[str, EnergyReading] | Unavailable,
    after: Mapping[str, EnergyReading] | Unavailable,
) -> dict[str, float] | Unavailable:
    if isinstance(before, Unavailable):
        return before
    return derived(after, lambda later: joules_between(before, later))


def _counts_between(before: Counts, after: Counts) -> dict[str, int | Unavailable]:
    return {event: _difference(before.get(event, 0), count) for event, count in after.items()}


def _difference(before: int | Unavailable, after: int | Unavailable) -> int | Unavailable:
    if isinstance(before, Unavailable):
        return before
    return derived(after, lambda later: later - before)
