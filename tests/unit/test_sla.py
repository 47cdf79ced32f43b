"""Verdicts on service levels, beside traces worked out by hand and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from emulator.errors import MeasurementError, UsageError
from emulator.measure.sla import SlaCheck, SlaProfile, judge, judge_result
from emulator.traffic.probe import ProbeResult, ProbeSpec

MS = 1_000_000
START_NS = 5_000 * MS


def profile(
    allowed: int | None = 1, *, quantile: float | None = None, kind: str = "rtt"
) -> SlaProfile:
    return SlaProfile(
        name="press",
        deadline_ns=MS // 2,
        kind=kind,  # type: ignore[arg-type]
        cycle_ns=MS,
        consecutive_misses_allowed=allowed,
        quantile=quantile,
    )


def trace(marks: str, *, spacing_ns: int = MS) -> dict[str, np.ndarray]:
    """Packets by a letter each: . in time, L late, x lost, - never sent, = just in time."""
    delays_ns = {".": MS // 10, "L": MS // 2 + 1, "=": MS // 2, "x": None, "-": None}
    due = START_NS + spacing_ns * np.arange(len(marks), dtype=np.uint64)
    arrived = np.zeros(len(marks), dtype=np.uint64)
    for place, mark in enumerate(marks):
        delay_ns = delays_ns[mark]
        if delay_ns is not None:
            arrived[place] = int(due[place]) + delay_ns
    sent = np.array([0 if mark == "-" else int(at) for mark, at in zip(marks, due, strict=True)])
    return {"intended_ns": due, "received_ns": arrived, "sent_ns": sent.astype(np.uint64)}


def test_a_trace_worked_out_by_hand() -> None:
    #      number: 0123456789012345678
    found = judge(profile(2), **trace("..x.LLx..=xxLLx..L."))
    assert found.verdict == "fail"
    assert (found.cycles, found.unsent) == (19, 0)
    assert (found.misses, found.lost, found.late) == (10, 5, 5)
    assert found.run_lengths == {1: 2, 3: 1, 5: 1}
    assert (found.longest_run, found.violations) == (5, 2)
    # Two are allowed, so the third one of the first run of three violates it.
    assert (found.first_miss, found.first_violation) == (2, 6)
    assert found.first_violation_ns == 6 * MS
    assert found.within_deadline == 9 / 19
    # Down for the third of the three and the third to fifth of the five.
    assert found.availability == 15 / 19
    assert found.reason == (
        "47.3684 % of 19 packets within 0.5 ms; at most 5 missed in a row, 2 allowed"
    )


def test_as_many_as_are_allowed_are_allowed() -> None:
    found = judge(profile(3), **trace("xxx.LLL.x"))
    assert (found.verdict, found.violations) == ("pass", 0)
    assert (found.first_violation, found.first_violation_ns, found.first_miss) == (None, None, 0)
    assert found.availability == 1
    assert found.run_lengths == {1: 1, 3: 2}


def test_none_allowed_is_violated_by_the_first_miss() -> None:
    found = judge(profile(0), **trace("...L"))
    assert (found.verdict, found.first_violation, found.first_violation_ns) == ("fail", 3, 3 * MS)
    assert found.availability == 0.75


def test_on_the_deadline_is_in_time() -> None:
    assert judge(profile(0), **trace("====")).misses == 0
    assert judge(profile(0), **trace("....")).reason == (
        "100 % of 4 packets within 0.5 ms; at most 0 missed in a row, 0 allowed"
    )


def test_what_was_never_sent_is_no_cycle_and_parts_no_run() -> None:
    #      number: 01234567
    found = judge(profile(1), **trace(".x--x.-."))
    assert (found.cycles, found.unsent, found.misses) == (5, 3, 2)
    assert found.run_lengths == {2: 1}
    # Packets keep the number they had in the schedule.
    assert (found.first_miss, found.first_violation, found.first_violation_ns) == (1, 4, 4 * MS)


def test_without_a_limit_there_is_a_share_and_no_verdict() -> None:
    found = judge(profile(None), **trace("..xx......"))
    assert (found.verdict, found.checks) == ("unknown", ())
    assert (found.within_deadline, found.availability) == (0.8, 0.8)
    assert found.reason == (
        "80 % of 10 packets within 0.5 ms; the profile sets no limit to judge by"
    )
    assert (found.first_miss, found.first_violation) == (2, None)
    assert found.run_lengths == {2: 1}
    assert not found.profile.judges


def test_packets_that_are_no_cycles_have_no_verdict_on_cycles() -> None:
    found = judge(profile(1), **trace(".xxx.", spacing_ns=10 * MS))
    assert found.verdict == "unknown"
    assert "10 ms apart and not a cycle of 1 ms" in found.reason
    assert (found.longest_run, found.violations, found.first_violation) == (3, 0, None)


def test_a_little_off_the_cycle_is_still_the_cycle() -> None:
    assert judge(profile(1), **trace(".xx.", spacing_ns=round(1.05 * MS))).verdict == "fail"


def many(misses: int, cycles: int) -> dict[str, np.ndarray]:
    due = START_NS + MS * np.arange(cycles, dtype=np.uint64)
    arrived = due + np.uint64(MS // 10)
    arrived[:misses] = 0
    return {"intended_ns": due, "received_ns": arrived}


@pytest.mark.parametrize(
    ("misses", "cycles", "verdict", "text"),
    [
        # 299,572 support p99.999, and 2 of them may be missed: the 299,570th is the percentile.
        (2, 299_572, "pass", "p99.999 is within 0.5 ms"),
        (3, 299_572, "fail", "p99.999 is beyond 0.5 ms"),
        (0, 299_571, "unknown", "p99.999 needs 299,572 packets, not 299,571"),
        (2, 299_571, "unknown", "p99.999 needs 299,572 packets, not 299,571"),
        # So few packets cannot prove it, but refute it they can.
        (5, 10_000, "fail", "5 of 10,000 missed"),
        (9_999, 10_000, "fail", "9,999 of 10,000 missed"),
    ],
)
def test_a_percentile_is_judged_where_the_sample_allows(
    misses: int, cycles: int, verdict: str, text: str
) -> None:
    found = judge(profile(None, quantile=0.99999), **many(misses, cycles))
    assert found.verdict == verdict
    assert found.checks[0].limit == "percentile"
    assert found.checks[0].text.startswith(text)
    assert found.first_violation == (0 if verdict == "fail" else None)


@given(st.integers(0, 8), st.integers(10, 2994))
def test_a_small_sample_refutes_a_percentile_where_the_binomial_test_does(
    misses: int, cycles: int
) -> None:
    found = judge(profile(None, quantile=0.999), **many(misses, cycles))
    p_value = stats.binomtest(misses, cycles, 0.001, alternative="greater").pvalue
    assert found.verdict == ("fail" if p_value < 0.05 else "unknown")


def test_lost_packets_count_in_a_percentile_as_later_than_any() -> None:
    found = judge(profile(None, quantile=0.9), **many(200, 1000))
    assert found.checks == (SlaCheck("percentile", "fail", "p90 is beyond 0.5 ms"),)


def test_every_limit_has_to_be_kept() -> None:
    both = profile(1, quantile=0.9)
    #                           9 in 10 are in time, but two misses follow each other.
    assert judge(both, **trace("." * 98 + "xx")).verdict == "fail"
    assert judge(both, **trace("x." * 50)).verdict == "fail"
    assert judge(both, **trace("." * 50)).verdict == "pass"
    assert judge(both, **trace("." * 10)).verdict == "unknown"


def test_where_only_the_percentile_fails_the_first_miss_violates_it() -> None:
    found = judge(profile(1, quantile=0.9), **trace("..x." * 25))
    assert [check.verdict for check in found.checks] == ["pass", "fail"]
    assert (found.first_violation, found.first_violation_ns) == (2, 2 * MS)


@given(st.text(alphabet=".Lx-=", min_size=1, max_size=80), st.one_of(st.none(), st.integers(0, 4)))
def test_it_is_what_a_loop_finds(marks: str, allowed: int | None) -> None:
    sent = [(number, mark) for number, mark in enumerate(marks) if mark != "-"]
    if not sent:
        with pytest.raises(MeasurementError, match="nothing was sent"):
            judge(profile(allowed), **trace(marks))
        return
    run = longest = down = violations = 0
    runs: dict[int, int] = {}
    first_violation = first_miss = None
    for number, mark in [*sent, (-1, ".")]:
        if mark in "Lx":
            run += 1
            first_miss = number if first_miss is None else first_miss
            if run > (allowed or 0):
                down += 1
            if allowed is not None and run == allowed + 1:
                violations += 1
                first_violation = number if first_violation is None else first_violation
        elif run:
            runs[run] = runs.get(run, 0) + 1
            longest = max(longest, run)
            run = 0
    found = judge(profile(allowed), **trace(marks))
    assert (found.misses, found.lost) == (marks.count("L") + marks.count("x"), marks.count("x"))
    assert (found.cycles, found.unsent) == (len(sent), marks.count("-"))
    assert (found.run_lengths, found.longest_run) == (runs, longest)
    assert (found.violations, found.first_violation) == (violations, first_violation)
    assert found.first_miss == first_miss
    assert found.availability == pytest.approx(1 - down / len(sent))
    expected = "fail" if violations else "unknown" if allowed is None else "pass"
    assert found.verdict == expected


def test_arrays_of_different_packets_are_refused() -> None:
    given = trace("....")
    with pytest.raises(UsageError, match="not of the same packets"):
        judge(profile(), given["intended_ns"], given["received_ns"][:3])
    with pytest.raises(UsageError, match="not of the same packets"):
        judge(profile(), given["intended_ns"], given["received_ns"], sent_ns=given["sent_ns"][:3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"deadline_ns": 0}, "profile press, deadline: a deadline of 0 ns cannot be met"),
        ({"kind": "both"}, "profile press, kind: 'both' is neither one-way nor rtt"),
        ({"cycle_ns": -1}, "profile press, cycle: a cycle of -1 ns is none"),
        ({"consecutive_misses_allowed": -1}, "profile press, consecutive_misses_allowed"),
        ({"quantile": 99.9}, "profile press, quantile: 99.9 does not lie between 0 and 1"),
        ({"payload_bytes": (64, 0)}, "profile press, payload_bytes"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    content: dict[str, object] = {"name": "press", "deadline_ns": MS, "kind": "rtt"}
    with pytest.raises(UsageError, match=message):
        SlaProfile(**{**content, **wrong})  # type: ignore[arg-type]


def recorded(marks: str, *, round_trip: bool, record: bool = True) -> ProbeResult:
    given = trace(marks)
    spec = ProbeSpec(rate_pps=1000, duration_s=len(marks) / 1000, round_trip=round_trip)
    counts = dict.fromkeys(
        ("sent", "unsent", "received", "lost", "duplicated", "reordered", "damaged", "overrun"), 0
    )
    return ProbeResult(
        spec=spec,
        source="h1",
        destination="h2",
        **counts,
        reflected=None,
        start_ns=START_NS,
        elapsed_ns=len(marks) * MS,
        cpu_ns=0,
        process_cpu_ns={},
        wait_ns=0,
        softirq_accounting="in-task",
        dma_latency_held=True,
        sent_ns=given["sent_ns"] if record else None,
        received_ns=given["received_ns"] if record else None,
        reflected_ns=None,
        copies=None,
        arrival=None,
    )


def test_a_trial_is_judged_by_its_records() -> None:
    found = judge_result(profile(1), recorded("..x-L.", round_trip=True))
    assert (found.verdict, found.unsent, found.first_violation) == ("fail", 1, 4)


def test_a_deadline_is_for_the_way_that_was_measured() -> None:
    with pytest.raises(UsageError, match="h1 → h2: the deadline of press is about round trips"):
        judge_result(profile(kind="rtt"), recorded("....", round_trip=False))
    with pytest.raises(UsageError, match="probe with round_trip=False"):
        judge_result(profile(kind="one-way"), recorded("....", round_trip=True))


def test_a_trial_without_times_cannot_be_judged() -> None:
    with pytest.raises(UsageError, match="kept no times"):
        judge_result(profile(), recorded("....", round_trip=True, record=False))
