"""Search goals are those of the method, and only possible ones can be made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.errors import UsageError
from emulator.measure.goals import GOALS, goal_named


@pytest.mark.parametrize(
    ("name", "final_trial_s", "duration_sum_s", "loss_ratio", "exceed_ratio", "width"),
    [
        ("rfc2544", 60, 60, 0, 0, 0.005),
        ("tst009", 60, 120, 0, 0.5, 0.005),
        ("csit-ndr", 1, 21, 0, 0.5, 0.005),
        ("csit-pdr", 1, 21, 0.005, 0.5, 0.005),
        ("quick", 0.5, 5, 0.001, 0.5, 0.02),
    ],
)
def test_the_goals_are_those_of_the_method(
    name: str,
    final_trial_s: float,
    duration_sum_s: float,
    loss_ratio: float,
    exceed_ratio: float,
    width: float,
) -> None:
    goal = goal_named(name)
    assert (goal.name, goal.loss_ratio, goal.exceed_ratio) == (name, loss_ratio, exceed_ratio)
    assert (goal.final_trial_s, goal.duration_sum_s) == (final_trial_s, duration_sum_s)
    assert goal.width == width
    assert goal.initial_trial_s <= goal.final_trial_s


def test_an_unknown_goal_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no goal 'ndr'") as refused:
        goal_named("ndr")
    for name in GOALS:
        assert name in refused.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss_ratio": 1.0},
        {"loss_ratio": -0.1},
        {"loss_ratio": float("nan")},
        {"exceed_ratio": 1.0},
        {"exceed_ratio": -0.5},
        {"width": 0.0},
        {"width": 1.0},
        {"initial_trial_s": 0.0},
        {"initial_trial_s": 0.6},
        {"final_trial_s": 6.0},
        {"duration_sum_s": 0.4},
        {"duration_sum_s": float("inf")},
    ],
)
def test_a_goal_that_makes_no_sense_is_refused_by_its_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="goal mine") as refused:
        replace(GOALS["quick"], name="mine", **wrong)
    assert refused.value.hint


def test_a_loss_that_is_allowed_says_how_many_packets_are_evidence() -> None:
    assert GOALS["quick"].packets_needed == 3000
    assert GOALS["csit-ndr"].packets_needed == 1


def test_a_goal_of_ones_own_says_what_differs_from_the_quick_one() -> None:
    goal = goal_named("loss=1%/trial=200ms/sum=0.6/width=0.05/exceed=0")
    assert goal.name == "loss=1%/trial=200ms/sum=0.6/width=0.05/exceed=0"
    assert (goal.loss_ratio, goal.exceed_ratio, goal.width) == (0.01, 0.0, 0.05)
    assert (goal.final_trial_s, goal.duration_sum_s, goal.initial_trial_s) == (0.2, 0.6, 0.1)
    assert goal_named("trial=9").duration_sum_s == 9


@pytest.mark.parametrize(
    "text", ["loss=", "loss=x%", "loss=1%/loss=2%", "speed=3", "trial=0", "loss=1", "trial=2/sum=1"]
)
def test_a_goal_of_ones_own_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        goal_named(text)
