"""Delay variation as the RFCs define it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.measure.variation import DelayVariation, delay_variation

LOST = None


def times(delays: list[int | None], *, spacing_ns: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """When packets with those delays were due and arrived."""
    due = np.arange(1, len(delays) + 1, dtype=np.uint64) * np.uint64(spacing_ns)
    arrived = [
        0 if delay is LOST else int(at) + delay for at, delay in zip(due, delays, strict=True)
    ]
    return due, np.array(arrived, dtype=np.uint64)


def test_differences_are_those_of_packets_in_a_row() -> None:
    # 100 → 130 → 90 → 90, by hand: +30, -40, 0.
    found = delay_variation(*times([100, 130, 90, 90]))
    assert found == DelayVariation(None, -40, 0.0, 30)


def test_packets_on_either_side_of_a_lost_one_make_no_pair() -> None:
    found = delay_variation(*times([100, 130, LOST, 900, 905, LOST]))
    assert (found.ipdv_min_ns, found.ipdv_median_ns, found.ipdv_max_ns) == (5, 17.5, 30)


@pytest.mark.parametrize("delays", [[], [5], [LOST, LOST], [5, LOST, 7]])
def test_without_a_pair_there_are_no_differences(delays: list[int | None]) -> None:
    assert delay_variation(*times(delays)) == DelayVariation(None, None, None, None)


def test_pdv_is_from_the_shortest_delay_to_the_999th_permille() -> None:
    delays = np.random.default_rng(1).permutation(np.arange(501, 3501))
    assert delay_variation(*times(delays.tolist())).pdv_ns == 2997 - 1


def test_pdv_needs_the_packets_for_its_percentile() -> None:
    assert delay_variation(*times([7] * 2994 + [LOST] * 50)).pdv_ns is None
    assert delay_variation(*times([7] * 2995 + [LOST] * 50)).pdv_ns == 0


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**10)), max_size=60))
def test_it_is_what_a_loop_finds(delays: list[int | None]) -> None:
    differences = [
        after - before
        for before, after in pairwise(delays)
        if before is not None and after is not None
    ]
    found = delay_variation(*times(delays))
    if not differences:
        assert found.ipdv_median_ns is None
        return
    assert (found.ipdv_min_ns, found.ipdv_max_ns) == (min(differences), max(differences))
    assert found.ipdv_median_ns == np.median(differences)


def test_a_trial_without_times_is_refused() -> None:
    with pytest.raises(UsageError, match="kept no times"):
        delay_variation(None, None)
    with pytest.raises(UsageError, match="3 packets were due and 2"):
        delay_variation(np.zeros(3, np.uint64), np.zeros(2, np.uint64))
