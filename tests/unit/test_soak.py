"""A soak is judged by its intervals, its outages and its drift."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.measure.soak import (
    POINTS_NEEDED,
    SoakInterval,
    SoakLimits,
    judge_soak,
    theil_sen,
)


def soak(
    lost: Sequence[int], p50_ns: Sequence[int | None] | None = None, **changes: Any
) -> list[SoakInterval]:
    """Intervals of a second with 1000 packets each, of which so many are lost."""
    delays = p50_ns if p50_ns is not None else [20_000] * len(lost)
    return [
        SoakInterval(
            start_s=float(second),
            duration_s=1.0,
            sent=1000,
            lost=count,
            p50_ns=delay,
            p99_ns=None if delay is None else 2 * delay,
            **changes,
        )
        for second, (count, delay) in enumerate(zip(lost, delays, strict=True))
    ]


def test_a_quiet_soak_passes() -> None:
    result = judge_soak(soak([0] * 60))
    assert result.verdict == "pass"
    assert "60 intervals" in result.reason
    assert (result.bad_intervals, result.first_violation, result.longest_outage) == (0, None, None)
    assert result.direction == "steady"
    assert result.trend is not None
    assert result.trend.slope_per_s == 0
    assert result.loss_ratio == 0


def test_loss_up_to_the_limit_is_allowed() -> None:
    assert judge_soak(soak([1] * 20)).verdict == "pass"
    assert judge_soak(soak([1] * 19 + [2])).verdict == "fail"
    assert judge_soak(soak([20] * 20), SoakLimits(loss_ratio=0.02)).verdict == "pass"


def test_outages_are_runs_of_lossy_intervals() -> None:
    """Dead from 4.6 s to 6.3 s, and 5 packets lost in second 9."""
    result = judge_soak(soak([0, 0, 0, 0, 400, 1000, 300, 0, 0, 5, 0, 0]))
    assert [outage.first for outage in result.outages] == [4, 9]
    longest = result.longest_outage
    assert longest == result.outages[0]
    assert longest is not None
    assert (longest.start_s, longest.span_s, longest.lost) == (4.0, 3.0, 1700)
    assert longest.dead_s == pytest.approx(1.7)
    assert result.bad_intervals == 4
    assert result.first_violation == 4
    assert result.violations[4] == ("loss",)
    assert result.verdict == "fail"
    assert "after 4 s (loss)" in result.reason
    assert result.loss_ratio == pytest.approx(1705 / 12_000)


def test_an_outage_at_the_very_end_is_one_too() -> None:
    (outage,) = judge_soak(soak([0, 0, 1000])).outages
    assert (outage.first, outage.span_s) == (2, 1.0)


def test_delay_above_the_limit_is_a_violation_but_no_outage() -> None:
    result = judge_soak(soak([0] * 3, [10_000, 30_000, None]), SoakLimits(p99_ns=50_000))
    assert result.violations == ((), ("p99",), ())
    assert result.first_violation == 1
    assert result.outages == ()
    both = judge_soak(soak([500], [30_000]), SoakLimits(p99_ns=50_000))
    assert both.violations == (("loss", "p99"),)
    assert "loss and p99" in both.reason


def test_disturbed_intervals_are_not_held_against_the_path() -> None:
    rows = soak([0] * 40)
    rows[7] = replace(rows[7], lost=900, valid=False)
    result = judge_soak(rows)
    assert (result.verdict, result.outages, result.bad_intervals) == ("pass", (), 0)
    many = [replace(row, valid=number % 10 > 0) for number, row in enumerate(soak([0] * 40))]
    assert judge_soak(many).verdict == "unknown"
    assert "of 40 intervals" in judge_soak(many).reason
    # What is bad in those that were left alone remains bad.
    many[1] = replace(many[1], lost=900)
    assert judge_soak(many).verdict == "fail"


@pytest.mark.parametrize("rows", [[], [replace(soak([0])[0], sent=0, unsent=1000)]])
def test_nothing_measured_is_nothing_known(rows: list[SoakInterval]) -> None:
    result = judge_soak(rows)
    assert result.verdict == "unknown"
    assert result.trend is None
    assert result.direction is None
    assert result.loss_ratio == 0


@pytest.mark.parametrize(
    ("rise_ns", "direction", "verdict"),
    [(100, "rising", "fail"), (-100, "falling", "pass"), (10, "steady", "pass")],
)
def test_a_planted_drift_is_found_under_noise(rise_ns: int, direction: str, verdict: str) -> None:
    """20 µs that rise by 0.1 µs a second: by 30 % in a minute."""
    noise = random.Random(1)
    delays = [20_000 + rise_ns * second + noise.randrange(-500, 501) for second in range(60)]
    # Outliers do not bend the median of slopes.
    delays[30] = delays[50] = 5_000_000
    result = judge_soak(soak([0] * 60, delays))
    assert (result.direction, result.verdict) == (direction, verdict)
    assert result.trend is not None
    assert result.trend.low_per_s <= rise_ns <= result.trend.high_per_s
    assert result.trend.slope_per_s == pytest.approx(rise_ns, abs=10)
    if verdict == "fail":
        assert "rose by 5." in result.reason or "rose by 6" in result.reason


def test_a_drift_may_be_allowed() -> None:
    delays = [20_000 + 100 * second for second in range(60)]
    allowed = judge_soak(soak([0] * 60, delays), SoakLimits(drift_ratio=None))
    assert (allowed.direction, allowed.verdict) == ("rising", "pass")


def test_noise_is_seldom_called_a_trend() -> None:
    found = 0
    for seed in range(400):
        delays = np.random.default_rng(seed).normal(20_000, 4_000, 60)
        trend = theil_sen(np.arange(60.0).tolist(), delays.tolist())
        assert trend is not None
        found += trend.direction(0.0) != "steady"
    # 5 % of 400, within the 99.9 % interval of the binomial distribution.
    assert found <= scipy.stats.binom.ppf(0.9995, 400, 0.05)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.integers(-1000, 1000)),
        min_size=POINTS_NEEDED,
        max_size=60,
    )
)
def test_the_trend_is_that_of_scipy(points: list[tuple[float, int]]) -> None:
    time_s = np.cumsum([gap for gap, _ in points])
    values = [value for _, value in points]
    trend = theil_sen(time_s.tolist(), values)
    assert trend is not None
    known = scipy.stats.theilslopes(values, time_s, 0.95)
    assert trend.slope_per_s == pytest.approx(known.slope)
    if len(set(values)) > 1:
        assert trend.low_per_s == pytest.approx(known.low_slope)
        assert trend.high_per_s == pytest.approx(known.high_slope)
    assert trend.low_per_s <= trend.slope_per_s <= trend.high_per_s


def test_a_day_of_seconds_is_judged_too() -> None:
    seconds = np.arange(86_400.0)
    values = 20_000 + 0.1 * seconds + np.random.default_rng(1).normal(0, 500, len(seconds))
    trend = theil_sen(seconds.tolist(), values.tolist())
    assert trend is not None
    assert trend.slope_per_s == pytest.approx(0.1, rel=0.02)
    assert trend.low_per_s <= 0.1 <= trend.high_per_s
    assert trend.change == pytest.approx(8640, rel=0.02)


def test_a_change_of_nothing_has_no_ratio() -> None:
    trend = theil_sen(list(range(20)), [0] * 20)
    assert trend is not None
    assert trend.change_ratio is None
    assert trend.direction(0.1) == "steady"


def test_too_few_points_have_no_trend() -> None:
    assert theil_sen(list(range(POINTS_NEEDED - 1)), [1] * (POINTS_NEEDED - 1)) is None


def test_intervals_out_of_order_are_refused() -> None:
    rows = soak([0, 0, 0])
    with pytest.raises(UsageError, match="order of time"):
        judge_soak([rows[1], rows[0], rows[2]])


@pytest.mark.parametrize(
    "wrong", [{"loss_ratio": 1.0}, {"loss_ratio": -0.1}, {"p99_ns": 0}, {"drift_ratio": 0.0}]
)
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        SoakLimits(**wrong)
    assert refused.value.hint
