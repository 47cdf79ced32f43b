"""The delay split by links, queues and VNFs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.experiment.measured import HopSegmentRecord, HopsRecord
from emulator.experiment.measuring.gate import gated, judged
from emulator.measure.hop_taps import probe_hops
from emulator.measure.latency import percentile_ns
from emulator.measure.meter import MeterTargets, ResourceMeter

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext, Measured
    from emulator.measure.hop_split import HopSplit


def measure_hops(context: CaseContext) -> None:
    """Two trials, one after the other: without telemetry, which tells what that costs, and with it.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    spec, path = context.spec, context.path
    probe = context.probe_spec(context.traffic.rate_pps, spec.duration_s, record=True)
    without = context.best_of(
        "measuring what telemetry costs", lambda: gated(path, probe, exact=True)
    )
    splits: dict[int, HopSplit] = {}

    def by_hops() -> Measured:
        with ResourceMeter(targets=MeterTargets.of_network(path.network)) as meter:
            trial = path.watched(
                lambda: probe_hops(path.network, path.source.name, path.destination.name, probe)
            )
        measured = judged(path, trial.result, meter.reading(), exact=True)
        splits[id(measured)] = trial.split
        return measured

    with_taps = context.best_of("measuring latency by hops", by_hops)
    split = splits[id(with_taps)]
    context.keep(
        hops=HopsRecord(
            segments=tuple(HopSegmentRecord(**asdict(each)) for each in split.summary()),
            packets=split.packets,
            left_out=split.left_out,
            worst_sum_error_ns=split.worst_sum_error_ns,
            p50_without_ns=percentile_ns(without.result.latency_ns(), 0.5),
            p50_with_ns=percentile_ns(with_taps.result.latency_ns(), 0.5),
            valid=without.valid and with_taps.valid,
            findings=(*without.findings, *with_taps.findings),
        )
    )
