"""Histograms say what the raw delays say, to three digits."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given
from hypothesis import strategies as st

from emulator.errors import MeasurementError, ResultsError, UsageError
from emulator.measure.histogram import Histogram, LadderPoint
from emulator.measure.latency import packets_needed, percentile_ns

samples = st.lists(
    st.integers(0, 36).flatmap(lambda bits: st.integers(0, 1 << bits)), max_size=400
).map(lambda found: np.array(found, dtype=np.int64))


def skewed(count: int, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(10, 1.5, count).astype(np.int64)


@given(samples.filter(len), st.sampled_from([0.05, 0.5, 0.9, 0.99]))
def test_percentiles_are_those_of_the_raw_delays(found: np.ndarray, quantile: float) -> None:
    exact = percentile_ns(found, quantile)
    kept = Histogram.of(found).percentile_ns(quantile)
    if exact is None:
        assert kept is None
    else:
        assert kept is not None
        assert exact <= kept <= exact * 1.001


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999])
def test_percentiles_of_many_are_too(quantile: float) -> None:
    found = skewed(400_000)
    kept = Histogram.of(found).percentile_ns(quantile)
    assert kept is not None
    exact = np.quantile(found, quantile, method="inverted_cdf")
    assert exact <= kept <= exact * 1.001


def test_below_2048_ns_nothing_is_rounded() -> None:
    histogram = Histogram.of(np.arange(2048))
    assert histogram.percentile_ns(0.99) == percentile_ns(np.arange(2048), 0.99)
    assert (histogram.min_ns, histogram.max_ns) == (0, 2047)


def test_a_percentile_needs_its_packets() -> None:
    assert Histogram.of(np.ones(298, dtype=np.int64)).percentile_ns(0.99) is None
    assert Histogram.of(np.ones(299, dtype=np.int64)).percentile_ns(0.99) == 1
    with pytest.raises(UsageError, match="not a quantile"):
        Histogram().percentile_ns(1)


@given(samples)
@example(np.array([], dtype=np.int64))
@example(np.array([0], dtype=np.int64))
def test_what_is_kept_as_text_comes_back(found: np.ndarray) -> None:
    histogram = Histogram.of(found)
    again = Histogram.decode(histogram.encode())
    assert same(again, histogram)
    assert again.count == len(found)
    again.add(found)
    assert again.count == 2 * len(found)


def test_the_text_is_one_that_other_tools_read() -> None:
    found = skewed(10_000)
    theirs = HdrHistogram.decode(Histogram.of(found).encode())
    assert theirs.get_total_count() == 10_000
    median = theirs.get_value_at_percentile(50)
    assert median == pytest.approx(np.median(found), rel=0.002)


@given(st.lists(samples, max_size=4))
@example([np.array([], dtype=np.int64), np.array([7], dtype=np.int64)])
def test_merged_is_as_if_counted_together(parts: list[np.ndarray]) -> None:
    histograms = [Histogram.of(part) for part in parts]
    merged = Histogram.merged(histograms)
    assert same(merged, Histogram.of(np.concatenate([np.array([], dtype=np.int64), *parts])))
    # Those it was made of are as they were.
    assert [histogram.count for histogram in histograms] == [len(part) for part in parts]


def test_without_delays_there_is_nothing_to_say() -> None:
    empty = Histogram()
    assert (empty.count, empty.min_ns, empty.max_ns) == (0, None, None)
    assert empty.ladder() == ()
    assert empty.percentile_ns(0.5) is None


def test_the_ladder_of_few_packets_says_where_they_end() -> None:
    ladder = Histogram.of(np.arange(1, 101)).ladder()
    by_quantile = {point.quantile: point for point in ladder}
    assert by_quantile[0.5] == LadderPoint(0.5, 50, 50, supported=True)
    assert by_quantile[0.9] == LadderPoint(0.9, 90, 10, supported=True)
    assert by_quantile[0.975] == LadderPoint(0.975, 98, 2, supported=False)
    assert ladder[-1].latency_ns == 100
    assert ladder[-1].slower == 0
    assert [point.slower for point in ladder].count(0) == 1


def test_the_ladder_rises_and_is_that_of_numpy() -> None:
    found = skewed(300_000)
    ladder = Histogram.of(found).ladder()
    quantiles = np.array([point.quantile for point in ladder])
    kept = np.array([point.latency_ns for point in ladder])
    exact = np.quantile(found, quantiles, method="inverted_cdf")
    assert np.all(np.diff(quantiles) > 0)
    assert np.all(exact <= kept)
    assert np.all(kept <= exact * 1.001)
    assert {0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} <= set(quantiles)
    for point in ladder[1:]:
        assert point.supported == (packets_needed(point.quantile) <= 300_000)


def test_a_ladder_of_millions_ends_at_p999999() -> None:
    histogram = Histogram.of(np.arange(3_000_000))
    last = histogram.ladder()[-1]
    assert (last.quantile, last.slower, last.supported) == (0.999999, 3, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of the kind",
        "SElTVA==",
        Histogram.of(np.arange(100)).encode()[:-8],
        # Its header is right, and what follows is compressed, but no histogram.
        base64.b64encode(
            bytes.fromhex("1c849314")
            + len(zlib.compress(b"x" * 40)).to_bytes(4, "big")
            + zlib.compress(b"x" * 40)
        ).decode(),
    ],
)
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ResultsError, match=r"samples\.json: is not a histogram"):
        Histogram.decode(text, where="samples.json")


@given(st.data())
def test_no_damage_gets_past_as_something_else(data: st.DataObject) -> None:
    whole = base64.b64decode(Histogram.of(skewed(500)).encode())
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = Histogram.decode(base64.b64encode(damaged).decode())
    except ResultsError:
        return
    # A byte that says how it was compressed, for instance, and not what.
    assert found.count == 500


def test_a_histogram_of_another_precision_is_refused() -> None:
    other = HdrHistogram(1, 1_000_000, 2)
    other.record_value(5)
    with pytest.raises(ResultsError, match="from 1 to 1000000 with 2 digits"):
        Histogram.decode(other.encode().decode())


def test_a_delay_that_cannot_be_counted_leaves_the_histogram_as_it_was() -> None:
    histogram = Histogram.of(np.array([1, 2]))
    with pytest.raises(MeasurementError, match="before it was due"):
        histogram.add(np.array([3, -4]))
    assert histogram.count == 2


def same(a: Histogram, b: Histogram) -> bool:
    return all(map(np.array_equal, a.distribution(), b.distribution()))
