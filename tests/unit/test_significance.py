"""What is called a difference is one, and what is not is said not to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from emulator.errors import UsageError
from emulator.measure.intervals import MIN_ROUNDS
from emulator.measure.significance import Comparison, compare, holm


def rounds(count: int, *, around: float = 100.0, spread: float = 2.0, seed: int = 1) -> list[float]:
    return (around + spread * np.random.default_rng(seed).standard_normal(count)).tolist()


def test_a_clear_rise_is_higher_and_the_way_back_lower() -> None:
    a, b = rounds(8, seed=1), rounds(8, around=120, seed=2)
    up, down = compare("p99", a, b), compare("p99", b, a)
    assert (up.verdict, down.verdict) == ("higher", "lower")
    assert up.difference == pytest.approx(np.median(b) - np.median(a))
    assert up.ratio == pytest.approx(np.median(b) / np.median(a))
    assert up.difference_interval is not None
    assert up.difference_interval.low < 20 < up.difference_interval.high
    assert up.ratio_interval is not None
    assert up.ratio_interval.low < 1.2 < up.ratio_interval.high
    assert up.ratio_interval.low > 1
    assert (up.a_rounds, up.b_rounds, up.metric) == (8, 8, "p99")


@pytest.mark.parametrize("shift", [0.0, 12.0, -12.0])
@pytest.mark.parametrize("count", [5, 8, 20])
def test_in_clear_cases_scipy_agrees(shift: float, count: int) -> None:
    for seed in range(5):
        a = rounds(count, seed=2 * seed)
        # The same noise again, so that without a shift nothing at all differs.
        b = [value + shift for value in rounds(count, seed=2 * seed)]
        found = compare("p50", a, b)
        rank = stats.mannwhitneyu(a, b).pvalue < 0.05
        shuffled = stats.permutation_test(
            (a, b), lambda x, y: np.median(y) - np.median(x), n_resamples=500, rng=seed
        )
        assert (found.verdict != "no-difference") == rank == (shuffled.pvalue < 0.05)
        assert found.verdict == {0: "no-difference", 12: "higher", -12: "lower"}[int(shift)]


@pytest.mark.parametrize("count", [3, 6, 12])
@pytest.mark.parametrize("skewed", [False, True])
def test_what_is_alike_is_seldom_called_different(count: int, skewed: bool) -> None:
    random = np.random.default_rng(count)
    alarms = 0
    for _ in range(200):
        noise = random.standard_normal((2, count))
        a, b = np.exp(noise) if skewed else 100 + noise
        alarms += compare("p50", a.tolist(), b.tolist()).verdict != "no-difference"
    assert alarms <= 0.08 * 200


@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_the_interval_holds_the_true_difference(spread: float) -> None:
    held = 0
    for seed in range(200):
        a = rounds(8, seed=seed)
        b = rounds(8, around=103, spread=spread, seed=1000 + seed)
        interval = compare("p50", a, b).difference_interval
        assert interval is not None
        held += interval.low <= 3 <= interval.high
    assert 0.90 <= held / 200 <= 0.995


@given(
    st.lists(st.integers(1, 1000), min_size=MIN_ROUNDS, max_size=10),
    st.lists(st.integers(1, 1000), min_size=MIN_ROUNDS, max_size=10),
)
def test_verdict_interval_and_probability_say_the_same(a: list[int], b: list[int]) -> None:
    found = compare("loss", a, b)
    assert found.difference_interval is not None
    assert found.p_value is not None
    low, high = found.difference_interval.low, found.difference_interval.high
    assert low <= np.median(b) - np.median(a) <= high
    assert (found.verdict == "higher") == (low > 0)
    assert (found.verdict == "lower") == (high < 0)
    # Where the interval just touches 0 the two may fall either way.
    if abs(found.p_value - 0.05) > 1e-9:
        assert (found.p_value < 0.05) == (found.verdict != "no-difference")


def test_a_few_rounds_are_not_known() -> None:
    found = compare("p50", [1.0, 2.0], [50.0, 51.0, 52.0])
    assert found.verdict == "unknown"
    assert (found.difference, found.ratio) == (49.5, 34.0)
    assert found.difference_interval is None
    assert found.ratio_interval is None
    assert found.p_value is None
    nothing = compare("p50", [], [50.0])
    assert (nothing.a_median, nothing.b_median, nothing.difference) == (None, 50.0, None)


def test_what_never_changes_differs_by_what_it_differs() -> None:
    assert compare("loss", [0.0] * 4, [0.0] * 4).verdict == "no-difference"
    assert compare("loss", [0.0] * 4, [0.0] * 4).p_value == 1
    found = compare("loss", [0.0] * 4, [0.5] * 4)
    assert (found.verdict, found.p_value, found.ratio, found.ratio_interval) == (
        "higher",
        0,
        None,
        None,
    )


def test_a_round_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="a round gave nan"):
        compare("p50", [1.0, math.nan, 2.0], [1.0, 2.0, 3.0])


def with_p(p: float | None, metric: str = "m") -> Comparison:
    verdict = "unknown" if p is None else "higher" if p < 0.05 else "no-difference"
    return Comparison(metric, 5, 5, 1.0, 2.0, 1.0, None, 2.0, None, p, p, verdict)


def test_of_many_metrics_only_those_that_stand_out_are_different() -> None:
    # Holm by hand: 0.01 × 4 = 0.04, 0.02 × 3 = 0.06, then 0.06 again for 0.03 × 2, and 0.2.
    found = holm([with_p(0.03), with_p(0.01), with_p(None), with_p(0.2), with_p(0.02)])
    adjusted = [each.adjusted_p for each in found]
    assert adjusted[2] is None
    assert [p for p in adjusted if p is not None] == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert [each.verdict for each in found] == [
        "no-difference",
        "higher",
        "unknown",
        "no-difference",
        "no-difference",
    ]
    assert [each.p_value for each in found] == [0.03, 0.01, None, 0.2, 0.02]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_corrected_probabilities_are_holms(values: list[float]) -> None:
    found = [each.adjusted_p for each in holm([with_p(p) for p in values])]
    # Holm's step-down in its own words: the largest of (m - k + 1) p(k) up to each.
    for p, adjusted in zip(values, found, strict=True):
        smaller = sorted(q for q in values if q <= p)
        expected = max(min(1.0, (len(values) - rank) * q) for rank, q in enumerate(smaller))
        assert adjusted == pytest.approx(expected)


def test_one_metric_stays_as_it_is() -> None:
    alone = compare("p50", rounds(6, seed=1), rounds(6, around=130, seed=2))
    assert holm([alone]) == (alone,)
    assert holm([]) == ()
