"""The typed records of verdicts on service levels and on long trials."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emulator.experiment.measured import FindingRecord, LatencyRecord, Record


class SlaRecord(Record):
    """A verdict on a service level.

    Attributes:
        profile: its name; ``deadline_ns``, ``cycle_ns`` and the rest are its content.
        round_trip: whether deadlines are about the way there and back.
        secondary: whether the profile's source is not the standard itself.
        caveats: what to keep in mind beside the verdict.
        verdict: ``unknown`` where the sample cannot tell.
        reason: why, in one line.
        cycles: packets that were sent; ``unsent`` ones are none.
        availability: share of the cycles in which the service was up.
        within_deadline: share of the cycles that were no misses.
        misses: packets that were lost or late; ``lost`` of these.
        run_lengths: how often so many misses came in a row.
        first_violation: the number of the packet with which the profile was violated first.
        first_violation_ns: since the first packet.
    """

    profile: str
    source: str
    cycle_ns: int | None
    deadline_ns: int
    consecutive_misses_allowed: int | None
    quantile: float | None = None
    payload_bytes: int
    round_trip: bool
    secondary: bool = False
    caveats: tuple[str, ...] = ()
    verdict: Literal["pass", "fail", "unknown"]
    reason: str
    cycles: int
    unsent: int = 0
    misses: int
    lost: int
    availability: float
    within_deadline: float
    longest_run: int
    run_lengths: dict[int, int] = Field(default_factory=dict)
    first_violation: int | None = None
    first_violation_ns: int | None = None
    latency: LatencyRecord
    samples: str | None = None
    valid: bool
    findings: tuple[FindingRecord, ...] = ()


class SoakIntervalRecord(Record):
    """A part of a long trial."""

    start_s: float
    sent: int
    lost: int
    unsent: int
    p50_ns: int | None
    p99_ns: int | None
    max_ns: int | None


class SoakRecord(Record):
    """A constant load for a long time.

    Attributes:
        loss_goal: the loss above which an interval counts as bad.
        bad_intervals: how many are; ``longest_outage_s`` of those that follow each other.
        drift_ns_per_s: of the medians over time (Theil and Sen); null with too few intervals.
        verdict: ``pass`` when no interval is bad and latency does not rise; ``unknown`` when too
            many intervals were disturbed.
        reason: why, in one line.
    """

    rate_pps: float
    interval_s: float
    loss_goal: float
    intervals: tuple[SoakIntervalRecord, ...]
    bad_intervals: int
    longest_outage_s: float
    drift_ns_per_s: float | None
    verdict: Literal["pass", "fail", "unknown"]
    reason: str = ""
    valid: bool
    findings: tuple[FindingRecord, ...] = ()
