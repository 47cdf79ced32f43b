"""Intervals hold the truth as often as they say, also where packets are slow together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal, special, stats

from emulator.errors import MeasurementError, UsageError
from emulator.measure.histogram import Histogram
from emulator.measure.intervals import (
    MIN_PACKETS_OF_ONE_ROUND,
    Blocks,
    Interval,
    Resampled,
    median_interval,
    percentile_interval,
)

MEAN_NS = 10_000


def delays(
    rounds: int, packets: int, *, seed: int, correlation: float = 0.0, spread: float = 0.0
) -> list[np.ndarray]:
    """Delays that are exponential, correlated with those before, and scaled anew in each round."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((rounds, packets + 100))
    noise = signal.lfilter([np.sqrt(1 - correlation**2)], [1, -correlation], noise, axis=1)
    # Normal noise turned into exponential delays, quantile by quantile.
    delays_ns = -MEAN_NS * special.log_ndtr(-noise[:, 100:])
    scale = np.exp(spread * random.standard_normal((rounds, 1)))
    return list((delays_ns * scale).astype(np.int64))


def coverage(make: Callable[[int], Interval | None], truth: float, runs: int) -> float:
    intervals = [make(seed) for seed in range(runs)]
    return float(
        np.mean([each is not None and each.low <= truth <= each.high for each in intervals])
    )


def true_quantile(quantile: float) -> float:
    return float(MEAN_NS * stats.expon.ppf(quantile))


@pytest.mark.parametrize(
    ("rounds", "packets", "quantile", "correlation"),
    [(10, 400, 0.99, 0.0), (4, 400, 0.5, 0.9)],
)
def test_over_rounds_it_holds_the_truth(
    rounds: int, packets: int, quantile: float, correlation: float
) -> None:
    held = coverage(
        lambda seed: Blocks(delays(rounds, packets, seed=seed, correlation=correlation)).percentile(
            quantile
        ),
        true_quantile(quantile),
        runs=200,
    )
    assert 0.90 <= held <= 0.99


@pytest.mark.parametrize(("quantile", "correlation"), [(0.5, 0.9), (0.99, 0.0)])
def test_within_one_round_it_holds_the_truth(quantile: float, correlation: float) -> None:
    held = coverage(
        lambda seed: Blocks(delays(1, 2000, seed=seed, correlation=correlation)).percentile(
            quantile
        ),
        true_quantile(quantile),
        runs=60,
    )
    assert 0.90 <= held <= 0.99


def test_to_draw_single_packets_would_hold_it_far_less_often() -> None:
    """The test above tells good from bad: this is what it would see of the naive bootstrap."""

    def naive(seed: int) -> Interval:
        found = delays(1, 2000, seed=seed, correlation=0.95)[0]
        random = np.random.default_rng(seed)
        medians = np.median(random.choice(found, (100, len(found))), axis=1)
        return Interval(*np.quantile(medians, [0.025, 0.975]), 0.95, "naive")

    assert coverage(naive, true_quantile(0.5), runs=30) < 0.7


def test_what_differs_between_rounds_is_in_it() -> None:
    """Rounds that differ by 20 %: the true median of all rounds is held, few as they are."""
    held = coverage(
        lambda seed: percentile_interval(delays(10, 100, seed=seed, spread=0.2), 0.5),
        true_quantile(0.5),
        runs=300,
    )
    assert 0.90 <= held <= 0.99
    alike = Blocks(delays(5, 300, seed=1)).percentile(0.5)
    different = Blocks(delays(5, 300, seed=1, spread=0.2)).percentile(0.5)
    assert alike is not None
    assert different is not None
    assert different.high - different.low > 2 * (alike.high - alike.low)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_it_surrounds_the_percentile_of_the_sample(quantile: float) -> None:
    for rounds in (1, 3, 8):
        found = delays(rounds, 2000, seed=rounds)
        interval = Blocks(found).percentile(quantile)
        assert interval is not None
        exact = np.quantile(np.concatenate(found), quantile, method="inverted_cdf")
        assert interval.low <= exact <= interval.high


def test_resamples_have_the_percentiles_that_numpy_finds() -> None:
    found = delays(4, 500, seed=3)
    blocks = Blocks(found)
    weights = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [0, 0, 0, 4]])
    resampled = Resampled(blocks, weights)
    for row, weight in enumerate(weights):
        drawn = np.concatenate(
            [part for part, times in zip(found, weight, strict=True) for _ in range(times)]
        )
        assert resampled.mean_ns()[row] == pytest.approx(drawn.mean())
        assert resampled.min_ns()[row] == drawn.min()
        for quantile in (0.01, 0.5, 0.99):
            exact = np.quantile(drawn, quantile, method="inverted_cdf")
            assert exact <= resampled.quantile_ns(quantile)[row] <= exact * 1.001


def test_any_number_that_delays_give_has_one() -> None:
    found = delays(6, 4000, seed=5)
    blocks = Blocks(found)
    mean = blocks.interval(Resampled.mean_ns)
    # Of a mean of rounds it is the textbook's, but for what the resampling leaves open.
    rounds = [part.mean() for part in found]
    low, high = stats.t.interval(0.95, 5, np.mean(rounds), stats.sem(rounds))
    assert mean is not None
    assert mean.low == pytest.approx(low, abs=0.1 * (high - low))
    assert mean.high == pytest.approx(high, abs=0.1 * (high - low))
    pdv = blocks.interval(lambda resampled: resampled.quantile_ns(0.999) - resampled.min_ns())
    assert pdv is not None
    assert pdv.low < true_quantile(0.999) < pdv.high


def test_more_confidence_is_a_wider_interval() -> None:
    blocks = Blocks(delays(5, 1000, seed=1))
    narrow, wide = blocks.percentile(0.9, confidence=0.8), blocks.percentile(0.9, confidence=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.confidence, narrow.method) == (0.8, "block bootstrap over 5 rounds")


def test_the_same_seed_gives_the_same() -> None:
    found = delays(5, 500, seed=1)
    first, again, other = (
        Blocks(found, seed=seed).interval(Resampled.mean_ns) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_where_none_can_be_had_there_is_none() -> None:
    few = np.ones(MIN_PACKETS_OF_ONE_ROUND - 1, dtype=np.int64)
    many = np.ones(MIN_PACKETS_OF_ONE_ROUND, dtype=np.int64)
    nothing = np.array([], dtype=np.int64)
    assert Blocks([]).percentile(0.5) is None
    assert Blocks([nothing, nothing]).interval(Resampled.mean_ns) is None
    assert Blocks([few]).percentile(0.5) is None
    assert Blocks([many, many]).percentile(0.5) is None
    assert Blocks([many[:90], many[:90], many[:90]]).percentile(0.99) is None
    assert percentile_interval([], 0.5) is None
    assert percentile_interval([many, many], 0.5) is None
    assert percentile_interval([many, many, many[:90]], 0.99) is None


def test_without_any_difference_it_is_a_point() -> None:
    alike = np.full(MIN_PACKETS_OF_ONE_ROUND, 360)
    for rounds in ([alike], [alike] * 3, [alike, np.array([], dtype=np.int64), alike, alike]):
        interval = percentile_interval(rounds, 0.5)
        assert interval is not None
        assert (interval.low, interval.high) == (360, 360)


def test_the_interval_of_a_report_is_that_of_its_median_over_rounds() -> None:
    found = delays(7, 1000, seed=2, spread=0.3)
    medians = [float(np.quantile(part, 0.9, method="inverted_cdf")) for part in found]
    interval, exact = percentile_interval(found, 0.9), median_interval(medians)
    assert interval is not None
    assert exact is not None
    assert exact.low * 0.999 <= interval.low <= exact.low
    assert exact.high <= interval.high <= exact.high * 1.001
    assert interval.low <= np.median(medians) <= interval.high
    kept = percentile_interval([Histogram.of(part) for part in found], 0.9)
    assert kept is not None
    assert kept.low == pytest.approx(interval.low, rel=0.005)
    assert kept.high == pytest.approx(interval.high, rel=0.005)


def test_one_histogram_does_not_tell_what_came_when() -> None:
    found = delays(1, 2000, seed=1)
    assert percentile_interval(found, 0.5) is not None
    assert percentile_interval([Histogram.of(found[0])], 0.5) is None


@pytest.mark.parametrize("rounds", [3, 5, 10])
@pytest.mark.parametrize("distribution", [stats.norm(100, 5), stats.lognorm(0.5, scale=100)])
def test_the_median_over_rounds_is_held(rounds: int, distribution: stats.rv_frozen) -> None:
    held = coverage(
        lambda seed: median_interval(distribution.rvs(rounds, random_state=seed)), 100, runs=300
    )
    assert 0.90 <= held <= 0.995


def test_two_rounds_are_too_few_for_a_median() -> None:
    assert median_interval([1.0, 2.0]) is None


def test_what_cannot_be_negative_has_no_interval_below_0() -> None:
    clipped = median_interval([0.0, 1.0, 50.0])
    assert clipped is not None
    assert clipped.low == 0 < clipped.high
    differences = median_interval([-1.0, 1.0, 50.0])
    assert differences is not None
    assert differences.low < -1


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(UsageError, match="not a confidence"):
        median_interval([1.0, 2.0, 3.0], confidence=confidence)
    with pytest.raises(UsageError, match="not a confidence"):
        Blocks(delays(3, 100, seed=1)).percentile(0.5, confidence=confidence)


def test_a_delay_that_is_none_is_refused() -> None:
    with pytest.raises(MeasurementError, match="before it was due"):
        Blocks([np.array([1, -2])])
