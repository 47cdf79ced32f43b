"""A comparison of two bundles as a person reads it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from emulator.experiment.compare import BundleComparison, Metric, Unit, rounds_needed
from emulator.experiment.words import MISSING, significant

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_DIFFERENCES = 8
_UNITS: dict[Unit, tuple[float, str]] = {
    "ns": (1e3, "µs"),
    "ns/packet": (1.0, "ns"),
    "pps": (1e6, "Mpps"),
    "ratio": (0.01, "%"),
}


def as_json(comparison: BundleComparison) -> dict[str, Any]:
    """All of it, for programs."""
    return dataclasses.asdict(comparison)


def render(comparison: BundleComparison) -> RenderableType:
    """All of it, for a rich console."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"A  {comparison.a}\nB  {comparison.b}"),
        *(Text(f"warning: {line}", style="yellow") for line in comparison.warnings),
        Text(""),
        *_differences(comparison),
    ]
    if any(case.metrics for case in comparison.cases):
        parts += [Text("Numbers", style="bold"), _table(comparison)]
    parts += [Text(line, style="dim") for line in _notes(comparison)]
    return Group(*parts)


def _differences(comparison: BundleComparison) -> list[RenderableType]:
    from rich.text import Text

    found = comparison.differences
    if not found:
        return [Text("Machine, versions, settings and plans are the same.\n")]
    lines: list[RenderableType] = [Text("What is different", style="bold")]
    for about in dict.fromkeys(each.about for each in found):
        some = [each for each in found if each.about == about]
        lines += [Text(f"  {about}: {each}") for each in some[:_MOST_DIFFERENCES]]
        if len(some) > _MOST_DIFFERENCES:
            more = len(some) - _MOST_DIFFERENCES
            lines.append(Text(f"  {about}: {more} more, which --json has", style="dim"))
    return [*lines, Text("")]


def _table(comparison: BundleComparison) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("case", "number"):
        table.add_column(head, overflow="fold")
    for head in ("A", "B", "change", "95 % interval"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for case in comparison.cases:
        same = case.name == case.name_in_b
        name = case.name if same else f"{case.name} → {case.name_in_b}"
        for metric in case.metrics:
            style = {True: "green", False: "red", None: ""}[metric.better]
            table.add_row(Text(name), *map(Text, _cells(metric)), style=style)
            name = ""
    return table


def _cells(metric: Metric) -> list[str]:
    found = metric.comparison
    scale, unit = _UNITS[metric.unit]
    values = [
        MISSING if value is None else f"{significant(value / scale)} {unit}"
        for value in (found.a_median, found.b_median)
    ]
    return [found.metric, *values, _change(metric), _interval(metric), verdict_text(metric)]


def _change(metric: Metric) -> str:
    found = metric.comparison
    if metric.unit == "ratio":
        # A part of a share says little: from 0.001 % to 0.002 % is no doubling of anything.
        return MISSING if found.difference is None else f"{100 * found.difference:+.3g} points"
    return MISSING if found.ratio is None else f"{100 * (found.ratio - 1):+.1f} %"


def _interval(metric: Metric) -> str:
    found = metric.comparison
    interval = found.difference_interval if metric.unit == "ratio" else found.ratio_interval
    if interval is None:
        return MISSING
    if metric.unit == "ratio":
        return f"[{100 * interval.low:+.3g}, {100 * interval.high:+.3g}]"
    return f"[{100 * (interval.low - 1):+.1f}, {100 * (interval.high - 1):+.1f}] %"


def verdict_text(metric: Metric) -> str:
    """The verdict in words."""
    found = metric.comparison
    if found.verdict == "unknown":
        fewest = min(found.a_rounds, found.b_rounds)
        rounds = "round" if fewest == 1 else "rounds"
        return f"cannot be told: {fewest} {rounds}"
    if found.verdict == "no-difference":
        return "no significant difference"
    return f"{found.verdict}: {'better' if metric.better else 'worse'}"


def _notes(comparison: BundleComparison) -> list[str]:
    lines = []
    for name, cases in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        if cases:
            lines.append(f"Only in {name}: {', '.join(cases)}.")
    metrics = [metric for case in comparison.cases for metric in case.metrics]
    if not comparison.cases:
        lines.append("No case is in both of them: there is nothing to compare.")
    elif not metrics:
        lines.append("No number of both of them is valid: there is nothing to compare.")
    if any(metric.comparison.verdict == "unknown" for metric in metrics):
        lines.append(
            f"It takes {rounds_needed()} valid rounds of each to tell whether a number changed: "
            f"vnf bench --repeat {rounds_needed()} or more."
        )
    if any(metric.comparison.verdict != "unknown" for metric in metrics):
        lines.append(
            "Medians over rounds. Verdicts hold for all numbers together at 95 %, intervals each "
            "for itself."
        )
    return lines
