"""What a person reads of a run: the table, and beneath it what the numbers mean and what limits
them.

Pure: everything comes from the summary, so that a bundle read back prints as on the first day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.measure.throughput import packets_to_bound

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

    from emulator.experiment.records import (
        CaseRecord,
        LatencyRecord,
        SummaryRecord,
        ThroughputRecord,
    )

MISSING = "–"
"""Stands where nothing was measured, or where the sample cannot support a number."""

BENCH_LIMITED = "†"
PROBE_LIMITED = "≥"
INVALID = "‡"
_BOUNDLESS = 10_000
_MOST_LINKS = 8


@dataclass(frozen=True)
class Column:
    """One column of the table: its head, its unit, and how a case fills it."""

    name: str
    unit: str
    cell: Callable[[CaseRecord], str]


def labels_for(cases: Sequence[CaseRecord]) -> tuple[list[str], list[list[str]]]:
    """What tells the cases apart: the headings, and for each case the cells beneath them.

    The settings that the names are made of have a column each, headed by the setting, so that no
    row repeats it.
    """
    settings = list(cases[0].settings)
    for count in range(1, len(settings) + 1):
        keys = settings[-count:]
        cells = [[case.settings.get(key, "") for key in keys] for case in cases]
        names = [",".join(map("=".join, zip(keys, row, strict=True))) for row in cells]
        if names == [case.name for case in cases]:
            return keys, cells
    return ["case"], [[case.name] for case in cases]


def columns_for(summary: SummaryRecord) -> list[Column]:
    """The columns worth printing.

    p99.9 only when some case has packets enough for it, idle CPU only when a VNF is a process.
    """
    columns = [
        Column("p50", "µs", lambda case: _latency(case, lambda found: found.p50_ns)),
        Column("p90", "µs", lambda case: _latency(case, lambda found: found.p90_ns)),
        Column("p99", "µs", lambda case: _latency(case, lambda found: found.p99_ns)),
        Column("p99.9", "µs", lambda case: _latency(case, lambda found: found.p999_ns)),
        Column("max", "µs", lambda case: _latency(case, lambda found: found.max_ns)),
        Column("loss", "", _loss),
        Column("rate", "Mpps", lambda case: _throughput(case, 1e6, lambda t: t.rate_pps)),
        Column("rate", "Gbit/s", lambda case: _throughput(case, 1e9, lambda t: t.rate_bps)),
        Column("CPU", "ns/pkt", _cost),
    ]
    if any(case.has_processes for case in summary.cases):
        columns.append(Column("idle", "CPU %", _idle_cpu))
    if not any(case.latency and case.latency.p999_ns is not None for case in summary.cases):
        columns = [column for column in columns if column.name != "p99.9"]
    return columns


def render(summary: SummaryRecord) -> RenderableType:
    """The whole report for a rich console."""
    from rich.console import Group
    from rich.text import Text

    complaints = [_complaint(case) for case in summary.cases if case.status != "finished"]
    parts: list[RenderableType] = [Text(title(summary), style="bold")]
    if not any(case.trials for case in summary.cases):
        return Group(*parts, *complaints)
    parts.append(_Fitted(lambda gap: _main_table(summary, gap)))
    if any(case.vnf_share for case in summary.cases):
        head = "VNF share: the case minus the same path without a VNF (p50: of the medians)"
        parts += [Text(head, style="bold"), _Fitted(lambda gap: _share_table(summary, gap))]
    parts += [_indented(Text(note, style="dim")) for note in notes(summary)]
    return Group(*parts, *complaints)


def title(summary: SummaryRecord) -> str:
    """One line that says what was measured, for the head of the table and of the picture."""
    ends = next(((c.source, c.destination) for c in summary.cases if c.source), None)
    path = f"{ends[0]} → {ends[1]} · " if ends else ""
    return (
        f"{summary.topology} · {path}{grouped(summary.rate_pps)} packets/s · "
        f"{summary.frame_size_bytes} B frames · probe: {summary.mechanism} · {summary.link}"
    )


def notes(summary: SummaryRecord) -> list[str]:
    """What a reader must know to read the numbers rightly, a line each."""
    rate, loss = grouped(summary.rate_pps), percent(summary.loss_goal)
    lines = [
        f"Latency: one-way, received − intended send time of each packet, at {rate} packets/s.",
        f"Rate: the highest with a loss of at most {loss}; Gbit/s counts frames with their FCS.",
        "CPU: time the whole path takes per packet at full load, generator and receiver included.",
        f"Links are {summary.link}, the probe is {summary.mechanism}: compare with the same only.",
    ]
    lines += _impaired_links(summary)
    processes = any(case.has_processes for case in summary.cases)
    if processes:
        lines += [
            "VNFs that are processes: their CPU by packets that arrived, the rest by packets sent.",
            "Idle: CPU time of the VNFs' processes while no packet comes, in percent of a core.",
        ]
    if summary.repeat > 1:
        lines.append(
            f"Percentiles are medians over {summary.repeat} trials; max is the largest of all."
        )
    throughputs = [case.throughput for case in summary.cases if case.throughput]
    if any(found.probe_limited for found in throughputs):
        lines.append(
            f"{PROBE_LIMITED} probe-limited: the probe could not send or receive more, "
            "the path does at least this."
        )
    if any(found.wire_limited for found in throughputs):
        lines.append(
            f"{PROBE_LIMITED} wire-limited: what impairs links could not carry more, "
            "the rest of the path does at least this."
        )
    if any(found.bench_limited for found in throughputs):
        lines.append(
            f"{BENCH_LIMITED} bench-limited: within 10 % of the path without any VNF; "
            "the VNF itself may do more."
        )
    if invalid := [case for case in summary.cases if not _wholly_valid(case)]:
        lines.append(
            f"{INVALID} invalid: the probe, or what impairs links, was kept from its work, in "
            "every attempt; the machine is too busy, or the rate too high."
        )
        lines += [
            f"{case.name}: of the frames of impaired links {text}."
            for case in invalid
            if (text := _wire_trouble(case))
        ]
        if any(vnf.idle and not vnf.cores for case in invalid for vnf in case.vnfs):
            lines.append(
                "VNFs that are processes may be what the probe had to wait for: --core 0 and "
                "--set cores=1 keep them apart, where the topology takes cores."
            )
    if unsent := [case for case in summary.cases if case.unsent]:
        counts = ", ".join(f"{case.name} {grouped(case.unsent)}" for case in unsent)
        lines.append(f"Packets never sent, the generator's failure and no loss: {counts}.")
    needed = grouped(packets_to_bound(summary.loss_goal))
    lines += [
        f"{case.name}: no rate that was tried met the loss goal in a trial of {needed} packets or "
        "more, which it takes to tell; --search-duration makes trials longer."
        for case in summary.cases
        if case.throughput and case.throughput.rate_pps is None
    ]
    lines += [
        f"{case.name}: {vnf.node} ran XDP in {vnf.mode} mode; native is what this plane is about."
        for case in summary.cases
        for vnf in case.vnfs
        if vnf.dataplane == "xdp" and vnf.mode != "native"
    ]
    lines += [
        f"{case.name}: {each.node} was kept off the CPUs for {each.throttled_ns / 1e9:.2f} s, to "
        f"keep to the limit of its container{f', {each.cpus:g} CPUs' if each.cpus else ''}."
        for case in summary.cases
        for each in case.containers
        if each.throttled_ns
    ]
    return lines


def _impaired_links(summary: SummaryRecord) -> list[str]:
    """What impairs which link; those that differ between cases are told of each case."""
    told: dict[str, list[str]] = {}
    for case in summary.cases:
        for link, text in case.impaired_links.items():
            told.setdefault(f"{link}: {text}", []).append(case.name)
    lines = [
        f"{line} ({', '.join(names)})" if len(names) < len(summary.cases) else line
        for line, names in told.items()
    ]
    if len(lines) > _MOST_LINKS:
        more = len(lines) - _MOST_LINKS
        lines[_MOST_LINKS:] = [f"{more} more impaired links are in the plans of the bundle."]
    return lines


def microseconds(value_ns: float | None) -> str:
    """Nanoseconds as microseconds with three significant digits, or all of its whole ones."""
    return MISSING if value_ns is None else significant(value_ns / 1000)


def significant(value: float) -> str:
    """Three significant digits without an exponent; whole numbers are kept whole."""
    size = abs(value)
    digits = 3 if size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{digits}f}".replace(",", " ")


def grouped(value: float) -> str:
    """A count or rate with its thousands set apart."""
    return f"{value:,.10g}".replace(",", " ")


def percent(ratio: float) -> str:
    """A ratio in percent, with as many digits as it needs to not look like zero."""
    return f"{ratio * 100:.3g} %"


class _Fitted:
    """A table with its columns two blanks apart, or one where the terminal is too narrow.

    Args:
        table: makes it, for the number of blanks.
    """

    def __init__(self, table: Callable[[int], Table]) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        boundless = options.update(max_width=_BOUNDLESS)
        for gap in (2, 1):
            table = self._table(gap)
            if console.measure(table, options=boundless).maximum <= options.max_width:
                break
        else:
            # A number that goes on in the next line is ugly, one that is cut off is wrong.
            for column in table.columns:
                column.no_wrap, column.overflow = False, "fold"
        yield table


def _main_table(summary: SummaryRecord, gap: int) -> Table:
    from rich.text import Text

    columns = columns_for(summary)
    table = _table(gap)
    keys, labels = labels_for(summary.cases)
    for key in keys:
        table.add_column(Text(key), no_wrap=True)
    for column in columns:
        head = f"{column.name}\n{column.unit}" if column.unit else column.name
        table.add_column(head, justify="right", no_wrap=True)
    for case, label in zip(summary.cases, labels, strict=True):
        style = "" if case.status == "finished" and _wholly_valid(case) else "yellow"
        cells = (column.cell(case) for column in columns)
        table.add_row(*map(Text, label), *cells, style=style)
    return table


def _share_table(summary: SummaryRecord, gap: int) -> Table:
    from rich.text import Text

    table = _table(gap)
    keys, labels = labels_for(summary.cases)
    for key in keys:
        table.add_column(Text(key), no_wrap=True)
    table.add_column("p50\nµs", justify="right")
    table.add_column("CPU\nns/pkt", justify="right")
    table.add_column("minus")
    for case, label in zip(summary.cases, labels, strict=True):
        if share := case.vnf_share:
            pair = (case, summary.case(share.baseline))
            costs = [each.cost for each in pair if each.cost]
            table.add_row(
                *map(Text, label),
                _difference(microseconds(share.p50_ns), valid=all(each.valid for each in pair)),
                _difference(
                    _whole(share.cpu_ns_per_packet), valid=all(cost.valid for cost in costs)
                ),
                Text(share.baseline),
            )
    return table


def _table(gap: int) -> Table:
    from rich import box
    from rich.table import Table

    # The border between two columns is one blank of the gap.
    return Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, gap - 1), pad_edge=False)


def _indented(text: Text) -> RenderableType:
    from rich.padding import Padding

    return Padding(text, (0, 0, 0, 2), expand=False)


def _complaint(case: CaseRecord) -> RenderableType:
    from rich.text import Text

    hint = f" ({case.error_hint})" if case.error_hint else ""
    style = "red" if case.status == "failed" else "yellow"
    return _indented(
        Text(f"{case.name}: {case.status}: {case.error or 'stopped'}{hint}", style=style)
    )


def _latency(case: CaseRecord, value: Callable[[LatencyRecord], int | None]) -> str:
    text = microseconds(value(case.latency) if case.latency else None)
    return text if case.valid or text == MISSING else f"{INVALID}{text}"


def _wire_trouble(case: CaseRecord) -> str:
    late = sum(trial.wire_late for trial in case.counted_trials)
    unasked = sum(trial.wire_unasked for trial in case.counted_trials)
    parts = {
        f"{grouped(late)} went out more than 100 µs late": late,
        f"{grouped(unasked)} were lost that nobody asked to lose": unasked,
    }
    return " and ".join(text for text, count in parts.items() if count)


def _wholly_valid(case: CaseRecord) -> bool:
    return case.valid and all(
        found.valid for found in (case.throughput, case.cost) if found is not None
    )


def _loss(case: CaseRecord) -> str:
    if not case.trials:
        return MISSING
    if case.lost and case.sent:
        return percent(case.lost / case.sent)
    return f"{case.lost}/{case.sent}"


def _throughput(
    case: CaseRecord, scale: float, value: Callable[[ThroughputRecord], float | None]
) -> str:
    found = case.throughput
    amount = value(found) if found else None
    if found is None or amount is None:
        return MISSING
    limit = "" if found.valid else INVALID
    limit += BENCH_LIMITED if found.bench_limited else ""
    limit += PROBE_LIMITED if found.probe_limited or found.wire_limited else ""
    return f"{limit}{significant(amount / scale)}"


def _cost(case: CaseRecord) -> str:
    text = _whole(case.cost.cpu_ns_per_packet if case.cost else None)
    return text if case.cost is None or case.cost.valid else f"{INVALID}{text}"


def _idle_cpu(case: CaseRecord) -> str:
    ratio = case.idle_cpu_ratio
    if ratio is None:
        return MISSING
    return f"{100 * ratio:.0f}" if not 0 < ratio < 0.0995 else f"{100 * ratio:.1f}"


def _whole(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}".replace(",", " ")


def _difference(text: str, *, valid: bool) -> str:
    if text == MISSING:
        return text
    sign = "" if text.startswith("-") else "+"
    return f"{'' if valid else INVALID}{sign}{text}"
