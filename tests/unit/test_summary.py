"""The confidence intervals that a case's numbers get."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.experiment.measured_throughput import CostRecord
from emulator.experiment.summary import with_intervals
from emulator.measure.histogram import Histogram
from emulator.measure.intervals import median_interval, percentile_interval
from tests.measured_runs import case, cost, throughput


def delays(seed: int, median_ns: float = 5000) -> np.ndarray:
    drawn = np.random.default_rng(seed).lognormal(np.log(median_ns), 0.2, 4000)
    return drawn.astype(np.int64)


def test_one_round_has_intervals_from_what_differs_within_it() -> None:
    found = with_intervals(case("xdp", 5000, 1e6, 90), [delays(1)], seed=7).latency_intervals
    assert set(found) == {"p50_ns", "p90_ns", "p99_ns", "p999_ns"}
    direct = percentile_interval([delays(1)], 0.99, seed=7)
    assert direct is not None
    assert (found["p99_ns"].low, found["p99_ns"].high) == (direct.low, direct.high)
    assert "one round" in found["p99_ns"].method
    counted = [Histogram.of(delays(1))]
    assert not with_intervals(case("xdp", 1, 1, 1), counted, seed=7).latency_intervals


def test_several_rounds_have_intervals_from_what_differs_between_them() -> None:
    rounds = [delays(seed, median) for seed, median in enumerate((4000, 5000, 6000))]
    counted = [Histogram.of(each) for each in rounds]
    found = with_intervals(case("xdp", 5000, 1e6, 90), counted, seed=7).latency_intervals
    exact = median_interval([float(np.median(each)) for each in rounds], seed=7)
    assert exact is not None
    assert found["p50_ns"].low == pytest.approx(exact.low, rel=0.005)
    assert found["p50_ns"].high == pytest.approx(exact.high, rel=0.005)
    assert found["p50_ns"].method == "bootstrap over 3 rounds"
    assert not with_intervals(case("xdp", 1, 1, 1), counted[:2], seed=7).latency_intervals


def test_rates_have_the_interval_of_their_median_and_none_where_no_rate_counts() -> None:
    rates = (9e5, 1e6, 1.1e6)
    several = case("xdp", 5000, 1e6, 90, throughputs=(throughput(1e6, rounds=rates),))
    (found,) = with_intervals(several, [], seed=7).throughputs
    exact = median_interval(rates, seed=7)
    assert found.interval is not None
    assert exact is not None
    assert (found.interval.low, found.interval.high) == (exact.low, exact.high)
    none = case("xdp", 5000, None, 90, throughputs=(throughput(None, rounds=rates),))
    assert with_intervals(none, [], seed=7).throughputs[0].interval is None


def test_the_cost_has_the_interval_of_its_median_over_the_rounds_that_count() -> None:
    several = cost(90, 100, 110, 120)
    disturbed = several.trials[-1].model_copy(update={"valid": False})
    record = case("xdp", 1, 1, 1, cost=CostRecord.over((*several.trials[:-1], disturbed)))
    found = with_intervals(record, [], seed=7).cost
    exact = median_interval((90, 100, 110), seed=7)
    assert found is not None
    assert found.interval is not None
    assert exact is not None
    assert (found.interval.low, found.interval.high) == (exact.low, exact.high)
    assert (found.cpu_ns_per_packet, found.valid) == (100, True)
    alone = with_intervals(case("xdp", 1, 1, 90), [], seed=7).cost
    assert alone is not None
    assert alone.interval is None


def test_where_no_round_of_the_cost_is_valid_all_count_and_it_says_so() -> None:
    found = cost(90, 100, 110, valid=False)
    assert (found.cpu_ns_per_packet, found.valid) == (100, False)
