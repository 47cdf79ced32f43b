"""What is regular in a trial, found in series that were made with and without a period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.measure.regular import LEAST_EXCESS_NS, regular_delay, regular_loss


def noisy(packets: int, seed: int, *, disturbed: float = 0.0) -> NDArray[np.int64]:
    """Delays about 30 µs, and a share of packets that something held up, several in a row."""
    random = np.random.default_rng(seed)
    delays_ns = random.lognormal(np.log(30_000), 0.2, packets)
    for begin in random.choice(packets, round(disturbed * packets / 20), replace=False):
        wait_ns = random.exponential(1_000_000)
        length = int(random.integers(1, 40))
        held = wait_ns * np.linspace(1, 0, length)[: packets - begin]
        delays_ns[begin : begin + length] += held
    return delays_ns.astype(np.int64)


@pytest.mark.parametrize("disturbed", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_a_stop_of_100_us_at_every_1000th_packet_is_found(disturbed: float, seed: int) -> None:
    delays_ns = noisy(20_000, seed, disturbed=disturbed)
    delays_ns[617::1000] += 100_000

    found = regular_delay(delays_ns)

    assert found is not None
    assert (found.every, found.turns) == (1000, 20)
    assert found.share >= 0.75
    assert found.excess_ns == pytest.approx(100_000, rel=0.2)


@given(
    every=st.integers(3, 400),
    phase=st.integers(0, 399),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_any_period_is_found(every: int, phase: int, seed: int) -> None:
    delays_ns = noisy(6000, seed, disturbed=0.02)
    delays_ns[phase % every :: every] += 3_000_000

    found = regular_delay(delays_ns)

    assert found is not None
    assert found.every == every


@given(seed=st.integers(0, 2**32), disturbed=st.sampled_from([0.0, 0.01, 0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_chance_has_no_period(seed: int, disturbed: float) -> None:
    assert regular_delay(noisy(5000, seed, disturbed=disturbed)) is None


def test_what_a_timer_takes_is_not_told() -> None:
    delays_ns = np.full(10_000, 1000, dtype=np.int64)
    delays_ns[::40] += LEAST_EXCESS_NS // 2
    assert regular_delay(delays_ns) is None


def test_packets_that_are_lost_keep_their_place() -> None:
    delays_ns = noisy(20_000, 1)
    delays_ns[99::100] += 500_000
    lost = np.random.default_rng(2).random(20_000) < 0.05
    delays_ns[lost] = -1
    found = regular_delay(delays_ns)
    assert found is not None
    assert found.every == 100


@given(every=st.integers(2, 500), phase=st.integers(0, 499), turns=st.integers(40, 60))
@settings(max_examples=25, deadline=None)
def test_every_nth_packet_that_is_lost_is_found(every: int, phase: int, turns: int) -> None:
    lost = np.zeros(every * turns, dtype=bool)
    lost[phase % every :: every] = True
    found = regular_loss(lost)
    assert found is not None
    assert (found.every, found.turns, found.share) == (every, turns, 1.0)
    assert found.excess_ns is None


@given(seed=st.integers(0, 2**32), ratio=st.sampled_from([0.0, 0.001, 0.005, 0.05, 0.5, 1.0]))
@settings(max_examples=25, deadline=None)
def test_loss_by_chance_has_no_period(seed: int, ratio: float) -> None:
    lost = np.random.default_rng(seed).random(8000) < ratio
    assert regular_loss(lost) is None


@pytest.mark.parametrize("packets", [0, 1, 2, 15, 16])
def test_few_packets_tell_nothing(packets: int) -> None:
    assert regular_loss(np.ones(packets, dtype=bool)) is None
    assert regular_delay(np.full(packets, 5, dtype=np.int64)) is None
    assert regular_delay(np.full(packets, -1, dtype=np.int64)) is None
