"""Throughput: the highest load that meets a goal, found by search."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.experiment.measured import FindingRecord
from emulator.experiment.measured_throughput import (
    GoalRecord,
    SearchRecord,
    SearchTrialRecord,
    ThroughputRecord,
)
from emulator.experiment.measuring.context import invalidating
from emulator.experiment.measuring.gate import gated
from emulator.measure.search import repeatability, search_throughput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.experiment.measuring.context import CaseContext, Measured
    from emulator.measure.goals import SearchGoal
    from emulator.measure.search import GoalResult, SearchResult
    from emulator.measure.search_trials import SearchTrial
    from emulator.measure.throughput import Trial


def measure_throughput(context: CaseContext) -> None:
    """Search for all goals of the bench at once.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    known = context.record.throughputs
    if any(search.round == context.round for found in known for search in found.searches):
        return
    goals = context.spec.search_goals()
    found = search(context, goals)
    records = []
    for goal, result in zip(goals, found.result.goals, strict=True):
        before = next((each.searches for each in known if each.goal.name == goal.name), ())
        now = _search_record(context.round, result, found)
        records.append(_throughput_record(context, goal, (*before, now)))
    context.keep(throughputs=tuple(records))


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        wire_limited: whether what impairs links lost frames that nobody asked it to.
        findings: what made trials invalid.
    """

    result: SearchResult
    wire_limited: bool
    findings: tuple[FindingRecord, ...]


def search(context: CaseContext, goals: Sequence[SearchGoal]) -> Searched:
    """Search on the path of a case."""
    made: list[Measured] = []

    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        load = "at full load" if rate_pps is None else f"at {rate_pps / 1e6:.3g} Mpps"
        context.tell(f"searching throughput, {load}")
        made.append(gated(context.path, context.probe_spec(rate_pps, duration_s, record=False)))
        return made[-1].trial

    result = search_throughput(measure, goals)
    wire_limited = any(measured.trouble.unasked for measured in made)
    return Searched(result, wire_limited, invalidating(made))


def goal_record(goal: SearchGoal) -> GoalRecord:
    """A goal as a bundle holds it."""
    return GoalRecord(
        name=goal.name,
        loss_ratio=goal.loss_ratio,
        exceed_ratio=goal.exceed_ratio,
        final_trial_s=goal.final_trial_s,
        duration_sum_s=goal.duration_sum_s,
        width=goal.width,
    )


def _throughput_record(
    context: CaseContext, goal: SearchGoal, searches: tuple[SearchRecord, ...]
) -> ThroughputRecord:
    rates = [each.rate_pps for each in searches if each.rate_pps is not None]
    losses = [each.loss_ratio for each in searches if each.loss_ratio is not None]
    rate_pps = statistics.median(rates) if rates and len(rates) == len(searches) else None
    bits = context.traffic.frame_mix().mean_bytes * 8
    return ThroughputRecord(
        goal=goal_record(goal),
        rate_pps=rate_pps,
        rate_bps=None if rate_pps is None else rate_pps * bits,
        loss_ratio=max(losses, default=None),
        spread=repeatability(rates) if rate_pps is not None and len(rates) > 1 else None,
        searches=searches,
    )


def _search_record(round_number: int, result: GoalResult, searched: Searched) -> SearchRecord:
    found = searched.result
    return SearchRecord(
        round=round_number,
        rate_pps=result.throughput_pps,
        loss_ratio=result.loss_ratio,
        lower_pps=result.lower_pps,
        upper_pps=result.upper_pps,
        probe_limited=result.throughput_pps is not None and result.at_least,
        wire_limited=searched.wire_limited,
        valid=result.valid,
        findings=() if result.valid else searched.findings,
        converged=result.converged,
        ended=found.ended,
        elapsed_s=found.elapsed_s,
        warm_up=_trial_record(found.warm_up),
        trials=tuple(_trial_record(trial) for trial in found.trials),
    )


def _trial_record(made: SearchTrial) -> SearchTrialRecord:
    trial = made.trial
    return SearchTrialRecord(
        load_pps=made.load_pps,
        full_speed=trial.rate_pps is None,
        offered_pps=trial.offered_pps,
        received_pps=trial.received_pps,
        sent=trial.sent,
        received=trial.received,
        lost=trial.lost,
        unsent=trial.unsent,
        overrun=trial.overrun,
        elapsed_ns=trial.elapsed_ns,
        cpu_ns=trial.cpu_ns,
        valid=trial.valid,
        counted=made.counted,
        limited_by=made.limited_by,
    )
