"""The tables of the numbers that most runs have: results, intervals, goals, the VNF's share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.experiment.sections.table import (
    Column,
    Row,
    Section,
    key_columns,
    labels_for,
    per_case,
    ratio_or_count,
    throughput_text,
    wholly_valid,
)
from emulator.experiment.words import (
    INVALID,
    MISSING,
    microseconds,
    percent,
    signed,
    span,
    whole,
)

if TYPE_CHECKING:
    from emulator.experiment.measured import LatencyRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord


@dataclass(frozen=True)
class _Measure:
    """A column of the main table, how a case fills it, and which cases make it worth printing."""

    column: Column
    cell: Callable[[CaseRecord], str]
    needed: Callable[[CaseRecord], bool]


def _latency_measure(name: str, value: Callable[[LatencyRecord], int | None]) -> _Measure:
    def cell(case: CaseRecord) -> str:
        text = microseconds(value(case.latency) if case.latency else None)
        return text if case.valid or text == MISSING else f"{INVALID}{text}"

    rare = name.startswith("p99.")
    return _Measure(
        Column(name, "µs"),
        cell,
        lambda case: (
            bool(case.latency and value(case.latency) is not None) if rare else bool(case.trials)
        ),
    )


def _loss(case: CaseRecord) -> str:
    return ratio_or_count(case.lost, case.sent) if case.trials else MISSING


def _cost(case: CaseRecord) -> str:
    text = whole(case.cost.cpu_ns_per_packet if case.cost else None)
    return text if case.cost is None or case.cost.valid else f"{INVALID}{text}"


def _idle_cpu(case: CaseRecord) -> str:
    ratio = case.idle_cpu_ratio
    if ratio is None:
        return MISSING
    return f"{100 * ratio:.0f}" if not 0 < ratio < 0.0995 else f"{100 * ratio:.1f}"


_MEASURES = (
    _latency_measure("p50", lambda found: found.p50_ns),
    _latency_measure("p90", lambda found: found.p90_ns),
    _latency_measure("p99", lambda found: found.p99_ns),
    _latency_measure("p99.9", lambda found: found.p999_ns),
    _latency_measure("p99.99", lambda found: found.p9999_ns),
    _latency_measure("max", lambda found: found.max_ns),
    _Measure(Column("loss"), _loss, lambda case: bool(case.trials)),
    _Measure(
        Column("rate", "Mpps"),
        lambda case: throughput_text(
            case.throughput, 1e6, case.throughput.rate_pps if case.throughput else None
        ),
        lambda case: bool(case.throughputs),
    ),
    _Measure(
        Column("rate", "Gbit/s"),
        lambda case: throughput_text(
            case.throughput, 1e9, case.throughput.rate_bps if case.throughput else None
        ),
        lambda case: bool(case.throughputs),
    ),
    _Measure(Column("CPU", "ns/pkt"), _cost, lambda case: case.cost is not None),
    _Measure(Column("idle", "CPU %"), _idle_cpu, lambda case: case.has_processes),
)


def results(summary: SummaryRecord) -> Section | None:
    """The main table: a row per case, a column for everything that any case has."""
    measures = [each for each in _MEASURES if any(each.needed(case) for case in summary.cases)]
    if all(measure.column.name == "idle" for measure in measures):
        return None
    keys, labels = labels_for(summary.cases)
    rows = [
        Row(
            (*label, *(measure.cell(case) for measure in measures)),
            "" if case.status == "finished" and wholly_valid(case) else "doubtful",
        )
        for case, label in zip(summary.cases, labels, strict=True)
    ]
    columns = (*key_columns(keys), *(measure.column for measure in measures))
    return Section("results", "", columns, tuple(rows), len(keys))


def intervals(summary: SummaryRecord) -> Section | None:
    """Where numbers would lie if they were measured again."""
    fields = (("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns"))
    kept = [
        (name, field)
        for name, field in fields
        if any(field in case.latency_intervals for case in summary.cases)
    ]
    rates = any(
        found.interval or found.spread is not None
        for case in summary.cases
        for found in case.throughputs
    )
    costs = any(case.cost and case.cost.interval for case in summary.cases)
    if not kept and not rates and not costs:
        return None
    columns = [Column(name, "µs") for name, _ in kept]
    if rates:
        columns += [Column("rate", "Mpps"), Column("spread")]
    if costs:
        columns.append(Column("CPU", "ns/pkt"))

    def rows_of(case: CaseRecord) -> list[Row]:
        cells = [span(case.latency_intervals.get(field), 1000) for _, field in kept]
        if rates:
            found = case.throughput
            cells.append(span(found.interval if found else None, 1e6))
            cells.append(percent(found.spread if found else None))
        if costs:
            cells.append(span(case.cost.interval if case.cost else None, 1))
        return [Row(tuple(cells))] if any(cell != MISSING for cell in cells) else []

    known = [
        interval
        for case in summary.cases
        for interval in (
            *case.latency_intervals.values(),
            *(found.interval for found in case.throughputs),
            case.cost.interval if case.cost else None,
        )
        if interval is not None
    ]
    title = "Intervals"
    if known:
        title = f"{known[0].confidence * 100:g} % intervals ({known[0].method})"
    notes = ["Spread of rates: (largest − smallest) / median, over the rounds."] if rates else []
    return per_case(summary, "intervals", title, columns, rows_of, notes)


def goals(summary: SummaryRecord) -> Section | None:
    """Where there are several goals, the throughput by each."""
    if not any(len(case.throughputs) > 1 for case in summary.cases):
        return None
    columns = [
        Column("goal", number=False),
        Column("loss", "at most"),
        Column("rate", "Mpps"),
        Column("rate", "Gbit/s"),
        Column("interval", "Mpps"),
        Column("spread"),
    ]
    return per_case(
        summary,
        "goals",
        "Throughput by goal",
        columns,
        lambda case: [
            Row(
                (
                    found.goal.name,
                    percent(found.goal.loss_ratio),
                    throughput_text(found, 1e6, found.rate_pps),
                    throughput_text(found, 1e9, found.rate_bps),
                    span(found.interval, 1e6),
                    percent(found.spread),
                ),
                "" if found.valid else "doubtful",
            )
            for found in case.throughputs
        ],
    )


def shares(summary: SummaryRecord) -> Section | None:
    columns = [Column("p50", "µs"), Column("CPU", "ns/pkt"), Column("minus", number=False)]

    def rows_of(case: CaseRecord) -> list[Row]:
        found = case.vnf_share
        if found is None:
            return []
        pair = (case, summary.case(found.baseline))
        costs = [each.cost for each in pair if each.cost]
        latency_valid = all(each.valid for each in pair)
        cells = (
            signed(microseconds(found.p50_ns), valid=latency_valid),
            signed(
                whole(found.cpu_ns_per_packet),
                valid=all(cost.valid for cost in costs),
            ),
            found.baseline,
        )
        return [Row(cells)]

    title = "VNF share: the case minus the same path without a VNF (p50: of the medians)"
    return per_case(summary, "shares", title, columns, rows_of)
