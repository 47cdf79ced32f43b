"""The throughput search, against systems whose capacity is known."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import MeasurementError, UsageError
from emulator.measure.throughput import Trial, packets_to_bound, search_throughput

ELAPSED_NS = 10**9


class System:
    """A path that forwards up to a capacity, behind a generator that has one too."""

    def __init__(
        self,
        capacity_pps: float,
        generator_pps: float,
        *,
        noise: float = 0.0,
        always_lost: float = 0.0,
        overload_pps: float | None = None,
        receiver_pps: float = float("inf"),
        seed: int = 1,
    ) -> None:
        self.capacity_pps = capacity_pps
        self.generator_pps = generator_pps
        self.noise = noise
        self.always_lost = always_lost
        self.overload_pps = overload_pps
        self.receiver_pps = receiver_pps
        self.random = random.Random(seed)
        self.asked: list[float | None] = []

    def measure(self, rate_pps: float | None) -> Trial:
        self.asked.append(rate_pps)
        wanted = self.generator_pps if rate_pps is None else rate_pps
        sent = round(min(wanted, self.generator_pps))
        capacity = self.capacity_pps * (1 + self.random.uniform(-self.noise, self.noise))
        received = min(sent, round(capacity))
        if self.overload_pps is not None and sent > capacity:
            received = round(self.overload_pps)
        arrived = round(received * (1 - self.always_lost))
        received = round(min(arrived, self.receiver_pps))
        return Trial(
            rate_pps=rate_pps,
            offered_pps=sent * 1e9 / ELAPSED_NS,
            sent=sent,
            received=received,
            lost=sent - received,
            unsent=0 if rate_pps is None else round(rate_pps) - sent,
            elapsed_ns=ELAPSED_NS,
            cpu_ns=ELAPSED_NS,
            overrun=arrived - received,
        )


@given(st.floats(1e4, 4e6))
def test_a_sharp_capacity_is_found(capacity_pps: float) -> None:
    system = System(capacity_pps, 5e6)
    result = search_throughput(system.measure, loss_goal=0.001, width=0.02)
    assert result.throughput_pps == pytest.approx(capacity_pps, rel=0.025)
    assert result.converged
    assert result.limited_by == "loss"
    assert result.failed_pps is not None
    assert result.failed_pps >= capacity_pps


@given(st.integers(0, 1000))
def test_a_noisy_capacity_is_found_nearly(seed: int) -> None:
    system = System(1e6, 5e6, noise=0.05, seed=seed)
    result = search_throughput(system.measure)
    assert result.throughput_pps == pytest.approx(1e6, rel=0.1)
    assert result.limited_by == "loss"


def test_the_result_is_what_arrived_in_a_trial_that_met_the_goal() -> None:
    result = search_throughput(System(1e6, 5e6, always_lost=0.0005).measure, loss_goal=0.001)
    assert result.best in result.trials
    assert result.best is not None
    assert result.best.loss_ratio <= 0.001
    assert result.throughput_pps == result.best.received_pps


def test_a_receiver_that_is_too_slow_is_not_taken_for_a_path_that_loses() -> None:
    slow = search_throughput(System(3e6, 2e6, receiver_pps=1e6).measure)
    assert slow.limited_by == "receiver"
    assert slow.throughput_pps == pytest.approx(1e6, rel=0.03)
    lossy = search_throughput(System(0.5e6, 2e6, receiver_pps=1e6).measure)
    assert lossy.limited_by == "loss"


def test_a_path_that_loses_nothing_is_limited_by_the_generator() -> None:
    system = System(9e6, 5e6)
    result = search_throughput(system.measure)
    assert result.throughput_pps == 5e6
    assert result.limited_by == "generator"
    assert result.failed_pps is None
    assert result.converged
    assert system.asked == [None, None]


def test_a_generator_that_cannot_keep_to_a_schedule_is_the_limit() -> None:
    """In one burst it sends more than the path takes, but evenly it cannot send as much."""

    def measure(rate_pps: float | None) -> Trial:
        return System(2e6, 5e6 if rate_pps is None else 1e6).measure(rate_pps)

    result = search_throughput(measure)
    assert result.limited_by == "generator"
    assert result.throughput_pps == pytest.approx(1e6, rel=0.01)


def test_a_generator_that_was_held_up_once_is_not_taken_for_a_slow_one() -> None:
    system = System(400_000, 5_000_000)
    held_up = iter([4, 7])
    stop = next(held_up)

    def measure(rate_pps: float | None) -> Trial:
        nonlocal stop
        if len(system.asked) + 1 == stop:
            stop = next(held_up, 0)
            system.measure(rate_pps and rate_pps / 3)
            return replace(system.measure(rate_pps and rate_pps / 3), rate_pps=rate_pps)
        return system.measure(rate_pps)

    found = search_throughput(measure)
    assert found.throughput_pps == pytest.approx(400_000, rel=0.02)
    assert found.limited_by == "loss"


def test_a_generator_that_is_held_up_again_and_again_ends_the_search() -> None:
    system = System(400_000, 5_000_000)

    def measure(rate_pps: float | None) -> Trial:
        return replace(system.measure(rate_pps and rate_pps / 3), rate_pps=rate_pps)

    found = search_throughput(measure)
    assert found.throughput_pps == pytest.approx(400_000 / 3, rel=0.02)
    assert found.limited_by == "generator"
    assert not found.converged
    assert len(found.trials) == 3


def test_a_path_that_collapses_under_load_is_measured_below_it() -> None:
    system = System(1e6, 5e6, overload_pps=1e5)
    result = search_throughput(system.measure)
    assert result.throughput_pps == pytest.approx(1e6, rel=0.03)


def test_a_path_that_always_loses_has_no_throughput() -> None:
    result = search_throughput(System(1e6, 5e6, always_lost=0.1).measure, loss_goal=0.001)
    assert result.best is None
    assert result.throughput_pps is None
    assert result.throughput_bps(64) is None
    assert result.limited_by == "loss"


@pytest.mark.parametrize(
    ("loss_goal", "packets"), [(0.001, 3000), (0.01, 300), (0.0007, 4286), (0.9, 4), (0.0, 1)]
)
def test_the_rule_of_three_says_how_many_packets_bound_a_loss(loss_goal: float, packets: int):
    assert packets_to_bound(loss_goal) == packets


class EveryHundredth:
    """A path that loses every hundredth packet at any load, in trials of a given length."""

    def __init__(self, generator_pps: float, duration_s: float) -> None:
        self.generator_pps = generator_pps
        self.duration_s = duration_s

    def measure(self, rate_pps: float | None) -> Trial:
        offered_pps = min(rate_pps or self.generator_pps, self.generator_pps)
        sent = max(1, round(offered_pps * self.duration_s))
        return Trial(
            rate_pps=rate_pps,
            offered_pps=offered_pps,
            sent=sent,
            received=sent - sent // 100,
            lost=sent // 100,
            unsent=0,
            elapsed_ns=round(self.duration_s * 1e9),
            cpu_ns=0,
        )


@given(st.floats(1e4, 5e6), st.floats(0.001, 1.0))
def test_a_loss_too_rare_to_show_in_a_short_trial_is_not_taken_for_none(
    generator_pps: float, duration_s: float
) -> None:
    result = search_throughput(
        EveryHundredth(generator_pps, duration_s).measure, loss_goal=0.001, max_trials=40
    )
    assert result.best is None
    assert not result.converged
    # None but the last, if any, was made at a load with too few packets.
    assert all(trial.sent >= 3000 for trial in result.trials[:-1])


def test_a_load_that_is_carried_counts_from_the_packets_on_that_bound_its_loss() -> None:
    enough = search_throughput(System(9e6, 3000).measure, loss_goal=0.001)
    assert enough.throughput_pps == 3000
    too_few = search_throughput(System(9e6, 2999).measure, loss_goal=0.001)
    assert too_few.best is None
    assert search_throughput(System(9e6, 2999).measure, loss_goal=0.0).throughput_pps == 2999


def test_the_number_of_trials_is_bounded() -> None:
    system = System(1.0, 5e6, always_lost=0.5)
    result = search_throughput(system.measure, max_trials=7)
    assert len(system.asked) == 7
    assert not result.converged


def test_the_first_trial_counts_for_nothing() -> None:
    cold = System(1e5, 5e6)
    warm = System(9e6, 5e6)
    calls = 0

    def measure(rate_pps: float | None) -> Trial:
        nonlocal calls
        calls += 1
        return (cold if calls == 1 else warm).measure(rate_pps)

    result = search_throughput(measure)
    assert result.limited_by == "generator"
    assert result.warm_up.received == 100_000
    assert result.warm_up not in result.trials


def test_bits_count_the_frame_without_preamble_and_gap() -> None:
    result = search_throughput(System(9e6, 1e6).measure)
    assert result.throughput_bps(1518) == 1e6 * 1518 * 8


def test_a_generator_that_sends_nothing_is_told() -> None:
    with pytest.raises(MeasurementError, match="sent nothing"):
        search_throughput(System(1e6, 0).measure)


@pytest.mark.parametrize(
    "wrong",
    [{"loss_goal": 1.0}, {"loss_goal": -0.1}, {"width": 0.0}, {"width": 1.0}, {"max_trials": 1}],
)
def test_wrong_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        search_throughput(System(1e6, 5e6).measure, **wrong)  # type: ignore[arg-type]
