"""The benchmarks' results, for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.model import Outcome, Row, Series

if TYPE_CHECKING:
    from rich.console import RenderableType

_VERDICTS = {True: "[green]met[/]", False: "[bold red]missed[/]", None: ""}


def render(outcomes: Sequence[Outcome]) -> RenderableType:
    """One table, and beneath it what a reader should know."""
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("what", "ours", "peer", "", "ratio", "target", ""):
        words = head in ("what", "")
        table.add_column(head, justify="left" if words else "right", no_wrap=not words)
    notes: list[Text] = []
    for outcome in outcomes:
        table.add_row(f"[bold]{outcome.name}[/]")
        for row in outcome.rows:
            table.add_row(*_cells(row))
        if outcome.error:
            table.add_row(f"  [bold red]not measured:[/] {escape(outcome.error)}")
        notes += [Text(f"{outcome.name}: {note}", style="dim") for note in outcome.notes]
        if outcome.busy:
            notes.append(
                Text(
                    f"{outcome.name}: the machine was not idle as {len(outcome.busy)} of its "
                    f"rounds began, up to {max(outcome.busy):.0%} of its CPU time was in use",
                    style="yellow",
                )
            )
    return Group(table, Text("Medians over the rounds, (min–max).", style="dim"), *notes)


def _cells(row: Row) -> list[str]:
    return [
        f"  {row.what}",
        _series(row.ours, row.unit),
        _series(row.peer, row.unit) if row.peer else "",
        row.peer_name,
        _series(row.ratio, "×") if row.ratio else "",
        row.target.text(row.unit) if row.target else "",
        _VERDICTS[row.met],
    ]


def _series(series: Series, unit: str) -> str:
    space = "" if unit in ("", "×") else " "
    low, high = min(series.values), max(series.values)
    spread = f" ({_short(low)}–{_short(high)})" if len(series.values) > 1 else ""
    return f"{_short(series.median)}{space}{unit}{spread}"


def _short(value: float) -> str:
    """Three significant digits, or all of a whole number's."""
    size = abs(value)
    if value == int(value) and size >= 100:
        return f"{value:.0f}"
    digits = 3 if size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{digits}f}"
