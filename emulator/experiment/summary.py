"""What follows from the measured numbers: medians over trials, the VNF's share, the bench's limit.

Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from emulator.experiment.cases import Case, baseline_for
from emulator.experiment.records import (
    CaseRecord,
    LatencyRecord,
    ThroughputRecord,
    TrialRecord,
    VnfShareRecord,
)

CEILING_MARGIN = 0.10
"""This near to the rate of the path without a VNF, a rate tells of the bench and not of the VNF."""


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
        max_ns=max(latency.max_ns for latency in measured if latency.max_ns is not None),
    )


def compared(records: Sequence[CaseRecord]) -> tuple[CaseRecord, ...]:
    """The records with what only their comparison can tell: the VNF's share and the bench's limit.

    Both need the case without a VNF whose other settings are the same.
    """
    by_name = {record.name: record for record in records}
    cases = [Case(record.name, record.settings) for record in records]
    found = []
    for case, record in zip(cases, records, strict=True):
        baseline = baseline_for(case, cases)
        if baseline is not None and record.vnfs:
            record = _beside(record, by_name[baseline.name])
        found.append(record)
    return tuple(found)


def _beside(record: CaseRecord, baseline: CaseRecord) -> CaseRecord:
    throughput = record.throughput
    if throughput is not None and baseline.throughput is not None:
        limited = _near_ceiling(throughput, baseline.throughput)
        throughput = throughput.model_copy(update={"bench_limited": limited})
    p50_ns = _difference(
        record.latency.p50_ns if record.latency else None,
        baseline.latency.p50_ns if baseline.latency else None,
    )
    cost_ns = _difference(
        record.cost.cpu_ns_per_packet if record.cost else None,
        baseline.cost.cpu_ns_per_packet if baseline.cost else None,
    )
    share = None
    if p50_ns is not None or cost_ns is not None:
        share = VnfShareRecord(
            baseline=baseline.name,
            p50_ns=None if p50_ns is None else round(p50_ns),
            cpu_ns_per_packet=cost_ns,
        )
    return record.model_copy(update={"throughput": throughput, "vnf_share": share})


def _near_ceiling(throughput: ThroughputRecord, ceiling: ThroughputRecord) -> bool:
    if throughput.rate_pps is None or ceiling.rate_pps is None or not ceiling.valid:
        return False
    return throughput.rate_pps >= (1 - CEILING_MARGIN) * ceiling.rate_pps


def _median(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known)) if len(known) == len(values) else None


def _difference(value: float | None, baseline: float | None) -> float | None:
    return None if value is None or baseline is None else value - baseline
