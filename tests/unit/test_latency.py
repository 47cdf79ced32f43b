"""Latency summaries say what a sample supports, and nothing more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.measure.latency import cdf, packets_needed, percentile_ns, summarise_latency

delays = st.lists(st.integers(0, 10**9), max_size=400).map(lambda d: np.array(d, dtype=np.int64))


@pytest.mark.parametrize(
    ("quantile", "packets"),
    [(0.5, 5), (0.9, 29), (0.99, 299), (0.999, 2_995), (0.9999, 29_956), (0.99999, 299_572)],
)
def test_a_quantile_needs_enough_packets(quantile: float, packets: int) -> None:
    assert packets_needed(quantile) == packets


@pytest.mark.parametrize("quantile", [0, 1, -0.5, 99])
def test_what_is_no_quantile_is_refused(quantile: float) -> None:
    with pytest.raises(UsageError, match="not a quantile"):
        packets_needed(quantile)


def test_percentiles_are_delays_that_were_measured() -> None:
    summary = summarise_latency(np.arange(1, 10_001, dtype=np.int64)[::-1])
    assert (summary.p50_ns, summary.p90_ns) == (5_000, 9_000)
    assert (summary.p99_ns, summary.p999_ns) == (9_900, 9_990)
    assert (summary.count, summary.min_ns, summary.max_ns) == (10_000, 1, 10_000)
    assert summary.mean_ns == 5_000.5


def test_a_percentile_appears_with_the_packet_that_supports_it() -> None:
    assert summarise_latency(np.ones(298, dtype=np.int64)).p99_ns is None
    assert summarise_latency(np.ones(299, dtype=np.int64)).p99_ns == 1


def test_without_packets_there_is_nothing_to_say() -> None:
    summary = summarise_latency(np.array([], dtype=np.int64))
    assert summary.count == 0
    assert summary.max_ns is None
    assert summary.mean_ns is None


@given(delays)
def test_percentiles_are_ordered(latency_ns: np.ndarray) -> None:
    summary = summarise_latency(latency_ns)
    known = [
        value
        for value in (
            summary.min_ns,
            summary.p50_ns,
            summary.p90_ns,
            summary.p99_ns,
            summary.p999_ns,
            summary.max_ns,
        )
        if value is not None
    ]
    assert known == sorted(known)


@given(delays.filter(lambda d: len(d) >= 5))
def test_half_of_the_packets_were_not_slower_than_the_median(latency_ns: np.ndarray) -> None:
    median = percentile_ns(latency_ns, 0.5)
    assert median in latency_ns
    assert np.mean(latency_ns <= median) >= 0.5
    assert np.mean(latency_ns < median) < 0.5


@given(delays)
def test_the_distribution_rises_to_one(latency_ns: np.ndarray) -> None:
    values, shares = cdf(latency_ns)
    assert np.all(np.diff(values) > 0)
    assert np.all(np.diff(shares) > 0)
    for value, share in zip(values, shares, strict=True):
        assert share == pytest.approx(np.mean(latency_ns <= value))
