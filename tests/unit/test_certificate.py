"""Certificates: a link that does what the model says passes, one that does anything else fails."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.plan.model import ImpairmentPlan
from emulator.wire import checks, lines, statistics
from emulator.wire.certificate import (
    Certificate,
    Check,
    DirectionCertificate,
    LinkCertificate,
    judge,
    worst,
)
from emulator.wire.certificate_report import complaints, quantity, render, summary, tolerance
from emulator.wire.frames import Samples
from emulator.wire.model import Decisions, Stream

US, MS = 1_000, 1_000_000
START_NS = 5_000_000_000


def through(
    plan: ImpairmentPlan,
    count: int = 5000,
    interval_ns: int = 50 * US,
    size_bytes: int = 60,
    late_ns: int = 5 * US,
    **wrong: Any,
) -> tuple[Samples, Decisions]:
    """Frames through a link that does exactly what is asked, a little late; and what is asked."""
    sent = START_NS + np.arange(count, dtype=np.uint64) * np.uint64(interval_ns)
    decisions = Stream(plan).decide(sent, size_bytes)
    due = np.where(decisions.delivered, (decisions.due_ns.astype(np.int64) + late_ns), 0)
    copies_due = decisions.copy_due_ns
    twice = copies_due != 0
    other = np.where(twice, copies_due.astype(np.int64) + late_ns, 0)
    first = np.where(twice, np.minimum(due, other), due)
    second = np.where(twice, np.maximum(due, other), 0)
    place = np.zeros(count, np.uint32)
    came = np.flatnonzero(first)
    place[came[np.argsort(first[came], kind="stable")]] = np.arange(len(came), dtype=np.uint32)
    samples = Samples(
        size_bytes=size_bytes,
        sent_ns=sent,
        done_ns=sent + np.uint64(2 * US),
        first_ns=first.astype(np.uint64),
        second_ns=second.astype(np.uint64),
        place=place,
        copies=(first != 0).astype(np.uint32) + twice,
        flipped=np.where(decisions.delivered, decisions.flip_bit, -1),
        marked=decisions.mark.astype(np.uint8),
    )
    return replace(samples, **wrong), decisions


def failed(found: list[Check]) -> list[str]:
    return [check.what for check in found if check.verdict != "pass"]


EVERYTHING = ImpairmentPlan(
    delay_ns=20 * MS, loss=0.01, duplicate=0.02, corrupt=0.03, reorder=0.05, keep_order=True, seed=4
)


def test_a_link_that_does_what_is_asked_passes() -> None:
    samples, decisions = through(EVERYTHING)

    assert not failed(checks.delay_checks(EVERYTHING, samples, decisions))
    found = checks.fate_checks(EVERYTHING, samples, decisions)
    assert not failed(found)
    assert {"loss", "duplicated", "corrupted", "reordered"} <= {check.what for check in found}


@pytest.mark.parametrize(
    ("late_ns", "expected"),
    [
        (9 * US, []),
        (120 * US, ["delay error, p99"]),
        (250 * US, ["delay, median", "delay error, p99"]),
        (-20 * US, ["frames before they were due"]),
    ],
)
def test_the_delay_may_be_off_by_a_hundredth_and_by_100_us_at_p99(
    late_ns: int, expected: list[str]
) -> None:
    plan = ImpairmentPlan(delay_ns=20 * MS)
    samples, decisions = through(plan, 1000, MS, late_ns=late_ns)

    assert failed(checks.delay_checks(plan, samples, decisions)) == expected


def test_the_median_of_a_short_delay_may_be_off_by_10_us() -> None:
    plan = ImpairmentPlan(delay_ns=100 * US)

    for late_ns, expected in ((9 * US, []), (11 * US, ["delay, median"])):
        samples, decisions = through(plan, 1000, MS, late_ns=late_ns)
        assert failed(checks.delay_checks(plan, samples, decisions)) == expected


def test_what_the_way_takes_beside_the_link_is_subtracted() -> None:
    plan = ImpairmentPlan(delay_ns=MS)
    samples, decisions = through(plan, 1000, MS, late_ns=150 * US)

    assert failed(checks.delay_checks(plan, samples, decisions))
    assert not failed(checks.delay_checks(plan, samples, decisions, floor_ns=148 * US))


def test_frames_whose_sending_was_interrupted_tell_nothing() -> None:
    plan = ImpairmentPlan(delay_ns=MS)
    samples, decisions = through(plan, 1000, MS)
    done, first = samples.done_ns.copy(), samples.first_ns.copy()
    done[:100] += np.uint64(MS)
    first[:100] += np.uint64(MS)
    interrupted = replace(samples, done_ns=done, first_ns=first)

    assert not failed(checks.delay_checks(plan, interrupted, decisions))
    done[:500] += np.uint64(MS)
    found = checks.delay_checks(plan, replace(interrupted, done_ns=done), decisions)
    assert [check.verdict for check in found] == ["pass", "not certified"]


def test_with_few_frames_the_largest_error_stands_for_the_percentile() -> None:
    plan = ImpairmentPlan(delay_ns=MS)
    samples, decisions = through(plan, 100, MS)

    found = checks.delay_checks(plan, samples, decisions)
    assert [check.what for check in found] == ["delay, median", "delay error, most"]


def lose(samples: Samples, frame: int) -> Samples:
    copies, first = samples.copies.copy(), samples.first_ns.copy()
    copies[frame] = first[frame] = 0
    return replace(samples, copies=copies, first_ns=first)


def test_a_single_frame_with_another_fate_fails() -> None:
    samples, decisions = through(EVERYTHING)
    arrived = int(np.flatnonzero(samples.copies == 1)[7])
    doubled = int(np.flatnonzero(samples.copies == 2)[3])
    damaged = int(np.flatnonzero(samples.flipped >= 0)[2])
    another_bit = samples.flipped.copy()
    another_bit[damaged] += 1
    once = samples.copies.copy()
    once[doubled] = 1

    for wrong in (
        lose(samples, arrived),
        replace(samples, flipped=another_bit),
        replace(samples, copies=once),
    ):
        found = failed(checks.fate_checks(EVERYTHING, wrong, decisions))
        assert found == ["frames with another fate than their seed gives them"]


def test_loss_outside_its_interval_fails_without_a_model_too() -> None:
    plan = ImpairmentPlan(loss=0.01)
    samples, _ = through(ImpairmentPlan(loss=0.02, seed=9), 20_000)

    assert failed(checks.fate_checks(plan, samples, None)) == ["loss"]
    assert not failed(checks.fate_checks(ImpairmentPlan(loss=0.02), samples, None))


def test_loss_that_nobody_asked_for_fails() -> None:
    samples, _ = through(ImpairmentPlan())

    assert failed(checks.fate_checks(ImpairmentPlan(), lose(samples, 3), None)) == ["loss"]


def test_bursts_have_to_be_as_long_as_asked() -> None:
    asked = ImpairmentPlan(gemodel=(0.01, 0.25, 1.0, 0.0))
    same_ratio_shorter = ImpairmentPlan(gemodel=(0.02, 0.5, 1.0, 0.0))
    good, decisions = through(asked, 50_000)
    bad, _ = through(same_ratio_shorter, 50_000)

    assert not failed(checks.fate_checks(asked, good, decisions))
    assert "loss, length of bursts" in failed(checks.fate_checks(asked, bad, None))


def test_frames_dropped_by_number_are_those_and_no_others() -> None:
    plan = ImpairmentPlan(drop=(5, 9, 12))
    samples, decisions = through(plan, 100)
    copies = samples.copies.copy()
    copies[[5, 6]] = copies[[6, 5]]

    (found,) = checks.drop_checks(plan, samples)
    assert (found.asked, found.measured, found.verdict) == (3, 3, "pass")
    (later,) = checks.drop_checks(ImpairmentPlan(drop=(5, 109)), samples, 104)
    assert (later.asked, later.measured) == (1, 1)
    assert not checks.drop_checks(plan, samples, 1000)
    assert failed(checks.certain_checks(plan, replace(samples, copies=copies), decisions))


def test_one_frame_overtaken_fails_where_order_is_kept() -> None:
    plan = ImpairmentPlan(delay_ns=MS)
    samples, decisions = through(plan, 100)
    place = samples.place.copy()
    place[[40, 41]] = place[[41, 40]]
    swapped = replace(samples, place=place)

    (found,) = [c for c in checks.fate_checks(plan, swapped, decisions) if c.verdict == "fail"]
    assert (found.what, found.measured) == ("frames overtaken", 1)
    free = plan.model_copy(update={"keep_order": False})
    assert not failed(checks.fate_checks(free, swapped, decisions))


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", "paretonormal"])
def test_jitter_of_the_right_distribution_passes_and_of_another_fails(distribution: str) -> None:
    plan = ImpairmentPlan(
        delay_ns=10 * MS, jitter_ns=MS, distribution=distribution, keep_order=False, seed=21
    )
    samples, decisions = through(plan, 8000, late_ns=6 * US)

    assert not failed(checks.jitter_checks(samples, reference(plan), decisions))
    other = "normal" if distribution != "normal" else "uniform"
    wrong = reference(plan.model_copy(update={"distribution": other}))
    assert "jitter, distance of distributions" in failed(
        checks.jitter_checks(samples, wrong, decisions)
    )
    wider = reference(plan.model_copy(update={"jitter_ns": int(1.15 * MS)}))
    assert "jitter, standard deviation" in failed(checks.jitter_checks(samples, wider, decisions))


def test_what_the_machine_adds_does_not_count_as_jitter() -> None:
    plan = ImpairmentPlan(
        delay_ns=10 * MS, jitter_ns=100 * US, distribution="pareto", keep_order=False, seed=8
    )
    samples, decisions = through(plan, 8000)
    noise = np.random.default_rng(5).exponential(5 * US, 8000).astype(np.uint64)
    noisy = replace(samples, first_ns=samples.first_ns + noise)

    assert not failed(checks.jitter_checks(noisy, reference(plan), decisions))


def test_frames_that_a_standstill_of_the_machine_made_late_do_not_count_as_jitter() -> None:
    plan = ImpairmentPlan(
        delay_ns=10 * MS, jitter_ns=MS, distribution="uniform", keep_order=False, seed=8
    )
    samples, decisions = through(plan, 8000)
    first = samples.first_ns.copy()
    first[1000:1400] += np.uint64(50 * MS)
    stalled = replace(samples, first_ns=first)

    found = checks.jitter_checks(stalled, reference(plan), decisions)
    assert {check.verdict for check in found} == {"pass"}
    # The delay's own checks tell of them.
    assert any("p99" in what for what in failed(checks.delay_checks(plan, stalled, decisions)))
    first[1000:6000] += np.uint64(50 * MS)
    (untold,) = checks.jitter_checks(replace(samples, first_ns=first), reference(plan), decisions)
    assert untold.verdict == "not certified"


def test_without_knowing_when_frames_were_due_all_of_them_count() -> None:
    plan = ImpairmentPlan(delay_ns=10 * MS, jitter_ns=MS, distribution="normal", keep_order=False)
    samples, _ = through(plan, 8000, late_ns=30 * US)

    assert not failed(checks.jitter_checks(samples, reference(plan), None, floor_ns=30 * US))
    first = samples.first_ns.copy()
    first[1000:1400] += np.uint64(50 * MS)
    assert "jitter, mean" in failed(
        checks.jitter_checks(replace(samples, first_ns=first), reference(plan), None)
    )


def reference(plan: ImpairmentPlan) -> NDArray[np.float64]:
    arrivals = np.arange(1, 200_001, dtype=np.uint64)
    other = plan.model_copy(update={"seed": 77, "keep_order": False})
    return (Stream(other).decide(arrivals, 60).due_ns - arrivals).astype(np.float64)


@pytest.mark.parametrize("rate_bps", [1_000_000, 100_000_000, 1_000_000_000])
def test_the_rate_may_be_off_by_a_hundredth(rate_bps: int) -> None:
    plan = ImpairmentPlan(rate_bps=rate_bps, queue_packets=50)
    interval_ns = int(8e9 * (1514 + 24) / (1.25 * rate_bps))
    samples, decisions = through(plan, 2000, interval_ns, 1514)

    (good,) = checks.rate_checks(plan, samples, decisions, rate_bps)
    assert good.verdict == "pass"
    assert good.measured == pytest.approx(rate_bps, rel=1e-3)
    slower = plan.model_copy(update={"rate_bps": int(0.98 * rate_bps)})
    wrong, _ = through(slower, 2000, interval_ns, 1514)
    assert failed(checks.rate_checks(plan, wrong, decisions, rate_bps)) == ["rate"]


def test_a_rate_that_cannot_be_offered_is_not_certified() -> None:
    plan = ImpairmentPlan(rate_bps=1_000_000_000)
    samples, decisions = through(plan, 2000, 24_000, 1514)

    (found,) = checks.rate_checks(plan, samples, decisions, 1e9)
    assert found.verdict == "not certified"
    assert "can be sent here" in found.note


def test_a_queue_that_drops_elsewhere_fails() -> None:
    plan = ImpairmentPlan(rate_bps=10_000_000, queue_packets=100)
    larger = plan.model_copy(update={"queue_packets": 110})
    samples, decisions = through(plan, 200, 1000, 1514)
    wrong, _ = through(larger, 200, 1000, 1514)

    (good,) = checks.queue_checks(samples, decisions)
    assert good.verdict == "pass"
    assert good.measured == pytest.approx(101, abs=1)
    assert failed(checks.queue_checks(wrong, decisions)) == ["queue, frames that find room"]


def test_what_fails_on_a_slow_machine_is_not_certified() -> None:
    plan = ImpairmentPlan(delay_ns=MS)
    samples, decisions = through(plan, 1000, MS, late_ns=400 * US)
    found = checks.delay_checks(plan, samples, decisions)

    assert worst(c.verdict for c in lines.excused(found, 1000, 5)) == "fail"
    slow = lines.excused(found, 1000, 50)
    assert worst(c.verdict for c in slow) == "not certified"
    verdict, reason = judge(slow, unasked_frames=0)
    assert verdict == "not certified"
    assert "machine was too slow" in reason
    # A wrong fate has nothing to do with time.
    fates = checks.fate_checks(plan, lose(samples, 4), decisions)
    assert worst(c.verdict for c in lines.excused(fates, 1000, 500)) == "fail"
    assert judge((), unasked_frames=2)[0] == "not certified"


def test_a_trace_forgives_frames_that_just_miss_a_change() -> None:
    plan = ImpairmentPlan()
    samples, decisions = through(plan, 1000)
    found = checks.fate_checks(plan, lose(samples, 3), decisions)

    assert lines.ANOTHER_FATE in failed(found)
    assert lines.ANOTHER_FATE not in failed(lines.forgiving(found, 1000))
    many = samples
    for frame in range(20):
        many = lose(many, frame)
    found = checks.fate_checks(plan, many, decisions)
    assert lines.ANOTHER_FATE in failed(lines.forgiving(found, 1000))


def test_frames_that_were_never_sent_do_not_count() -> None:
    samples, _ = through(ImpairmentPlan(), 10)
    sent = samples.sent_ns.copy()
    sent[[2, 5]] = 0
    kept = checks.sent_only(replace(samples, sent_ns=sent))

    assert len(kept.copies) == len(kept.flipped) == 8
    assert kept.size_bytes == 60


@given(st.integers(1, 20_000), st.floats(0.0001, 0.9999))
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_99_of_100_samples(count: int, ratio: float) -> None:
    low, high = statistics.binomial_interval(count, ratio)
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(k + 1)
        - math.lgamma(count - k + 1)
        + k * math.log(ratio)
        + (count - k) * math.log1p(-ratio)
        for k in range(low, high + 1)
    ]

    assert 0 <= low <= high <= count
    assert math.fsum(map(math.exp, logs)) >= statistics.CONFIDENCE - 1e-9
    assert low <= count * ratio + 1
    assert high >= count * ratio - 1


def test_intervals_of_what_never_and_of_what_always_happens() -> None:
    assert statistics.binomial_interval(100, 0) == (0, 0)
    assert statistics.binomial_interval(100, 1) == (100, 100)
    assert statistics.binomial_interval(0, 0.5) == (0, 0)


@pytest.mark.parametrize("gemodel", [(0.01, 0.25, 1.0, 0.0), (0.1, 0.3, 0.7, 0.02)])
def test_gilbert_elliott_in_closed_form_agrees_with_the_model(
    gemodel: tuple[float, float, float, float],
) -> None:
    plan = ImpairmentPlan(gemodel=gemodel, seed=3)
    lost = ~Stream(plan).decide(np.arange(1, 400_001, dtype=np.uint64), 60).delivered
    low, high = statistics.gilbert_elliott_interval(len(lost), gemodel)

    assert low <= lost.sum() <= high
    mean = statistics.run_lengths(lost).mean()
    assert mean == pytest.approx(statistics.gilbert_elliott_burst(gemodel), rel=0.03)


def test_runs_that_touch_the_ends_do_not_count() -> None:
    lost = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1], dtype=bool)

    assert statistics.run_lengths(lost).tolist() == [3, 1]


def test_two_samples_of_one_distribution_are_near() -> None:
    random = np.random.default_rng(1)
    distance, bound = statistics.kolmogorov_smirnov(
        random.normal(size=4000), random.normal(size=9000)
    )
    assert distance < bound
    distance, bound = statistics.kolmogorov_smirnov(
        random.normal(size=4000), random.normal(0.1, size=9000)
    )
    assert distance > bound


def a_certificate(found: list[Check]) -> Certificate:
    verdict, reason = judge(found, unasked_frames=0)
    direction = DirectionCertificate(
        direction="up",
        source="h1",
        destination="s1",
        spec=ImpairmentPlan(delay_ns=5 * MS, seed=7),
        checks=tuple(found),
        verdict=verdict,
        reason=reason,
    )
    link = LinkCertificate(
        link="h1-eth0<->s1-eth1", mechanism="wire", directions=(direction,), verdict=verdict
    )
    return Certificate(
        topology="t",
        measured_at=datetime(2031, 5, 4, tzinfo=UTC),
        duration_s=1.5,
        dma_latency_held=True,
        links=(link,),
        verdict=verdict,
    )


def test_a_certificate_is_read_back_as_it_was_written() -> None:
    samples, decisions = through(EVERYTHING)
    certificate = a_certificate(checks.delay_checks(EVERYTHING, samples, decisions))

    assert Certificate.model_validate_json(certificate.model_dump_json()) == certificate


def test_a_report_says_what_was_asked_measured_and_tolerated() -> None:
    from rich.console import Console

    plan = ImpairmentPlan(delay_ns=5 * MS)
    samples, decisions = through(plan, 1000, MS, late_ns=150 * US)
    certificate = a_certificate(checks.delay_checks(plan, samples, decisions))
    console = Console(width=140)
    with console.capture() as capture:
        console.print(render(certificate))

    text = capture.get()
    for expected in ("h1-eth0<->s1-eth1 up, h1 → s1", "seed 7", "[wire", "5.15 ms", "≤ 100 µs"):
        assert expected in text
    assert summary(certificate) == "0 of 1 impaired link certified in 1.5 s"
    (line,) = complaints(certificate)
    assert "failed: delay, median 5.15 ms (asked 5 ms, ± 50 µs), delay error, p99" in line


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5e6, "ns", "5 ms"),
        (123.0, "ns", "123 ns"),
        (0.0, "ns", "0 ns"),
        (100e6, "bit/s", "100 Mbit/s"),
        (0.0125, "ratio", "1.25 %"),
        (12345.0, "frames", "12 345"),
        (4.0, "length", "4 frames"),
        (None, "ns", "–"),
    ],
)
def test_quantities_for_people(value: float | None, unit: Any, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("asked", "low", "high", "text"),
    [
        (5.0, 4.0, 6.0, "± 1"),
        (0.0, 0.0, 3.0, "≤ 3"),
        (3.0, 3.0, 3.0, "exactly"),
        (5.0, 1.0, 6.0, "1 … 6"),
        (None, None, None, "–"),
    ],
)
def test_tolerances_for_people(
    asked: float | None, low: float | None, high: float | None, text: str
) -> None:
    check = Check(what="x", unit="", asked=asked, measured=1, low=low, high=high, verdict="pass")
    assert tolerance(check) == text
