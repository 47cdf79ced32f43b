"""What a node in a container uses of the machine: CPU, memory, processes, and its interfaces.

Counters of the kernel are read twice; what lies between them is the use of that time. Nothing of
Docker's is asked, so an ended engine or a slow one makes no difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError
from emulator.kernel.rtnl import link_states

if TYPE_CHECKING:
    from emulator.kernel.cgroup import Cgroup, CgroupReading
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

INTERVAL_S = 0.25
"""How far apart two samples are unless told otherwise: two and a half periods of the kernel's
CPU quota, so that a throttled node does not look idle or unbounded by chance."""


@dataclass(frozen=True)
class InterfaceUsage:
    """What went through an interface since it was made, as the kernel counts."""

    rx_packets: int
    rx_bytes: int
    rx_dropped_packets: int
    tx_packets: int
    tx_bytes: int
    tx_dropped_packets: int


@dataclass(frozen=True)
class Sample:
    """The counters of a node at one moment.

    Attributes:
        at_ns: the moment, by ``time.monotonic_ns``.
        reading: those of its control group.
        interfaces: those of its interfaces, by the names that people see.
    """

    at_ns: int
    reading: CgroupReading
    interfaces: Mapping[str, InterfaceUsage]


@dataclass(frozen=True)
class ContainerStats:
    """What a container uses; None where it has no limit, or where this is not known.

    CPU time is that of its processes. Packets that the kernel handles on their behalf, all of them
    on the data planes kernel and xdp, are not in it: that time is nobody's or some other process's.

    Attributes:
        interval_s: the time that ``cpu_percent`` is about.
        cpu_percent: of one CPU, so that two busy CPUs are 200.
        cpu_limit_percent: the most that it may use; None for all there is.
        cpu_ns: CPU time since its start.
        throttled_ns: how long it was kept off the CPUs since its start, to keep to its limit.
        cpuset: the CPUs it may run on.
        memory_bytes: in use, as ``docker stats`` shows it: without file cache that would be given
            up first.
        memory_limit_bytes: the most that it may use.
        memory_peak_bytes: the most that it has used, file cache included.
        processes: how many processes and threads it has.
        processes_limit: how many it may have.
        oom_kills: how many of its processes the kernel has ended for want of memory.
        interfaces: for each interface, what went through it.
        unavailable: for each of these that this machine cannot tell, why.
    """

    interval_s: float
    cpu_percent: float | None
    cpu_limit_percent: float | None
    cpu_ns: int | None
    throttled_ns: int | None
    cpuset: tuple[int, ...] | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    memory_peak_bytes: int | None
    processes: int | None
    processes_limit: int | None
    oom_kills: int | None
    interfaces: Mapping[str, InterfaceUsage]
    unavailable: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def names_of(plan: NodePlan) -> dict[str, str]:
    """For each interface of a node that the kernel knows, its name there and what people see."""
    return {each.kernel_name: each.name for each in plan.interfaces if each.memif is None}


def sample(cgroup: Cgroup, netns: Netns, names: Mapping[str, str]) -> Sample:
    """A node's counters now.

    Args:
        cgroup: its control group.
        netns: its network namespace.
        names: the interfaces to count, see :func:`names_of`; those that are gone are left out.

    Raises:
        LabError: the node has ended.
    """
    # The clock stands beside the counter of CPU time, which is the one that is divided by time.
    at_ns = time.monotonic_ns()
    reading = cgroup.read()
    states = link_states(netns)
    return Sample(
        at_ns=at_ns,
        reading=reading,
        interfaces={
            shown: InterfaceUsage(
                rx_packets=states[name].rx_packets,
                rx_bytes=states[name].rx_bytes,
                rx_dropped_packets=states[name].rx_dropped,
                tx_packets=states[name].tx_packets,
                tx_bytes=states[name].tx_bytes,
                tx_dropped_packets=states[name].tx_dropped,
            )
            for name, shown in names.items()
            if name in states
        },
    )


def between(earlier: Sample, later: Sample) -> ContainerStats:
    """What was used between two samples of the same node, and what the later one says."""
    interval_ns = later.at_ns - earlier.at_ns
    before_ns, now = earlier.reading.cpu_ns, later.reading
    renamed = {
        "tasks": "processes",
        "tasks_limit": "processes_limit",
        "cpu_limit": "cpu_limit_percent",
    }
    unavailable = {renamed.get(name, name): why for name, why in now.unavailable.items()}
    percent = None
    if before_ns is None or now.cpu_ns is None:
        unavailable["cpu_percent"] = unavailable.get("cpu_ns", "it was not known before")
    elif interval_ns <= 0:
        unavailable["cpu_percent"] = "no time lies between the samples"
    else:
        percent = 100 * (now.cpu_ns - before_ns) / interval_ns
    return ContainerStats(
        interval_s=interval_ns / 1e9,
        cpu_percent=percent,
        cpu_limit_percent=None if now.cpu_limit is None else 100 * now.cpu_limit,
        cpu_ns=now.cpu_ns,
        throttled_ns=now.throttled_ns,
        cpuset=now.cpuset,
        memory_bytes=now.memory_bytes,
        memory_limit_bytes=now.memory_limit_bytes,
        memory_peak_bytes=now.memory_peak_bytes,
        processes=now.tasks,
        processes_limit=now.tasks_limit,
        oom_kills=now.oom_kills,
        interfaces=later.interfaces,
        unavailable=unavailable,
    )


def measure_each(
    places: Mapping[str, tuple[Cgroup, Netns, Mapping[str, str]]],
    *,
    interval_s: float = INTERVAL_S,
) -> dict[str, ContainerStats]:
    """What several nodes use over the same time; those that end meanwhile are left out.

    Args:
        places: by the names of the nodes, what :func:`sample` takes.
    """
    earlier = _samples(places)
    time.sleep(interval_s)
    later = _samples({name: places[name] for name in earlier})
    return {name: between(earlier[name], each) for name, each in later.items()}


def _samples(places: Mapping[str, tuple[Cgroup, Netns, Mapping[str, str]]]) -> dict[str, Sample]:
    found = {}
    for name, place in places.items():
        with suppress(LabError):
            found[name] = sample(*place)
    return found


def measure(
    cgroup: Cgroup, netns: Netns, names: Mapping[str, str], *, interval_s: float = INTERVAL_S
) -> ContainerStats:
    """What a node uses in the time from now: two samples, ``interval_s`` apart.

    For several nodes over the same time, take the samples of all, wait, and take them again.

    Raises:
        LabError: the node has ended.
    """
    earlier = sample(cgroup, netns, names)
    time.sleep(interval_s)
    return between(earlier, sample(cgroup, netns, names))
