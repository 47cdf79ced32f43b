"""Two bundles beside each other: what is different, and which numbers changed significantly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.errors import ResultsError
from emulator.experiment.differences import (
    Difference,
    environment_differences,
    plan_differences,
)
from emulator.measure.intervals import MIN_ROUNDS
from emulator.measure.significance import Comparison, compare, holm

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle
    from emulator.experiment.records import CaseRecord

Unit = Literal["ns", "ns/packet", "ratio", "pps"]


@dataclass(frozen=True)
class Metric:
    """One number of a case in both bundles.

    Attributes:
        unit: of the values of the comparison.
        lower_is_better: whether less of it is good news.
        comparison: whether it changed; corrected for how many numbers are compared.
    """

    unit: Unit
    lower_is_better: bool
    comparison: Comparison

    @property
    def better(self) -> bool | None:
        """Whether B is better; None where no change can be told."""
        verdict = self.comparison.verdict
        if verdict not in ("higher", "lower"):
            return None
        return (verdict == "lower") is self.lower_is_better


@dataclass(frozen=True)
class CaseComparison:
    """A case in both bundles; the names differ only where each bundle has just one case."""

    name: str
    name_in_b: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class BundleComparison:
    """Two bundles.

    Attributes:
        a, b: their folders.
        differences: of all that is not a result.
        cases: those that both have.
        only_in_a, only_in_b: names of cases that one of them has.
        warnings: what makes the comparison doubtful, a line each.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    cases: tuple[CaseComparison, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    warnings: tuple[str, ...]


def compare_bundles(a: Bundle, b: Bundle) -> BundleComparison:
    """Compare two bundles, case by case.

    A number changed when its interval says so, at 95 % for all numbers of the two bundles together;
    it takes three rounds of each to tell.
    """
    pairs = _pairs(a, b)
    differences = environment_differences(a, b)
    warnings = _warnings(a, b, differences)
    for first, second in pairs:
        if first.plan is not None and second.plan is not None:
            try:
                plans = a.plan(first.name), b.plan(second.name)
            except ResultsError as error:
                warnings.append(f"plans cannot be compared: {error}")
            else:
                differences += plan_differences(first.name, *plans)
    in_pairs = {case.name for pair in pairs for case in pair}
    return BundleComparison(
        a=str(a.folder),
        b=str(b.folder),
        differences=tuple(differences),
        cases=_compared(pairs),
        only_in_a=tuple(c.name for c in a.summary.cases if c.name not in in_pairs),
        only_in_b=tuple(c.name for c in b.summary.cases if c.name not in in_pairs),
        warnings=tuple(warnings),
    )


def _pairs(a: Bundle, b: Bundle) -> list[tuple[CaseRecord, CaseRecord]]:
    """The cases that belong together."""
    in_b = {case.name: case for case in b.summary.cases}
    pairs = [(case, in_b[case.name]) for case in a.summary.cases if case.name in in_b]
    if not pairs and len(a.summary.cases) == len(b.summary.cases) == 1:
        return [(a.summary.cases[0], b.summary.cases[0])]
    return pairs


def _warnings(a: Bundle, b: Bundle, differences: Sequence[Difference]) -> list[str]:
    warnings = []
    if machine := [each.what for each in differences if each.about == "machine"]:
        warnings.append(
            f"the machines differ ({', '.join(machine)}): what changed may be theirs and not "
            "that of what was measured"
        )
    if a.summary.mechanism != b.summary.mechanism:
        warnings.append("the probes differ: their numbers cannot be compared")
    if a.summary.round_trip != b.summary.round_trip:
        warnings.append("one run measured the way there and back, the other one only one way")
    for name, bundle in (("A", a), ("B", b)):
        if bundle.run.outcome != "finished":
            warnings.append(f"{name} did not come to its end: {bundle.run.outcome}")
    return warnings


def _compared(pairs: Sequence[tuple[CaseRecord, CaseRecord]]) -> tuple[CaseComparison, ...]:
    found = [list(_metrics(first, second)) for first, second in pairs]
    corrected = iter(holm([comparison for each in found for _, _, comparison in each]))
    return tuple(
        CaseComparison(
            first.name,
            second.name,
            tuple(Metric(unit, lower, next(corrected)) for unit, lower, _ in each),
        )
        for (first, second), each in zip(pairs, found, strict=True)
    )


def _metrics(a: CaseRecord, b: CaseRecord) -> Iterator[tuple[Unit, bool, Comparison]]:
    for name, field in (("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns")):
        rounds = _latencies(a, field), _latencies(b, field)
        if all(rounds):
            yield "ns", True, compare(name, *rounds)
    losses = _losses(a), _losses(b)
    if all(losses):
        yield "ratio", True, compare("loss", *losses)
    goals = [found.goal.name for found in a.throughputs]
    for goal in goals:
        rates = _rates(a, goal), _rates(b, goal)
        if all(rates):
            name = "throughput" if len(goals) == 1 else f"throughput, {goal}"
            yield "pps", False, compare(name, *rates)
    costs = _costs(a), _costs(b)
    if all(costs):
        yield "ns/packet", True, compare("CPU per packet", *costs)


def _latencies(case: CaseRecord, field: str) -> list[float]:
    """Of each round that counts and is valid."""
    values = [getattr(trial.latency, field) for trial in case.counted_trials if trial.valid]
    return [float(value) for value in values if value is not None]


def _losses(case: CaseRecord) -> list[float]:
    return [trial.lost / trial.sent for trial in case.counted_trials if trial.valid and trial.sent]


def _rates(case: CaseRecord, goal: str) -> list[float]:
    return [
        search.rate_pps
        for found in case.throughputs
        if found.goal.name == goal
        for search in found.searches
        if search.valid and search.rate_pps is not None
    ]


def _costs(case: CaseRecord) -> list[float]:
    trials = case.cost.trials if case.cost else ()
    return [trial.cpu_ns_per_packet for trial in trials if trial.valid]


def rounds_needed() -> int:
    """How many rounds of each bundle it takes to tell whether a number changed."""
    return MIN_ROUNDS
