"""What a container uses: worked out from two samples, and shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from emulator.cli import shell_format
from emulator.cli.container_format import size_text
from emulator.cli.shell_vnf import is_for_vnf, run_for_vnf
from emulator.dataplane import PortCounters
from emulator.errors import UsageError
from emulator.kernel.cgroup import CgroupReading
from emulator.plan.model import ContainerPlan, InterfacePlan, MemifPlan, NodePlan
from emulator.runtime.usage import ContainerStats, InterfaceUsage, Sample, between, names_of
from tests.unit.fake_lab import FakeNetwork

MIB = 1 << 20
READING = CgroupReading(
    cpu_ns=1_000_000_000,
    throttled_ns=250_000_000,
    memory_bytes=3 * MIB // 2,
    memory_peak_bytes=40 * MIB,
    memory_limit_bytes=64 * MIB,
    tasks=3,
    tasks_limit=20,
    cpu_limit=0.5,
    cpuset=(0, 1),
    oom_kills=0,
    unavailable={},
)
UNLIMITED = replace(
    READING, memory_limit_bytes=None, tasks_limit=None, cpu_limit=None, throttled_ns=0
)
INTERFACES = {
    "d1-eth0": InterfaceUsage(1, 60, 0, 2, 120, 0),
    "d1-eth1": InterfaceUsage(10, 600, 4, 20, 1200, 0),
}
WHY = "the memory controller is not on for its control group"
CPU_WHY = "the cpuacct controller is not mounted"
UNKNOWN = replace(
    UNLIMITED,
    cpu_ns=None,
    memory_bytes=None,
    tasks=None,
    unavailable={"cpu_ns": CPU_WHY, "memory_bytes": WHY, "tasks": "it has none"},
)


def later(reading: CgroupReading, *, by_ns: int = 200_000_000, cpu_ns: int = 0) -> ContainerStats:
    """The stats of a container that has used so much CPU time in so much time."""
    after = reading
    if reading.cpu_ns is not None:
        after = replace(reading, cpu_ns=reading.cpu_ns + cpu_ns)
    return between(Sample(5, reading, {}), Sample(5 + by_ns, after, INTERFACES))


@dataclass
class FakeContainer:
    """A node in a container that is asked for its stats."""

    plan: NodePlan
    answer: ContainerStats
    name: str = "d1"

    def stats(self) -> ContainerStats:
        return self.answer


@pytest.fixture
def d1() -> FakeContainer:
    plan = NodePlan(
        name="d1", kind="host", runtime="docker", container=ContainerPlan(image="debian")
    )
    return FakeContainer(plan, later(READING, cpu_ns=50_000_000))


def test_cpu_use_is_of_the_time_between_the_samples() -> None:
    stats = later(READING, cpu_ns=50_000_000)
    assert stats.cpu_percent == 25
    assert stats.cpu_limit_percent == 50
    assert stats.cpu_ns == 1_050_000_000
    assert stats.interval_s == 0.2
    assert later(UNLIMITED, cpu_ns=400_000_000).cpu_percent == 200


def test_what_is_not_known_is_no_number_and_says_why() -> None:
    stats = later(UNKNOWN)
    assert (stats.cpu_percent, stats.memory_bytes, stats.processes) == (None, None, None)
    assert stats.unavailable == {
        "cpu_ns": CPU_WHY,
        "cpu_percent": CPU_WHY,
        "memory_bytes": WHY,
        "processes": "it has none",
    }
    assert later(READING, by_ns=0).cpu_percent is None


def test_memory_shared_with_a_neighbour_is_no_interface_of_the_kernel() -> None:
    ports = [
        InterfacePlan(name="long-name-eth0", kernel_name="ln0", mac="02:00:00:00:00:01", port=0),
        InterfacePlan(
            name="long-name-eth1",
            kernel_name="ln1",
            mac="02:00:00:00:00:02",
            port=1,
            memif=MemifPlan(link="x", role="server"),
        ),
    ]
    plan = NodePlan(name="long-name", kind="vnf", interfaces=tuple(ports))
    assert names_of(plan) == {"ln0": "long-name-eth0"}


def test_stats_of_a_container_in_words(d1: FakeContainer) -> None:
    assert run_for_vnf(d1, ["stats"]).splitlines() == [  # type: ignore[arg-type]
        "d1: in a container",
        "cpu        25.0 % of 50 %, 1.05 s since its start, held back for 0.25 s, cores 0,1",
        "memory     1.5 MiB of 64 MiB, peak 40 MiB with file cache",
        "processes  3 of 20",
        "",
        "                    d1-eth0  d1-eth1",
        "rx_packets                1       10",
        "rx_bytes                 60      600",
        "rx_dropped_packets        0        4",
        "tx_packets                2       20",
        "tx_bytes                120     1200",
        "tx_dropped_packets        0        0",
    ]


def test_stats_without_limits_and_with_what_is_not_known(d1: FakeContainer) -> None:
    d1.answer = later(UNLIMITED)
    assert run_for_vnf(d1, ["stats"]).splitlines()[1:4] == [  # type: ignore[arg-type]
        "cpu        0.0 %, 1.00 s since its start, cores 0,1",
        "memory     1.5 MiB, peak 40 MiB with file cache",
        "processes  3",
    ]
    d1.answer = later(UNKNOWN)
    assert run_for_vnf(d1, ["stats"]).splitlines()[1:4] == [  # type: ignore[arg-type]
        f"cpu        unknown: {CPU_WHY}, cores 0,1",
        f"memory     unknown: {WHY}",
        "processes  unknown: it has none",
    ]


def test_stats_tell_of_processes_that_were_killed(d1: FakeContainer) -> None:
    d1.answer = later(replace(READING, oom_kills=2))
    text = run_for_vnf(d1, ["stats"])  # type: ignore[arg-type]
    assert "processes killed for want of it: 2" in text


def test_stats_can_be_read_by_programs(d1: FakeContainer) -> None:
    document = json.loads(run_for_vnf(d1, ["stats", "--json"]))  # type: ignore[arg-type]
    assert document["node"] == "d1"
    assert document["cpu_percent"] == 25
    assert document["memory_limit_bytes"] == 64 * MIB
    assert document["cpuset"] == [0, 1]
    assert document["interfaces"]["d1-eth1"]["rx_dropped_packets"] == 4


def test_a_host_in_a_container_has_some_of_the_words_of_a_vnf(d1: FakeContainer) -> None:
    node: Any = d1
    assert is_for_vnf(node, ["stats"])
    assert is_for_vnf(node, ["restart"])
    assert not is_for_vnf(node, ["set", "x=1"])
    assert not is_for_vnf(node, [])
    d1.plan = d1.plan.model_copy(update={"runtime": "namespace"})
    assert not is_for_vnf(node, ["stats"])


def test_wrong_words_are_told(d1: FakeContainer) -> None:
    with pytest.raises(UsageError, match="usage: d1 stats"):
        run_for_vnf(d1, ["stats", "now"])  # type: ignore[arg-type]


def test_a_vnf_in_a_container_shows_both_and_one_without_is_as_before() -> None:
    plain = FakeNetwork()["fw"].stats()
    assert "container" not in plain.to_json()
    assert "memory" not in shell_format.stats_text(plain)
    enclosed = replace(plain, container=later(READING, cpu_ns=50_000_000))
    assert enclosed.to_json()["container"]["cpu_percent"] == 25
    lines = shell_format.stats_text(enclosed).splitlines()
    assert lines[3:6] == [
        "process     4711, idle spin:20us,wait, cores 1",
        "cpu         25.0 % of 50 %, 1.05 s since its start, held back for 0.25 s, cores 0,1",
        "memory      1.5 MiB of 64 MiB, peak 40 MiB with file cache",
    ]
    assert isinstance(enclosed.ports["fw-eth0"], PortCounters)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (999 * MIB, "999 MiB"),
        (1023 * MIB, "1023 MiB"),
        (5 << 30, "5 GiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
