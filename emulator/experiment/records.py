"""The typed content of a bundle's JSON files: cases, summary, run.

What was measured in a case is in :mod:`emulator.experiment.measured`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from emulator.experiment.measured import (
    HopsRecord,
    IntervalRecord,
    LatencyRecord,
    Record,
    TrialRecord,
)
from emulator.experiment.measured_throughput import (
    BackToBackRecord,
    BenchLimitsRecord,
    CostRecord,
    LoadedLatencyRecord,
    ThroughputRecord,
)
from emulator.experiment.measured_tools import ToolRecord
from emulator.experiment.measured_verdicts import SlaRecord, SoakRecord


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


class TrafficRecord(Record):
    """What is sent in a case.

    Attributes:
        rate_pps: packets per second of the latency trials, on average.
        frames: the size in bytes with FCS, or ``imix``.
        mean_frame_bytes: of a mix; otherwise the size.
        pattern: how packets follow each other, such as ``const`` or ``poisson``.
    """

    rate_pps: float
    frames: str
    mean_frame_bytes: float
    pattern: str


Status = Literal["finished", "failed", "unfinished"]
Outcome = Literal["running", "finished", "stopped", "failed", "interrupted", "results-lost"]


class CaseRecord(Record):
    """One case: what was measured, and why not more where it did not finish.

    ``latency`` holds, of each percentile, the median over the trials that count; its ``min_ns`` and
    ``max_ns`` are the extremes over them. ``error_exit_code`` is what ``error`` alone would have
    ended the command with. ``impaired_links`` says of each impaired link what happens to frames at
    first, and by which mechanism. ``varied`` is what tells the case from the others, of the
    topology's settings and of the traffic. ``latency_intervals`` are of the fields of ``latency``,
    by their names. ``rounds_done`` are the rounds that were measured to their end.
    """

    name: str
    settings: dict[str, str]
    varied: dict[str, str] = Field(default_factory=dict)
    traffic: TrafficRecord | None = None
    status: Status
    rounds_done: tuple[int, ...] = ()
    error: str | None = None
    error_hint: str | None = None
    error_exit_code: int | None = None
    plan: str | None = None
    source: str | None = None
    destination: str | None = None
    vnfs: tuple[VnfRecord, ...] = ()
    impaired_links: dict[str, str] = Field(default_factory=dict)
    containers: tuple[ContainerRecord, ...] = ()
    trials: tuple[TrialRecord, ...] = ()
    latency: LatencyRecord | None = None
    latency_intervals: dict[str, IntervalRecord] = Field(default_factory=dict)
    throughputs: tuple[ThroughputRecord, ...] = ()
    loaded: LoadedLatencyRecord | None = None
    sla: tuple[SlaRecord, ...] = ()
    soak: SoakRecord | None = None
    back_to_back: BackToBackRecord | None = None
    hops: HopsRecord | None = None
    tools: tuple[ToolRecord, ...] = ()
    cost: CostRecord | None = None
    vnf_share: VnfShareRecord | None = None

    @property
    def measured_anything(self) -> bool:
        """Whether there is any number of it."""
        return bool(
            self.trials
            or self.throughputs
            or self.loaded
            or self.sla
            or self.soak
            or self.back_to_back
            or self.tools
            or self.cost
        )

    @property
    def undecided(self) -> bool:
        """Whether a service level sets a limit, and the trial cannot tell whether it is kept."""
        return any(
            each.verdict != "fail"
            and (not each.valid or each.verdict == "unknown")
            and (each.consecutive_misses_allowed is not None or each.quantile is not None)
            for each in self.sla
        )

    @property
    def violated(self) -> bool:
        """Whether it does not keep to a service level, or had an outage in a soak."""
        soaked = self.soak is not None and self.soak.verdict == "fail"
        return soaked or any(each.verdict == "fail" for each in self.sla)

    @property
    def throughput(self) -> ThroughputRecord | None:
        """That of the first goal."""
        return self.throughputs[0] if self.throughputs else None

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
        """Of each round of latency trials the valid one, or the least disturbed one where none is;
        rounds without a valid one are left out as long as there is any other."""
        best: dict[int, TrialRecord] = {}
        for trial in sorted(self.trials, key=lambda each: (not each.valid, each.disturbed_ratio)):
            best.setdefault(trial.round, trial)
        kept = [best[number] for number in sorted(best)]
        return tuple([trial for trial in kept if trial.valid] or kept)

    @property
    def invalid_rounds(self) -> tuple[int, ...]:
        """The rounds of latency trials of which no trial is valid."""
        valid = {trial.round for trial in self.trials if trial.valid}
        return tuple(sorted({trial.round for trial in self.trials} - valid))

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
    """``summary.json``: every number of the report, with what it needs to be read rightly.

    ``round_trip`` says that latencies are of the way there and back, ``not_begun`` which cases were
    still to come when it was written.
    """

    version: Literal[3] = 3
    topology: str
    link: str
    mechanism: str
    measurements: tuple[str, ...]
    duration_s: float
    repeat: int
    round_trip: bool = False
    bench: tuple[BenchLimitsRecord, ...] = ()
    cases: tuple[CaseRecord, ...]
    not_begun: tuple[str, ...] = ()

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
        outcome: ``running``, ``finished``, ``stopped`` (by a rule of the specification),
            ``failed`` (a case failed), ``interrupted`` or ``results-lost`` (they could no longer
            be written).
        revision: git revision when run from a checkout, with ``+changes`` when files differed.
    """

    version: Literal[2] = 2
    command_line: tuple[str, ...]
    spec: dict[str, Any]
    seed: int
    order: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome = "running"
    revision: str | None = None
