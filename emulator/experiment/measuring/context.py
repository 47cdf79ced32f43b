"""What every measurement of a case works with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from emulator.experiment.samples import columns_of
from emulator.measure.honesty import HINDRANCES
from emulator.measure.throughput import Trial

if TYPE_CHECKING:
    from emulator.experiment.bundle import BundleWriter
    from emulator.experiment.cases import Traffic
    from emulator.experiment.measured import FindingRecord, ResourcesRecord
    from emulator.experiment.measuring.path import MeasuredPath
    from emulator.experiment.records import CaseRecord
    from emulator.experiment.spec import BenchSpec
    from emulator.experiment.wires import WireTrouble
    from emulator.measure.resources_csv import Row
    from emulator.traffic.probe import ProbeResult, ProbeSpec

ATTEMPTS = 3
"""So often is a trial made that is not valid; what is still not, is reported as such."""


class Recorder(Protocol):
    """Where a case tells what it does and leaves what it measured."""

    def begin(self, part: str) -> None:
        """A part of the round begins, see :mod:`emulator.experiment.measuring.effort`."""
        ...

    def tell(self, case: str, step: str) -> None:
        """Report the step that begins."""
        ...

    def detail(self, case: str, step: str) -> None:
        """Report how far the step has come that goes on."""
        ...

    def note(self, case: str, text: str) -> None:
        """Report what the lab of a case had to say when it started."""
        ...

    def keep(self, case: str, **measured: object) -> None:
        """Add fields to the record of a case, and write the summary."""
        ...

    def record(self, case: str) -> CaseRecord:
        """What is known of a case by now."""
        ...

    def add_resources(self, readings: Iterable[list[Row]]) -> None:
        """Write what trials took of the machine, a list of rows for each of them."""
        ...


@dataclass(frozen=True)
class Measured:
    """A trial, and what the honesty gate says of it."""

    result: ProbeResult
    findings: tuple[FindingRecord, ...]
    trouble: WireTrouble
    resources: ResourcesRecord

    @property
    def valid(self) -> bool:
        """Whether it counts."""
        return not self.complaints

    @property
    def complaints(self) -> int:
        """How many rules it broke."""
        return sum(finding.severity == "invalid" for finding in self.findings)

    @property
    def trial(self) -> Trial:
        """As a search takes it."""
        result = self.result
        waited = result.wait_ns / result.elapsed_ns
        broken = {each.rule for each in self.findings if each.severity == "invalid"}
        return Trial.of(
            result, valid=self.valid, disturbed_ratio=waited, only_hindered=broken <= HINDRANCES
        )


@dataclass(frozen=True)
class CaseContext:
    """A case that runs, in one of its rounds.

    Attributes:
        name: the case's.
        round: which of the ``rounds``, from 1.
        traffic: what is sent.
        path: where it is sent.
    """

    name: str
    round: int
    rounds: int
    traffic: Traffic
    spec: BenchSpec
    path: MeasuredPath
    bundle: BundleWriter
    recorder: Recorder

    def tell(self, step: str) -> None:
        """Report the step that begins."""
        of = f", round {self.round}/{self.rounds}" if self.rounds > 1 else ""
        self.recorder.tell(self.name, step + of)

    def keep(self, **measured: object) -> None:
        """Add fields to the record of the case, and write the summary."""
        self.recorder.keep(self.name, **measured)

    @property
    def record(self) -> CaseRecord:
        """What is known of the case by now."""
        return self.recorder.record(self.name)

    def probe_spec(self, rate_pps: float | None, duration_s: float, *, record: bool) -> ProbeSpec:
        """A trial with the case's traffic at a rate; None: as fast as possible."""
        return self.spec.probe(self.traffic, rate_pps, duration_s, record=record)

    def write_samples(self, kind: str, result: ProbeResult) -> str:
        """Write every packet of a trial; returns the file's name within the bundle."""
        number = self.bundle.count_samples(self.name) + 1
        about = {**about_samples(result), "measurement": kind, "round": str(self.round)}
        return self.bundle.write_samples(self.name, number, columns_of(result), about)

    def best_of(
        self,
        step: str,
        measure: Callable[[], Measured],
        *,
        each: Callable[[Measured], object] = lambda _: None,
        attempts: int = ATTEMPTS,
    ) -> Measured:
        """The same as :func:`best_of`, and ``step`` is what to say meanwhile."""
        numbers = itertools.count(ATTEMPTS - attempts + 1)

        def attempt() -> Measured:
            number = next(numbers)
            self.tell(f"{step}, attempt {number}" if number > 1 else step)
            return measure()

        return best_of(attempt, each=each, attempts=attempts)


def invalidating(trials: Iterable[Measured]) -> tuple[FindingRecord, ...]:
    """What made trials invalid, each rule once, in the words of the first that broke it."""
    found: dict[str, FindingRecord] = {}
    for trial in trials:
        for finding in trial.findings:
            if finding.severity == "invalid":
                found.setdefault(finding.rule, finding)
    return tuple(found.values())


def best_of(
    measure: Callable[[], Measured],
    *,
    each: Callable[[Measured], object] = lambda _: None,
    attempts: int = ATTEMPTS,
) -> Measured:
    """A valid trial, or of a few the one with the fewest complaints.

    Args:
        measure: makes a trial.
        each: is given every trial, those that do not count too.
        attempts: how many are made at most.
    """
    tried: list[Measured] = []
    while len(tried) < attempts:
        tried.append(measure())
        each(tried[-1])
        if tried[-1].valid:
            return tried[-1]
    return min(tried, key=lambda one: one.complaints)


def about_samples(result: ProbeResult) -> dict[str, str]:
    """What a file of samples says of itself, should it ever be found alone."""
    spec = result.spec
    return {
        "source": result.source,
        "destination": result.destination,
        "mechanism": spec.mechanism,
        "rate_pps": "as fast as possible" if spec.rate_pps is None else f"{spec.rate_pps:.12g}",
        "frames": str(spec.frames),
        "pattern": str(spec.pattern),
        "round_trip": str(spec.round_trip).lower(),
        "clock": "CLOCK_MONOTONIC",
    }
