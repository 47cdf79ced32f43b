"""The table of what tools that people know have measured on the same path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.experiment.sections.table import Column, Row, Section, per_case
from emulator.experiment.words import MISSING, grouped, microseconds, significant

if TYPE_CHECKING:
    from emulator.experiment.measured_tools import ToolRecord
    from emulator.experiment.records import SummaryRecord


def tools(summary: SummaryRecord) -> Section | None:
    columns = [
        Column("tool", number=False),
        Column("delay", number=False),
        Column("p50", "µs"),
        Column("p99", "µs"),
        Column("lost"),
        Column("rate", "kpps"),
        Column("rate", "Gbit/s"),
    ]

    def row(found: ToolRecord) -> Row:
        latency = found.latency
        delay = "round trip" if found.round_trip else "one-way"
        cells = (
            f"{found.tool} {found.version} {found.protocol}",
            MISSING if latency is None else delay,
            microseconds(None if latency is None else latency.p50_ns),
            microseconds(None if latency is None else latency.p99_ns),
            MISSING if found.lost is None else grouped(found.lost),
            MISSING if found.throughput_pps is None else significant(found.throughput_pps / 1e3),
            MISSING if found.throughput_bps is None else significant(found.throughput_bps / 1e9),
        )
        return Row(cells)

    told = dict.fromkeys(
        f"{found.tool}: {note.rstrip('.')}."
        for case in summary.cases
        for found in case.tools
        for note in found.notes
    )
    return per_case(
        summary,
        "tools",
        "Beside: what other tools say of the same path",
        columns,
        lambda case: [row(found) for found in case.tools],
        list(told),
    )
