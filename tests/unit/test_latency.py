"""Latency summaries say what a sample supports, and nothing more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.measure.latency import (
    cdf,
    packets_needed,
    percentile_ns,
    percentiles_ns,
    place_of,
    summarise_latency,
    summarise_repeats,
)

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


@pytest.mark.parametrize(("packets", "known"), [(29_955, 0), (29_956, 1), (299_572, 2)])
def test_the_far_percentiles_need_the_most(packets: int, known: int) -> None:
    summary = summarise_latency(np.arange(packets, dtype=np.int64))
    far = (summary.p9999_ns, summary.p99999_ns)
    assert [value is not None for value in far] == [known > 0, known > 1]
    if known == 2:
        assert far == (299_572 - 30, 299_572 - 3)


@given(delays, st.lists(st.sampled_from([0.1, 0.5, 0.9, 0.99]), max_size=4))
def test_several_percentiles_are_those_asked_for_one_by_one(
    latency_ns: np.ndarray, quantiles: list[float]
) -> None:
    one_by_one = tuple(percentile_ns(latency_ns, quantile) for quantile in quantiles)
    assert percentiles_ns(latency_ns, quantiles) == one_by_one


@given(st.integers(1, 3000), st.sampled_from([0.001, 0.07, 0.5, 0.9, 0.99, 0.999, 0.99999]))
def test_a_place_is_where_numpy_finds_the_quantile(count: int, quantile: float) -> None:
    found = np.quantile(np.arange(count), quantile, method="inverted_cdf")
    assert place_of(quantile, count) == found


def test_repeats_are_summed_up_as_rfc_8219_says() -> None:
    # The repeats are 3,000 frames each, shifted by 0, 10, 20 … 190.
    found = summarise_repeats([np.arange(1, 3001) + 10 * repeat for repeat in range(20)])
    assert (found.repeats, found.frames, found.conforms) == (20, 3000, True)
    assert (found.tl_ns, found.tl_p1_ns, found.tl_p99_ns) == (1595, 1500, 1690)
    assert (found.wcl_ns, found.wcl_p1_ns, found.wcl_p99_ns) == (3092, 2997, 3187)


def test_500_frames_have_a_typical_latency_and_no_999th_permille() -> None:
    found = summarise_repeats([np.full(500, 7)] * 20)
    assert found.conforms
    assert (found.tl_ns, found.tl_p1_ns, found.tl_p99_ns) == (7, 7, 7)
    assert (found.wcl_ns, found.wcl_p1_ns, found.wcl_p99_ns) == (None, None, None)


@pytest.mark.parametrize(("repeats", "frames"), [(19, 500), (20, 499), (0, 0)])
def test_fewer_do_not_conform(repeats: int, frames: int) -> None:
    empty = np.array([], dtype=np.int64)
    found = summarise_repeats([np.ones(frames, dtype=np.int64)] * repeats + [empty])
    assert (found.repeats, found.frames, found.conforms) == (repeats, frames, False)


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
