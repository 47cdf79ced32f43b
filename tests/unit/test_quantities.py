"""Durations, ratios, rates and sizes as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.plan.quantities import (
    QuantityMistake,
    read_count,
    read_duration_ns,
    read_megabits_bps,
    read_rate_bps,
    read_ratio,
    read_size_bytes,
    read_truth,
)
from tests.strategies import scraps

READERS = [
    read_duration_ns,
    read_ratio,
    read_rate_bps,
    read_megabits_bps,
    read_size_bytes,
    read_truth,
    lambda value: read_count(value, "a number", range(1, 10)),
]


@pytest.mark.parametrize(
    ("value", "duration_ns"),
    [
        ("5ms", 5_000_000),
        ("0.1ms", 100_000),
        ("100us", 100_000),
        ("100 \u00b5s", 100_000),
        ("100\u03bcs", 100_000),
        ("1.5s", 1_500_000_000),
        ("7ns", 7),
        ("5 msecs", 5_000_000),
        ("5MS", 5_000_000),
        ("2min", 120_000_000_000),
        ("1e3us", 1_000_000),
        (".5ms", 500_000),
        ("1h", 3_600_000_000_000),
        (0, 0),
        ("0", 0),
        ("0ms", 0),
    ],
)
def test_durations(value: Any, duration_ns: int) -> None:
    assert read_duration_ns(value) == duration_ns


@pytest.mark.parametrize(
    ("value", "ratio"), [("1%", 0.01), ("0.5 %", 0.005), (1, 0.01), (0.01, 0.0001), ("100%", 1)]
)
def test_a_ratio_is_in_percent_also_as_a_number(value: Any, ratio: float) -> None:
    assert read_ratio(value) == ratio


@pytest.mark.parametrize(
    ("value", "rate_bps"),
    [
        ("100mbit", 100_000_000),
        ("1gbit", 1_000_000_000),
        ("50kbit", 50_000),
        ("1.5Gbit/s", 1_500_000_000),
        ("100M", 100_000_000),
        ("10Kibit", 10_240),
        ("2000bit", 2000),
    ],
)
def test_rates(value: str, rate_bps: int) -> None:
    assert read_rate_bps(value) == read_megabits_bps(value) == rate_bps


@pytest.mark.parametrize(
    ("value", "rate_bps"), [(10, 10_000_000), (0.5, 500_000), ("10", 10_000_000), (4000, 4e9)]
)
def test_mininet_s_bandwidth_is_in_megabits(value: Any, rate_bps: int) -> None:
    assert read_megabits_bps(value) == rate_bps


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [("50KB", 50_000), ("64KiB", 65_536), (1500, 1500), ("1500", 1500), ("1.5k", 1500), ("7b", 7)],
)
def test_sizes(value: Any, size_bytes: int) -> None:
    assert read_size_bytes(value) == size_bytes


@pytest.mark.parametrize(
    ("read", "value", "text", "hint"),
    [
        (read_duration_ns, 5, "5 has no unit", '"5ms"'),
        (read_duration_ns, "5", "5 has no unit", '"5ms"'),
        (read_duration_ns, "-5ms", "-5ms is negative", ""),
        (read_duration_ns, "5 parsecs", "5 parsecs has the unknown unit parsecs", '"5ms"'),
        (read_duration_ns, "2h", "2h is longer than an hour", ""),
        (read_duration_ns, "soon", "soon is not a duration", '"5ms"'),
        (read_duration_ns, float("nan"), "nan is not a duration", '"5ms"'),
        (read_duration_ns, True, "True is not a duration", '"5ms"'),
        (read_duration_ns, "1e999ms", "1e999ms is not a duration", '"5ms"'),
        pytest.param(
            read_duration_ns, 1 << 20_000, "so large a number is not a duration", "5ms", id="large"
        ),
        (read_ratio, "0.01", "0.01 is not in percent", '"1%"'),
        (read_ratio, "1", "1 is not in percent", '"1%"'),
        (read_ratio, "101%", "101% is more than 100 %", ""),
        (read_ratio, -1, "-1 is negative", ""),
        (read_rate_bps, 100, "100 has no unit", '"100mbit"'),
        (read_rate_bps, "0mbit", "a rate of 0 lets nothing through", '"none"'),
        (read_rate_bps, "10mbps", "10mbps may be bits or, as tc reads it, bytes", '"10mbit"'),
        (read_rate_bps, "10MB/s", "10MB/s has the unknown unit mb/s", '"100mbit"'),
        (read_rate_bps, "1bit", "a rate of 1bit is not possible", "100 bit/s"),
        (read_megabits_bps, 0, "a rate of 0 lets nothing through", '"none"'),
        (read_megabits_bps, 1e9, "a rate of 1000000000.0 is not possible", "1 Tbit/s"),
        (read_size_bytes, "100p", "100p has the unknown unit p", "KiB"),
        (read_size_bytes, "1.5", "1.5 is not a number of bytes to be had", "KiB"),
        (read_truth, "maybe", "maybe is not True or False", ""),
    ],
)
def test_what_cannot_be_read(read: Any, value: Any, text: str, hint: str) -> None:
    with pytest.raises(QuantityMistake) as mistake:
        read(value)
    assert str(mistake.value).startswith(text)
    assert hint in mistake.value.hint


@given(st.one_of(scraps, st.text(), st.from_regex(r"-?[0-9.]{1,400}(e[0-9]{1,9})? ?[a-z%]{0,5}")))
def test_whatever_is_written_is_read_or_refused(value: Any) -> None:
    for read in READERS:
        text, number = "", 0
        try:
            number = read(value)
        except QuantityMistake as mistake:
            text = str(mistake)
        assert len(text) < 200
        assert 0 <= number < float("inf")


@given(st.integers(0, 3_600_000_000_000))
def test_a_duration_in_nanoseconds_comes_out_as_it_went_in(duration_ns: int) -> None:
    assert read_duration_ns(f"{duration_ns}ns") == duration_ns


@given(st.integers(100, 10**12))
def test_a_rate_in_bits_comes_out_as_it_went_in(rate_bps: int) -> None:
    assert read_rate_bps(f"{rate_bps}bit") == rate_bps
