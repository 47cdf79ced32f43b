"""What a packet costs: the sender's side by packets sent, VNFs' processes by packets received."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import MeasurementError
from emulator.measure.cost import cost_of, share_ns_per_packet
from emulator.traffic.machine import process_cpu_ns
from emulator.traffic.probe import ProbeResult, ProbeSpec


def result(sent: int, received: int, **processes: int) -> ProbeResult:
    return ProbeResult(
        spec=ProbeSpec(None, 0.5, record=False),
        source="a",
        destination="b",
        sent=sent,
        unsent=0,
        received=received,
        lost=sent - received,
        duplicated=0,
        reordered=0,
        damaged=0,
        overrun=0,
        reflected=None,
        start_ns=1,
        elapsed_ns=500_000_000,
        cpu_ns=400_000_000,
        process_cpu_ns=dict(enumerate(processes.values())),
        wait_ns=0,
        softirq_accounting="in-task",
        dma_latency_held=True,
        sent_ns=None,
        received_ns=None,
        reflected_ns=None,
        copies=None,
        arrival=None,
    )


def test_without_processes_and_loss_it_is_time_by_packets() -> None:
    assert cost_of(result(2_000_000, 2_000_000)).cpu_ns_per_packet == 200


def test_overload_in_front_of_a_process_makes_no_packet_dearer() -> None:
    cost = cost_of(result(2_000_000, 200_000, first=300_000_000, second=100_000_000))
    assert cost.process_cpu_ns == 400_000_000
    assert cost.cpu_ns_per_packet == 200 + 2000
    assert share_ns_per_packet(cost, cost_of(result(2_000_000, 2_000_000))) == 2000


def test_without_a_packet_there_is_no_cost() -> None:
    with pytest.raises(MeasurementError, match="no packet arrived"):
        cost_of(result(1000, 0))


def test_the_time_of_a_process_is_that_of_all_its_threads() -> None:
    pid = int(Path("/proc/self").readlink().name)
    before_ns = process_cpu_ns(pid)
    assert before_ns > 0
    sum(range(1_000_000))
    assert process_cpu_ns(pid) > before_ns
    assert process_cpu_ns(2**22 + 1) == 0
