"""Counters of a small machine, for tests of what is worked out from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulator.kernel.proc import (
    CpuTimes,
    ProcessReading,
    SoftnetCounters,
    TableRow,
    ThreadReading,
)
from emulator.measure.resource_difference import Snapshot
from emulator.measure.resources import (
    ChildrenUse,
    CpuUse,
    MachineUse,
    NodeUse,
    OtherUse,
    ProcessUse,
    ResourceReading,
)
from emulator.measure.sensors import Sensors
from emulator.unavailable import Unavailable

S = 1_000_000_000
NONE = Unavailable("this machine does not tell")


def thread(cpu_ns: int = 0, wait_ns: int = 0, voluntary: int = 0, taken: int = 0) -> ThreadReading:
    return ThreadReading(cpu_ns, wait_ns, voluntary, taken)


def process(pid: int, *threads: ThreadReading, started: int = 1, rss: int = 4096) -> ProcessReading:
    numbered = {pid + number: each for number, each in enumerate(threads)}
    return ProcessReading(pid, started, f"process-{pid}", numbered, rss, frozenset({0, 1}))


def row(pid: int, cpu_ns: int, **changes: Any) -> TableRow:
    return replace(
        TableRow(pid, 1, f"process-{pid}", started_ticks=1, cpu_ns=0, last_cpu=0, is_kernel=False),
        cpu_ns=cpu_ns,
        **changes,
    )


def snapshot(at_ns: int, *processes: ProcessReading, **changes: Any) -> Snapshot:
    return replace(
        Snapshot(
            at_ns=at_ns,
            processes={each.pid: each for each in processes},
            table={},
            cpus={0: CpuTimes(0, 0, 0, 0, 0), 1: CpuTimes(0, 0, 0, 0, 0)},
            softnet={0: SoftnetCounters(0, 0, 0), 1: SoftnetCounters(0, 0, 0)},
            frequency_hz=NONE,
            throttled=NONE,
            energy=NONE,
            children=ChildrenUse(0, 0, 0),
            memory_bytes={},
            received={},
            perf={},
            machine_perf={},
        ),
        **changes,
    )


def cpu_use(cpu: int = 0, **changes: Any) -> CpuUse:
    return replace(
        CpuUse(
            cpu=cpu,
            busy_ns=S // 2,
            irq_ns=0,
            softirq_ns=0,
            steal_ns=0,
            idle_ns=S // 2,
            dropped=0,
            squeezed=0,
            begin_hz=NONE,
            end_hz=NONE,
            throttled=NONE,
        ),
        **changes,
    )


def other(share: float = 0.5, **changes: Any) -> OtherUse:
    return replace(
        OtherUse(77, "python3 hog.py", round(share * S), share, last_cpu=0, in_lab=False), **changes
    )


def node_use(node: str = "fw", *, wait_ns: int = 0, cpus: tuple[int, ...] = (0, 1)) -> NodeUse:
    one = ProcessUse(
        pid=50,
        name=node,
        cpu_ns=S // 4,
        wait_ns=wait_ns,
        voluntary_switches=3,
        involuntary_switches=2,
        rss_bytes=4096,
        threads=1,
        threads_ended=0,
        cpus=cpus,
    )
    return NodeUse(node, S, (one,), (), 1000, NONE, {})


def reading(
    *cpus: CpuUse,
    others: tuple[OtherUse, ...] = (),
    nodes: tuple[NodeUse, ...] = (),
    unexplained_ns: int = 0,
) -> ResourceReading:
    return ResourceReading(
        elapsed_ns=S,
        nodes={each.node: each for each in nodes},
        generator=NONE,
        children=ChildrenUse(0, 0, 0),
        machine=MachineUse(
            cpus=cpus or (cpu_use(0), cpu_use(1)),
            energy_joules=NONE,
            perf={"cycles": NONE},
            carriers_cpu_ns=0,
            unexplained_cpu_ns=unexplained_ns,
        ),
        others=others,
    )


def sensors(resources: ResourceReading | None = None, **changes: Any) -> Sensors:
    """A trial of a second at 10,000 packets/s in which nothing went wrong."""
    return replace(
        Sensors(
            asked_pps=10_000.0,
            offered_pps=10_000.0,
            sent=10_000,
            unsent=0,
            lost=0,
            overrun=0,
            elapsed_ns=S,
            generator_wait_ns=0,
            generator_cpus=(),
            generator_name="the probe",
            resources=resources or reading(),
            modes={"fw": "native"},
            idle_states_kept_out=True,
        ),
        **changes,
    )
