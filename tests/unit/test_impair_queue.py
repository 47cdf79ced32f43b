"""Rates, token buckets, queues and their management, against queues written plainly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.plan.model import ImpairmentPlan
from emulator.wire.model import AQM_DROPPED, DELIVERED, OVERFLOWN, Decisions, Stream, uniforms
from tests.impair_reference import (
    PATIENT,
    Served,
    serve,
    serve_by_codel,
    serve_by_red,
)

FOR_RED = 8

frames = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 10**5), st.integers(0, 10**7)),
        st.one_of(st.integers(0, 100), st.sampled_from([64, 1500, 9000])),
    ),
    min_size=1,
    max_size=150,
)
rates = st.one_of(st.sampled_from([10**6, 10**7, 10**9]), st.integers(1000, 10**12))
limits = {
    "queue_packets": st.one_of(st.none(), st.integers(1, 20)),
    "queue_bytes": st.one_of(st.none(), st.integers(1, 20_000)),
    "queue_ns": st.one_of(st.none(), st.integers(1, 10**8)),
}


def arrivals_of(frames: list[tuple[int, int]]) -> list[tuple[int, int]]:
    now_ns, arrivals = 0, []
    for gap_ns, size in frames:
        now_ns += gap_ns
        arrivals.append((now_ns, size))
    return arrivals


def decide(
    stream: Stream | ImpairmentPlan, arrivals: list[tuple[int, int]], can_mark: bool = False
) -> Decisions:
    stream = stream if isinstance(stream, Stream) else Stream(stream)
    times, sizes = np.array(arrivals, dtype=np.int64).T
    return stream.decide(times, sizes, can_mark=can_mark)


def assert_same(
    decided: Decisions, arrivals: list[tuple[int, int]], expected: list[Served]
) -> None:
    assert decided.fate.tolist() == [served.fate for served in expected]
    for index, served in enumerate(expected):
        if served.fate == DELIVERED:
            assert int(decided.due_ns[index]) == served.left_ns, index
            assert int(decided.waited_ns[index]) == served.start_ns - arrivals[index][0], index
            assert bool(decided.mark[index]) == served.mark, index


@PATIENT
@given(
    frames,
    st.builds(
        ImpairmentPlan,
        rate_bps=rates,
        overhead_bytes=st.integers(0, 40),
        burst_bytes=st.one_of(st.just(0), st.integers(1, 50_000)),
        **limits,
    ),
)
def test_frames_wait_and_are_dropped_as_in_a_plain_queue(
    frames: list[tuple[int, int]], plan: ImpairmentPlan
) -> None:
    arrivals = arrivals_of(frames)
    assert_same(decide(plan, arrivals), arrivals, serve(plan, arrivals))


@pytest.mark.parametrize("rate_mbps", [1, 3, 7, 10, 33.333333, 100, 1000, 2500])
def test_a_busy_line_keeps_its_rate_exactly(rate_mbps: float) -> None:
    rate_bps = round(rate_mbps * 1e6)
    sizes = np.random.default_rng(5).choice([64, 101, 577, 1514], size=100_000)
    plan = ImpairmentPlan(rate_bps=rate_bps, queue_packets=len(sizes))
    due = Stream(plan).decide(np.zeros(len(sizes)), sizes).due_ns
    bits = np.cumsum(8 * (sizes.astype(object) + 24))
    assert due.tolist() == [int(some) * 10**9 // rate_bps for some in bits]


def test_a_queue_of_so_many_packets_holds_so_many_beside_the_one_that_is_sent() -> None:
    decided = decide(ImpairmentPlan(rate_bps=10**6, queue_packets=100), [(0, 1000)] * 105)
    assert decided.fate.tolist() == [DELIVERED] * 101 + [OVERFLOWN] * 4


def test_a_queue_of_so_many_bytes_holds_so_many() -> None:
    decided = decide(ImpairmentPlan(rate_bps=10**6, queue_bytes=50_000), [(0, 1000)] * 55)
    assert decided.fate.tolist() == [DELIVERED] * 51 + [OVERFLOWN] * 4


def test_a_queue_of_so_much_time_holds_what_waits_no_longer() -> None:
    # Each takes 1 ms.
    plan = ImpairmentPlan(rate_bps=8_192_000, queue_ns=20_000_000)
    assert decide(plan, [(0, 1000)] * 25).fate.tolist() == [DELIVERED] * 21 + [OVERFLOWN] * 4


def test_a_queue_without_a_limit_has_one_all_the_same() -> None:
    decided = decide(ImpairmentPlan(rate_bps=10**6), [(0, 1000)] * 70_000)
    assert decided.fate.tolist() == [DELIVERED] * 65_537 + [OVERFLOWN] * (70_000 - 65_537)


def test_the_longest_queue_there_is() -> None:
    plan = ImpairmentPlan(rate_bps=10**9, queue_packets=10**9)
    fate = Stream(plan).decide(np.zeros(1_100_000), 1000).fate
    assert (fate == DELIVERED).sum() == (1 << 20) + 1


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    plan = ImpairmentPlan(rate_bps=8_000_000, burst_bytes=10_000, overhead_bytes=0)
    due = decide(plan, [(5, 1000)] * 15).due_ns
    assert due.tolist() == [5] * 10 + [5 + 1_000_000 * late for late in range(1, 6)]


def test_a_copy_takes_its_time_at_the_rate() -> None:
    plan = ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0, duplicate=1.0, queue_packets=2)
    decided = decide(plan, [(0, 1000), (0, 1000), (2_500_000, 1000)])
    assert decided.fate.tolist() == [DELIVERED] * 3
    assert decided.due_ns.tolist() == [1_000_000, 3_000_000, 4_000_000]
    # There was room for two that wait, and so for one copy of the first, and none of the second.
    assert decided.copy_due_ns.tolist() == [2_000_000, 0, 5_000_000]


def test_the_delay_comes_after_the_queue() -> None:
    plan = ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0, delay_ns=500, queue_packets=1)
    decided = decide(plan, [(0, 1000)] * 3)
    assert decided.due_ns.tolist() == [1_000_500, 2_000_500, 0]
    assert decided.waited_ns.tolist() == [0, 1_000_000, 0]


def test_lost_frames_take_no_time() -> None:
    plan = ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0, drop=(0, 2))
    assert decide(plan, [(0, 1000)] * 4).due_ns.tolist() == [0, 1_000_000, 0, 2_000_000]


@PATIENT
@given(
    frames,
    st.booleans(),
    st.builds(
        ImpairmentPlan,
        rate_bps=st.integers(10**5, 10**9),
        aqm=st.just("red"),
        ecn=st.just(True),
        red_min_bytes=st.integers(0, 3000),
        red_max_bytes=st.integers(3001, 30_000),
        red_probability=st.sampled_from([0.02, 0.1, 1.0]),
        red_weight=st.sampled_from([0.002, 0.1, 0.5, 1.0]),
        queue_packets=st.one_of(st.none(), st.integers(1, 20)),
        seed=st.integers(0, 1000),
    ),
)
def test_red_drops_and_marks_as_in_its_paper(
    frames: list[tuple[int, int]], can_mark: bool, plan: ImpairmentPlan
) -> None:
    arrivals = arrivals_of(frames)
    draws = uniforms(plan.seed, FOR_RED, len(arrivals)).tolist()
    expected = serve_by_red(plan, arrivals, draws, can_mark)
    assert_same(decide(plan, arrivals, can_mark), arrivals, expected)


@pytest.mark.parametrize("can_mark", [False, True])
def test_red_over_a_long_time(can_mark: bool) -> None:
    random = np.random.default_rng(4)
    plan = ImpairmentPlan(
        rate_bps=10**7,
        aqm="red",
        ecn=True,
        red_min_bytes=6000,
        red_max_bytes=15_000,
        red_probability=0.5,
        red_weight=0.1,
    )
    gaps = 1.18e6 * random.exponential(size=3000)
    arrivals = [(time, 1476) for time in np.cumsum(gaps).astype(int).tolist()]
    draws = uniforms(plan.seed, FOR_RED, len(arrivals)).tolist()
    expected = serve_by_red(plan, arrivals, draws, can_mark)
    assert_same(decide(plan, arrivals, can_mark), arrivals, expected)
    hit = [served.mark or served.fate == AQM_DROPPED for served in expected]
    assert sum(hit) > 100


codel_frames = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 3000), st.integers(0, 10**5), st.integers(0, 10**6)),
        st.sampled_from([64, 500, 1500]),
    ),
    min_size=30,
    max_size=400,
)


@PATIENT
@given(
    codel_frames,
    st.booleans(),
    st.builds(
        ImpairmentPlan,
        rate_bps=st.sampled_from([10**7, 10**8, 123_456_789]),
        aqm=st.just("codel"),
        ecn=st.just(True),
        codel_target_ns=st.integers(1, 10**6),
        codel_interval_ns=st.integers(1, 5 * 10**6),
        queue_packets=st.one_of(st.none(), st.integers(5, 50)),
    ),
)
def test_codel_drops_and_marks_as_in_its_standard(
    frames: list[tuple[int, int]], can_mark: bool, plan: ImpairmentPlan
) -> None:
    arrivals = arrivals_of(frames)
    expected = serve_by_codel(plan, arrivals, can_mark)
    assert_same(decide(plan, arrivals, can_mark), arrivals, expected)


@pytest.mark.parametrize("can_mark", [False, True])
def test_codel_over_a_long_time(can_mark: bool) -> None:
    random = np.random.default_rng(3)
    plan = ImpairmentPlan(rate_bps=10**7, aqm="codel", ecn=True, queue_packets=1000)
    # In turns a little more than the line takes, and a little less.
    gaps = np.where(np.arange(20_000) // 2000 % 2, 1.5, 0.8) * 1.2e6
    times = np.cumsum(gaps * random.exponential(size=len(gaps))).astype(int)
    arrivals = [(time, 1476) for time in times.tolist()]
    expected = serve_by_codel(plan, arrivals, can_mark)
    assert_same(decide(plan, arrivals, can_mark), arrivals, expected)
    hit = [served.mark or served.fate == AQM_DROPPED for served in expected]
    assert sum(hit) > 100


def test_codel_keeps_the_wait_of_a_steady_overload_short() -> None:
    # Without it they would wait for 100 ms and more in a queue of 100.
    arrivals = [(time * 1_100_000, 1476) for time in range(20_000)]
    decided = decide(ImpairmentPlan(rate_bps=10**7, aqm="codel", queue_packets=100), arrivals)
    settled = decided.waited_ns[10_000:][decided.delivered[10_000:]]
    assert np.median(settled) < 30_000_000
    assert (decided.fate == AQM_DROPPED).sum() > 0.9 * 20_000 * (1 - 1.1 / 1.2)


def test_without_ecn_nothing_is_marked() -> None:
    plan = ImpairmentPlan(rate_bps=10**7, aqm="codel")
    arrivals = [(time * 600_000, 1476) for time in range(2000)]
    decided = decide(plan, arrivals, can_mark=True)
    assert not decided.mark.any()
    assert (decided.fate == AQM_DROPPED).any()


changes = st.fixed_dictionaries(
    {},
    optional={
        "rate_bps": st.sampled_from([None, 10**6, 10**8, 10**10]),
        "burst_bytes": st.sampled_from([0, 3000]),
        "delay_ns": st.integers(0, 10**7),
        "loss": st.sampled_from([0.0, 0.3]),
        **limits,
    },
)


@PATIENT
@given(st.lists(st.tuples(changes, frames), min_size=2, max_size=4))
def test_changes_lose_nothing_that_waits_and_let_nothing_overtake_it(
    phases: list[tuple[dict[str, Any], list[tuple[int, int]]]],
) -> None:
    stream = Stream(ImpairmentPlan())
    now_ns = last_left_ns = 0
    starts: list[tuple[int, int]] = []
    for changed, frames in phases:
        plan = ImpairmentPlan(keep_order=False).model_copy(update=changed)
        stream.change(plan)
        arrivals = [(now_ns + time, size) for time, size in arrivals_of(frames)]
        decided = decide(stream, arrivals)
        now_ns = arrivals[-1][0]
        for index, (arrival_ns, size) in enumerate(arrivals):
            waiting = [held for start_ns, held in starts if start_ns > arrival_ns]
            start_ns = arrival_ns + int(decided.waited_ns[index])
            if decided.fate[index] == DELIVERED:
                left_ns = int(decided.due_ns[index]) - plan.delay_ns
                assert left_ns >= max(last_left_ns, arrival_ns, start_ns)
                if start_ns > arrival_ns:
                    packets = plan.queue_packets
                    assert packets is None or len(waiting) < packets
                    assert plan.queue_bytes is None or sum(waiting) + size <= plan.queue_bytes
                    assert plan.queue_ns is None or start_ns - arrival_ns <= plan.queue_ns
                last_left_ns = left_ns
                starts.append((start_ns, size))
            elif decided.fate[index] == OVERFLOWN:
                # Never because of what waited before the change, unless the new limits say so.
                assert any((plan.queue_packets, plan.queue_bytes, plan.queue_ns))


def test_a_new_rate_is_that_of_the_next_frames() -> None:
    stream = Stream(ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0))
    assert decide(stream, [(0, 1000)] * 2).due_ns.tolist() == [1_000_000, 2_000_000]
    stream.change(ImpairmentPlan(rate_bps=80_000_000, overhead_bytes=0))
    assert decide(stream, [(0, 1000)] * 2).due_ns.tolist() == [2_100_000, 2_200_000]
    stream.change(ImpairmentPlan())
    later = decide(stream, [(0, 1000), (2_199_999, 1000), (2_200_001, 1000)])
    assert later.due_ns.tolist() == [2_200_000, 2_200_000, 2_200_001]


def test_arrivals_that_go_back_a_little_do_no_harm() -> None:
    plan = ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0, queue_packets=2)
    due = decide(plan, [(1000, 1000), (500, 1000), (800, 1000), (10**7, 1000), (10**7 - 99, 0)])
    assert due.due_ns.tolist() == [1_001_000, 2_001_000, 3_001_000, 11_000_000, 11_000_000]
