"""The trials of a throughput search: how they are made, made again, and told to the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from MLRsearch import MeasurementResult

from emulator.errors import MeasurementError
from emulator.measure.goals import SearchGoal
from emulator.measure.throughput import LimitedBy, Trial

Measure = Callable[[float | None, float], Trial]
"""Makes one trial: packets per second, None for as fast as the generator can; seconds."""

Ended = Literal["done", "time", "generator", "packets"]

_WARM_UP_S = 1.0
_ABLE = 2
"""A generator that has given so many times as much, be it in one burst, should be able to give a
load; if it has done so evenly, it is."""


@dataclass(frozen=True)
class SearchTrial:
    """A trial of a search.

    Attributes:
        number: from 1 in the order they were made; 0 for the warm-up.
        load_pps: the load that was meant. Where the trial was made as fast as the generator can,
            the load that this was taken for.
        duration_s: how long it was meant to last.
        trial: what came of it.
        bad_ratio: the part of the load that did not arrive, be it that it was lost, or that the
            generator fell short of the load by more than is tolerated; 1 where there were too few
            packets for any evidence. It is what the search goes by.
        counted: whether it was evidence; the warm-up is not, and neither are disturbed trials that
            were made again.
        limited_by: why it did not meet the strictest of the goals; None: it did.
        sound: whether it can be relied on: nothing disturbed it, or what did only kept packets
            back, and all goals were met at this load in spite of that.
    """

    number: int
    load_pps: float
    duration_s: float
    trial: Trial
    bad_ratio: float
    counted: bool
    limited_by: LimitedBy | None
    sound: bool

    def missed(self, goal: SearchGoal) -> LimitedBy | None:
        """Why the trial did not meet a goal; None: it did."""
        if self.bad_ratio <= goal.loss_ratio:
            return None
        if self.trial.loss_ratio <= goal.loss_ratio:
            return "generator"
        return "receiver" if self.trial.path_loss_ratio <= goal.loss_ratio else "loss"


class SearchEndError(Exception):
    """Ends a search before its goals are settled."""

    def __init__(self, by: Ended) -> None:
        super().__init__(by)
        self.by: Ended = by


class TrialMaker:
    """Makes the trials of one search and keeps them.

    :meth:`measure` is what the library calls; it does not care for the class.
    """

    def __init__(
        self,
        measure: Measure,
        goals: Sequence[SearchGoal],
        *,
        attempts: int,
        budget_s: float,
        on_trial: Callable[[SearchTrial], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._measure = measure
        self._attempts = attempts
        self._patience = attempts
        self._on_trial = on_trial
        self._clock = clock
        self._started_s = clock()
        self._budget_s = budget_s
        self._evidence = max(goal.packets_needed for goal in goals)
        # Of loads that differ by the width, the higher one must send one packet more at least.
        self._packets_needed = max(max(g.packets_needed, math.ceil(1 / g.width)) for g in goals)
        self._strictest = min(goals, key=lambda goal: goal.loss_ratio)
        self._tolerance = min(goal.width for goal in goals)
        self._longest_s = max(goal.duration_sum_s for goal in goals)
        self._initial_s = max(goal.initial_trial_s for goal in goals)
        self._warm_up_s = min(_WARM_UP_S, *(goal.final_trial_s for goal in goals))
        self._unpaced_pps: float | None = None
        self._first: SearchTrial | None = None
        self._fastest_pps = 0.0
        self._paced_pps = 0.0
        self.warm_up: SearchTrial
        self.trials: list[SearchTrial] = []
        self.max_pps = 0.0

    @property
    def elapsed_s(self) -> float:
        """Since the search began."""
        return self._clock() - self._started_s

    @property
    def lowest_pps(self) -> float:
        """The lowest load at which a trial as long as the longest sum of trials is evidence."""
        return self._seconds_needed(1.0) / self._longest_s

    def begin(self, max_pps: float | None) -> None:
        """Warm up, and where no highest load is given, see what the generator can do.

        Raises:
            MeasurementError: a trial sent nothing.
        """
        trial = self._checked(max_pps, self._warm_up_s)
        # It says nothing of loss, but how long the next trial must be.
        load_pps = max_pps or trial.offered_pps
        self.warm_up = self._made(0, load_pps, self._warm_up_s, trial)
        if max_pps is None:
            needed_s = min(self._seconds_needed(load_pps), self._longest_s)
            self._first = self._trial(None, None, max(self._initial_s, needed_s))
            self._unpaced_pps = self.max_pps = self._first.load_pps
        else:
            self.max_pps = max_pps

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        """Make a trial that the library asks for, or a longer one where that takes more packets.

        Raises:
            SearchEndError: there is no time left, or the generator is kept from running.
            MeasurementError: the trial sent nothing.
        """
        if self._first is None:
            rate_pps = None if intended_load == self._unpaced_pps else intended_load
            duration_s = max(intended_duration, self._seconds_needed(intended_load))
            made = self._trial(rate_pps, intended_load, duration_s)
        else:
            # The library begins with the highest load, at which a trial was made already.
            made, self._first = self._first, None
        return self._told(made.trial, made.load_pps, made.duration_s)

    def _trial(
        self, rate_pps: float | None, load_pps: float | None, duration_s: float
    ) -> SearchTrial:
        """Make a trial until it is sound, or as often as is allowed; the best of them counts.

        Each one that stays disturbed takes an attempt from those that follow, down to a single one,
        and each one that does not gives it back: on a machine that is busy all the time, attempts
        would only take the time that the search has.

        Args:
            rate_pps: what the generator is told; None: as fast as it can.
            load_pps: what the trial is taken for; None: what the generator gives.
            duration_s: how long it lasts.
        """
        made: list[SearchTrial] = []
        while len(made) < self._patience:
            if self.trials and self.elapsed_s + duration_s > self._budget_s:
                break
            trial = self._checked(rate_pps, duration_s)
            load = trial.offered_pps if load_pps is None else load_pps
            made.append(self._made(len(self.trials) + 1, load, duration_s, trial))
            self.trials.append(made[-1])
            if self._undisturbed(made[-1]):
                break
        if not made:
            raise SearchEndError("time")
        best = min(made, key=lambda m: (not self._undisturbed(m), m.trial.disturbed_ratio))
        change = 1 if self._undisturbed(best) else -1
        self._patience = min(max(1, self._patience + change), self._attempts)
        held_up = _ABLE * best.trial.offered_pps <= self._paced_pps
        tells_more = best.trial.loss_ratio > self._strictest.loss_ratio
        if held_up and self._fell_short(best.trial, best.load_pps) and not tells_more:
            raise SearchEndError("generator")
        best = replace(best, counted=True)
        self.trials[best.number - 1] = best
        return best

    def _checked(self, rate_pps: float | None, duration_s: float) -> Trial:
        trial = self._measure(rate_pps, duration_s)
        if not trial.sent:
            raise MeasurementError(
                "the generator sent nothing in a whole trial",
                hint="the machine may be overloaded; try longer trials",
            )
        self._fastest_pps = max(self._fastest_pps, trial.offered_pps)
        if rate_pps is not None:
            self._paced_pps = max(self._paced_pps, trial.offered_pps)
        return trial

    def _seconds_needed(self, load_pps: float) -> float:
        """How long a trial must be for packets enough, also if it falls short of the load."""
        return self._packets_needed / (load_pps * (1 - self._tolerance))

    def _made(self, number: int, load_pps: float, duration_s: float, trial: Trial) -> SearchTrial:
        made = SearchTrial(
            number=number,
            load_pps=load_pps,
            duration_s=duration_s,
            trial=trial,
            bad_ratio=self._told(trial, load_pps, duration_s).loss_ratio,
            counted=False,
            limited_by=None,
            sound=trial.valid,
        )
        limited_by = made.missed(self._strictest)
        # At full speed nobody knows what load it would have been if nothing had held it up.
        carried = trial.only_hindered and trial.rate_pps is not None and limited_by is None
        made = replace(made, limited_by=limited_by, sound=trial.valid or carried)
        if self._on_trial is not None:
            self._on_trial(made)
        return made

    def _told(self, trial: Trial, load_pps: float, duration_s: float) -> MeasurementResult:
        """A trial as the library takes it, which counts as bad what was lost or not sent."""
        intended = trial.sent
        if self._fell_short(trial, load_pps):
            # By time and not as it counts them: a slow generator may take longer than it should.
            intended = max(trial.sent, round(trial.sent * load_pps / trial.offered_pps))
        return MeasurementResult(
            intended_duration=duration_s,
            intended_load=load_pps,
            offered_count=trial.sent,
            loss_count=trial.lost if trial.sent >= self._evidence else trial.sent,
            intended_count=intended,
        )

    def _fell_short(self, trial: Trial, load_pps: float) -> bool:
        """Whether the generator gave less than it was told, by more than a packet."""
        missing = (load_pps - trial.offered_pps) * trial.elapsed_ns / 1e9
        missing_allowed = max(1.0, self._tolerance * load_pps * trial.elapsed_ns / 1e9)
        return trial.rate_pps is not None and missing > missing_allowed

    def _undisturbed(self, made: SearchTrial) -> bool:
        """Whether a trial is sound, and the generator was not kept from a load that it is able to
        give."""
        able = max(self._paced_pps, self._fastest_pps / _ABLE) >= made.load_pps
        return made.sound and not (able and self._fell_short(made.trial, made.load_pps))
