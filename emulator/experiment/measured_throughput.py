"""The typed records of searches for throughput, of latency under load, and of what packets cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Literal, Self

from pydantic import Field

from emulator.experiment.measured import (
    FindingRecord,
    IntervalRecord,
    LatencyRecord,
    Record,
    ResourcesRecord,
)


class SearchTrialRecord(Record):
    """One step of a throughput search.

    Attributes:
        load_pps: what was asked for; ``full_speed``: as fast as the generator can, which was taken
            for that load.
        valid: whether the trial was left alone.
        counted: whether it was evidence; disturbed trials that were made again are not.
        limited_by: what kept the load from arriving in full; null: the goals were met.
    """

    load_pps: float
    full_speed: bool = False
    offered_pps: float
    received_pps: float
    sent: int
    received: int
    lost: int
    unsent: int
    overrun: int
    elapsed_ns: int
    cpu_ns: int
    valid: bool = True
    counted: bool = True
    limited_by: Literal["loss", "generator", "receiver"] | None = None


class GoalRecord(Record):
    """What counts as throughput (RFC 9971, "search goal").

    Attributes:
        name: one of the goals with a name, or ``custom``.
        loss_ratio: the highest loss of a trial that still counts as carried.
        exceed_ratio: the share of trials at a load that may lose more.
        final_trial_s, duration_sum_s: the length of a full trial, and of all at a load together.
        width: how near to each other the highest good load and the lowest bad one are to be,
            relative to the latter.
    """

    name: str
    loss_ratio: float
    exceed_ratio: float
    final_trial_s: float
    duration_sum_s: float
    width: float


class SearchRecord(Record):
    """One search for the highest load that meets a goal.

    Attributes:
        round: which of the rounds that were asked for.
        rate_pps: packets per second that arrived (RFC 9971, conditional throughput); null when no
            load that was tried met the goal.
        loss_ratio: at that load.
        lower_pps, upper_pps: the highest load known to be good, the lowest known to be bad.
        probe_limited: the generator or the receiver, and not the path, was at its limit: the path
            does at least this much.
        wire_limited: in a trial, what impairs links lost frames that nobody asked it to lose.
        valid: whether the generator was left alone on its core in every trial.
        converged: whether the search came as near to the limit as it was meant to.
        ended: by what: ``done``, ``time`` (there was none left), ``generator`` (it was kept from
            loads that it has given before) or ``packets`` (the loads in question are too low to
            tell anything about loss).
        elapsed_s: how long all of it took.
        warm_up: its first trial, which counts for nothing.
        trials: the others, in the order they were made.
        findings: what made trials invalid, each rule once.
    """

    round: int
    rate_pps: float | None
    loss_ratio: float | None
    lower_pps: float | None
    upper_pps: float | None
    probe_limited: bool
    wire_limited: bool = False
    valid: bool
    converged: bool
    ended: Literal["done", "time", "generator", "packets"] = "done"
    elapsed_s: float = 0.0
    warm_up: SearchTrialRecord
    trials: tuple[SearchTrialRecord, ...]
    findings: tuple[FindingRecord, ...] = ()


class ThroughputRecord(Record):
    """The highest load that met a goal: the median over rounds of searches.

    Attributes:
        rate_pps: the median of the searches' rates; null when one of them found none.
        rate_bps: the same in bits per second of frames, the four FCS bytes included and preamble
            and inter-frame gap left out.
        loss_ratio: the highest at the rates that were found.
        spread: of the rates, (largest - smallest) / median; null with one round only.
        bench_limited: within 10 % of what the bench does without any VNF, so that the difference to
            the VNF's own limit cannot be seen.
        interval: of the median; null with too few rounds.
    """

    goal: GoalRecord
    rate_pps: float | None
    rate_bps: float | None
    loss_ratio: float | None
    spread: float | None = None
    interval: IntervalRecord | None = None
    bench_limited: bool = False
    searches: tuple[SearchRecord, ...]

    @property
    def probe_limited(self) -> bool:
        """Whether the path does at least this much, and the probe no more."""
        return any(search.probe_limited for search in self.searches)

    @property
    def wire_limited(self) -> bool:
        """Whether what impairs links was at its own limit."""
        return any(search.wire_limited for search in self.searches)

    @property
    def valid(self) -> bool:
        """Whether all searches were left alone."""
        return all(search.valid for search in self.searches)

    @property
    def converged(self) -> bool:
        """Whether all searches came as near as they were meant to."""
        return all(search.converged for search in self.searches)


class LoadPointRecord(Record):
    """Latency under one load: a stream that is measured beside one that loads the path.

    Attributes:
        load_ratio: of the rate that was found first (PDR); 0: without load.
        background_pps: the load that was asked for.
        background_offered_pps: the load that was given.
        background_loss_ratio: of the load.
    """

    load_ratio: float
    background_pps: float
    background_offered_pps: float
    background_loss_ratio: float
    latency: LatencyRecord
    histogram: str | None = None
    samples: str | None = None
    sent: int
    lost: int
    valid: bool
    findings: tuple[FindingRecord, ...] = ()


class LoadedLatencyRecord(Record):
    """Latency at several loads.

    Attributes:
        goal: by which the rate was found that loads are parts of.
        rate_pps: that rate.
        probe_pps: packets per second of the measured stream.
    """

    goal: GoalRecord
    rate_pps: float
    probe_pps: float
    points: tuple[LoadPointRecord, ...]


class BackToBackRecord(Record):
    """The longest burst at full rate that loses nothing (RFC 2544, section 26.4; RFC 9004).

    Attributes:
        frames: the mean over repeats; null when even a single frame was lost.
        frames_min, frames_max: over repeats.
        rate_pps: how fast the bursts were sent; null when none was carried.
        at_limit: whether the longest length to be tried, or the receiver, set the limit.
        valid: whether the bursts were left undisturbed.
        findings: what made bursts invalid, each rule once.
    """

    frames: float | None
    frames_min: int | None
    frames_max: int | None
    repeats: int
    rate_pps: float | None
    at_limit: bool
    valid: bool = True
    findings: tuple[FindingRecord, ...] = ()


class BenchLimitsRecord(Record):
    """What the bench itself can do, on a link without anything in it, before what it measures.

    Attributes:
        ceiling_pps: the highest rate; ``floor_p50_ns`` and ``floor_p99_ns`` the least latency.
        valid: whether the bench was left alone meanwhile.
        measured_at: when; what was measured less than an hour ago on an unchanged machine is used
            again.
    """

    mechanism: str
    frames: str
    ceiling_pps: float | None
    floor_p50_ns: int | None
    floor_p99_ns: int | None
    measured_at: datetime
    valid: bool = True
    reused: bool = False


class CostTrialRecord(Record):
    """CPU time of the whole path per packet in one saturating trial.

    Attributes:
        round: in which it was made.
        cpu_ns_per_packet: ``cpu_ns`` by packets sent, plus ``process_cpu_ns`` by packets received.
        cpu_ns: of the generator's thread and of the kernel's packet threads.
        process_cpu_ns: of the processes of all VNFs.
        vnf_cpu_ns: the same for each VNF that is a process, by the name of its node.
        softirq_accounting: how this kernel accounts for the work of interrupts: ``in-task`` (in the
            time of the threads that were summed), ``separate`` (added from the whole machine's
            counters, which are coarse) or ``unknown``.
        valid: whether the generator was left alone on its core.
        resources: what the nodes took meanwhile.
        findings: what the honesty gate saw.
    """

    round: int
    cpu_ns_per_packet: float
    cpu_ns: int
    process_cpu_ns: int = 0
    vnf_cpu_ns: dict[str, int] = Field(default_factory=dict)
    sent: int
    received: int
    elapsed_ns: int
    softirq_accounting: str
    valid: bool
    resources: ResourcesRecord | None = None
    findings: tuple[FindingRecord, ...] = ()

    @property
    def process_cpu_ns_per_packet(self) -> float:
        """Of the processes of all VNFs, by packets received."""
        return self.process_cpu_ns / self.received


class CostRecord(Record):
    """CPU time of the whole path per packet: the median over rounds, a saturating trial in each.

    Attributes:
        cpu_ns_per_packet: the median over the trials that count.
        interval: of the median; null with too few rounds.
        trials: one of each round: the valid one, or where there is none the least disturbed one.
    """

    cpu_ns_per_packet: float
    interval: IntervalRecord | None = None
    trials: tuple[CostTrialRecord, ...]

    @classmethod
    def over(cls, trials: Sequence[CostTrialRecord]) -> Self:
        """The cost over trials of different rounds."""
        counted = _counted(trials)
        return cls(
            cpu_ns_per_packet=median(each.cpu_ns_per_packet for each in counted),
            trials=tuple(trials),
        )

    @property
    def counted_trials(self) -> tuple[CostTrialRecord, ...]:
        """The valid ones, as long as there is any; otherwise all."""
        return _counted(self.trials)

    @property
    def valid(self) -> bool:
        """Whether it comes from trials that are valid."""
        return all(trial.valid for trial in self.counted_trials)

    @property
    def process_cpu_ns_per_packet(self) -> float:
        """The part of the processes of all VNFs: the median over the trials that count."""
        return median(each.process_cpu_ns_per_packet for each in self.counted_trials)


def _counted(trials: Sequence[CostTrialRecord]) -> tuple[CostTrialRecord, ...]:
    return tuple([each for each in trials if each.valid] or trials)
