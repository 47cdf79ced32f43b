"""The throughput search, against systems whose capacity is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import MeasurementError, UsageError
from emulator.measure.goals import GOALS, SearchGoal
from emulator.measure.search import (
    GoalResult,
    SearchResult,
    SearchTrial,
    repeatability,
    search_throughput,
    time_budget_s,
)
from emulator.measure.throughput import Trial
from tests.unit.searched_systems import System

QUICK = GOALS["quick"]
NDR, PDR = GOALS["csit-ndr"], GOALS["csit-pdr"]
every_goal = pytest.mark.parametrize("goal", GOALS.values(), ids=list(GOALS))


def search(system: System, goals: Sequence[SearchGoal] = (QUICK,), **options: Any) -> SearchResult:
    return search_throughput(system.measure, goals, clock=system.clock, **options)


def only(result: SearchResult) -> GoalResult:
    (found,) = result.goals
    return found


@every_goal
@settings(max_examples=30, deadline=None)
@given(capacity_pps=st.floats(2e3, 4.9e6))
def test_a_sharp_capacity_is_found_within_the_width(goal: SearchGoal, capacity_pps: float) -> None:
    system = System(capacity_pps)
    result = search(system, [goal])
    found = only(result)
    assert found.lower_pps is not None
    assert found.upper_pps is not None
    assert found.conditional_throughput_pps is not None
    # What may be lost at the lower bound may come on top of the capacity, and a packet of each
    # trial is a matter of rounding.
    grain = 1 / goal.initial_trial_s
    assert found.lower_pps <= capacity_pps / (1 - goal.loss_ratio) + grain
    assert found.upper_pps >= capacity_pps - grain
    assert found.upper_pps - found.lower_pps <= goal.width * found.upper_pps + grain
    low_pps = capacity_pps * (1 - goal.width) - grain
    assert low_pps <= found.conditional_throughput_pps <= capacity_pps + grain
    assert (found.converged, found.valid, found.limited_by) == (True, True, "loss")
    assert not found.at_least
    assert result.ended == "done"


@every_goal
def test_a_sharp_capacity_is_found_in_little_more_than_the_time_its_bounds_take(
    goal: SearchGoal,
) -> None:
    for seed in range(30):
        system = System(random.Random(seed).uniform(1e5, 4.9e6))
        result = search(system, [goal])
        assert len(result.trials) <= 30
        assert system.elapsed_s <= 2.5 * goal.duration_sum_s
        assert result.elapsed_s == pytest.approx(system.elapsed_s)
        assert result.trials_s == pytest.approx(system.elapsed_s)


def test_a_quick_search_takes_5_to_10_seconds() -> None:
    times = []
    for seed in range(20):
        system = System(random.Random(seed).uniform(1e5, 4.9e6), noise=0.01, seed=seed)
        search(system)
        times.append(system.elapsed_s)
    assert 5 <= sum(times) / len(times) <= 10


@every_goal
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1499))
def test_a_noisy_capacity_is_found_where_it_is(goal: SearchGoal, seed: int) -> None:
    """It moves by 5 %: no result may lie beyond the reach of noise and width."""
    system = System(1e6, noise=0.05, seed=seed)
    result = search(system, [goal])
    found = only(result)
    assert found.throughput_pps == pytest.approx(1e6, rel=0.05 + 2 * goal.width + 0.01)
    assert found.limited_by == "loss"
    assert found.converged == (result.ended == "done")
    assert system.elapsed_s <= time_budget_s([goal])


def test_a_limit_that_moves_far_from_trial_to_trial_is_settled_on_all_the_same() -> None:
    """As that of a VNF that is a process on a small virtual machine. The time between trials, in
    which lost packets are waited for, counts too."""
    for seed in range(20):
        system = System(700e3, 3.6e6, noise=0.15, seed=seed)

        def clock(system: System = system) -> float:
            return system.elapsed_s + 0.25 * len(system.asked)

        found = only(search_throughput(system.measure, [QUICK], clock=clock))
        assert found.converged
        assert found.throughput_pps == pytest.approx(700e3, rel=0.15)


def test_repeated_searches_of_a_noisy_path_agree() -> None:
    systems = [System(1e6, noise=0.03, seed=seed) for seed in range(10)]
    rates = [only(search(system)).throughput_pps for system in systems]
    assert repeatability(rate for rate in rates if rate is not None) <= 0.05


@pytest.mark.parametrize("goal", [NDR, PDR, QUICK], ids=lambda goal: goal.name)
def test_a_capacity_that_gives_way_slowly_is_found_where_the_loss_is_what_is_allowed(
    goal: SearchGoal,
) -> None:
    """The loss is soft * (2 * load / capacity - 1), from half of the capacity on."""
    soft = 0.02
    found = only(search(System(1e6, soft=soft), [goal]))
    load_pps = 1e6 * (goal.loss_ratio / soft + 1) / 2
    assert found.converged
    assert found.lower_pps == pytest.approx(load_pps, rel=1.5 * goal.width)
    # Towards lower loads the loss grows so slowly that the first packet lost is not seen at once.
    assert found.throughput_pps == pytest.approx(load_pps * (1 - goal.loss_ratio), rel=0.02)


def test_goals_are_searched_for_together() -> None:
    apart = [System(1e6, soft=0.02), System(1e6, soft=0.02)]
    rates = [
        only(search(system, [goal])).throughput_pps
        for system, goal in zip(apart, (NDR, PDR), strict=True)
    ]
    together = System(1e6, soft=0.02)
    result = search(together, [NDR, PDR])
    assert [found.goal for found in result.goals] == [NDR, PDR]
    assert [found.throughput_pps for found in result.goals] == [
        pytest.approx(rate, rel=0.01) for rate in rates
    ]
    assert result.goal("csit-pdr").limited_by == "loss"
    assert together.elapsed_s < sum(system.elapsed_s for system in apart)
    with pytest.raises(KeyError):
        result.goal("quick")


def test_goals_that_differ_only_by_name_find_the_same() -> None:
    one, other = search(System(1e6), [QUICK, replace(QUICK, name="mine")]).goals
    assert one.goal.name == "quick"
    assert other.goal.name == "mine"
    assert replace(other, goal=QUICK) == one


@every_goal
def test_a_path_that_loses_nothing_is_limited_by_the_generator(goal: SearchGoal) -> None:
    system = System(9e6)
    result = search(system, [goal])
    found = only(result)
    assert found.throughput_pps == 5e6
    assert (found.limited_by, found.upper_pps, found.lower_pps) == ("generator", None, 5e6)
    assert found.converged
    assert found.at_least
    # It is never asked for what it has not shown to be able to give.
    assert {rate for rate, _ in system.asked} == {None}
    assert system.elapsed_s <= goal.duration_sum_s + 2 * goal.final_trial_s


def test_a_highest_load_is_not_exceeded() -> None:
    system = System(9e6)
    found = only(search(system, max_pps=2e6))
    assert found.throughput_pps == pytest.approx(2e6)
    assert found.limited_by == "generator"
    assert {rate for rate, _ in system.asked} == {2e6}


def test_a_receiver_that_is_too_slow_is_not_taken_for_a_path_that_loses() -> None:
    slow = only(search(System(3e6, receiver_pps=1e6)))
    assert (slow.limited_by, slow.at_least) == ("receiver", True)
    assert slow.throughput_pps == pytest.approx(1e6, rel=0.02)
    lossy = only(search(System(0.5e6, receiver_pps=1e6)))
    assert lossy.limited_by == "loss"
    assert lossy.throughput_pps == pytest.approx(0.5e6, rel=0.02)


@pytest.mark.parametrize("paced_pps", [1.9e6, 1e6, 1e5])
def test_a_generator_that_cannot_keep_to_a_schedule_is_the_limit(paced_pps: float) -> None:
    """In one burst it sends more than the path takes, but evenly it cannot send as much."""
    found = only(search(System(2e6, paced_pps=paced_pps)))
    assert found.limited_by == "generator"
    assert found.throughput_pps == pytest.approx(paced_pps, rel=0.02)
    assert found.converged


def test_a_path_that_loses_what_a_slow_generator_gives_is_the_limit() -> None:
    found = only(search(System(0.5e6, paced_pps=1e6)))
    assert (found.limited_by, found.converged) == ("loss", True)
    assert found.throughput_pps == pytest.approx(0.5e6, rel=0.02)


def test_what_the_generator_did_not_send_is_not_called_loss() -> None:
    result = search(System(9e6, paced_pps=1.6e6), max_pps=2e6)
    found = only(result)
    assert found.loss_ratio == 0
    assert found.limited_by == "generator"
    missed = [made for made in result.trials if made.bad_ratio > 0]
    assert missed
    for made in missed:
        assert made.limited_by == "generator"
        assert made.trial.unsent
        assert made.trial.loss_ratio == 0


def test_a_disturbed_trial_is_made_again_and_does_not_count() -> None:
    system = System(1e6, disturbed=(4, 6))
    result = search(system)
    found = only(result)
    assert found.throughput_pps == pytest.approx(1e6, rel=0.02)
    assert found.valid
    assert found.converged
    assert [m.number for m in result.trials if not m.trial.valid] == [4, 6]
    for made in result.trials:
        assert made.counted == made.trial.valid
    repeated = result.trials[3].load_pps, result.trials[4].load_pps
    assert repeated[0] == repeated[1]


def test_a_result_of_trials_that_stay_disturbed_is_not_valid() -> None:
    result = search(System(1e6, disturbed=tuple(range(1000))))
    assert not only(result).valid
    # Where the machine does not come to rest, there are fewer attempts each time.
    assert [made.counted for made in result.trials[:8]] == [
        *(True, False, False),
        *(True, False),
        *(True, True, True),
    ]


def test_a_machine_that_comes_to_rest_gets_its_attempts_back() -> None:
    result = search(System(9e6, disturbed=(1, 2, 3, 4, 5, 8, 9)))
    assert [made.counted for made in result.trials[:10]] == [
        *(True, False, False),
        *(True, False),
        *(True, True),
        *(False, False, True),
    ]


@pytest.mark.parametrize("number", range(12))
def test_what_a_disturbed_trial_carries_in_spite_of_that_is_carried(number: int) -> None:
    """A pass counts, and a failure is made again; but only where nothing could have helped."""
    calm = search(System(1e6))
    made = search_disturbed(System(1e6), (number,), only_hindered=True)
    assert only(made).valid
    assert only(made).lower_pps == only(calm).lower_pps
    disturbed = next((each for each in made.trials if not each.trial.valid), None)
    if disturbed is None:
        assert number == 0
        return
    carried = disturbed.trial.rate_pps is not None and disturbed.limited_by is None
    assert disturbed.counted == disturbed.sound == carried
    assert len(made.trials) == len(calm.trials) + (not carried)
    unsure = search_disturbed(System(1e6), (number,), only_hindered=False)
    assert len(unsure.trials) == len(calm.trials) + 1


def test_a_load_that_is_carried_whenever_it_is_tried_is_sure_on_a_busy_machine() -> None:
    for only_hindered in (True, False):
        system = System(9e6)
        result = search_disturbed(
            system, range(1000), only_hindered=only_hindered, max_pps=2e6, attempts=1
        )
        found = only(result)
        assert found.throughput_pps == pytest.approx(2e6)
        assert found.valid == only_hindered


def search_disturbed(
    system: System, numbers: Sequence[int], *, only_hindered: bool, **options: Any
) -> SearchResult:
    """A search of which some trials are disturbed, which changes nothing about them."""

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        disturbed = len(system.asked) in numbers
        trial = system.measure(rate_pps, duration_s)
        return replace(trial, valid=not disturbed, only_hindered=disturbed and only_hindered)

    return search_throughput(measure, [QUICK], clock=system.clock, **options)


def test_of_disturbed_trials_the_least_disturbed_counts() -> None:
    ratios = iter([0.0, 0.3, 0.1, 0.2])
    system = System(9e6)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        trial = system.measure(rate_pps, duration_s)
        return replace(trial, valid=False, disturbed_ratio=next(ratios, 0.5))

    result = search_throughput(measure, [QUICK], clock=system.clock)
    assert [made.counted for made in result.trials[:3]] == [False, True, False]


def test_a_generator_that_was_held_up_once_is_not_taken_for_a_slow_one() -> None:
    system = System(400_000)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        if rate_pps is None or len(system.asked) not in (3, 7):
            return system.measure(rate_pps, duration_s)
        return replace(system.measure(rate_pps / 3, duration_s), rate_pps=rate_pps)

    result = search_throughput(measure, [QUICK], clock=system.clock)
    found = only(result)
    assert found.throughput_pps == pytest.approx(400_000, rel=0.02)
    assert found.limited_by == "loss"
    assert sum(not made.counted for made in result.trials) == 2


def test_a_generator_that_is_held_up_again_and_again_ends_the_search() -> None:
    system = System(400_000)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        third = rate_pps and rate_pps / 3
        return replace(system.measure(third, duration_s), rate_pps=rate_pps)

    result = search_throughput(measure, [QUICK], clock=system.clock)
    found = only(result)
    assert result.ended == "generator"
    assert found.conditional_throughput_pps is None
    # What it did give was carried.
    assert found.throughput_pps == pytest.approx(400_000 / 3, rel=0.02)
    assert (found.limited_by, found.converged) == ("generator", False)


def test_a_path_that_collapses_under_load_is_measured_below_it() -> None:
    found = only(search(System(1e6, overload_pps=1e5)))
    assert found.throughput_pps == pytest.approx(1e6, rel=0.02)
    assert found.limited_by == "loss"


def test_of_a_path_that_carries_more_again_at_higher_loads_the_lower_limit_is_found() -> None:
    """The upper bound is the lowest load that is bad (RFC 9971, "conservative")."""
    low, high = System(1e6), System(4e6)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        hole = rate_pps is not None and 1e6 < rate_pps < 1.5e6
        return (low if hole else high).measure(rate_pps, duration_s)

    goals = [replace(QUICK, name="tight", loss_ratio=0.0), QUICK]
    for found in search_throughput(measure, goals, clock=lambda: 0.0).goals:
        assert found.lower_pps is not None
        assert found.upper_pps is not None
        assert found.lower_pps < found.upper_pps
        assert found.converged


@every_goal
def test_a_path_that_carries_nothing_has_no_throughput(goal: SearchGoal) -> None:
    system = System(0.0)
    found = only(search(system, [goal]))
    assert found.throughput_pps is None
    assert found.throughput_bps(64) is None
    assert (found.lower_pps, found.carried_pps) == (None, None)
    assert found.limited_by == "loss"
    assert not found.converged
    assert system.elapsed_s <= 2.5 * goal.duration_sum_s


def test_a_path_that_always_loses_has_no_throughput() -> None:
    found = only(search(System(1e6, always_lost=0.1)))
    assert found.throughput_pps is None
    assert (found.limited_by, found.converged) == ("loss", False)


@given(st.floats(10, 5e6), st.floats(0.002, 0.2))
def test_a_loss_too_rare_to_show_in_a_short_trial_is_not_taken_for_none(
    generator_pps: float, lost: float
) -> None:
    found = only(search(System(9e6, generator_pps, always_lost=lost)))
    assert found.conditional_throughput_pps is None
    assert not found.converged


def test_trials_at_low_loads_are_long_enough_for_evidence() -> None:
    """As a link of 10 Mbit/s carries frames of 1518 bytes."""
    system = System(813.0, 1e6)
    result = search(system)
    assert only(result).throughput_pps == pytest.approx(813, rel=0.02)
    for made in result.trials:
        assert made.trial.sent >= 3000


def test_loads_too_low_for_evidence_are_not_tried() -> None:
    result = search(System(9e6, 500.0))
    assert result.ended == "packets"
    found = only(result)
    assert (found.throughput_pps, found.converged, found.limited_by) == (None, False, "generator")
    # Without an allowance for loss it is about the very packets that were sent.
    assert only(search(System(9e6, 500.0), [NDR])).throughput_pps == 500


def test_without_time_the_best_there_is_is_the_result() -> None:
    system = System(1e6)
    result = search(system, max_s=3.0)
    assert system.elapsed_s <= 3.0
    assert result.ended == "time"
    found = only(result)
    assert not found.converged
    assert found.conditional_throughput_pps is None
    assert found.throughput_pps == pytest.approx(1e6, rel=0.1)
    assert found.throughput_pps == found.carried_pps
    assert found.limited_by == "loss"


@pytest.mark.parametrize("max_s", [0.1, 0.8, 1.5, 2.5, 4.0])
def test_a_search_cut_short_does_not_blame_the_generator_for_what_the_path_lost(
    max_s: float,
) -> None:
    assert only(search(System(1e6), max_s=max_s)).limited_by == "loss"
    assert only(search(System(9e6), max_s=max_s)).limited_by == "generator"


@settings(max_examples=60)
@given(
    capacity_pps=st.floats(0, 5e6),
    noise=st.floats(0, 1),
    paced_pps=st.floats(10, 5e6),
    receiver_pps=st.floats(0, 5e6),
    lost=st.sampled_from([0.0, 1e-4, 0.01, 1.0]),
    goals=st.lists(st.sampled_from(list(GOALS.values())), min_size=1, max_size=3, unique=True),
    max_s=st.floats(0.1, 2000),
    seed=st.integers(0, 100),
)
def test_whatever_the_system_does_the_search_ends_in_time_and_in_order(
    capacity_pps: float,
    noise: float,
    paced_pps: float,
    receiver_pps: float,
    lost: float,
    goals: list[SearchGoal],
    max_s: float,
    seed: int,
) -> None:
    system = System(
        capacity_pps,
        paced_pps=paced_pps,
        receiver_pps=receiver_pps,
        noise=noise,
        always_lost=lost,
        seed=seed,
    )
    told: list[SearchTrial] = []
    result = search(system, goals, max_s=max_s, on_trial=told.append)
    first_two_s = sum(made.duration_s for made in told[:2])
    assert system.elapsed_s <= max(max_s, first_two_s) + 1e-6
    assert [made.number for made in told] == list(range(len(result.trials) + 1))
    for made, (_, duration_s) in zip((result.warm_up, *result.trials), system.asked, strict=True):
        assert made.duration_s == duration_s
    for found in result.goals:
        if found.lower_pps is not None and found.upper_pps is not None:
            assert found.lower_pps < found.upper_pps
        if found.conditional_throughput_pps is not None:
            assert found.loss_ratio is not None
            assert found.loss_ratio <= found.goal.loss_ratio
            assert found.conditional_throughput_pps <= 5e6
        if result.ended == "done":
            assert found.converged == (found.lower_pps is not None)


def test_the_first_trial_counts_for_nothing() -> None:
    cold, warm = System(1e5), System(9e6)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        return (warm if cold.asked else cold).measure(rate_pps, duration_s)

    result = search_throughput(measure, [QUICK], clock=warm.clock)
    assert only(result).limited_by == "generator"
    assert result.warm_up.trial.lost
    assert result.warm_up.number == 0
    assert not result.warm_up.counted
    assert all(not made.trial.lost for made in result.trials)


def test_bits_count_the_frame_without_preamble_and_gap() -> None:
    assert only(search(System(9e6, 1e6))).throughput_bps(1518) == pytest.approx(1e6 * 1518 * 8)


def test_a_generator_that_sends_nothing_is_told() -> None:
    with pytest.raises(MeasurementError, match="sent nothing"):
        search(System(1e6, 0.0))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_goes_wrong_in_a_trial_comes_through(error: type[BaseException]) -> None:
    system = System(1e6)

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        if len(system.asked) == 5:
            raise error
        return system.measure(rate_pps, duration_s)

    with pytest.raises(error):
        search_throughput(measure, [QUICK])


@pytest.mark.parametrize(
    "wrong",
    [
        {"goals": []},
        {"goals": [QUICK, QUICK]},
        {"min_pps": 0.0},
        {"min_pps": 10.0, "max_pps": 10.0},
        {"max_pps": float("inf")},
        {"max_s": 0.0},
        {"attempts": 0},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        search(System(1e6), **wrong)
    assert refused.value.hint


def test_repeatability_is_the_range_by_the_median() -> None:
    assert repeatability([90.0, 100.0, 120.0]) == pytest.approx(0.3)
    assert repeatability(iter([5.0, 5.0])) == 0
    for wrong in ([], [1.0], [-1.0, 0.0, 1.0]):
        with pytest.raises(UsageError):
            repeatability(wrong)
