"""The typed records of what was measured, as a bundle's JSON files hold them.

Times are integers in nanoseconds of CLOCK_MONOTONIC where they were measured, and RFC 3339 in UTC
where they say when a run took place. A value that was not measured, or that the sample cannot
support, is null and never a stand-in number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Immutable, and strict about unknown keys, so that no other version is half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LatencyRecord(Record):
    """One-way latency: received minus intended send time, over the packets that arrived.

    A percentile is null when the sample is too small to bound it at 95 % confidence.
    """

    count: int
    min_ns: int | None
    mean_ns: float | None
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    p9999_ns: int | None = None
    p99999_ns: int | None = None
    max_ns: int | None


class IntervalRecord(Record):
    """Where a number would lie if the measurement were made again, with so much confidence."""

    low: float
    high: float
    confidence: float
    method: str


class VariationRecord(Record):
    """How much the delay varies (RFC 8219, section 7; RFC 3393).

    Attributes:
        pdv_ns: the 99.9th percentile less the smallest; null where the sample cannot support it.
        ipdv_min_ns, ipdv_median_ns, ipdv_max_ns: of the differences between consecutive packets.
    """

    pdv_ns: int | None
    ipdv_min_ns: int | None
    ipdv_median_ns: float | None
    ipdv_max_ns: int | None


class FindingRecord(Record):
    """Something the honesty gate saw in a trial.

    Attributes:
        rule: its short name, such as ``unsent`` or ``steal``.
        severity: ``invalid``: the trial does not count; ``warn``: it does, but see for yourself.
        text: what was seen, with its number and what is allowed.
    """

    rule: str
    severity: Literal["invalid", "warn", "note"]
    text: str


class NodeResourcesRecord(Record):
    """What a node's processes took of the machine in a trial; null: not measured or not to be had.

    Attributes:
        cpu_ns: CPU time.
        cpu_ratio: the same in cores.
        cpu_ns_per_packet: by packets received.
        memory_bytes: resident at the end.
        voluntary_switches, involuntary_switches: of context.
        wait_ns: runnable but not running.
        cycles, instructions, cache_misses: by performance counters; misses of the last level.
        xdp_run_time_ns, xdp_runs: of its XDP programs, from a separate pass that is slower.
    """

    cpu_ns: int | None = None
    cpu_ratio: float | None = None
    cpu_ns_per_packet: float | None = None
    memory_bytes: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    wait_ns: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    cache_misses: int | None = None
    xdp_run_time_ns: int | None = None
    xdp_runs: int | None = None


class ResourcesRecord(Record):
    """What a trial took of the machine.

    Attributes:
        elapsed_ns: how long was measured.
        nodes: by name, those with processes or XDP programs of their own.
        steal_ns: CPU time that the hypervisor gave to others, of all CPUs together.
        softirq_ns: time in softirqs as far as the machine counts it apart.
        softnet_dropped: packets the kernel dropped because a CPU's backlog was full.
        softnet_squeezed: how often packets were left for the next round.
        energy_j: of all packages.
        frequency_min_hz, frequency_max_hz: of the CPUs, at the end.
        unavailable: what cannot be had on this machine, and why.
    """

    elapsed_ns: int
    nodes: dict[str, NodeResourcesRecord] = {}
    steal_ns: int | None = None
    softirq_ns: int | None = None
    softnet_dropped: int | None = None
    softnet_squeezed: int | None = None
    energy_j: float | None = None
    frequency_min_hz: float | None = None
    frequency_max_hz: float | None = None
    unavailable: dict[str, str] = {}


class HopSegmentRecord(Record):
    """A part of the way, and the time that packets spent in it.

    Attributes:
        name: for people, such as ``client → fw (link)``.
        kind: ``link``, ``queue`` (waiting for the VNF), ``vnf`` or ``end`` (inside a host).
        share: of the mean end-to-end delay.
    """

    name: str
    kind: Literal["link", "queue", "vnf", "end"]
    mean_ns: float
    p50_ns: int | None
    p99_ns: int | None
    share: float


class HopsRecord(Record):
    """The one-way delay, split; the segments of a packet add up to its delay.

    Attributes:
        packets: of how many the split is.
        left_out: packets that a stamp is missing of.
        worst_sum_error_ns: the largest difference between a packet's delay and its segments' sum.
        p50_without_ns: the median delay measured just before, without telemetry.
        p50_with_ns: with it: the difference is what telemetry costs.
        valid: whether both trials were left alone; ``findings``: what the honesty gate saw.
    """

    segments: tuple[HopSegmentRecord, ...]
    packets: int
    left_out: int
    worst_sum_error_ns: int
    p50_without_ns: int | None
    p50_with_ns: int | None
    valid: bool = True
    findings: tuple[FindingRecord, ...] = ()


class TrialRecord(Record):
    """One latency trial: the fate of every packet, counted, and where each one is recorded.

    Attributes:
        unsent: packets the generator did not manage to send in time; not a loss of the path.
        overrun: of those lost, packets that arrived where the receiver was too slow to take them.
        wait_ns: how long the generator was kept from running by something else on its core.
        round: which of the rounds that were asked for; an invalid trial is repeated in its round,
            and of each round the valid one counts, or the least disturbed where none is.
        wire_late: frames that what impairs links released more than 100 µs after they were due.
        wire_unasked: frames that it lost although nobody asked for that.
        valid: whether generator, receiver and what impairs links were left to their work.
        dma_latency_held: whether the CPUs were kept out of deep idle states meanwhile.
        samples: the Parquet file of the trial, relative to the bundle; null when it could not be
            written any more.
        histogram: the delays as an HdrHistogram, compressed and in base64, in ns.
        findings: what the honesty gate saw.
    """

    number: int
    round: int
    rate_pps: float
    sent: int
    unsent: int
    received: int
    lost: int
    duplicated: int
    reordered: int
    damaged: int
    overrun: int
    elapsed_ns: int
    offered_pps: float
    received_pps: float
    wait_ns: int
    dma_latency_held: bool
    wire_late: int = 0
    wire_unasked: int = 0
    valid: bool
    latency: LatencyRecord
    samples: str | None
    histogram: str | None = None
    variation: VariationRecord | None = None
    findings: tuple[FindingRecord, ...] = ()
    resources: ResourcesRecord | None = None

    @property
    def disturbed_ratio(self) -> float:
        """The share of packets or of time that generator, receiver or wires lost to the machine's
        other work, whichever is the largest."""
        unsent_ratio = self.unsent / max(1, self.sent + self.unsent)
        overrun_ratio = self.overrun / max(1, self.sent)
        wire_ratio = (self.wire_late + self.wire_unasked) / max(1, self.sent)
        return max(unsent_ratio, overrun_ratio, wire_ratio, self.wait_ns / self.elapsed_ns)


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
    run_lengths: dict[int, int] = {}
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


class ToolLatencyRecord(Record):
    """Delays as another tool tells them; null: it does not, or has too few of them."""

    count: int | None
    min_ns: float | None
    mean_ns: float | None
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    p999_ns: float | None
    max_ns: float | None


class ToolRecord(Record):
    """What another tool measured on the same path; the numbers are the tool's.

    Attributes:
        asked: the tool and its options as they were written.
        sent, received, lost: packets, as it counts them.
        bytes_of: whether bits are those of ``payload`` or of a ``frame``.
        facts: what else it says.
        notes: what a reader has to know beside the numbers.
        files: all that it said, relative to the bundle.
    """

    asked: str
    tool: str
    version: str
    command: tuple[str, ...]
    protocol: str
    duration_s: float
    sent: int | None
    received: int | None
    lost: int | None
    throughput_pps: float | None
    throughput_bps: float | None
    bytes_of: Literal["payload", "frame"]
    round_trip: bool
    latency: ToolLatencyRecord | None
    facts: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


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
    vnf_cpu_ns: dict[str, int] = {}
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
