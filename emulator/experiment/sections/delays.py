"""The tables of delays under load and by hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.experiment.sections.table import Column, Row, Section, per_case, ratio_or_count
from emulator.experiment.words import (
    INVALID,
    MISSING,
    grouped,
    microseconds,
    percent,
    signed,
    significant,
)

if TYPE_CHECKING:
    from emulator.experiment.records import CaseRecord, SummaryRecord


def loaded(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("load"),
        Column("kpps"),
        Column("p50", "µs"),
        Column("p99", "µs"),
        Column("p99.9", "µs"),
        Column("loss"),
    ]

    def rows_of(case: CaseRecord) -> list[Row]:
        if case.loaded is None:
            return []
        rows = []
        for point in case.loaded.points:
            found, mark = point.latency, "" if point.valid else INVALID
            values = (found.p50_ns, found.p99_ns, found.p999_ns)
            cells = [mark + microseconds(each) if each is not None else MISSING for each in values]
            lost = ratio_or_count(point.lost, point.sent)
            load = (f"{100 * point.load_ratio:g} %", significant(point.background_pps / 1000))
            rows.append(Row((*load, *cells, lost), "" if point.valid else "doubtful"))
        return rows

    known = [case.loaded for case in summary.cases if case.loaded]
    notes = []
    if known:
        goals = ", ".join(sorted({each.goal.name for each in known}))
        probes = ", ".join(sorted({grouped(round(each.probe_pps)) for each in known}))
        notes.append(
            f"Of a stream of {probes} packets/s, beside one that loads the path with so much of "
            f"the rate found by the goal {goals}."
        )
    return per_case(summary, "loaded", "Latency under load", columns, rows_of, notes)


def hops(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("segment", number=False),
        Column("kind", number=False),
        Column("p50", "µs"),
        Column("p99", "µs"),
        Column("mean", "µs"),
        Column("share"),
    ]

    def rows_of(case: CaseRecord) -> list[Row]:
        segments = case.hops.segments if case.hops else ()
        return [
            Row(
                (
                    segment.name,
                    segment.kind,
                    microseconds(segment.p50_ns),
                    microseconds(segment.p99_ns),
                    microseconds(segment.mean_ns),
                    percent(segment.share),
                )
            )
            for segment in segments
        ]

    notes = []
    for case in summary.cases:
        if case.hops is None:
            continue
        text = f"{case.name}: of {grouped(case.hops.packets)} packets"
        if case.hops.left_out:
            text += f", {grouped(case.hops.left_out)} more lack a stamp"
        without, with_ = case.hops.p50_without_ns, case.hops.p50_with_ns
        if without is not None and with_ is not None:
            cost = signed(microseconds(with_ - without))
            text += f"; telemetry itself: p50 {microseconds(without)} → {microseconds(with_)} µs"
            text += f" ({cost})"
        worst = case.hops.worst_sum_error_ns
        notes.append(f"{text}; segments add up to the delay within {worst} ns.")
    return per_case(summary, "hops", "One-way latency by hop", columns, rows_of, notes)
