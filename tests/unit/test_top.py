"""The table of ``vnf top``, and the rates in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cli.top_table import TOP_COLUMNS, TOP_RIGHT, busiest, scaled, top_row
from emulator.kernel.cgroup import CgroupReading
from emulator.measure.lab_watch import LabSample, NodeRates, NodeSample, rates_between
from emulator.unavailable import Unavailable
from tests.unit.fake_lab import make_plan
from tests.unit.readings import S, process, thread

PLAN = make_plan()
QUIET = {"rx_packets": 0, "tx_packets": 0, "rx_bytes": 0, "tx_bytes": 0}


def sample(**changes: Any) -> NodeSample:
    return replace(NodeSample(QUIET, {}, None, None, "running"), **changes)


def group(cpu_ns: int | None, memory_bytes: int | None) -> CgroupReading:
    return CgroupReading(
        cpu_ns=cpu_ns,
        throttled_ns=None,
        memory_bytes=memory_bytes,
        memory_peak_bytes=None,
        memory_limit_bytes=None,
        tasks=3,
        tasks_limit=None,
        cpu_limit=None,
        cpuset=None,
        oom_kills=None,
        unavailable={},
    )


def between(node: str, before: NodeSample, after: NodeSample, seconds: float = 2.0) -> NodeRates:
    (rates,) = rates_between(
        LabSample(5 * S, {node: before}),
        LabSample(5 * S + round(seconds * S), {node: after}),
        PLAN.nodes,
    )
    assert rates.node == node
    return rates


def test_rates_are_by_the_time_between_two_samples() -> None:
    counted = {"rx_packets": 1000, "tx_packets": 500, "rx_bytes": 64_000, "tx_bytes": 32_000}
    rates = between("h1", sample(), sample(traffic=counted))
    assert (rates.rx_pps, rates.tx_pps) == (500, 250)
    assert (rates.rx_bps, rates.tx_bps) == (256_000, 128_000)
    assert (rates.kind, rates.vnf, rates.dataplane) == ("host", None, None)


def test_interfaces_that_were_made_anew_count_from_0() -> None:
    before = sample(traffic={**QUIET, "rx_packets": 9000})
    assert between("h1", before, sample(traffic={**QUIET, "rx_packets": 10})).rx_pps == 5


def test_verdicts_of_a_vnf_are_by_second_and_start_over_with_it() -> None:
    before = sample(verdicts={"dropped_packets": 10, "matched": 500})
    after = sample(verdicts={"dropped_packets": 30, "matched": 100})
    rates = between("fw", before, after)
    assert rates.verdicts == {"dropped_packets": 10, "matched": 0}
    assert (rates.vnf, rates.dataplane) == ("drop", "xdp")
    assert between("fw", sample(), after).verdicts == {"dropped_packets": 15, "matched": 50}
    assert between("fw", before, sample()).verdicts is None


def test_cpu_is_that_of_processes_new_ones_included() -> None:
    before = {10: process(10, thread(S)), 20: process(20, thread(7), started=1)}
    after = {
        10: process(10, thread(2 * S), rss=100),
        20: process(20, thread(S // 2), started=9, rss=20),
        30: process(30, thread(S // 2), rss=3),
    }
    rates = between("h1", sample(processes=before), sample(processes=after))
    assert rates.cpu_percent == pytest.approx(100)
    assert (rates.memory_bytes, rates.processes) == (123, 3)


def test_without_processes_there_is_no_cpu_and_no_memory() -> None:
    rates = between("s1", sample(), sample())
    assert (rates.cpu_percent, rates.memory_bytes, rates.processes) == (None, None, None)
    assert between("h1", sample(), sample()).processes == 0


def test_a_kernel_that_does_not_tell_cpu_time_leaves_it_open() -> None:
    blind = process(10, thread())
    blind.threads[10] = type(blind.threads[10])(Unavailable("no"), Unavailable("no"), 0, 0)
    alive = {10: blind}
    assert between("h1", sample(processes=alive), sample(processes=alive)).cpu_percent is None


def test_of_a_container_its_control_group_tells() -> None:
    rates = between("h1", sample(group=group(0, 1)), sample(group=group(S, 4096)))
    assert (rates.cpu_percent, rates.memory_bytes) == (50, 4096)
    blind = between("h1", sample(group=group(None, None)), sample(group=group(None, None)))
    assert (blind.cpu_percent, blind.memory_bytes) == (None, None)


def test_nodes_that_are_not_in_both_samples_are_left_out() -> None:
    before, after = LabSample(0, {"h1": sample()}), LabSample(S, {"h2": sample()})
    assert rates_between(before, after, PLAN.nodes) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (999.4, "999"),
        (999.9, "1 k"),
        (12_345, "12.3 k"),
        (999_999, "1 M"),
        (4_200_000, "4.2 M"),
        (18e9, "18 G"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert scaled(value) == text


@given(st.floats(0, 1e12))
def test_no_number_is_off_by_more_than_half_a_percent(value: float) -> None:
    number, _, unit = scaled(value).partition(" ")
    assert len(scaled(value)) <= 9
    back = float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
    assert back == pytest.approx(value, rel=0.0051)


def rates(node: str = "fw", **changes: Any) -> NodeRates:
    return replace(
        NodeRates(node, "vnf", "drop", "xdp", "running", 0, 0, 0, 0, None, None, 0, {}), **changes
    )


def test_a_row_has_a_cell_for_each_column() -> None:
    row = top_row(
        rates(
            rx_pps=1e6,
            tx_pps=5e5,
            rx_bps=5e8,
            tx_bps=1e8,
            cpu_percent=12.34,
            memory_bytes=10 << 20,
            verdicts={"dropped_packets": 5e5, "to_host_packets": 0.0, "matched": 2.0},
        )
    )
    assert dict(zip(TOP_COLUMNS, row, strict=True)) == {
        "node": "fw",
        "what": "drop, xdp",
        "in/s": "1 M",
        "out/s": "500 k",
        "in bit/s": "500 M",
        "out bit/s": "100 M",
        "cpu": "12.3 %",
        "memory": "10 MiB",
        "frames": "dropped 500 k/s, matched 2/s",
    }
    assert set(TOP_RIGHT) < set(TOP_COLUMNS)


def test_what_is_not_known_is_a_dash_and_what_failed_is_told() -> None:
    row = top_row(rates(status="failed", verdicts=None))
    assert row[1] == "drop, xdp: failed"
    assert row[6:] == ("-", "-", "-")


def test_where_not_all_have_room_the_busiest_are_shown_in_their_order() -> None:
    nodes = [
        rates("a"),
        rates("b", rx_pps=10),
        rates("c", status="failed"),
        rates("d", tx_pps=50),
        rates("e", cpu_percent=90.0),
    ]
    assert [each.node for each in busiest(nodes, 2)] == ["c", "d"]
    assert [each.node for each in busiest(nodes, 4)] == ["b", "c", "d", "e"]
    assert busiest(nodes, 5) == nodes
    assert busiest(nodes, 0) == busiest(nodes, -3) == []
