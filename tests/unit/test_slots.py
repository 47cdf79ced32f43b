"""Slots lie where HdrHistogram's do."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emulator.errors import MeasurementError
from emulator.measure.slots import (
    DIGITS,
    LONGEST_NS,
    SLOTS,
    bottoms_ns,
    count_slots,
    slots_of,
    tops_ns,
)

HDR = HdrHistogram(1, LONGEST_NS, DIGITS)

# Every magnitude as often as any other, and the edges between them.
delays = st.one_of(
    st.integers(0, LONGEST_NS),
    st.integers(0, 36).flatmap(lambda bits: st.integers(1 << bits, (2 << bits) - 1)),
    st.integers(0, 36).map(lambda bits: 1 << bits),
).map(lambda delay: min(delay, LONGEST_NS))


@given(st.lists(delays, min_size=1, max_size=50))
def test_slots_are_those_of_the_library(found: list[int]) -> None:
    slots = slots_of(np.array(found))
    assert slots.tolist() == [HDR.get_counts_array_index(delay) for delay in found]
    assert bottoms_ns(slots).tolist() == [HDR.get_lowest_equivalent_value(d) for d in found]
    assert tops_ns(slots).tolist() == [HDR.get_highest_equivalent_value(d) for d in found]


def test_there_are_as_many_as_the_library_has() -> None:
    assert HDR.counts_len == SLOTS
    assert slots_of(np.array([LONGEST_NS]))[0] < SLOTS


def test_slots_join_without_a_gap_and_are_narrow() -> None:
    slots = np.arange(slots_of(np.array([LONGEST_NS]))[0] + 1)
    bottoms, tops = bottoms_ns(slots), tops_ns(slots)
    assert bottoms[0] == 0
    assert np.array_equal(bottoms[1:], tops[:-1] + 1)
    assert np.array_equal(bottoms[:2048], np.arange(2048))
    assert np.array_equal(tops[:2048], np.arange(2048))
    assert np.all(tops - bottoms < bottoms.clip(1) / 1000)


@given(arrays.arrays(np.int64, st.integers(0, 200), elements=delays))
def test_each_delay_is_counted_once(found: np.ndarray) -> None:
    counts = count_slots(found)
    slots, occurrences = np.unique(slots_of(found), return_counts=True)
    assert np.array_equal(np.flatnonzero(counts), slots)
    assert np.array_equal(counts[slots], occurrences)


def test_many_delays_are_counted_in_parts() -> None:
    found = np.random.default_rng(1).integers(0, 10**7, 200_000)
    assert np.array_equal(count_slots(found), np.bincount(slots_of(found), minlength=SLOTS))


@pytest.mark.parametrize(
    ("delay_ns", "message"),
    [(-1, "1 ns before it was due"), (LONGEST_NS + 1, "longer than a histogram takes")],
)
def test_a_delay_that_has_no_slot_is_refused(delay_ns: int, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        count_slots(np.array([5, delay_ns]))
