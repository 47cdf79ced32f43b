"""The tables of service levels, soaks and bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.experiment.sections.table import Column, Row, Section, per_case
from emulator.experiment.words import (
    INVALID,
    MISSING,
    PROBE_LIMITED,
    grouped,
    percent,
    share,
    signed,
    significant,
    whole,
)

if TYPE_CHECKING:
    from emulator.experiment.measured_verdicts import SlaRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord


def sla(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("profile", number=False),
        Column("payload", "B"),
        Column("verdict", number=False),
        Column("available"),
        Column("within", "deadline"),
        Column("misses"),
        Column("longest", "run"),
        Column("allowed", "run"),
        Column("first violation", number=False),
    ]

    def row(found: SlaRecord) -> Row:
        allowed = found.consecutive_misses_allowed
        cells = (
            found.profile,
            grouped(found.payload_bytes),
            found.verdict if found.valid else f"{INVALID}{found.verdict}",
            share(found.availability),
            share(found.within_deadline),
            grouped(found.misses),
            grouped(found.longest_run),
            MISSING if allowed is None else str(allowed),
            _first_violation(found),
        )
        return Row(cells, {"fail": "bad", "unknown": "doubtful"}.get(found.verdict, ""))

    reasons = dict.fromkeys(
        f"{case.name}: {found.profile}: {found.reason}"
        for case in summary.cases
        for found in case.sla
        if found.verdict != "pass" and found.reason
    )
    return per_case(
        summary,
        "sla",
        "Service levels",
        columns,
        lambda case: [row(found) for found in case.sla],
        [f"{reason.rstrip('.')}." for reason in reasons],
    )


def _first_violation(found: SlaRecord) -> str:
    if found.first_violation is None:
        return MISSING
    text = f"packet {grouped(found.first_violation)}"
    if found.first_violation_ns is not None:
        text += f", {significant(found.first_violation_ns / 1e9)} s"
    return text


def soak(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("rate", "kpps"),
        Column("length", "s"),
        Column("intervals"),
        Column("bad"),
        Column("longest", "outage s"),
        Column("drift", "ns/s"),
        Column("verdict", number=False),
    ]

    def rows_of(case: CaseRecord) -> list[Row]:
        found = case.soak
        if found is None:
            return []
        drift = found.drift_ns_per_s
        cells = (
            significant(found.rate_pps / 1000),
            significant(found.interval_s * len(found.intervals)),
            str(len(found.intervals)),
            str(found.bad_intervals),
            significant(found.longest_outage_s),
            MISSING if drift is None else signed(significant(drift)),
            found.verdict if found.valid else f"{INVALID}{found.verdict}",
        )
        return [Row(cells, "" if found.verdict == "pass" else "bad")]

    goals = sorted({case.soak.loss_goal for case in summary.cases if case.soak})
    limit = ", ".join(percent(goal) for goal in goals)
    note = f"Bad: an interval that lost more than {limit}. Drift: how medians change over time."
    return per_case(summary, "soak", "Soak", columns, rows_of, [note])


def back_to_back(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("frames"),
        Column("lowest"),
        Column("highest"),
        Column("repeats"),
        Column("rate", "Mpps"),
    ]

    def rows_of(case: CaseRecord) -> list[Row]:
        found = case.back_to_back
        if found is None:
            return []
        mark = "" if found.valid else INVALID
        mark += PROBE_LIMITED if found.at_limit else ""
        cells = (
            MISSING if found.frames is None else mark + whole(found.frames),
            whole(found.frames_min),
            whole(found.frames_max),
            str(found.repeats),
            MISSING if found.rate_pps is None else significant(found.rate_pps / 1e6),
        )
        return [Row(cells, "" if found.valid else "doubtful")]

    notes = ["The longest burst at full rate of which nothing was lost, the mean over repeats."]
    if any(case.back_to_back and case.back_to_back.at_limit for case in summary.cases):
        notes.append(f"{PROBE_LIMITED}: the probe set the limit, the path may carry longer bursts.")
    return per_case(summary, "back-to-back", "Back-to-back frames", columns, rows_of, notes)
