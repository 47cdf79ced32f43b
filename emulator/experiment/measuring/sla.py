"""Service levels: a trial with a profile's cycle and sizes, and the verdict on it."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.experiment.measured import LatencyRecord
from emulator.experiment.measured_verdicts import SlaRecord
from emulator.experiment.measuring.gate import gated
from emulator.measure.latency import summarise
from emulator.measure.sla import SlaVerdict, judge_result
from emulator.traffic.probe import ETHERNET_BYTES, FCS_BYTES, MIN_FRAME_BYTES

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext, Measured
    from emulator.measure.sla import SlaProfile

_IPV4_UDP_BYTES = 28


def frame_bytes_of(payload_bytes: int) -> int:
    """The size of the frame that carries a payload over UDP and IPv4, with its FCS."""
    return max(MIN_FRAME_BYTES, payload_bytes + _IPV4_UDP_BYTES + ETHERNET_BYTES + FCS_BYTES)


def measure_sla(context: CaseContext) -> None:
    """Judge by every profile, with each size of payload that it names.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    for profile in context.spec.sla_profiles():
        for payload_bytes in profile.payload_bytes or (_payload_bytes(context),):
            known = context.record.sla
            if not any(
                each.profile == profile.name and each.payload_bytes == payload_bytes
                for each in known
            ):
                context.keep(sla=(*known, _judged(context, profile, payload_bytes)))


def _judged(context: CaseContext, profile: SlaProfile, payload_bytes: int) -> SlaRecord:
    traffic = dataclasses.replace(
        context.traffic, frames=str(frame_bytes_of(payload_bytes)), pattern="const"
    )
    rate_pps = context.traffic.rate_pps if profile.cycle_ns is None else 1e9 / profile.cycle_ns
    spec = context.spec
    try:
        probe = spec.probe(traffic, rate_pps, spec.duration_s, record=True)
    except UsageError as error:
        raise UsageError(
            f"the profile {profile.name} has payloads of {payload_bytes} bytes: {error.message}",
            where=context.path.name,
            hint=error.hint,
        ) from error
    probe = dataclasses.replace(probe, round_trip=profile.round_trip)
    step = f"judging by {profile.name}, {payload_bytes} bytes"
    measured = context.best_of(step, lambda: gated(context.path, probe, exact=True))
    samples = context.write_samples(f"sla {profile.name} {payload_bytes} B", measured.result)
    verdict = judge_result(profile, measured.result)
    return _record(verdict, measured, payload_bytes, samples)


def _record(verdict: SlaVerdict, measured: Measured, payload_bytes: int, samples: str) -> SlaRecord:
    profile = verdict.profile
    return SlaRecord(
        profile=profile.name,
        source=profile.source,
        cycle_ns=profile.cycle_ns,
        deadline_ns=profile.deadline_ns,
        consecutive_misses_allowed=profile.consecutive_misses_allowed,
        quantile=profile.quantile,
        payload_bytes=payload_bytes,
        round_trip=profile.round_trip,
        secondary=profile.secondary,
        caveats=profile.caveats,
        verdict=verdict.verdict,
        reason=verdict.reason,
        cycles=verdict.cycles,
        unsent=verdict.unsent,
        misses=verdict.misses,
        lost=verdict.lost,
        availability=verdict.availability,
        within_deadline=verdict.within_deadline,
        longest_run=verdict.longest_run,
        run_lengths=verdict.run_lengths,
        first_violation=verdict.first_violation,
        first_violation_ns=verdict.first_violation_ns,
        latency=LatencyRecord(**asdict(summarise(measured.result))),
        samples=samples,
        valid=measured.valid,
        findings=measured.findings,
    )


def _payload_bytes(context: CaseContext) -> int:
    """Of the case's own frames, where a profile names no size."""
    mean_bytes = round(context.traffic.frame_mix().mean_bytes)
    return mean_bytes - _IPV4_UDP_BYTES - ETHERNET_BYTES - FCS_BYTES
