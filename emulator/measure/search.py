"""The search for throughput, with several goals at once.

Which load comes next is decided by the library MLRsearch, the reference implementation of RFC 9971
("Multiple Loss Ratio Search"). This module makes the trials it asks for, keeps what is the
generator's or the receiver's limit apart from the path's, and ends in bounded time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from MLRsearch import Config, MultipleLossRatioSearch
from MLRsearch import SearchGoal as LibraryGoal

from emulator.errors import UsageError
from emulator.measure.goals import SearchGoal
from emulator.measure.search_trials import (
    Ended,
    Measure,
    SearchEndError,
    SearchTrial,
    TrialMaker,
)
from emulator.measure.throughput import LimitedBy

ATTEMPTS = 3
"""How often a trial is made in which something else disturbed the generator."""

_PRECEDING_TARGETS = 2
"""Coarser searches with shorter trials before the one that counts; the library's own default."""
_BUDGET_TIMES = 8
"""So many sums of trials at a load, and as many full trials beside, a search may take, the time
between trials included. It takes little more than one sum where the limit is sharp, 2.5 on average
where it moves by 5 % from one trial to the next. Where it moves by 15 %, as that of a VNF that is a
process may on a small virtual machine, 4.5, and with 8 next to all searches settle, with 6 four out
of five."""
_NO_LIMIT_S = 1e12


@dataclass(frozen=True)
class GoalResult:
    """What a search found for one goal (RFC 9971, §4.8).

    Attributes:
        goal: the goal.
        conditional_throughput_pps: packets per second that arrived in a typical full trial at the
            relevant lower bound (§4.8.3); None: there is no such bound.
        loss_ratio: in that trial.
        lower_pps: the relevant lower bound, the highest load below ``upper_pps`` known to be good;
            as it was given, not as it was meant.
        upper_pps: the relevant upper bound, the lowest load known to be bad; None: none was, so
            that the result is irregular (§4.8.4.2) and the path does at least this much.
        carried_pps: the highest rate that arrived in a single trial that met the goal, with packets
            enough to tell, below ``upper_pps``; None: none did.
        limited_by: what kept the search from going higher: loss on the path, or a generator that
            could not send more, or a receiver that could not take more; the path then carries at
            least this much.
        converged: whether the bounds are as near to each other as the goal asks for.
        valid: whether the trials at both bounds, or where they are missing all of them, are sound:
            left undisturbed, or good in spite of what disturbed them.
    """

    goal: SearchGoal
    conditional_throughput_pps: float | None
    loss_ratio: float | None
    lower_pps: float | None
    upper_pps: float | None
    carried_pps: float | None
    limited_by: LimitedBy
    converged: bool
    valid: bool

    @property
    def throughput_pps(self) -> float | None:
        """The conditional throughput, or the best there is of a search that did not get to it."""
        if self.conditional_throughput_pps is None:
            return self.carried_pps
        return self.conditional_throughput_pps

    @property
    def at_least(self) -> bool:
        """Whether it was the probe that was at its limit, and the path may carry more."""
        return self.limited_by != "loss"

    def throughput_bps(self, frame_size_bytes: float) -> float | None:
        """The same in bits per second of frames, their check sequence included.

        Preamble and gap between frames are left out: a veth has none.
        """
        pps = self.throughput_pps
        return None if pps is None else pps * frame_size_bytes * 8


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        goals: the results, in the order of the goals.
        warm_up: the first trial, which counts for nothing: caches and neighbours are cold.
        trials: the others, in the order they were made.
        ended: by what: ``done`` (every goal is settled), ``time`` (there was none left),
            ``generator`` (something keeps it from loads that it has given before) or ``packets``
            (the loads in question are too low to tell anything about loss).
        elapsed_s: how long all of it took.
    """

    goals: tuple[GoalResult, ...]
    warm_up: SearchTrial
    trials: tuple[SearchTrial, ...]
    ended: Ended
    elapsed_s: float

    @property
    def trials_s(self) -> float:
        """How long packets were sent, the warm-up included."""
        return sum(t.trial.elapsed_ns for t in (self.warm_up, *self.trials)) / 1e9

    def goal(self, name: str) -> GoalResult:
        """The result for the goal of that name.

        Raises:
            KeyError: it was not searched for.
        """
        for result in self.goals:
            if result.goal.name == name:
                return result
        raise KeyError(name)


def repeatability(values: Iterable[float]) -> float:
    """How far repeated searches are apart: (largest - smallest) / median.

    Raises:
        UsageError: there are fewer than two values, or their median is 0.
    """
    found = list(values)
    if len(found) < 2:
        raise UsageError("repeatability takes two values at least", hint="repeat the search")
    middle = median(found)
    if not middle:
        raise UsageError("there is no repeatability about a median of 0")
    return (max(found) - min(found)) / middle


def time_budget_s(goals: Iterable[SearchGoal]) -> float:
    """How long a search with these goals takes at most unless told otherwise."""
    return _BUDGET_TIMES * sum(goal.duration_sum_s + goal.final_trial_s for goal in goals)


def search_throughput(
    measure: Measure,
    goals: Sequence[SearchGoal],
    *,
    max_pps: float | None = None,
    min_pps: float = 1.0,
    max_s: float | None = None,
    attempts: int = ATTEMPTS,
    on_trial: Callable[[SearchTrial], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchResult:
    """Find the highest load that meets each goal.

    The first trial is made at the highest load, to warm up, and is discarded. The rest is up to the
    library: it starts from the rate that arrived at full load.

    What counts is the load that was really given. Where the generator falls short of a load by more
    than the width of the narrowest goal, the load is bad as RFC 9971 recommends (§4.9.1, "turn any
    severe deviation between the Intended Load and the Offered Load into increased Trial Loss
    Ratio"), but it is the generator that is the limit, and what it did not send is not called loss.
    A load that it has given before, or that is at most half of what it has given in one burst, is
    tried again first. If it gives no more than half of what it has given before, and nothing was
    lost that would tell more, the search ends: it would be held up at lower loads too. In the same
    way the limit is the receiver's where the path alone would have met the goal.

    A trial that was disturbed (:attr:`Trial.valid`) is made again, ``attempts`` times at most, and
    less often on a machine that does not come to rest. If it stays so, the least disturbed one
    counts, and the result says that it is not valid. A load that arrived in spite of what kept
    packets back (:attr:`Trial.only_hindered`) is carried: disturbed or not, that is evidence.

    A trial with too few packets to bound the loss (:func:`packets_to_bound`), or to tell two loads
    from each other, is no evidence, so trials at low loads are longer than the goal says, up to its
    sum of trials. Loads too low even for that are not tried: 600 pps is the lowest for ``quick``,
    30 pps for ``csit-pdr``.

    Args:
        measure: makes one trial.
        goals: what to search for, in one search.
        max_pps: the highest load to try; None: what the generator gives at full speed.
        min_pps: the lowest load to try.
        max_s: but for the first two, no trial begins that would not end within that time; then what
            is known is the result. None: :func:`time_budget_s`.
        attempts: how often a disturbed trial is made.
        on_trial: is told of every trial when it is over, the warm-up included; which of them count
            is not decided then.
        clock: tells the time in seconds.

    Raises:
        UsageError: an argument makes no sense.
        MeasurementError: a trial sent nothing.
    """
    _check(goals, max_pps, min_pps, max_s, attempts)
    maker = TrialMaker(
        measure,
        goals,
        attempts=attempts,
        budget_s=time_budget_s(goals) if max_s is None else max_s,
        on_trial=on_trial,
        clock=clock,
    )
    maker.begin(max_pps)
    lowest_pps = max(min_pps, maker.lowest_pps)
    if lowest_pps < maker.max_pps:
        results, ended = _searched(maker, goals, lowest_pps)
    else:
        results, ended = tuple(_goal_result(goal, maker) for goal in goals), "packets"
    return SearchResult(results, maker.warm_up, tuple(maker.trials), ended, maker.elapsed_s)


def _searched(
    maker: TrialMaker, goals: Sequence[SearchGoal], lowest_pps: float
) -> tuple[tuple[GoalResult, ...], Ended]:
    library_goals = [_library_goal(goal) for goal in goals]
    search = MultipleLossRatioSearch(
        Config(
            # Goals that differ in nothing but their names are one to the library.
            goals=tuple(dict.fromkeys(library_goals)),
            min_load=lowest_pps,
            max_load=maker.max_pps,
            search_duration_max=_NO_LIMIT_S,
            warmup_duration=None,
        )
    )
    ended: Ended = "done"
    try:
        search.search(maker, debug=_say_nothing)
    except SearchEndError as end:
        ended = end.by
    results = []
    for goal, library_goal in zip(goals, library_goals, strict=True):
        target = search.scaling.goal_to_final_target[library_goal]
        bounds = search.database.get_relevant_bounds(target)
        results.append(
            _goal_result(
                goal,
                maker,
                lower_pps=float(bounds.clo) if bounds.clo else None,
                upper_pps=float(bounds.chi) if bounds.chi else None,
                loss_ratio=bounds.clo and bounds.clo.target_to_stat[target].pessimistic_loss_ratio,
            )
        )
    return tuple(results), ended


def _goal_result(
    goal: SearchGoal,
    maker: TrialMaker,
    *,
    lower_pps: float | None = None,
    upper_pps: float | None = None,
    loss_ratio: float | None = None,
) -> GoalResult:
    """What the trials say about a goal, given its bounds and the loss ratio of a typical trial."""
    counted = [trial for trial in maker.trials if trial.counted]
    full = [t for t in counted if t.load_pps == lower_pps and t.duration_s >= goal.final_trial_s]
    typical = [made.trial.received_pps for made in full if made.bad_ratio == loss_ratio]
    given_pps = median(made.trial.offered_pps for made in full) if full else None
    if given_pps is not None and lower_pps is not None and lower_pps < maker.max_pps:
        # But for full speed, more than was meant is a matter of rounding.
        given_pps = min(given_pps, lower_pps)
    at_bounds = [made for made in counted if made.load_pps in (lower_pps, upper_pps)]
    settled = lower_pps == maker.max_pps
    if lower_pps is not None and upper_pps is not None:
        # The library's loads are rounded so that they meet the width, but for the last digit.
        settled = upper_pps - lower_pps <= goal.width * upper_pps * (1 + 1e-9)
    too_much_pps = upper_pps
    if upper_pps is None and not settled:
        # Of a search that was cut short: what looks like the lowest load that is too much.
        too_much_pps = min((made.load_pps for made in counted if made.missed(goal)), default=None)
    return GoalResult(
        goal=goal,
        conditional_throughput_pps=median(typical) if typical else None,
        loss_ratio=loss_ratio,
        lower_pps=given_pps,
        upper_pps=upper_pps,
        carried_pps=_carried_pps(goal, maker.trials, upper_pps),
        limited_by=_limited_by(goal, counted, too_much_pps),
        converged=settled,
        valid=all(made.sound for made in at_bounds or counted),
    )


def _carried_pps(
    goal: SearchGoal, trials: Iterable[SearchTrial], upper_pps: float | None
) -> float | None:
    below_pps = float("inf") if upper_pps is None else upper_pps
    return max(
        (
            made.trial.received_pps
            for made in trials
            if made.trial.loss_ratio <= goal.loss_ratio
            and made.trial.sent >= goal.packets_needed
            and made.trial.offered_pps < below_pps
        ),
        default=None,
    )


def _limited_by(
    goal: SearchGoal, counted: Iterable[SearchTrial], load_pps: float | None
) -> LimitedBy:
    """Why a load is too much: what most of the time of the trials that missed the goal says."""
    missed_s: dict[LimitedBy, float] = {}
    for made in counted:
        reason = made.missed(goal)
        if reason is not None and made.load_pps == load_pps:
            missed_s[reason] = missed_s.get(reason, 0.0) + made.duration_s
    return max(missed_s, key=missed_s.__getitem__, default="generator")


def _check(
    goals: Sequence[SearchGoal],
    max_pps: float | None,
    min_pps: float,
    max_s: float | None,
    attempts: int,
) -> None:
    if not goals:
        raise UsageError("a search needs a goal", hint="such as quick")
    names = [goal.name for goal in goals]
    if len(set(names)) < len(names):
        raise UsageError("two goals have the same name", hint="name each goal once")
    if not min_pps > 0:
        raise UsageError(f"a lowest load of {min_pps:g} pps is not possible", hint="above 0")
    if max_pps is not None and not min_pps < max_pps < float("inf"):
        raise UsageError(
            f"no load lies between {min_pps:g} and {max_pps:g} pps",
            hint="the highest load must be above the lowest",
        )
    if max_s is not None and not max_s > 0:
        raise UsageError(f"a search cannot end within {max_s:g} s", hint="give it some time")
    if attempts < 1:
        raise UsageError(f"a trial cannot be made {attempts} times", hint="once or more often")


def _library_goal(goal: SearchGoal) -> LibraryGoal:
    return LibraryGoal(
        loss_ratio=goal.loss_ratio,
        exceed_ratio=goal.exceed_ratio,
        relative_width=goal.width,
        initial_trial_duration=goal.initial_trial_s,
        final_trial_duration=goal.final_trial_s,
        duration_sum=goal.duration_sum_s,
        preceding_targets=_PRECEDING_TARGETS,
        # A load that is too low to be carried is a result, not a mistake.
        fail_fast=False,
    )


def _say_nothing(_text: str) -> None:
    """The library would write to the log of whoever imports it."""
