"""The bench: every case of an experiment on a network of its own, measured, kept and summed up.

Importing this module costs little; what a run needs is imported when it runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import BuildVnfError, ResultsError, UsageError
from emulator.experiment.cases import Case, check_vary, expand_cases, random_order

if TYPE_CHECKING:
    from emulator.experiment.bundle import BundleWriter
    from emulator.experiment.certificates import CertificatesRecord
    from emulator.experiment.prepare import PreparedCase
    from emulator.experiment.records import CaseRecord, Outcome, RunRecord, SummaryRecord

MAX_SEARCH_TRIALS = 12
_FIXED_STEPS = 5
"""Of every case, beside its latency trials and its search: start, readiness, warm-up, idle CPU,
cost."""
_BESIDE_SAMPLES_BYTES = 4 << 20
_OPTIONS = {"frame_size_bytes": "--size", "core": "--core"}
"""What the probe calls a value -> the option it came from."""


@dataclass(frozen=True)
class BenchSpec:
    """What to measure.

    Attributes:
        target: a topology: ``FILE[:NAME]``, or a built-in one such as ``linear,4``.
        settings: what the topology's ``build`` is given in every case.
        vary: values to combine; every combination is a case.
        source: the node that sends; the first host when None.
        destination: the node that receives; the last host when None.
        rate_pps: packets per second of the latency trials.
        duration_s: length of a latency trial.
        frame_size_bytes: length of a frame with its FCS, as RFC 2544 counts.
        mechanism: how packets are made and stamped: ``kernel`` or ``app``.
        core: the CPU that the generator is pinned to; left to the kernel when None.
        repeat: number of latency trials of a case.
        loss_goal: the highest loss ratio of a rate that counts as carried.
        search_duration_s: length of a trial of the throughput search, and of the trial that
            measures cost.
        seed: decides the order of the cases; drawn, and recorded, when None.
        output: the folder that the bundle is made in.
        certify: whether impaired links are measured against their specifications first, and what
            follows when they are not as they should be: with ``require`` nothing is measured, with
            ``warn`` everything is.

    Raises:
        UsageError: a value is out of range, or values contradict each other.
    """

    target: str
    settings: Mapping[str, str] = field(default_factory=dict)
    vary: Mapping[str, Sequence[str]] = field(default_factory=dict)
    source: str | None = None
    destination: str | None = None
    rate_pps: float = 10_000
    duration_s: float = 2.0
    frame_size_bytes: int = 64
    mechanism: Literal["kernel", "app"] = "kernel"
    core: int | None = None
    repeat: int = 1
    loss_goal: float = 0.001
    search_duration_s: float = 0.5
    seed: int | None = None
    output: Path = Path("results")
    certify: Literal["require", "warn", "no"] = "require"

    def __post_init__(self) -> None:
        check_vary(self.vary, self.settings)
        # The probe knows what it can do; asking it here reports a mistake before anything starts.
        self.probe(self.rate_pps, self.duration_s, record=True)
        self.probe(None, self.search_duration_s, record=False)
        if self.repeat < 1:
            raise UsageError(f"{self.repeat} trials cannot be measured", where="--repeat")
        if not 0 <= self.loss_goal < 1:
            raise UsageError(
                f"{self.loss_goal} is no loss ratio",
                where="--loss-goal",
                hint="give a number from 0 up to, and not including, 1; 0.001 is 0.1 %",
            )
        if self.source is not None and self.source == self.destination:
            raise UsageError(
                "source and destination are the same node",
                where=f"--from {self.source} --to {self.destination}",
                hint="choose two different hosts",
            )

    def probe(self, rate_pps: float | None, duration_s: float, *, record: bool) -> Any:
        """The specification of one trial of this bench.

        Raises:
            UsageError: the probe cannot do that.
        """
        from emulator.traffic.probe import ProbeSpec

        try:
            return ProbeSpec(
                rate_pps=rate_pps,
                duration_s=duration_s,
                frame_size_bytes=self.frame_size_bytes,
                mechanism=self.mechanism,
                core=self.core,
                record=record,
            )
        except UsageError as error:
            where = _OPTIONS.get(error.where, error.where)
            raise UsageError(error.message, where=where, hint=error.hint) from error


@dataclass(frozen=True)
class BenchEvent:
    """How far a run has come.

    Attributes:
        case: the case being measured.
        step: what is being done, in a few words.
        completed: steps done, of all cases together.
        total: steps to do at most, of all cases together.
        record: the whole case once it ended, finished or failed; otherwise None.
    """

    case: str
    step: str
    completed: int
    total: int
    record: CaseRecord | None = None


@dataclass(frozen=True)
class BenchResult:
    """What a run left: its summary, and the folder with everything that it rests on.

    Attributes:
        certificates: of its impaired links; None where none is, or they were not measured.
        refused: whether nothing was measured because they are not certified.
    """

    folder: Path
    summary: SummaryRecord
    certificates: CertificatesRecord | None = None
    refused: bool = False

    @property
    def failed(self) -> list[CaseRecord]:
        """The cases that failed."""
        return [case for case in self.summary.cases if case.status == "failed"]

    @property
    def exit_code(self) -> int:
        """0 when every case was measured, else 1; when nothing at all was, what the errors say, and
        1 when the links are not as they should be."""
        if self.refused:
            return 1
        cases = self.summary.cases
        if all(case.status == "finished" for case in cases):
            return 0
        codes = {case.error_exit_code for case in cases}
        return codes.pop() or 1 if len(codes) == 1 else 1


def partial_result(error: BaseException) -> BenchResult | None:
    """What a run had measured when it ended with ``error``; None when that was nothing."""
    result = error.__dict__.get("bench_result")
    return result if isinstance(result, BenchResult) else None


def run_bench(spec: BenchSpec, on_event: Callable[[BenchEvent], None] | None = None) -> BenchResult:
    """Measure every case and leave a bundle.

    Every topology is loaded and checked before anything is created. A case that fails is recorded
    with its reason and the others go on. When the run is stopped, by Ctrl-C or because results can
    no longer be written, the bundle keeps what was measured and :func:`partial_result` gives it.

    Args:
        spec: what to measure.
        on_event: told of every step.

    Raises:
        UsageError: the target, a setting or a node does not exist, or a topology has mistakes.
        MachineError: root is missing.
        ResultsError: the results cannot be written.
        KeyboardInterrupt: as it came.
    """
    from emulator.experiment.bundle import BundleWriter
    from emulator.experiment.prepare import prepare
    from emulator.experiment.records import RunRecord
    from emulator.experiment.samples import estimated_bytes
    from emulator.kernel.netns import ensure_root
    from emulator.paths import share_dir
    from emulator.revision import source_revision

    cases = expand_cases(spec.settings, spec.vary)
    prepared = prepare(spec.target, cases, source=spec.source, destination=spec.destination)
    ensure_root("measuring")
    seed = secrets.randbelow(2**32) if spec.seed is None else spec.seed
    order = [prepared[case.name] for case in random_order(cases, seed)]
    about = RunRecord(
        command_line=tuple(sys.argv),
        spec={**dataclasses.asdict(spec), "output": str(spec.output)},
        seed=seed,
        order=tuple(ready.case.name for ready in order),
        started_at=datetime.now(UTC),
        revision=source_revision(share_dir()),
    )
    packets = spec.rate_pps * spec.duration_s * spec.repeat * len(cases)
    topology = order[0].plan.name
    bundle = BundleWriter.create(
        spec.output,
        topology,
        started_at=about.started_at,
        needed_bytes=estimated_bytes(packets) + _BESIDE_SAMPLES_BYTES,
    )
    return _Run(spec, topology, cases, order, about, bundle, on_event).measure()


class _Run:
    """One run under way: what has been measured so far, in memory and in the bundle."""

    def __init__(
        self,
        spec: BenchSpec,
        topology: str,
        cases: Sequence[Case],
        order: Sequence[PreparedCase],
        about: RunRecord,
        bundle: BundleWriter,
        on_event: Callable[[BenchEvent], None] | None,
    ) -> None:
        self._spec = spec
        self._topology = topology
        self._cases = cases
        self._order = order
        self._about = about
        self._bundle = bundle
        self._on_event = on_event
        self._records: dict[str, CaseRecord] = {}
        self._steps_per_case = _FIXED_STEPS + spec.repeat + MAX_SEARCH_TRIALS
        self._step = 0
        self._certificates: CertificatesRecord | None = None
        self._refused = False

    def measure(self) -> BenchResult:
        from emulator.experiment.bundle import MACHINE, RUN
        from emulator.experiment.machine import describe_machine

        try:
            docker = any(node.container for ready in self._order for node in ready.plan.nodes)
            self._bundle.write_record(MACHINE, describe_machine(docker=docker))
            self._bundle.write_record(RUN, self._about)
            self._write_summary()
            self._certify()
            if not self._refused:
                for ready in self._order:
                    self._measure_case(ready)
            self._finish("finished" if self._result().exit_code == 0 else "failed")
        except BaseException as stop:
            self._stopped(stop)
            raise
        return self._result()

    def _certify(self) -> None:
        """Measure the impaired links, before there is any traffic on them."""
        from emulator.experiment.bundle import CERTIFICATES
        from emulator.experiment.certificates import certify_cases

        if self._spec.certify == "no":
            return
        self._certificates = certify_cases(
            self._order, lambda case, step: self._report(case, step, None)
        )
        if self._certificates is not None:
            self._bundle.write_record(CERTIFICATES, self._certificates)
            failed = self._certificates.verdict != "pass"
            self._refused = failed and self._spec.certify == "require"

    def _measure_case(self, ready: PreparedCase) -> None:
        from emulator.experiment.records import CaseRecord
        from emulator.experiment.trials import CaseMeasurement

        name = ready.case.name
        self._records[name] = CaseRecord(
            name=name,
            settings=dict(ready.case.settings),
            status="unfinished",
            source=ready.source,
            destination=ready.destination,
        )
        try:
            CaseMeasurement(ready, self._spec, self._bundle, self).run()
        except ResultsError:
            raise
        except BuildVnfError as error:
            where = _OPTIONS.get(error.where, error.where)
            text = f"{where}: {error.message}" if where else error.message
            self.keep(
                name,
                status="failed",
                error=text,
                error_hint=error.hint or None,
                error_exit_code=error.exit_code,
            )
        else:
            self.keep(name, status="finished")
        self._step = 0
        self._report(name, self._records[name].status, self._records[name])

    def tell(self, case: str, step: str) -> None:
        """Report the step that begins now."""
        self._report(case, step, None)
        # Trials that had to be repeated take steps that nobody counted on.
        self._step = min(self._step + 1, self._steps_per_case)

    def detail(self, case: str, step: str) -> None:
        """Report how far the step has come that goes on."""
        self._report(case, step, None)

    def _report(self, case: str, step: str, record: CaseRecord | None) -> None:
        if self._on_event is not None:
            ended = sum(record.status != "unfinished" for record in self._records.values())
            completed = ended * self._steps_per_case + self._step
            total = len(self._order) * self._steps_per_case
            self._on_event(BenchEvent(case, step, completed, total, record))

    def keep(self, case: str, **measured: Any) -> None:
        """Add to a case what was just measured, in memory first and then in the bundle."""
        from emulator.experiment.summary import latency_over

        record = self._records[case].model_copy(update=measured)
        latency = latency_over(record.counted_trials)
        self._records[case] = record.model_copy(update={"latency": latency})
        self._write_summary()

    def _stopped(self, stop: BaseException) -> None:
        """Keep what was measured before the run was stopped; nothing here may hide why it was."""
        self._bundle.release_reserve()
        if not any(record.trials for record in self._records.values()):
            self._bundle.discard()
            return
        stop.__dict__["bench_result"] = self._result()
        outcome: Outcome = "failed"
        if isinstance(stop, ResultsError):
            outcome = "results-lost"
        elif isinstance(stop, KeyboardInterrupt):
            outcome = "interrupted"
        with contextlib.suppress(ResultsError):
            self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        from emulator.experiment.bundle import RUN

        self._bundle.release_reserve()
        self._write_summary()
        about = self._about.model_copy(update={"ended_at": datetime.now(UTC), "outcome": outcome})
        self._bundle.write_record(RUN, about)
        self._draw()

    def _draw(self) -> None:
        from emulator.experiment.bundle import PICTURE, load_bundle
        from emulator.experiment.plot import draw_bundle

        if any(record.trials for record in self._records.values()):
            bundle = load_bundle(self._bundle.folder)
            self._bundle.write_file(PICTURE, lambda file: draw_bundle(file, bundle))

    def _write_summary(self) -> None:
        from emulator.experiment.bundle import SUMMARY

        self._bundle.write_record(SUMMARY, self._result().summary)

    def _link_kinds(self) -> list[str]:
        """What links are made of, in all cases together, and what impairs some of them."""
        links = [link for ready in self._order for link in ready.plan.links]
        kinds = sorted({link.kind for link in links}, reverse=True)
        impaired = sorted({link.mechanism for link in links} - {"none"}, reverse=True)
        return [*kinds, *(f"impaired ones by {mechanism}" for mechanism in impaired)]

    def _result(self) -> BenchResult:
        from emulator.experiment.records import SummaryRecord
        from emulator.experiment.summary import compared

        spec = self._spec
        known = [self._records[case.name] for case in self._cases if case.name in self._records]
        summary = SummaryRecord(
            topology=self._topology,
            link=" and ".join(self._link_kinds()),
            mechanism=spec.mechanism,
            rate_pps=spec.rate_pps,
            duration_s=spec.duration_s,
            frame_size_bytes=spec.frame_size_bytes,
            repeat=spec.repeat,
            loss_goal=spec.loss_goal,
            cases=compared(known),
        )
        return BenchResult(self._bundle.folder, summary, self._certificates, self._refused)
