"""Latency: a trial at a moderate rate, with the fate of every packet recorded."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.experiment.measured import LatencyRecord, TrialRecord, VariationRecord
from emulator.experiment.measuring.context import ATTEMPTS
from emulator.experiment.measuring.faults import path_findings
from emulator.experiment.measuring.gate import gated, gated_pair
from emulator.measure.histogram import Histogram
from emulator.measure.latency import summarise
from emulator.measure.variation import delay_variation

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext, Measured


def measure_latency(context: CaseContext) -> None:
    """Measure until the generator keeps to its schedule, within reason; and by hops, if asked for.

    Raises:
        BuildVnfError: it cannot be measured.
        ResultsError: what was measured cannot be written.
    """
    spec = context.spec
    made = [trial for trial in context.record.trials if trial.round == context.round]
    if not any(trial.valid for trial in made) and len(made) < ATTEMPTS:
        _measure(context, ATTEMPTS - len(made))
    if spec.telemetry and context.record.hops is None:
        from emulator.experiment.measuring.hops import measure_hops

        measure_hops(context)


def _measure(context: CaseContext, attempts: int) -> None:
    spec = context.spec
    probe = dataclasses.replace(
        context.probe_spec(context.traffic.rate_pps, spec.duration_s, record=True),
        round_trip=spec.round_trip,
    )

    def measure() -> Measured:
        if not spec.background_pps:
            return gated(context.path, probe, exact=True)
        behind = context.probe_spec(spec.background_pps, spec.duration_s, record=False)
        return gated_pair(context.path, probe, dataclasses.replace(behind, core=None))[0]

    context.best_of(
        "measuring latency",
        measure,
        each=lambda measured: _keep(context, measured),
        attempts=attempts,
    )


def _keep(context: CaseContext, measured: Measured) -> None:
    """Write the samples and keep the numbers, these also when the samples find no room."""
    samples = None
    try:
        samples = context.write_samples("latency", measured.result)
    finally:
        trials = context.record.trials
        record = _trial_record(context, measured, len(trials) + 1, samples)
        context.keep(trials=(*trials, record))


def _trial_record(
    context: CaseContext, measured: Measured, number: int, samples: str | None
) -> TrialRecord:
    result, trouble = measured.result, measured.trouble
    assert result.spec.rate_pps is not None
    variation = delay_variation(result.intended_ns, result.received_ns)
    return TrialRecord(
        number=number,
        round=context.round,
        rate_pps=result.spec.rate_pps,
        sent=result.sent,
        unsent=result.unsent,
        received=result.received,
        lost=result.lost,
        duplicated=result.duplicated,
        reordered=result.reordered,
        damaged=result.damaged,
        overrun=result.overrun,
        elapsed_ns=result.elapsed_ns,
        offered_pps=result.offered_pps,
        received_pps=result.received_pps,
        wait_ns=result.wait_ns,
        dma_latency_held=result.dma_latency_held,
        wire_late=trouble.late,
        wire_unasked=trouble.unasked,
        valid=measured.valid,
        latency=LatencyRecord(**asdict(summarise(result))),
        samples=samples,
        histogram=Histogram.of(result.latency_ns()).encode(),
        variation=VariationRecord(**asdict(variation)),
        findings=(*measured.findings, *path_findings(result)),
        resources=measured.resources,
    )
