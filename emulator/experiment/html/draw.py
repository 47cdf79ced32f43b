"""How each figure of a report is drawn. Every function fills an empty figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.experiment.canvas import (
    COLOURS,
    GRID,
    INK,
    PAPER,
    SOFT,
    legend_text,
    logarithmic,
    look,
    plain,
)
from emulator.experiment.plot import Curve, draw_curves
from emulator.experiment.words import grouped, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emulator.experiment.html.envelope import Envelope
    from emulator.experiment.measured import IntervalRecord
    from emulator.experiment.measured_verdicts import SlaRecord, SoakRecord
    from emulator.experiment.records import CaseRecord

_BAR = 0.62
_LABEL = 30
_NARROW = 0.12
"""A part of a bar with less than this share of the longest has no room for its name."""
_KINDS = {"link": COLOURS[0], "queue": COLOURS[5], "vnf": COLOURS[2], "end": COLOURS[3]}
_KIND_NAMES = {"link": "link", "queue": "queue", "vnf": "VNF", "end": "end host"}


def distributions(figure: Figure, *, curves: Sequence[Curve]) -> None:
    """Cumulative distributions of delays."""
    axes = figure.add_subplot()
    draw_curves(axes, curves, [_named(curve.label) for curve in curves])
    axes.set_ylabel("share that arrived within", color=INK)
    axes.set_xlabel("latency in µs", color=INK)
    _legend(figure, axes)


def timelines(figure: Figure, *, panels: Sequence[tuple[str, Sequence[Envelope]]]) -> None:
    """Delays over time, a panel for each case; its rounds one after the other."""
    import numpy as np

    longest_s = 0.0
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for number, (label, rounds) in enumerate(panels):
        axes = grid[number, 0]
        colour = COLOURS[number % len(COLOURS)]
        begin_s = 0.0
        for found in rounds:
            time_s = begin_s + found.time_s
            # A logarithmic axis has no place for 0; a nanosecond is the resolution of the clock.
            low, middle, high = (
                np.maximum(each, 1) / 1000
                for each in (found.low_ns, found.middle_ns, found.high_ns)
            )
            axes.fill_between(time_s, low, high, color=colour, alpha=0.35, linewidth=0)
            axes.plot(time_s, middle, color=colour, linewidth=1.2)
            lossy = time_s[found.lost > 0]
            _mark(axes, lossy.tolist())
            if begin_s:
                axes.axvline(begin_s, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
            begin_s += found.length_s
        axes.set_title(_named(label), fontsize=9, loc="left", color=INK)
        plain(axes)
        longest_s = max(longest_s, begin_s)
        logarithmic(axes, "y")
    figure.supylabel("latency in µs", fontsize=10, color=INK)
    grid[-1, 0].set_xlim(0, longest_s or 1)
    grid[-1, 0].set_xlabel("seconds", color=INK)


def rates(figure: Figure, *, cases: Sequence[tuple[str, CaseRecord]]) -> None:
    """Throughput, a bar for each case."""
    axes = _bar_axes(figure, [label for label, _ in cases])
    for place, (_, case) in enumerate(cases):
        found = case.throughput
        if found is None or found.rate_pps is None:
            axes.annotate("no rate met the goal", (0, place), **_BESIDE)
            continue
        limited = found.bench_limited or found.probe_limited or found.wire_limited
        value = found.rate_pps / 1e6
        _bar(axes, place, value, hatch="////" if limited else None, valid=found.valid)
        end = _interval(axes, place, value, found.interval, per=1e6)
        axes.annotate(f"{'≥ ' if limited else ''}{significant(value)}", (end, place), **_BESIDE)
    axes.set_xlabel("million packets per second", color=INK)
    _room_for_numbers(axes)


def costs(figure: Figure, *, cases: Sequence[tuple[str, CaseRecord]]) -> None:
    """CPU time per packet, a bar for each case: processes of VNFs, and all else."""
    axes = _bar_axes(figure, [label for label, _ in cases])
    parts = False
    for place, (_, case) in enumerate(cases):
        cost = case.cost
        if cost is None:
            continue
        whole = cost.cpu_ns_per_packet
        vnfs = min(whole, cost.process_cpu_ns_per_packet)
        _bar(axes, place, whole - vnfs, valid=cost.valid)
        if vnfs:
            parts = True
            _bar(axes, place, vnfs, left=whole - vnfs, colour=COLOURS[2], valid=cost.valid)
        end = _interval(axes, place, whole, cost.interval)
        axes.annotate(grouped(round(whole)), (end, place), **_BESIDE)
    axes.set_xlabel("CPU-ns per packet", color=INK)
    _room_for_numbers(axes)
    if parts:
        _kinds_legend(figure, {"kernel and probe": COLOURS[0], "processes of VNFs": COLOURS[2]})


def _interval(
    axes: Axes, place: int, value: float, interval: IntervalRecord | None, *, per: float = 1.0
) -> float:
    """Draw the interval of a bar's value; returns where the mark that reaches farthest ends."""
    if interval is None:
        return value
    ends = interval.low / per, interval.high / per
    axes.plot(ends, (place, place), color=INK, linewidth=1.6, marker="|", markersize=7)
    return max(value, ends[1])


def hops(figure: Figure, *, cases: Sequence[tuple[str, CaseRecord]]) -> None:
    """The parts of the mean delay, a bar for each case."""
    axes = _bar_axes(figure, [label for label, _ in cases])
    segments = [case.hops.segments if case.hops else () for _, case in cases]
    longest_us = max(sum(each.mean_ns for each in some) for some in segments) / 1000 or 1
    for place, some in enumerate(segments):
        left = 0.0
        for segment in some:
            value = segment.mean_ns / 1000
            _bar(axes, place, value, left=left, colour=_KINDS[segment.kind])
            if value > _NARROW * longest_us:
                axes.text(
                    left + value / 2,
                    place,
                    significant(value),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=INK,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
                )
            left += value
    kinds = {segment.kind for some in segments for segment in some}
    _kinds_legend(figure, {_KIND_NAMES[kind]: _KINDS[kind] for kind in _KINDS if kind in kinds})
    axes.set_xlabel("µs, one-way", color=INK)


def sizes(figure: Figure, *, lines: Sequence[tuple[str, Sequence[CaseRecord]]]) -> None:
    """Throughput over the size of frames: in packets above, in bits below."""
    upper, lower = figure.subplots(2, 1, sharex=True)
    known: dict[float, str] = {}
    for number, (label, cases) in enumerate(lines):
        points = sorted(
            (
                (case.traffic.mean_frame_bytes, case.traffic.frames, case.throughput)
                for case in cases
                if case.traffic and case.throughput and case.throughput.rate_pps is not None
            ),
            key=lambda point: point[0],
        )
        places = [place for place, _, _ in points]
        known.update((place, name) for place, name, _ in points)
        style: dict[str, Any] = {**look(number), "marker": "o", "markersize": 4.5}
        packets = [(found.rate_pps or 0) / 1e6 for _, _, found in points]
        upper.plot(places, packets, label=_named(label), **style)
        lower.plot(places, [(found.rate_bps or 0) / 1e9 for _, _, found in points], **style)
        for place, _, found in points:
            if found.interval is not None:
                ends = (found.interval.low / 1e6, found.interval.high / 1e6)
                upper.plot((place, place), ends, color=style["color"], linewidth=1.4)
    for axes, unit in ((upper, "Mpps"), (lower, "Gbit/s")):
        plain(axes)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit, color=INK)
    lower.set_xlabel("frame size in bytes, with FCS", color=INK)
    places, names = list(known), [_size_name(known[place], place) for place in known]
    lower.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    _legend(figure, upper)


def _size_name(name: str, mean_bytes: float) -> str:
    return name if name.isdigit() else f"{name} (mean {mean_bytes:.0f})"


def loaded(figure: Figure, *, cases: Sequence[CaseRecord]) -> None:
    """Median and 99th percentile over the load."""
    axes = figure.add_subplot()
    loads: set[float] = set()
    for number, case in enumerate(cases):
        points = case.loaded.points if case.loaded else ()
        loads |= {100 * point.load_ratio for point in points}
        style = look(number)
        for tail in (False, True):
            known = [
                (100 * point.load_ratio, value / 1000)
                for point in points
                if (value := point.latency.p99_ns if tail else point.latency.p50_ns) is not None
            ]
            axes.plot(
                [load for load, _ in known],
                [value for _, value in known],
                label=None if tail else _named(case.name),
                **(style | ({"linewidth": 0.9} if tail else {"linewidth": 2.0})),
                marker="D" if tail else "o",
                markersize=5,
                markerfacecolor=PAPER if tail else style["color"],
            )
    plain(axes)
    axes.set_xticks(sorted(loads))
    logarithmic(axes, "y")
    axes.set_xlabel("load in % of the rate found", color=INK)
    axes.set_ylabel("latency in µs", color=INK)
    _legend(figure, axes)


def runs(figure: Figure, *, verdicts: Sequence[tuple[str, SlaRecord]]) -> None:
    """How often so many misses came in a row, a panel for each verdict."""
    from matplotlib.ticker import MaxNLocator

    grid = figure.subplots(len(verdicts), 1, squeeze=False)
    for number, (label, found) in enumerate(verdicts):
        axes = grid[number, 0]
        lengths = sorted(found.run_lengths)
        counts = [found.run_lengths[length] for length in lengths]
        colour = COLOURS[1] if found.verdict == "fail" else COLOURS[0]
        axes.vlines(lengths, 0.5, counts, color=colour, linewidth=5)
        allowed = found.consecutive_misses_allowed
        if allowed is not None:
            axes.axvline(allowed + 0.5, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set_title(f"{_named(label)}: {found.verdict}", fontsize=9, loc="left", color=INK)
        plain(axes)
        axes.set_ylim(0.5, max(counts) * 2)
        logarithmic(axes, "y")
        longest = max(lengths[-1], (allowed or 0) + 1)
        if longest > 50:
            axes.set_xlim(0.7, longest * 1.3)
            logarithmic(axes, "x")
        else:
            axes.set_xlim(0.3, longest + 0.7)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel("how often", fontsize=10, color=INK)
    grid[-1, 0].set_xlabel("misses in a row", color=INK)


def soaks(figure: Figure, *, soaks: Sequence[tuple[str, SoakRecord]]) -> None:
    """Latency of each interval over time, a panel for each case."""
    grid = figure.subplots(len(soaks), 1, sharex=True, squeeze=False)
    for number, (label, found) in enumerate(soaks):
        axes = grid[number, 0]
        colour = COLOURS[number % len(COLOURS)]
        for field, alpha in (("p50_ns", 1.0), ("p99_ns", 0.65), ("max_ns", 0.35)):
            known = [
                (each.start_s, value / 1000)
                for each in found.intervals
                if (value := getattr(each, field)) is not None
            ]
            axes.step(
                [time_s for time_s, _ in known],
                [value for _, value in known],
                where="post",
                color=colour,
                alpha=alpha,
                linewidth=1.6,
            )
        bad = [
            each.start_s + found.interval_s / 2
            for each in found.intervals
            if each.sent and each.lost / each.sent > found.loss_goal
        ]
        _mark(axes, bad)
        axes.set_title(_named(label), fontsize=9, loc="left", color=INK)
        plain(axes)
        logarithmic(axes, "y")
    figure.supylabel("latency in µs", fontsize=10, color=INK)
    ends_s = [found.intervals[-1].start_s + found.interval_s for _, found in soaks]
    grid[-1, 0].set_xlim(0, max(ends_s))
    grid[-1, 0].set_xlabel("seconds", color=INK)


def _mark(axes: Axes, places: Sequence[float]) -> None:
    """Marks at the top of axes."""
    (marks,) = axes.plot(
        places,
        [1] * len(places),
        linestyle="none",
        marker="v",
        markersize=4,
        color=INK,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )
    # They stand on the edge, and where there are none the layout takes them to be in the corner.
    marks.set_in_layout(False)


_BESIDE: dict[str, Any] = {
    "xytext": (5, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 9,
    "color": INK,
}


def _bar_axes(figure: Figure, labels: Sequence[str]) -> Axes:
    """Axes for horizontal bars, the first one on top."""
    axes = figure.add_subplot()
    plain(axes)
    axes.grid(False, axis="y")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [_named(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    return axes


def _bar(
    axes: Axes,
    place: float,
    value: float,
    *,
    left: float = 0.0,
    colour: str = COLOURS[0],
    hatch: str | None = None,
    valid: bool = True,
) -> None:
    axes.barh(
        place,
        value,
        _BAR,
        left=left,
        color=colour if valid else GRID,
        edgecolor=PAPER if valid else colour,
        linewidth=0.8,
        hatch=hatch,
    )


def _room_for_numbers(axes: Axes) -> None:
    axes.set_xlim(0, (axes.get_xlim()[1] or 1) * 1.18)


def _kinds_legend(figure: Figure, kinds: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for name, colour in kinds.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=9)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        longest = max(len(line) for label in labels for line in label.split("\n"))
        columns = 2 if longest <= 22 and len(labels) > 2 else 1
        figure.legend(
            handles, labels, loc="outside lower left", ncols=columns, fontsize=9, handlelength=2.8
        )


def _named(label: str) -> str:
    text = legend_text(label, _LABEL)
    # What no comma divides is cut, in the figure only: the tables have all of it.
    return "\n".join(
        line if len(line) <= _LABEL + 4 else f"{line[: _LABEL + 3]}…" for line in text.split("\n")
    )
