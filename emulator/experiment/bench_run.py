"""A run of the bench under way: what has been measured so far, in memory and in the bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from emulator.errors import BuildVnfError, ResultsError
from emulator.experiment.bench import BenchEvent, BenchResult
from emulator.experiment.bundle import (
    CERTIFICATES,
    MACHINE,
    PICTURE,
    RESOURCES,
    RUN,
    SUMMARY,
    Bundle,
    BundleWriter,
    load_bundle,
)
from emulator.experiment.certificates import CertificatesRecord, certify_cases
from emulator.experiment.machine import describe_machine
from emulator.experiment.measuring.case import measure_case
from emulator.experiment.measuring.effort import LIMITS, Progress, efforts, limits_effort
from emulator.experiment.measuring.limits import bench_limits
from emulator.experiment.plot import draw_bundle
from emulator.experiment.records import CaseRecord, SummaryRecord, TrafficRecord
from emulator.experiment.samples import latency_ns, read_samples
from emulator.experiment.summary import compared, latency_over, with_intervals
from emulator.measure.histogram import Histogram
from emulator.measure.resources_csv import csv_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.experiment.cases import Unit
    from emulator.experiment.measured import TrialRecord
    from emulator.experiment.measured_throughput import BenchLimitsRecord
    from emulator.experiment.prepare import PreparedCase
    from emulator.experiment.records import Outcome, RunRecord
    from emulator.experiment.spec import BenchSpec
    from emulator.measure.resources_csv import Row


def _begun_again(case: CaseRecord) -> CaseRecord:
    """A case of which rounds are left; what made it fail may be gone."""
    if case.status != "failed":
        return case
    begun = {"status": "unfinished", "error": None, "error_hint": None, "error_exit_code": None}
    return case.model_copy(update=begun)


class Run:
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
        self._spec = spec
        self._order = order
        self._prepared = prepared
        self._about = about
        self._bundle = bundle
        self._on_event = on_event
        self._records: dict[str, CaseRecord] = {}
        self._limits: tuple[BenchLimitsRecord, ...] = ()
        rounds = [efforts(spec, unit.round) for unit in order]
        self._progress = Progress([limits_effort(spec), *rounds])
        self._resources = ""
        self._began_s = time.monotonic()
        self._certificates: CertificatesRecord | None = None
        self._refused = False
        self._stopped_by: str | None = None
        self._noted: set[str] = set()

    def take_up(self, bundle: Bundle) -> None:
        """Go on from what a bundle holds."""
        self._records = {case.name: _begun_again(case) for case in bundle.summary.cases}
        self._limits = bundle.summary.bench
        self._certificates = bundle.certificates()
        self._resources = bundle.resources()

    def measure(self) -> BenchResult:
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
                    self._stopped_by = self._rule_to_stop()
                    if self._stopped_by is not None:
                        break
                    self._measure_unit(unit)
            self._finish(self._outcome())
        except BaseException as stop:
            self._stopped(stop)
            raise
        finally:
            self._bundle.close()
        return self._result()

    def _certify(self) -> None:
        """Measure the impaired links, before there is any traffic on them."""
        known = self._certificates
        if self._spec.certify == "no" or (known is not None and known.verdict == "pass"):
            return
        ready = [self._prepared[name] for name in self._about.order]
        self._certificates = certify_cases(ready, lambda case, step: self._report(case, step, None))
        if self._certificates is not None:
            self._bundle.write_record(CERTIFICATES, self._certificates)
            failed = self._certificates.verdict != "pass"
            self._refused = failed and self._spec.certify == "require"

    def _measure_limits(self) -> None:
        """Measure the bench itself, once for each kind of frames."""
        self.begin(LIMITS)
        if not self._limits:
            self._limits = tuple(
                bench_limits(self._spec, frames, lambda step: self.tell("the bench", step))
                for frames in dict.fromkeys(each.frames for each in self._spec.traffics())
            )
            self._write_summary()
        self._progress.end_round()

    def _rule_to_stop(self) -> str | None:
        """The rule of the specification which says that it is enough."""
        spec = self._spec
        if spec.stop_after_s is not None and time.monotonic() - self._began_s > spec.stop_after_s:
            return f"no round begins after {spec.stop_after_s:g} s"
        if spec.stop_on_violation and (violated := self._result().violated):
            return f"a service level is violated by {violated[0].name}"
        return None

    def _outcome(self) -> Outcome:
        if self._refused or self._result().failed:
            return "failed"
        return "finished" if self._stopped_by is None else "stopped"

    def _measure_unit(self, unit: Unit) -> None:
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
            self._progress.end_round()
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
        self._progress.end_round()
        self._report(name, self._records[name].status, self._records[name])

    def begin(self, part: str) -> None:
        """A part of the round begins."""
        self._progress.begin(part)

    def tell(self, case: str, step: str) -> None:
        """Report the step that begins now."""
        self._progress.step()
        self._report(case, step, None)

    def detail(self, case: str, step: str) -> None:
        """Report how far the step has come that goes on."""
        self._report(case, step, None)

    def note(self, case: str, text: str) -> None:
        """Report what a lab had to say when it started, unless one before had to as well."""
        if text not in self._noted and self._on_event is not None:
            done_s, total_s = self._progress.done_s, self._progress.total_s
            self._on_event(BenchEvent(case, "starting the network", done_s, total_s, note=text))
        self._noted.add(text)

    def record(self, case: str) -> CaseRecord:
        """What is known of a case by now."""
        return self._records[case]

    def add_resources(self, readings: Iterable[list[Row]]) -> None:
        """Write what trials took of the machine, a list of rows for each of them."""
        rows = [row for reading in readings for row in reading]
        if rows:
            self._resources += csv_text(rows, header=not self._resources)
            text = self._resources.encode()
            self._bundle.write_file(RESOURCES, lambda file: file.write(text))

    def keep(self, case: str, **measured: Any) -> None:
        """Add to a case what was just measured, in memory first and then in the bundle."""
        record = self._records[case].model_copy(update=measured)
        latency = latency_over(record.counted_trials)
        self._records[case] = record.model_copy(update={"latency": latency})
        self._write_summary()

    def _report(self, case: str, step: str, record: CaseRecord | None) -> None:
        if self._on_event is not None:
            done_s, total_s = self._progress.done_s, self._progress.total_s
            self._on_event(BenchEvent(case, step, done_s, total_s, record))

    def _stopped(self, stop: BaseException) -> None:
        """Keep what was measured before the run was stopped; nothing here may hide why it was."""
        self._bundle.release_reserve()
        if not any(record.measured_anything for record in self._records.values()):
            self._bundle.discard()
            return
        outcome: Outcome = "failed"
        if isinstance(stop, ResultsError):
            outcome = "results-lost"
        elif isinstance(stop, KeyboardInterrupt):
            outcome = "interrupted"
        try:
            with contextlib.suppress(ResultsError):
                self._finish(outcome)
        finally:
            stop.__dict__["bench_result"] = self._result()

    def _finish(self, outcome: Outcome) -> None:
        self._bundle.release_reserve()
        self._add_intervals()
        self._write_summary()
        about = self._about.model_copy(update={"ended_at": datetime.now(UTC), "outcome": outcome})
        self._bundle.write_record(RUN, about)
        self._draw()

    def _add_intervals(self) -> None:
        """How far the numbers can be trusted takes all rounds to say."""
        assert self._spec.seed is not None
        for name, record in self._records.items():
            rounds = self._rounds_of(record.counted_trials)
            self._records[name] = with_intervals(record, rounds, seed=self._spec.seed)

    def _rounds_of(self, trials: Sequence[TrialRecord]) -> list[NDArray[np.int64] | Histogram]:
        """What intervals need of each trial: of a single one, when each packet was how slow."""
        rounds: list[NDArray[np.int64] | Histogram] = []
        for trial in trials:
            counted = trial.histogram
            if trial.samples is not None and (len(trials) == 1 or counted is None):
                rounds.append(latency_ns(read_samples(self._bundle.folder / trial.samples)))
            elif counted is not None:
                rounds.append(Histogram.decode(counted, where=str(self._bundle.folder)))
            else:
                # Without one of its rounds, a number would have another round's interval.
                return []
        return rounds

    def _draw(self) -> None:
        if any(record.trials for record in self._records.values()):
            bundle = load_bundle(self._bundle.folder)
            self._bundle.write_file(PICTURE, lambda file: draw_bundle(file, bundle))

    def _write_summary(self) -> None:
        self._bundle.write_record(SUMMARY, self._result().summary)

    def _link_kinds(self) -> list[str]:
        """What links are made of, in all cases together, and what impairs some of them."""
        links = [link for ready in self._prepared.values() for link in ready.plan.links]
        kinds = sorted({link.kind for link in links}, reverse=True)
        impaired = sorted({link.mechanism for link in links} - {"none"}, reverse=True)
        return [*kinds, *(f"impaired ones by {mechanism}" for mechanism in impaired)]

    def _result(self) -> BenchResult:
        spec = self._spec
        known = [self._records[name] for name in self._prepared if name in self._records]
        summary = SummaryRecord(
            topology=next(iter(self._prepared.values())).plan.name,
            link=" and ".join(self._link_kinds()),
            mechanism=spec.mechanism,
            measurements=tuple(spec.measurements),
            duration_s=spec.duration_s,
            repeat=spec.repeat,
            round_trip=spec.round_trip,
            bench=self._limits,
            cases=compared(known, self._limits),
            not_begun=tuple(name for name in self._about.order if name not in self._records),
        )
        return BenchResult(
            self._bundle.folder, summary, self._certificates, self._refused, self._stopped_by
        )
