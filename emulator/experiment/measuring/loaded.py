"""Latency under load: a stream of packets that are measured, beside one that loads the path."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.errors import MeasurementError
from emulator.experiment.measured import LatencyRecord
from emulator.experiment.measured_throughput import LoadedLatencyRecord, LoadPointRecord
from emulator.experiment.measuring.gate import gated, gated_pair
from emulator.experiment.measuring.throughput import goal_record, search
from emulator.measure.histogram import Histogram
from emulator.measure.latency import summarise

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext, Measured
    from emulator.measure.goals import SearchGoal

LOADS = (0.0, 0.1, 0.5, 0.9)
"""Of the rate that the path carries (FD.io CSIT: no load, 10, 50 and 90 % of PDR)."""

PROBE_PPS = 9000.0
"""Of the measured stream, as FD.io CSIT has it."""


def measure_loaded_latency(context: CaseContext) -> None:
    """Measure at each load; the rate that loads are parts of is searched for if it is not known.

    Raises:
        BuildVnfError: it cannot be measured; no rate meets the goal.
    """
    # Of a run that was stopped between two loads, what it found stays.
    begun = context.record.loaded
    points = [] if begun is None else list(begun.points)
    left = [load for load in LOADS if load not in [point.load_ratio for point in points]]
    if not left:
        return
    goal = context.spec.search_goals()[0]
    rate_pps = _full_rate(context, goal) if begun is None else begun.rate_pps
    for load in left:
        points.append(_point(context, load, load * rate_pps))
        context.keep(
            loaded=LoadedLatencyRecord(
                goal=goal_record(goal),
                rate_pps=rate_pps,
                probe_pps=PROBE_PPS,
                points=tuple(points),
            )
        )


def _full_rate(context: CaseContext, goal: SearchGoal) -> float:
    known = context.record.throughput
    rate_pps = None if known is None else known.rate_pps
    if known is None:
        rate_pps = search(context, [goal]).result.goals[0].throughput_pps
    if rate_pps is None:
        raise MeasurementError(
            f"no rate meets the goal {goal.name}, so the path cannot be loaded with parts of it",
            where=context.path.name,
            hint="is there a VNF on the way that drops packets by design? a goal with more loss "
            "may do: --goal csit-pdr",
        )
    return rate_pps


def _point(context: CaseContext, load: float, background_pps: float) -> LoadPointRecord:
    duration_s = context.spec.duration_s
    probe = context.probe_spec(PROBE_PPS, duration_s, record=True)
    given: dict[int, Measured] = {}

    def measure() -> Measured:
        if not load:
            return gated(context.path, probe, exact=True)
        behind = dataclasses.replace(
            context.probe_spec(background_pps, duration_s, record=False), core=None
        )
        measured, background = gated_pair(context.path, probe, behind)
        given[id(measured)] = background
        return measured

    measured = context.best_of(f"measuring latency at a load of {load:.0%}", measure)
    beside = given.get(id(measured))
    result = measured.result
    return LoadPointRecord(
        load_ratio=load,
        background_pps=background_pps,
        background_offered_pps=0.0 if beside is None else beside.result.offered_pps,
        background_loss_ratio=0.0 if beside is None else _loss_ratio(beside),
        latency=LatencyRecord(**asdict(summarise(result))),
        histogram=Histogram.of(result.latency_ns()).encode(),
        samples=context.write_samples(f"loaded-latency {load:.0%}", result),
        sent=result.sent,
        lost=result.lost,
        valid=measured.valid,
        findings=measured.findings,
    )


def _loss_ratio(measured: Measured) -> float:
    result = measured.result
    return result.lost / result.sent if result.sent else 0.0
