"""Student's t distribution, beside scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from emulator.measure.student import critical_t, two_sided_p


@given(st.floats(-50, 50), st.integers(1, 300))
def test_probabilities_are_those_of_scipy(t: float, degrees: int) -> None:
    assert two_sided_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), abs=1e-13)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.9999]), st.integers(1, 300))
def test_critical_values_are_those_of_scipy(confidence: float, degrees: int) -> None:
    expected = stats.t.ppf(0.5 + confidence / 2, degrees)
    assert critical_t(confidence, degrees) == pytest.approx(expected, rel=1e-7)


def test_critical_values_of_the_tables() -> None:
    assert [round(critical_t(0.95, degrees), 3) for degrees in (1, 2, 4, 19)] == [
        12.706,
        4.303,
        2.776,
        2.093,
    ]
