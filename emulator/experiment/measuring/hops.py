"""The delay split by links, queues and VNFs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.experiment.measured import HopSegmentRecord, HopsRecord
from emulator.measure.hop_taps import probe_hops
from emulator.measure.latency import percentile_ns

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext


def measure_hops(context: CaseContext) -> None:
    """Two trials, one after the other: without telemetry, which tells what that costs, and with it.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    spec, path = context.spec, context.path
    probe = context.probe_spec(context.traffic.rate_pps, spec.duration_s, record=True)
    context.tell("measuring what telemetry costs")
    without = path.probe(probe)
    context.tell("measuring latency by hops")
    trial = path.watched(
        lambda: probe_hops(path.network, path.source.name, path.destination.name, probe)
    )
    split = trial.split
    context.keep(
        hops=HopsRecord(
            segments=tuple(HopSegmentRecord(**asdict(each)) for each in split.summary()),
            packets=split.packets,
            left_out=split.left_out,
            worst_sum_error_ns=split.worst_sum_error_ns,
            p50_without_ns=percentile_ns(without.latency_ns(), 0.5),
            p50_with_ns=percentile_ns(trial.result.latency_ns(), 0.5),
        )
    )
