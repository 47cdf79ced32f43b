"""Reads the kernel's counters before and after a trial: what was used between the two.

A meter costs a few milliseconds at the begin and at the end, most of it for the table of all
processes, and nothing in between unless samples are asked for.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import LabError, UsageError
from emulator.kernel.cpufreq import frequencies_hz, throttle_counts
from emulator.kernel.perf import PerfCounters
from emulator.kernel.proc import (
    command_of,
    cpu_times,
    process_table,
    read_processes,
    softnet_counters,
)
from emulator.kernel.rapl import read_energy
from emulator.kernel.rtnl import link_states
from emulator.measure.inhabitants import processes_by_node
from emulator.measure.resource_difference import Snapshot, process_use, reading_between
from emulator.measure.resources import ChildrenUse, ResourceReading, Sample, added
from emulator.unavailable import Unavailable, known

if TYPE_CHECKING:
    from emulator.kernel.cgroup import Cgroup
    from emulator.kernel.netns import Netns
    from emulator.kernel.proc import ProcessReading
    from emulator.network import Network

LEAST_INTERVAL_S = 0.1
"""Between two samples: reading them takes CPU time from what is measured, about 0.1 ms for each
process, and the kernel's own counters are not up to date to less than a tick of 4 to 10 ms."""

WIRES = "(wires)"
"""What the process that impairs links is called among the nodes; no node can have that name."""


@dataclass(frozen=True)
class MeterTargets:
    """What to read of a lab.

    Attributes:
        processes: the numbers of each node's processes; none for a node that has none.
        cgroups: of the nodes that are in a container, or limited.
        interfaces: for each node, where its interfaces are and what the kernel calls them.
        roots: the processes of which all others of the lab descend.
    """

    processes: Mapping[str, Collection[int]]
    cgroups: Mapping[str, Cgroup] = field(default_factory=dict)
    interfaces: Mapping[str, tuple[Netns, Collection[str]]] = field(default_factory=dict)
    roots: Collection[int] = ()

    @classmethod
    def of_network(cls, network: Network) -> MeterTargets:
        """Every node of a running network, and the process that impairs links if there is one.

        The processes are those that live in the node now.

        Raises:
            LabError: the lab has ended.
        """
        from emulator.labs import find_lab
        from emulator.runtime.usage import names_of

        processes: dict[str, Collection[int]] = dict(processes_by_node(network.nodes))
        cgroups, interfaces = {}, {}
        roots = []
        for node in network.nodes:
            interfaces[node.name] = (node.netns, tuple(names_of(node.plan)))
            if node.container is not None and node.container.alive:
                cgroups[node.name] = node.container.cgroup
                roots.append(node.container.pid)
            elif node.plan.limits is not None and node.cgroup is not None:
                cgroups[node.name] = node.cgroup
        record = find_lab(network.id)
        roots.append(record.init_pid)
        if "pid" in record.wires:
            processes[WIRES] = (record.wires["pid"],)
        return cls(processes, cgroups, interfaces, tuple(roots))


class ResourceMeter(Closing):
    """Measures what is used in a block of a ``with`` statement; then ``reading`` tells it.

    Args:
        processes: the numbers of each node's processes.
        generator: the process that sends, where it lives longer than the block.
        cpus: those whose perf events are counted; all by default.
        targets: more to read of the lab than its processes, which are then taken from there.
        sample_s: how often to take samples of each node's CPU and memory meanwhile; None: never,
            because it disturbs.

    Raises:
        UsageError: samples are to be taken more often than ``LEAST_INTERVAL_S``.
    """

    def __init__(
        self,
        processes: Mapping[str, Collection[int]] | None = None,
        *,
        generator: int | None = None,
        cpus: Collection[int] | None = None,
        targets: MeterTargets | None = None,
        sample_s: float | None = None,
    ) -> None:
        if sample_s is not None and sample_s < LEAST_INTERVAL_S:
            raise UsageError(
                f"samples cannot be taken every {sample_s:g} s",
                where="sample_s",
                hint=f"{LEAST_INTERVAL_S:g} s or more; they would disturb what is measured",
            )
        self._targets = targets or MeterTargets(processes={})
        self._processes = {**self._targets.processes, **(processes or {})}
        self._generator = generator
        self._cpus = cpus
        self._sample_s = sample_s
        self._undo = ExitStack()
        self._perf: dict[str, PerfCounters] = {}
        self._machine_perf: PerfCounters | None = None
        self._sampler: _Sampler | None = None
        self._before: Snapshot | None = None
        self._reading: ResourceReading | None = None

    def __enter__(self) -> ResourceMeter:
        cpus = range(os.cpu_count() or 1) if self._cpus is None else self._cpus
        try:
            self._machine_perf = self._undo.enter_context(PerfCounters.of_cpus(cpus))
            for node, pids in self._processes.items():
                if pids:
                    self._perf[node] = self._undo.enter_context(PerfCounters.of_processes(pids))
            self._before = self._snapshot()
            if self._sample_s is not None:
                self._sampler = self._undo.enter_context(
                    _Sampler(self._processes, self._sample_s, self._before)
                )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._sampler is not None:
                self._sampler.close()
            assert self._before is not None
            self._reading = reading_between(
                self._before,
                self._snapshot(),
                processes=self._processes,
                generator=self._generator,
                roots=self._targets.roots,
                own=os.getpid(),
                commands=command_of,
                series=() if self._sampler is None else tuple(self._sampler.samples),
            )
        finally:
            self.close()

    def reading(self) -> ResourceReading:
        """What was used in the block.

        Raises:
            UsageError: the block is not over.
        """
        if self._reading is None:
            raise UsageError(
                "there is nothing to read yet", hint="read a meter after its with block"
            )
        return self._reading

    def close(self) -> None:
        """Stop measuring; a second call does nothing."""
        self._undo.close()

    def _snapshot(self) -> Snapshot:
        pids = {pid for each in self._processes.values() for pid in each}
        if self._generator is not None:
            pids.add(self._generator)
        # The clock stands beside what is divided by time.
        at_ns, table = time.monotonic_ns(), process_table()
        return Snapshot(
            at_ns=at_ns,
            table=table,
            processes=read_processes(pids),
            cpus=cpu_times(),
            softnet=softnet_counters(),
            frequency_hz=frequencies_hz(),
            throttled=throttle_counts(),
            energy=read_energy(),
            children=_children(),
            perf={node: counters.read() for node, counters in self._perf.items()},
            machine_perf={} if self._machine_perf is None else self._machine_perf.read(),
            memory_bytes={
                node: _memory_bytes(cgroup) for node, cgroup in self._targets.cgroups.items()
            },
            received=_received(self._targets.interfaces),
        )


class _Sampler(Closing):
    """Takes samples on a thread of its own until it is closed."""

    def __init__(
        self, processes: Mapping[str, Collection[int]], interval_s: float, begin: Snapshot
    ) -> None:
        self.samples: list[Sample] = []
        self._processes = processes
        self._interval_s = interval_s
        self._begin_ns = begin.at_ns
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(begin.processes,), name="samples", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self, before: Mapping[int, ProcessReading]) -> None:
        pids = {pid for each in self._processes.values() for pid in each}
        before_ns, number = self._begin_ns, 1
        while not self._over.wait(self._due_s(number)):
            now_ns, now = time.monotonic_ns(), read_processes(pids)
            uses = {pid: process_use(before[pid], now[pid]) for pid in now if pid in before}
            percent, rss_bytes = {}, {}
            for node, of_node in self._processes.items():
                alive = [uses[pid] for pid in of_node if pid in uses]
                if not alive:
                    continue
                rss_bytes[node] = sum(use.rss_bytes for use in alive)
                cpu_ns = known(added(use.cpu_ns for use in alive))
                if cpu_ns is not None:
                    percent[node] = 100 * cpu_ns / max(1, now_ns - before_ns)
            self.samples.append(Sample(now_ns - self._begin_ns, percent, rss_bytes))
            before, before_ns = now, now_ns
            number = max(number + 1, self._passed(now_ns) + 1)

    def _due_s(self, number: int) -> float:
        """How long it is until a sample is due; on a grid, so that they do not drift."""
        due_ns = self._begin_ns + round(number * self._interval_s * 1e9)
        return max(0.0, (due_ns - time.monotonic_ns()) / 1e9)

    def _passed(self, now_ns: int) -> int:
        return int((now_ns - self._begin_ns) / (self._interval_s * 1e9))


def _received(interfaces: Mapping[str, tuple[Netns, Collection[str]]]) -> dict[str, int]:
    found = {}
    for node, (netns, names) in interfaces.items():
        # Of a node that has just ended there is nothing to read, and the trial says so.
        with suppress(LabError, OSError):
            states = link_states(netns)
            found[node] = sum(states[name].rx_packets for name in names if name in states)
    return found


def _memory_bytes(cgroup: Cgroup) -> int | Unavailable:
    try:
        reading = cgroup.read()
    except LabError:
        return Unavailable("its container has ended")
    if reading.memory_bytes is None:
        return Unavailable(reading.unavailable["memory_bytes"])
    return reading.memory_bytes


def _children() -> ChildrenUse:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ChildrenUse(
        cpu_ns=round((usage.ru_utime + usage.ru_stime) * 1e9),
        voluntary_switches=usage.ru_nvcsw,
        involuntary_switches=usage.ru_nivcsw,
    )
