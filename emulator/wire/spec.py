"""What one direction of a link does, as ``vnf-wire`` is told; the structures of ``impair.h``."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emulator.plan.model import ImpairmentPlan
from emulator.plan.traces import Trace, read_trace

_IMPAIRMENT = struct.Struct("@3Q4I8dQ2I3Q3I2d2Q")
_POINT = struct.Struct("@3Qd")
_DISTRIBUTIONS = {"uniform": 1, "normal": 2, "pareto": 3, "paretonormal": 4, "table": 5}
_TRACES = {"opportunities": 1, "settings": 2}
_AQMS = {"fifo": 0, "red": 1, "codel": 2}
_CONSTANT = 0
_LOSSLESS, _BERNOULLI, _GEMODEL = 0, 1, 2
AS_IT_IS = (1 << 64) - 1


@dataclass(frozen=True)
class TraceSpec:
    """A trace: ``kind`` 1 are opportunities to deliver, 2 settings over time."""

    kind: int
    period_ns: int
    opportunity_bytes: int
    count: int
    points: bytes


@dataclass(frozen=True)
class Spec:
    """One direction: struct impairment, and the lists that go with it."""

    impairment: bytes
    drops: tuple[int, ...] = ()
    table: tuple[float, ...] = ()
    trace: TraceSpec | None = None


def spec_of(plan: ImpairmentPlan) -> Spec:
    """What the plan of a direction asks for.

    Raises:
        UsageError: its trace cannot be read.
    """
    distribution = _DISTRIBUTIONS[plan.distribution] if plan.jitter_ns else _CONSTANT
    if plan.gemodel is not None:
        loss_model, gemodel = _GEMODEL, plan.gemodel
    else:
        loss_model, gemodel = _BERNOULLI if plan.loss else _LOSSLESS, (0.0, 0.0, 0.0, 0.0)
    impairment = _IMPAIRMENT.pack(
        plan.seed,
        plan.delay_ns,
        plan.jitter_ns,
        distribution,
        plan.keep_order,
        loss_model,
        _AQMS[plan.aqm],
        plan.loss,
        *gemodel,
        plan.duplicate,
        plan.reorder,
        plan.corrupt,
        plan.rate_bps or 0,
        plan.overhead_bytes,
        plan.burst_bytes,
        plan.queue_packets or 0,
        plan.queue_bytes or 0,
        plan.queue_ns or 0,
        plan.ecn,
        plan.red_min_bytes,
        plan.red_max_bytes,
        plan.red_probability,
        plan.red_weight,
        plan.codel_target_ns,
        plan.codel_interval_ns,
    )
    trace = None if plan.trace is None else trace_spec(read_trace(plan.trace))
    table = plan.table if plan.distribution == "table" else ()
    return Spec(impairment, plan.drop, table, trace)


def trace_spec(trace: Trace) -> TraceSpec:
    """A trace as ``vnf-wire`` is told."""
    points = b"".join(
        _POINT.pack(
            point.at_ns,
            AS_IT_IS if point.rate_bps is None else point.rate_bps,
            AS_IT_IS if point.delay_ns is None else point.delay_ns,
            -1.0 if point.loss is None else point.loss,
        )
        for point in trace.points
    )
    return TraceSpec(
        _TRACES[trace.kind], trace.period_ns, trace.opportunity_bytes, len(trace.points), points
    )
