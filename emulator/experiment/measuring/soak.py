"""Soak: a constant load for a long time, looked at in intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.experiment.measured_verdicts import SoakIntervalRecord, SoakRecord
from emulator.experiment.measuring.gate import gated
from emulator.measure.latency import percentile_ns
from emulator.measure.soak import SoakInterval, SoakLimits, judge_soak

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext
    from emulator.traffic.probe import ProbeResult

_INTERVAL_S = 1.0
_LEAST_INTERVALS = 10


def measure_soak(context: CaseContext) -> None:
    """Send for the bench's duration at the case's rate, and judge every interval.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    if context.record.soak is not None:
        return
    spec, rate_pps = context.spec, context.traffic.rate_pps
    interval_s = min(_INTERVAL_S, spec.duration_s / _LEAST_INTERVALS)
    context.tell(f"soaking for {spec.duration_s:g} s")
    measured = gated(
        context.path, context.probe_spec(rate_pps, spec.duration_s, record=True), exact=True
    )
    context.write_samples("soak", measured.result)
    limits = SoakLimits()
    found = judge_soak(_intervals(measured.result, interval_s), limits)
    longest = found.longest_outage
    context.keep(
        soak=SoakRecord(
            rate_pps=rate_pps,
            interval_s=interval_s,
            loss_goal=limits.loss_ratio,
            intervals=tuple(
                SoakIntervalRecord(
                    start_s=each.start_s,
                    sent=each.sent,
                    lost=each.lost,
                    unsent=each.unsent,
                    p50_ns=each.p50_ns,
                    p99_ns=each.p99_ns,
                    max_ns=each.max_ns,
                )
                for each in found.intervals
            ),
            bad_intervals=found.bad_intervals,
            longest_outage_s=0.0 if longest is None else longest.span_s,
            drift_ns_per_s=None if found.trend is None else found.trend.slope_per_s,
            verdict=found.verdict,
            reason=found.reason,
            valid=measured.valid,
            findings=measured.findings,
        )
    )


def _intervals(result: ProbeResult, interval_s: float) -> list[SoakInterval]:
    """What became of the packets that were due in each interval."""
    import numpy as np

    intended_ns, received_ns, sent_ns = result.intended_ns, result.received_ns, result.sent_ns
    if intended_ns is None or received_ns is None or sent_ns is None:
        raise UsageError("this trial kept no times of packets", hint="probe with record=True")
    since_ns = intended_ns - np.uint64(result.start_ns)
    edges_ns = np.arange(0, result.elapsed_ns, round(interval_s * 1e9), dtype=np.uint64)
    first = np.searchsorted(since_ns, edges_ns)
    found = []
    for number, (begin, end) in enumerate(zip(first, [*first[1:], len(since_ns)], strict=True)):
        was_sent = sent_ns[begin:end] != 0
        arrived = received_ns[begin:end] != 0
        delays_ns = (received_ns[begin:end] - intended_ns[begin:end])[arrived].astype(np.int64)
        if not len(was_sent):
            continue
        found.append(
            SoakInterval(
                start_s=number * interval_s,
                duration_s=interval_s,
                sent=int(was_sent.sum()),
                lost=int((was_sent & ~arrived).sum()),
                unsent=int((~was_sent).sum()),
                p50_ns=percentile_ns(delays_ns, 0.5),
                p99_ns=percentile_ns(delays_ns, 0.99),
                max_ns=int(delays_ns.max()) if len(delays_ns) else None,
            )
        )
    return found
