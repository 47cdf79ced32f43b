"""The typed records of what was measured, as a bundle's JSON files hold them.

Times are integers in nanoseconds of CLOCK_MONOTONIC where they were measured, and RFC 3339 in UTC
where they say when a run took place. A value that was not measured, or that the sample cannot
support, is null and never a stand-in number.
"""

from __future__ import annotations

from typing import Literal

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
