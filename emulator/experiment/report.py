"""What a person reads of a run in a terminal: the tables, and beneath them what the numbers mean
and what limits them.

Pure: everything comes from the summary, so that a bundle read back prints as on the first day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator.experiment.report_notes import findings, notes, title
from emulator.experiment.sections import sections

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

    from emulator.experiment.records import CaseRecord, SummaryRecord
    from emulator.experiment.sections.table import Section

_BOUNDLESS = 10_000
_MOST_FINDINGS = 12
_MOST_NOT_BEGUN = 12
_TONES = {"": "", "doubtful": "yellow", "bad": "red"}
_SEVERITIES = {"invalid": "red", "warn": "yellow", "note": "dim"}


def render(summary: SummaryRecord) -> RenderableType:
    """The whole report for a rich console."""
    from rich.console import Group
    from rich.text import Text

    complaints = [_complaint(case) for case in summary.cases if case.status != "finished"]
    if summary.not_begun:
        complaints.append(_not_begun(summary.not_begun))
    parts: list[RenderableType] = [Text(title(summary), style="bold")]
    found = sections(summary)
    if not found:
        return Group(*parts, *complaints)
    for section in found:
        if section.title:
            parts.append(Text(section.title, style="bold"))
        parts.append(_Fitted(section))
        parts += [_indented(Text(note, style="dim")) for note in section.notes]
        if section.notes:
            parts.append(Text(""))
    parts += [_indented(Text(note, style="dim")) for note in notes(summary)]
    return Group(*parts, *_findings(summary), *complaints)


class _Fitted:
    """A table with its columns two blanks apart, or one where the terminal is too narrow."""

    def __init__(self, section: Section) -> None:
        self._section = section

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        boundless = options.update(max_width=_BOUNDLESS)
        for gap in (2, 1):
            table = _table(self._section, gap)
            if console.measure(table, options=boundless).maximum <= options.max_width:
                break
        else:
            # A number that goes on in the next line is ugly, one that is cut off is wrong.
            for column in table.columns:
                column.no_wrap, column.overflow = False, "fold"
        yield table


def _table(section: Section, gap: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # The border between two columns is one blank of the gap.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, gap - 1), pad_edge=False)
    for column in section.columns:
        head = f"{column.name}\n{column.unit}" if column.unit else column.name
        table.add_column(Text(head), justify="right" if column.number else "left", no_wrap=True)
    for row in section.rows:
        table.add_row(*map(Text, row.cells), style=_TONES[row.tone])
    return table


def _findings(summary: SummaryRecord) -> list[RenderableType]:
    """What the honesty gate saw; the gravest first."""
    from rich.text import Text

    found = findings(summary)
    if not found:
        return []
    lines: list[RenderableType] = [Text("Findings of the honesty gate", style="bold")]
    for severity, where, text in found[:_MOST_FINDINGS]:
        lines.append(_indented(Text(f"{severity}: {where}: {text}", style=_SEVERITIES[severity])))
    if len(found) > _MOST_FINDINGS:
        more = f"{len(found) - _MOST_FINDINGS} more are in the bundle; vnf report shows them."
        lines.append(_indented(Text(more, style="dim")))
    return lines


def _indented(text: Text) -> RenderableType:
    from rich.padding import Padding

    return Padding(text, (0, 0, 0, 2), expand=False)


def _not_begun(names: Sequence[str]) -> RenderableType:
    from rich.text import Text

    shown = "; ".join(names[:_MOST_NOT_BEGUN])
    if len(names) > _MOST_NOT_BEGUN:
        shown += f"; and {len(names) - _MOST_NOT_BEGUN} more"
    return _indented(Text(f"not begun: {shown}", style="yellow"))


def _complaint(case: CaseRecord) -> RenderableType:
    from rich.text import Text

    hint = f" ({case.error_hint})" if case.error_hint else ""
    style = "red" if case.status == "failed" else "yellow"
    return _indented(
        Text(f"{case.name}: {case.status}: {case.error or 'stopped'}{hint}", style=style)
    )
