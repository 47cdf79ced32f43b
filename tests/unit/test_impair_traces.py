"""What links with traces let through, against a walk through the trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.plan.model import ImpairmentPlan
from emulator.plan.traces import Trace, TracePoint
from emulator.wire.model import LOST, OVERFLOWN, Decisions, Spec, Stream
from emulator.wire.spec import spec_of, trace_spec
from tests.impair_reference import (
    DELIVERED,
    PATIENT,
    Served,
    serve_by_opportunities,
    serve_by_rates,
)

MS = 1_000_000


def with_trace(trace: Trace, **settings: object) -> Spec:
    spec = spec_of(ImpairmentPlan.model_validate(settings))
    return Spec(spec.impairment, spec.drops, spec.table, trace_spec(trace))


def decide(stream: Stream | Spec, arrivals: list[tuple[int, int]]) -> Decisions:
    stream = stream if isinstance(stream, Stream) else Stream(stream)
    times, sizes = np.array(arrivals, dtype=np.int64).T
    return stream.decide(times, sizes)


def assert_same(
    decided: Decisions, arrivals: list[tuple[int, int]], expected: list[Served]
) -> None:
    assert decided.fate.tolist() == [served.fate for served in expected]
    assert decided.due_ns.tolist() == [served.left_ns for served in expected]
    assert decided.waited_ns.tolist() == [
        served.start_ns - now_ns for served, (now_ns, _) in zip(expected, arrivals, strict=True)
    ]


def arrivals_of(frames: list[tuple[int, int]]) -> list[tuple[int, int]]:
    times = np.cumsum([gap for gap, _ in frames]).tolist()
    return [(time, size) for time, (_, size) in zip(times, frames, strict=True)]


frames = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 1000), st.integers(0, 20_000)),
        st.one_of(st.integers(0, 100), st.sampled_from([64, 1514, 9014])),
    ),
    min_size=1,
    max_size=80,
)


@PATIENT
@given(
    frames,
    st.lists(st.integers(0, 5000), min_size=1, max_size=20).map(sorted),
    st.one_of(st.just(0), st.integers(1, 3000)),
    st.sampled_from([1, 100, 1500]),
)
def test_frames_leave_at_opportunities_as_in_mahimahi(
    frames: list[tuple[int, int]], times: list[int], pause: int, each_bytes: int
) -> None:
    period = max(500, times[-1] + pause)
    if each_bytes == 1:
        frames = [(gap, min(size, 100)) for gap, size in frames]
    arrivals = arrivals_of(frames)
    points = tuple(TracePoint(time) for time in times)
    decided = decide(with_trace(Trace("opportunities", points, period, each_bytes)), arrivals)
    assert_same(decided, arrivals, serve_by_opportunities(times, period, each_bytes, arrivals))


EVERY_MS = Trace("opportunities", (TracePoint(MS),), MS)


def test_an_opportunity_carries_one_large_packet_or_some_small_ones() -> None:
    decided = decide(with_trace(EVERY_MS), [(1, 1514)] * 2 + [(2, 764)] * 2 + [(2, 2014)])
    assert decided.due_ns.tolist() == [MS, 2 * MS, 3 * MS, 3 * MS, 5 * MS]


def test_opportunities_that_nobody_uses_are_lost() -> None:
    decided = decide(with_trace(EVERY_MS), [(0, 1514), (10 * MS, 1514), (10 * MS, 1514)])
    assert decided.due_ns.tolist() == [1 * MS, 10 * MS, 11 * MS]


def test_a_trace_has_a_queue_with_limits() -> None:
    decided = decide(with_trace(EVERY_MS, queue_packets=2), [(1, 1514)] * 4 + [(MS, 1514)] * 2)
    assert decided.fate.tolist() == [DELIVERED] * 2 + [OVERFLOWN] * 2 + [DELIVERED, OVERFLOWN]


def test_the_rate_of_a_trace_is_its_mean() -> None:
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 10_000, 12_000)) * MS
    trace = Trace("opportunities", tuple(TracePoint(int(at)) for at in times), 10_000 * MS)
    sizes = random.integers(64, 1515, 100_000)
    due = (
        Stream(with_trace(trace, queue_packets=1 << 20)).decide(np.zeros(len(sizes)), sizes).due_ns
    )
    whole = int(due[-1]) // trace.period_ns * trace.period_ns
    assert trace.mean_rate_bps is not None
    carried = 8e9 * (sizes - 14)[due <= whole].sum() / whole
    assert carried == pytest.approx(trace.mean_rate_bps, rel=1e-4)


points = st.lists(
    st.tuples(
        st.integers(50, 3000),
        st.one_of(st.just(0), st.integers(10**9, 10**11), st.just(10**9)),
    ),
    min_size=1,
    max_size=12,
)


@PATIENT
@given(
    frames,
    points,
    st.one_of(st.none(), st.integers(10**8, 10**9)),
    st.one_of(st.just(0), st.integers(500, 3000)),
    st.integers(0, 30),
)
def test_frames_are_sent_at_the_rates_of_their_time(
    frames: list[tuple[int, int]],
    points: list[tuple[int, int]],
    first_rate: int | None,
    begin: int,
    overhead: int,
) -> None:
    times = np.cumsum([begin, *(lasts for lasts, _ in points)]).tolist()
    period = times.pop() + 500
    rates = [(time, rate) for time, (_, rate) in zip(times, points, strict=True)]
    whole: list[tuple[int, int | None]] = [*rates]
    if begin:
        whole.insert(0, (0, first_rate))
    trace = Trace("settings", tuple(TracePoint(at, rate) for at, rate in rates), period)
    settings = {"rate_bps": first_rate, "overhead_bytes": overhead}
    if all(rate == 0 for _, rate in whole):
        with pytest.raises(UsageError):
            Stream(with_trace(trace, **settings))
        return

    def rate_at(when_ns: int) -> tuple[int | None, int]:
        cycle, offset = divmod(when_ns, period)
        place = max(i for i, (at, _) in enumerate(whole) if at <= offset)
        until = whole[place + 1][0] if place + 1 < len(whole) else period
        return whole[place][1], cycle * period + until

    arrivals = arrivals_of(frames)
    expected = serve_by_rates(rate_at, overhead, arrivals)
    assert_same(decide(with_trace(trace, **settings), arrivals), arrivals, expected)


def test_delay_and_loss_are_those_of_the_time_of_arrival() -> None:
    trace = Trace(
        "settings",
        (
            TracePoint(1 * MS, delay_ns=5),
            TracePoint(2 * MS, loss=1.0),
            TracePoint(3 * MS, delay_ns=7, loss=0.0),
        ),
        4 * MS,
    )
    arrivals = [(time * MS // 2, 100) for time in range(20)]
    decided = decide(with_trace(trace, delay_ns=3, keep_order=False), arrivals)
    period = [3, 3, 5, 5, None, None, 7, 7]
    for index, (now_ns, _) in enumerate(arrivals):
        delay = period[index % 8]
        assert (decided.fate[index] == LOST) == (delay is None)
        assert delay is None or decided.due_ns[index] == now_ns + delay


def test_nothing_gets_through_while_the_rate_is_zero() -> None:
    trace = Trace("settings", (TracePoint(0, 0), TracePoint(50 * MS, 8_000_000)), 100 * MS)
    spec = with_trace(trace, overhead_bytes=0, queue_packets=2)
    decided = decide(spec, [(0, 1000), (1, 1000), (2, 1000), (99 * MS + 1, 1000)])
    assert decided.fate.tolist() == [DELIVERED, DELIVERED, OVERFLOWN, DELIVERED]
    # The last has time for all its bits but 8 before the next pause.
    assert decided.due_ns.tolist() == [51 * MS, 52 * MS, 0, 150 * MS + 1]


def test_a_change_of_something_else_does_not_begin_a_trace_anew() -> None:
    times = tuple(TracePoint(at * MS) for at in (10, 20, 30))
    trace = Trace("opportunities", times, 30 * MS)
    frames = [(MS, 764)] * 5
    whole = decide(with_trace(trace), frames).due_ns.tolist()
    stream = Stream(with_trace(trace))
    first = decide(stream, frames[:3]).due_ns.tolist()
    stream.change(with_trace(trace, loss=0.0, queue_packets=50))
    assert first + decide(stream, frames[3:]).due_ns.tolist() == whole
    stream.change(spec_of(ImpairmentPlan()))
    assert decide(stream, [(31 * MS, 100)]).due_ns.tolist() == [31 * MS]


def test_frames_of_a_rate_go_before_those_of_the_trace_that_follows() -> None:
    stream = Stream(ImpairmentPlan(rate_bps=8_000_000, overhead_bytes=0))
    assert decide(stream, [(0, 5000)]).due_ns.tolist() == [5 * MS]
    stream.change(with_trace(EVERY_MS))
    assert decide(stream, [(1, 100)] * 2).due_ns.tolist() == [5 * MS, 5 * MS]


@pytest.mark.parametrize(
    ("trace", "settings"),
    [
        (EVERY_MS, {"rate_bps": 10**6}),
        (Trace("opportunities", (), MS), {}),
        (Trace("opportunities", (TracePoint(5), TracePoint(4)), MS), {}),
        (Trace("opportunities", (TracePoint(2 * MS),), MS), {}),
        (Trace("opportunities", (TracePoint(1),), MS, 0), {}),
        (Trace("opportunities", (TracePoint(0),), 0), {}),
        (Trace("settings", (TracePoint(5, 1), TracePoint(5, 2)), MS), {}),
        (Trace("settings", (TracePoint(0, 0),), MS), {}),
        (Trace("settings", (TracePoint(0, 10**6),), MS), {"burst_bytes": 2000}),
        (Trace("settings", (TracePoint(0, loss=0.1),), MS), {"gemodel": (0.1, 0.1, 1.0, 0.0)}),
        (Trace("settings", (TracePoint(0, loss=1.1),), MS), {}),
        (Trace("settings", (TracePoint(0, delay_ns=1 << 61),), MS), {}),
    ],
)
def test_traces_that_cannot_be_are_refused(trace: Trace, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Stream(with_trace(trace, **settings))


def test_the_plan_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "slow.trace"
    path.write_text("1\n5\n")
    due = decide(Stream(ImpairmentPlan(trace=str(path))), [(0, 1514)] * 3).due_ns
    assert due.tolist() == [1 * MS, 5 * MS, 6 * MS]
