"""What follows from the measured numbers: medians over trials, the VNF's share, the bench's limit.

Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.experiment.cases import Case, Traffic, baseline_for
from emulator.experiment.measured import IntervalRecord, LatencyRecord, TrialRecord
from emulator.experiment.measured_throughput import BenchLimitsRecord, ThroughputRecord
from emulator.experiment.records import CaseRecord, VnfShareRecord
from emulator.measure.intervals import median_interval, percentile_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.measure.histogram import Histogram

CEILING_MARGIN = 0.10
"""This near to the rate of the path without a VNF, a rate tells of the bench and not of the VNF."""

_QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "p999_ns": 0.999, "p9999_ns": 0.9999}


def latency_over(trials: Sequence[TrialRecord]) -> LatencyRecord | None:
    """The latency of several trials: medians over them, and their extremes.

    A percentile that one of them has too few packets for stays out. None when nothing arrived.
    """
    measured = [trial.latency for trial in trials if trial.latency.count]
    if not measured:
        return None
    return LatencyRecord(
        count=sum(latency.count for latency in measured),
        min_ns=min(latency.min_ns for latency in measured if latency.min_ns is not None),
        mean_ns=statistics.median(
            latency.mean_ns for latency in measured if latency.mean_ns is not None
        ),
        p50_ns=_median([latency.p50_ns for latency in measured]),
        p90_ns=_median([latency.p90_ns for latency in measured]),
        p99_ns=_median([latency.p99_ns for latency in measured]),
        p999_ns=_median([latency.p999_ns for latency in measured]),
        p9999_ns=_median([latency.p9999_ns for latency in measured]),
        p99999_ns=_median([latency.p99999_ns for latency in measured]),
        max_ns=max(latency.max_ns for latency in measured if latency.max_ns is not None),
    )


def compared(
    records: Sequence[CaseRecord], limits: Sequence[BenchLimitsRecord] = ()
) -> tuple[CaseRecord, ...]:
    """The records with what only their comparison can tell: the VNF's share and the bench's limit.

    The share needs the case without a VNF whose other settings are the same. The bench's limit is
    what that case carried, or where there is none what a link alone did.
    """
    by_name = {record.name: record for record in records}
    cases = [case_of(record) for record in records]
    ceilings = {each.frames: each.ceiling_pps for each in limits if each.valid}
    found = []
    for case, record in zip(cases, records, strict=True):
        baseline = baseline_for(case, cases)
        ceiling_pps = ceilings.get(case.traffic.frames)
        if baseline is not None and record.vnfs:
            beside = by_name[baseline.name]
            record = record.model_copy(update={"vnf_share": _share(record, beside)})
            if beside.throughput is not None and beside.throughput.valid:
                ceiling_pps = beside.throughput.rate_pps
        if record.vnfs:
            throughputs = tuple(_beside_ceiling(each, ceiling_pps) for each in record.throughputs)
            record = record.model_copy(update={"throughputs": throughputs})
        found.append(record)
    return tuple(found)


def case_of(record: CaseRecord) -> Case:
    """The case that a record is of."""
    traffic = record.traffic
    sent = (
        Traffic() if traffic is None else Traffic(traffic.rate_pps, traffic.frames, traffic.pattern)
    )
    return Case(record.name, record.settings, sent, record.varied)


def with_intervals(
    record: CaseRecord, rounds: Sequence[NDArray[np.int64] | Histogram], *, seed: int
) -> CaseRecord:
    """The record with the confidence intervals of its numbers: from what differs between rounds,
    and with a single round from what differs within it.

    Args:
        record: of a case whose rounds are all measured.
        rounds: the delays of each round that counts, in the order the packets were sent, or their
            histogram; of a single round only the delays themselves give intervals.
        seed: of the resampling.
    """
    intervals = {
        field: IntervalRecord(**asdict(interval))
        for field, quantile in _QUANTILES.items()
        if (interval := percentile_interval(rounds, quantile, seed=seed)) is not None
    }
    throughputs = []
    for found in record.throughputs:
        rates = [search.rate_pps for search in found.searches if search.rate_pps is not None]
        interval = None if found.rate_pps is None else median_interval(rates, seed=seed)
        known = None if interval is None else IntervalRecord(**asdict(interval))
        throughputs.append(found.model_copy(update={"interval": known}))
    update: dict[str, object] = {"latency_intervals": intervals, "throughputs": tuple(throughputs)}
    if record.cost is not None:
        costs = [trial.cpu_ns_per_packet for trial in record.cost.counted_trials]
        interval = median_interval(costs, seed=seed)
        known = None if interval is None else IntervalRecord(**asdict(interval))
        update["cost"] = record.cost.model_copy(update={"interval": known})
    return record.model_copy(update=update)


def _share(record: CaseRecord, baseline: CaseRecord) -> VnfShareRecord | None:
    p50_ns = _difference(
        record.latency.p50_ns if record.latency else None,
        baseline.latency.p50_ns if baseline.latency else None,
    )
    cost_ns = _difference(
        record.cost.cpu_ns_per_packet if record.cost else None,
        baseline.cost.cpu_ns_per_packet if baseline.cost else None,
    )
    if p50_ns is None and cost_ns is None:
        return None
    return VnfShareRecord(
        baseline=baseline.name,
        p50_ns=None if p50_ns is None else round(p50_ns),
        cpu_ns_per_packet=cost_ns,
    )


def _beside_ceiling(found: ThroughputRecord, ceiling_pps: float | None) -> ThroughputRecord:
    if found.rate_pps is None or ceiling_pps is None:
        return found
    limited = found.rate_pps >= (1 - CEILING_MARGIN) * ceiling_pps
    return found.model_copy(update={"bench_limited": limited})


def _median(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known)) if len(known) == len(values) else None


def _difference(value: float | None, baseline: float | None) -> float | None:
    return None if value is None or baseline is None else value - baseline
