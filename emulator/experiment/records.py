"""The typed content of a bundle's JSON files.

Times are integers in nanoseconds of CLOCK_MONOTONIC where they were measured, and RFC 3339 in UTC
where they say when a run took place. A value that was not measured, or that the sample cannot
support, is null and never a stand-in number.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

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
    max_ns: int | None


class TrialRecord(Record):
    """One latency trial: the fate of every packet, counted, and where each one is recorded.

    Attributes:
        unsent: packets the generator did not manage to send in time; not a loss of the path.
        overrun: of those lost, packets that arrived where the receiver was too slow to take them.
        wait_ns: how long the generator was kept from running by something else on its core.
        round: which of the rounds that were asked for; an invalid trial is repeated in its round,
            and of each round the least disturbed trial counts.
        wire_late: frames that what impairs links released more than 100 µs after they were due.
        wire_unasked: frames that it lost although nobody asked for that.
        valid: whether generator, receiver and what impairs links were left to their work.
        dma_latency_held: whether the CPUs were kept out of deep idle states meanwhile.
        samples: the Parquet file of the trial, relative to the bundle; null when it could not be
            written any more.
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

    @property
    def disturbed_ratio(self) -> float:
        """The share of packets or of time that generator, receiver or wires lost to the machine's
        other work, whichever is the largest."""
        unsent_ratio = self.unsent / max(1, self.sent + self.unsent)
        overrun_ratio = self.overrun / max(1, self.sent)
        wire_ratio = (self.wire_late + self.wire_unasked) / max(1, self.sent)
        return max(unsent_ratio, overrun_ratio, wire_ratio, self.wait_ns / self.elapsed_ns)


class SearchTrialRecord(Record):
    """One step of a throughput search; a null ``rate_pps`` means as fast as the generator can."""

    rate_pps: float | None
    offered_pps: float
    received_pps: float
    sent: int
    received: int
    lost: int
    unsent: int
    overrun: int
    elapsed_ns: int
    cpu_ns: int


class ThroughputRecord(Record):
    """The highest load that met the loss goal.

    Attributes:
        rate_pps: packets per second that arrived; null when no load that was tried met the goal.
        rate_bps: the same in bits per second of frames, the four FCS bytes included and preamble
            and inter-frame gap left out.
        probe_limited: the generator or the receiver, and not the path, was at its limit: the path
            does at least this much.
        bench_limited: within 10 % of what the same path does without any VNF, so that the
            difference to the VNF's own limit cannot be seen.
        wire_limited: in a trial, what impairs links lost frames that nobody asked it to lose.
        valid: whether the generator was left alone on its core in every trial.
        converged: whether the search came as near to the limit as it was meant to.
        warm_up: its first trial, which counts for nothing.
        trials: the others, in the order they were made.
    """

    rate_pps: float | None
    rate_bps: float | None
    loss_ratio: float | None
    loss_goal: float
    probe_limited: bool
    bench_limited: bool = False
    wire_limited: bool = False
    valid: bool
    converged: bool
    warm_up: SearchTrialRecord
    trials: tuple[SearchTrialRecord, ...]


class CostRecord(Record):
    """CPU time of the whole path per packet, over one saturating trial.

    Attributes:
        cpu_ns_per_packet: ``cpu_ns`` by packets sent, plus ``process_cpu_ns`` by packets received.
        cpu_ns: of the generator's thread and of the kernel's packet threads.
        process_cpu_ns: of the processes of all VNFs.
        vnf_cpu_ns: the same for each VNF that is a process, by the name of its node.
        softirq_accounting: how this kernel accounts for the work of interrupts: ``in-task`` (in the
            time of the threads that were summed), ``separate`` (added from the whole machine's
            counters, which are coarse) or ``unknown``.
        valid: whether the generator was left alone on its core.
    """

    cpu_ns_per_packet: float | None
    cpu_ns: int
    process_cpu_ns: int = 0
    vnf_cpu_ns: dict[str, int] = {}
    sent: int | None = None
    received: int
    elapsed_ns: int
    softirq_accounting: str
    valid: bool


class VnfShareRecord(Record):
    """What the VNF adds: this case minus the same path without any VNF, measured in the same run.

    ``p50_ns`` is a difference of two medians. A difference smaller than the noise of the machine
    may come out negative; it is kept as it is.
    """

    baseline: str
    p50_ns: int | None
    cpu_ns_per_packet: float | None


class ContainerRecord(Record):
    """A container that enclosed a node: a VNF, an end of the path, or any other.

    Attributes:
        node: the node's name.
        image: the name of its image.
        image_id: what the Docker engine calls the image; it changes with every build.
        image_digest: of the program, the compiler and all else that an image of a VNF was made
            from; null for other images.
        capabilities: all that it had.
        cpus: how many CPUs' worth of time it might take; null for all there is, as below.
        cpuset: the CPUs it might run on; none given: any.
        memory_bytes: the most memory that it might use.
        memory_swap_bytes: memory and swap together; -1 for no limit.
        pids: the most processes that it might have.
        cpu_ns: CPU time of its processes, from its start to the last measurement; null before.
        throttled_ns: how long of this it was kept off the CPUs to keep to its limit.
        memory_peak_bytes: the most memory that it used until then, file cache included.
    """

    node: str
    image: str
    image_id: str
    image_digest: str | None
    capabilities: tuple[str, ...] = ()
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset: tuple[int, ...] = ()
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    pids: int | None = None
    cpu_ns: int | None = None
    throttled_ns: int | None = None
    memory_peak_bytes: int | None = None


class VnfRecord(Record):
    """A VNF that stood in the path.

    Attributes:
        runtime: what enclosed it; of a container there is more in the case's ``containers``.
        mode: what the kernel reported, such as ``native``.
        idle: where it is a process, what that does while no packet comes; otherwise null.
        cores: the CPUs that the process may run on; none given: any.
        driver: how it gets at its ports, where its data plane has a choice.
        idle_cpu_ratio: CPU time of its process while no packet came, as a share of one core; null
            when there is no process, or it was not measured.
    """

    node: str
    vnf: str
    dataplane: str
    mode: str
    parameters: dict[str, Any]
    runtime: Literal["namespace", "docker"] = "namespace"
    idle: str | None = None
    cores: tuple[int, ...] = ()
    driver: str | None = None
    idle_cpu_ratio: float | None = None


Status = Literal["finished", "failed", "unfinished"]
Outcome = Literal["running", "finished", "failed", "interrupted", "results-lost"]


class CaseRecord(Record):
    """One case: what was measured, and why not more where it did not finish.

    ``latency`` holds, of each percentile, the median over the trials that count; its ``min_ns`` and
    ``max_ns`` are the extremes over them. ``error_exit_code`` is what ``error`` alone would have
    ended the command with. ``impaired_links`` says of each impaired link what happens to frames at
    first, and by which mechanism.
    """

    name: str
    settings: dict[str, str]
    status: Status
    error: str | None = None
    error_hint: str | None = None
    error_exit_code: int | None = None
    plan: str | None = None
    source: str | None = None
    destination: str | None = None
    vnfs: tuple[VnfRecord, ...] = ()
    impaired_links: dict[str, str] = {}
    containers: tuple[ContainerRecord, ...] = ()
    trials: tuple[TrialRecord, ...] = ()
    latency: LatencyRecord | None = None
    throughput: ThroughputRecord | None = None
    cost: CostRecord | None = None
    vnf_share: VnfShareRecord | None = None

    @property
    def has_processes(self) -> bool:
        """Whether any of its VNFs is a process."""
        return any(vnf.idle is not None for vnf in self.vnfs)

    @property
    def idle_cpu_ratio(self) -> float | None:
        """CPU time of its VNFs while no packet came, in cores; null without VNFs or unmeasured.

        A VNF inside the kernel does nothing then.
        """
        ratios = [0.0 if vnf.idle is None else vnf.idle_cpu_ratio for vnf in self.vnfs]
        known = [ratio for ratio in ratios if ratio is not None]
        return sum(known) if ratios and len(known) == len(ratios) else None

    @property
    def valid(self) -> bool:
        """Whether the latency comes from trials that are valid."""
        return all(trial.valid for trial in self.counted_trials)

    @property
    def counted_trials(self) -> tuple[TrialRecord, ...]:
        """Of each round of latency trials the least disturbed one."""
        best: dict[int, TrialRecord] = {}
        for trial in sorted(self.trials, key=lambda trial: trial.disturbed_ratio):
            best.setdefault(trial.round, trial)
        return tuple(best[number] for number in sorted(best))

    @property
    def sent(self) -> int:
        """Packets sent in the latency trials that count."""
        return sum(trial.sent for trial in self.counted_trials)

    @property
    def lost(self) -> int:
        """Packets lost in the latency trials that count."""
        return sum(trial.lost for trial in self.counted_trials)

    @property
    def unsent(self) -> int:
        """Packets the generator did not manage to send in the latency trials that count."""
        return sum(trial.unsent for trial in self.counted_trials)


class SummaryRecord(Record):
    """``summary.json``: every number of the report, with what it needs to be read rightly."""

    version: Literal[1] = 1
    topology: str
    link: str
    mechanism: str
    rate_pps: float
    duration_s: float
    frame_size_bytes: int
    repeat: int
    loss_goal: float
    cases: tuple[CaseRecord, ...]

    def case(self, name: str) -> CaseRecord:
        """The case of that name.

        Raises:
            KeyError: there is none.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise KeyError(name)


class RunRecord(Record):
    """``run.json``: what was asked for, when and by which code.

    Attributes:
        spec: the specification of the bench, each field by its name.
        order: the names of the cases in the order in which they were measured, drawn by ``seed``.
        ended_at: null while the run goes on, and for ever when it was killed.
        outcome: ``running``, ``finished``, ``failed`` (a case failed), ``interrupted`` or
            ``results-lost`` (they could no longer be written).
        revision: git revision when run from a checkout, with ``+changes`` when files differed.
    """

    version: Literal[1] = 1
    command_line: tuple[str, ...]
    spec: dict[str, Any]
    seed: int
    order: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome = "running"
    revision: str | None = None
