"""The bench: every case of an experiment on networks of its own, measured, kept and summed up.

Importing this module costs little; what a run needs is imported when it runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import BuildVnfError, ResultsError, UsageError
from emulator.experiment.cases import Unit, expand_cases, random_order
from emulator.experiment.spec import BenchSpec

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle, BundleWriter
    from emulator.experiment.certificates import CertificatesRecord
    from emulator.experiment.measured import BenchLimitsRecord
    from emulator.experiment.prepare import PreparedCase
    from emulator.experiment.records import CaseRecord, Outcome, RunRecord, SummaryRecord
    from emulator.measure.resources_csv import Row

_BESIDE_SAMPLES_BYTES = 4 << 20


@dataclass(frozen=True)
class BenchEvent:
    """How far a run has come.

    Attributes:
        case: the case being measured.
        step: what is being done, in a few words.
        completed: steps done, of all cases together.
        total: steps to do at most, of all cases together.
        record: the whole case once a round of it ended, finished or failed; otherwise None.
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
    def violated(self) -> list[CaseRecord]:
        """The cases that were measured and do not keep to a service level, or had an outage."""
        return [case for case in self.summary.cases if case.violated]

    @property
    def exit_code(self) -> int:
        """0 when every case was measured and keeps to its service levels, else 1; when nothing at
        all was measured, what the errors say, and 1 when the links are not as they should be."""
        if self.refused:
            return 1
        cases = self.summary.cases
        if all(case.status == "finished" for case in cases):
            return 1 if self.violated else 0
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
    no longer be written, the bundle keeps what was measured, :func:`partial_result` gives it, and
    :func:`resume_bench` goes on with it.

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
    from emulator.experiment.records import RunRecord
    from emulator.experiment.samples import estimated_bytes
    from emulator.kernel.netns import ensure_root
    from emulator.paths import share_dir
    from emulator.revision import source_revision

    seed = secrets.randbelow(2**32) if spec.seed is None else spec.seed
    spec = dataclasses.replace(spec, seed=seed)
    order, prepared = _prepared(spec)
    ensure_root("measuring")
    about = RunRecord(
        command_line=tuple(sys.argv),
        spec=spec.record(),
        seed=seed,
        order=tuple(dict.fromkeys(unit.case.name for unit in order)),
        started_at=datetime.now(UTC),
        revision=source_revision(share_dir()),
    )
    packets = sum(unit.case.traffic.rate_pps for unit in order) * spec.duration_s
    bundle = BundleWriter.create(
        spec.output,
        prepared[order[0].case.name].plan.name,
        started_at=about.started_at,
        needed_bytes=estimated_bytes(packets) + _BESIDE_SAMPLES_BYTES,
    )
    return _Run(spec, order, prepared, about, bundle, on_event).measure()


def resume_bench(
    folder: Path | str, on_event: Callable[[BenchEvent], None] | None = None
) -> BenchResult:
    """Go on with a run that was stopped, in its bundle; what it has measured is not measured again.

    Raises:
        ResultsError: there is no such bundle, or it is of another version.
        UsageError: it has come to its end, or a topology is not what it was.
    """
    from emulator.experiment.bundle import BundleWriter, load_bundle
    from emulator.kernel.netns import ensure_root

    bundle = load_bundle(folder)
    spec = BenchSpec.from_record(bundle.run.spec)
    order, prepared = _prepared(spec)
    done = {(case.name, number) for case in bundle.summary.cases for number in case.rounds_done}
    left = [unit for unit in order if (unit.case.name, unit.round) not in done]
    if not left:
        raise UsageError(
            "there is nothing left to measure",
            where=str(folder),
            hint="vnf replay measures all of it again, in a bundle of its own",
        )
    _check_unchanged(bundle, prepared)
    ensure_root("measuring")
    writer = BundleWriter.reopen(bundle.folder)
    about = bundle.run.model_copy(update={"ended_at": None, "outcome": "running"})
    run = _Run(spec, left, prepared, about, writer, on_event)
    run.take_up(bundle)
    return run.measure()


def _prepared(spec: BenchSpec) -> tuple[list[Unit], dict[str, PreparedCase]]:
    from emulator.experiment.prepare import prepare

    assert spec.seed is not None
    cases = expand_cases(spec.settings, spec.vary, spec.traffics())
    prepared = prepare(
        spec.target,
        cases,
        source=spec.source,
        destination=spec.destination,
        schedule=spec.schedule,
    )
    return random_order(cases, spec.repeat, spec.seed), prepared


def _check_unchanged(bundle: Bundle, prepared: Mapping[str, PreparedCase]) -> None:
    for case in bundle.summary.cases:
        if case.plan is not None and bundle.plan(case.name) != prepared[case.name].plan:
            raise UsageError(
                "the topology is not what it was when the run began",
                where=case.name,
                hint="measure it anew with vnf bench, or bring back the old file",
            )


class _Run:
    """One run under way: what has been measured so far, in memory and in the bundle."""

    def __init__(
        self,
        spec: BenchSpec,
        order: Sequence[Unit],
        prepared: Mapping[str, PreparedCase],
        about: RunRecord,
        bundle: BundleWriter,
        on_event: Callable[[BenchEvent], None] | None,
    ) -> None:
        from emulator.experiment.measuring.case import steps_of

        self._spec = spec
        self._order = order
        self._prepared = prepared
        self._about = about
        self._bundle = bundle
        self._on_event = on_event
        self._records: dict[str, CaseRecord] = {}
        self._limits: tuple[BenchLimitsRecord, ...] = ()
        self._steps_per_unit = steps_of(spec)
        self._resources = ""
        self._units_done = 0
        self._began_s = time.monotonic()
        self._step = 0
        self._certificates: CertificatesRecord | None = None
        self._refused = False

    def take_up(self, bundle: Bundle) -> None:
        """Go on from what a bundle holds."""
        self._records = {case.name: case for case in bundle.summary.cases}
        self._limits = bundle.summary.bench
        self._certificates = bundle.certificates()
        self._resources = bundle.resources()

    def measure(self) -> BenchResult:
        from emulator.experiment.bundle import MACHINE, RUN
        from emulator.experiment.machine import describe_machine

        try:
            docker = any(
                node.container for ready in self._prepared.values() for node in ready.plan.nodes
            )
            self._bundle.write_record(MACHINE, describe_machine(docker=docker))
            self._bundle.write_record(RUN, self._about)
            self._write_summary()
            self._certify()
            if not self._refused:
                self._measure_limits()
                for unit in self._order:
                    if self._is_to_stop():
                        break
                    self._measure_unit(unit)
            self._finish("failed" if self._result().failed else "finished")
        except BaseException as stop:
            self._stopped(stop)
            raise
        return self._result()

    def _certify(self) -> None:
        """Measure the impaired links, before there is any traffic on them."""
        from emulator.experiment.bundle import CERTIFICATES
        from emulator.experiment.certificates import certify_cases

        if self._spec.certify == "no" or self._certificates is not None:
            return
        ready = [self._prepared[name] for name in self._about.order]
        self._certificates = certify_cases(ready, lambda case, step: self._report(case, step, None))
        if self._certificates is not None:
            self._bundle.write_record(CERTIFICATES, self._certificates)
            failed = self._certificates.verdict != "pass"
            self._refused = failed and self._spec.certify == "require"

    def _measure_limits(self) -> None:
        """Measure the bench itself, once for each kind of frames."""
        from emulator.experiment.measuring.limits import bench_limits

        if self._limits:
            return
        self._limits = tuple(
            bench_limits(self._spec, frames, lambda step: self._report("the bench", step, None))
            for frames in dict.fromkeys(self._spec.frames)
        )
        self._write_summary()

    def _is_to_stop(self) -> bool:
        """Whether a rule of the specification says that it is enough."""
        spec = self._spec
        if spec.stop_after_s is not None and time.monotonic() - self._began_s > spec.stop_after_s:
            return True
        return spec.stop_on_violation and bool(self._result().violated)

    def _measure_unit(self, unit: Unit) -> None:
        from emulator.experiment.measuring.case import measure_case
        from emulator.experiment.records import CaseRecord, TrafficRecord

        ready, name = self._prepared[unit.case.name], unit.case.name
        known = self._records.get(name)
        if known is None:
            self._records[name] = CaseRecord(
                name=name,
                settings=dict(unit.case.settings),
                varied=dict(unit.case.varied),
                traffic=TrafficRecord(
                    **dataclasses.asdict(unit.case.traffic),
                    mean_frame_bytes=unit.case.traffic.frame_mix().mean_bytes,
                ),
                status="unfinished",
                source=ready.source,
                destination=ready.destination,
            )
        elif known.status == "failed" and unit.round not in known.rounds_done:
            # What has failed once would only take its time to fail again.
            self._units_done += 1
            return
        try:
            measure_case(ready, unit.round, self._spec, self._bundle, self)
        except ResultsError:
            raise
        except BuildVnfError as error:
            text = f"{error.where}: {error.message}" if error.where else error.message
            self.keep(
                name,
                status="failed",
                error=text,
                error_hint=error.hint or None,
                error_exit_code=error.exit_code,
            )
        else:
            rounds_done = (*self._records[name].rounds_done, unit.round)
            finished = len(rounds_done) == self._spec.repeat
            status = "finished" if finished else "unfinished"
            self.keep(name, rounds_done=rounds_done, status=status)
        self._units_done += 1
        self._step = 0
        self._report(name, self._records[name].status, self._records[name])

    def tell(self, case: str, step: str) -> None:
        """Report the step that begins now."""
        self._report(case, step, None)
        # Trials that had to be repeated take steps that nobody counted on.
        self._step = min(self._step + 1, self._steps_per_unit)

    def detail(self, case: str, step: str) -> None:
        """Report how far the step has come that goes on."""
        self._report(case, step, None)

    def record(self, case: str) -> CaseRecord:
        """What is known of a case by now."""
        return self._records[case]

    def add_resources(self, readings: Iterable[list[Row]]) -> None:
        """Write what trials took of the machine, a list of rows for each of them."""
        from emulator.experiment.bundle import RESOURCES
        from emulator.measure.resources_csv import csv_text

        rows = [row for reading in readings for row in reading]
        if rows:
            self._resources += csv_text(rows, header=not self._resources)
            text = self._resources.encode()
            self._bundle.write_file(RESOURCES, lambda file: file.write(text))

    def keep(self, case: str, **measured: Any) -> None:
        """Add to a case what was just measured, in memory first and then in the bundle."""
        from emulator.experiment.summary import latency_over

        record = self._records[case].model_copy(update=measured)
        latency = latency_over(record.counted_trials)
        self._records[case] = record.model_copy(update={"latency": latency})
        self._write_summary()

    def _report(self, case: str, step: str, record: CaseRecord | None) -> None:
        if self._on_event is not None:
            completed = self._units_done * self._steps_per_unit + self._step
            total = len(self._order) * self._steps_per_unit
            self._on_event(BenchEvent(case, step, completed, total, record))

    def _stopped(self, stop: BaseException) -> None:
        """Keep what was measured before the run was stopped; nothing here may hide why it was."""
        self._bundle.release_reserve()
        if not any(record.measured_anything for record in self._records.values()):
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
        self._add_intervals()
        self._write_summary()
        about = self._about.model_copy(update={"ended_at": datetime.now(UTC), "outcome": outcome})
        self._bundle.write_record(RUN, about)
        self._draw()

    def _add_intervals(self) -> None:
        """How far the numbers can be trusted takes all rounds to say."""
        from emulator.experiment.samples import latency_ns, read_samples
        from emulator.experiment.summary import with_intervals

        assert self._spec.seed is not None
        for name, record in self._records.items():
            counted, single_ns = record.counted_trials, None
            if len(counted) == 1 and counted[0].samples is not None:
                single_ns = latency_ns(read_samples(self._bundle.folder / counted[0].samples))
            self._records[name] = with_intervals(record, single_ns, seed=self._spec.seed)

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
        links = [link for ready in self._prepared.values() for link in ready.plan.links]
        kinds = sorted({link.kind for link in links}, reverse=True)
        impaired = sorted({link.mechanism for link in links} - {"none"}, reverse=True)
        return [*kinds, *(f"impaired ones by {mechanism}" for mechanism in impaired)]

    def _result(self) -> BenchResult:
        from emulator.experiment.records import SummaryRecord
        from emulator.experiment.summary import compared

        spec = self._spec
        known = [self._records[name] for name in self._prepared if name in self._records]
        summary = SummaryRecord(
            topology=next(iter(self._prepared.values())).plan.name,
            link=" and ".join(self._link_kinds()),
            mechanism=spec.mechanism,
            measurements=tuple(spec.measurements),
            duration_s=spec.duration_s,
            repeat=spec.repeat,
            bench=self._limits,
            cases=compared(known, self._limits),
        )
        return BenchResult(self._bundle.folder, summary, self._certificates, self._refused)
