"""What a table of a report is, and what its rows are headed by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.experiment.words import (
    BENCH_LIMITED,
    INVALID,
    MISSING,
    PROBE_LIMITED,
    percent,
    significant,
)

if TYPE_CHECKING:
    from emulator.experiment.measured_throughput import ThroughputRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord


@dataclass(frozen=True)
class Column:
    """The head of a column; ``number``: its cells are aligned to the right."""

    name: str
    unit: str = ""
    number: bool = True


@dataclass(frozen=True)
class Row:
    """A row of cells; ``tone`` is ``""``, ``bad`` or ``doubtful``."""

    cells: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True)
class Section:
    """A table with its heading.

    Attributes:
        keys: how many of the columns, from the left, name the row.
        notes: how it is to be read, a line each.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    keys: int = 1
    notes: tuple[str, ...] = ()


def labels_for(cases: Sequence[CaseRecord]) -> tuple[list[str], list[list[str]]]:
    """What tells the cases apart: the headings, and for each case the cells beneath them.

    What varies has a column each, so that no row repeats it; where nothing does, there is one with
    the cases' names.
    """
    keys = list(dict.fromkeys(key for case in cases for key in case.varied))
    if not keys:
        return ["case"], [[case.name] for case in cases]
    return keys, [[case.varied.get(key, MISSING) for key in keys] for case in cases]


def wholly_valid(case: CaseRecord) -> bool:
    """Whether all that was measured of the case counts."""
    found = (*case.throughputs, case.cost, case.soak, case.back_to_back, *case.sla)
    points = case.loaded.points if case.loaded else ()
    return case.valid and all(each.valid for each in (*found, *points) if each is not None)


def key_columns(keys: Sequence[str]) -> Iterator[Column]:
    """The columns that name a row."""
    return (Column(key, number=False) for key in keys)


def per_case(
    summary: SummaryRecord,
    name: str,
    title: str,
    columns: Sequence[Column],
    rows_of: Callable[[CaseRecord], Sequence[Row]],
    notes: Sequence[str] = (),
) -> Section | None:
    """A table with any number of rows for each case, headed by what tells the cases apart."""
    keys, labels = labels_for(summary.cases)
    rows = [
        Row((*label, *row.cells), row.tone)
        for case, label in zip(summary.cases, labels, strict=True)
        for row in rows_of(case)
    ]
    if not rows:
        return None
    return Section(
        name, title, (*key_columns(keys), *columns), tuple(rows), len(keys), tuple(notes)
    )


def throughput_text(found: ThroughputRecord | None, scale: float, amount: float | None) -> str:
    """A rate with the marks that say what limits it."""
    if found is None or amount is None:
        return MISSING
    limit = "" if found.valid else INVALID
    limit += BENCH_LIMITED if found.bench_limited else ""
    limit += PROBE_LIMITED if found.probe_limited or found.wire_limited else ""
    return f"{limit}{significant(amount / scale)}"


def ratio_or_count(lost: int, sent: int) -> str:
    """What was lost, in percent; where nothing was, of how many."""
    return percent(lost / sent) if lost and sent else f"{lost}/{sent}"
