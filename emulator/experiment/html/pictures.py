"""The figures of a report: which ones there are for a bundle, in the order to look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from emulator.errors import ResultsError
from emulator.experiment.canvas import WIDTH, Picture
from emulator.experiment.html import draw
from emulator.experiment.html.envelope import read_envelope
from emulator.experiment.html.network import networks
from emulator.experiment.plot import curve_of
from emulator.experiment.sections.table import labels_for
from emulator.experiment.words import frames_text, microseconds, percent, rate

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle
    from emulator.experiment.records import CaseRecord, SummaryRecord

_SLOTS = 600
_MOST_LINES, _MOST_PANELS, _MOST_BARS = 7, 6, 16

Item = TypeVar("Item")


class Gallery:
    """The pictures of a bundle, by the part of the report that they belong to.

    Attributes:
        missing: which pictures there are none of, and why, a line each.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._summary = bundle.summary
        self.missing: list[str] = []
        self.by_part: dict[str, list[Picture]] = {
            "latency": [*self._cdfs(), *self._timelines()],
            "throughput": [*self._rates(), *self._sizes()],
            "loaded": list(self._loaded()),
            "hops": list(self._hops()),
            "cost": list(self._costs()),
            "sla": list(self._runs()),
            "soak": list(self._soaks()),
            "network": list(self._networks()),
        }

    def __iter__(self) -> Iterator[Picture]:
        for pictures in self.by_part.values():
            yield from pictures

    def _cdfs(self) -> Iterator[Picture]:
        curves = []
        for case in self._summary.cases:
            if case.trials:
                try:
                    curves.append(curve_of(self._bundle, case))
                except ResultsError as error:
                    self.missing.append(f"{case.name}: no distribution of delays: {error}")
        for name, title, some in _parts(curves, _MOST_LINES, "latency-cdf", "Latency distribution"):
            told = "; ".join(
                f"{curve.label}: p50 {microseconds(curve.p50_ns)} µs, "
                f"p99 {microseconds(curve.p99_ns)} µs"
                for curve in some
            )
            yield Picture(
                name,
                title,
                f"Cumulative distributions of the latency on a logarithmic axis. {told}.",
                "Each further nine of the share takes the same height. ● p50, ◆ p99; the thin end "
                "shows single packets, more than the sample can vouch for. Bands: all rounds.",
                WIDTH,
                3.6 + 0.22 * len(some),
                partial(draw.distributions, curves=some),
            )

    def _timelines(self) -> Iterator[Picture]:
        panels = []
        for case in self._summary.cases:
            trials = [trial for trial in case.counted_trials if trial.samples is not None]
            found = []
            for trial in trials:
                try:
                    path = self._bundle.folder / str(trial.samples)
                    found.append(read_envelope(path, max(100, _SLOTS // len(trials))))
                except ResultsError as error:
                    self.missing.append(f"{case.name}: nothing over time: {error}")
            if found:
                panels.append((case.name, found))
        for name, title, some in _parts(panels, _MOST_PANELS, "latency-time", "Latency over time"):
            told = "; ".join(
                f"{label}: {sum(each.packets for each in found)} packets, "
                f"{sum(int(each.lost.sum()) for each in found)} lost"
                for label, found in some
            )
            yield Picture(
                name,
                title,
                f"Delay of each packet over time, one panel per case. {told}.",
                "The area is from the fastest packet to the slowest, so no packet is left out; the "
                "line is the median; ▾ at the top: packets were lost. Rounds follow each other.",
                WIDTH,
                0.7 + 1.35 * len(some),
                partial(draw.timelines, panels=some),
            )

    def _rates(self) -> Iterator[Picture]:
        if _sizes_of(self._summary):
            return
        cases = [case for case in self._summary.cases if case.throughput]
        yield from _bars(
            cases,
            "throughput",
            "Throughput",
            lambda case: (
                rate(found)
                if case.throughput and (found := case.throughput.rate_pps) is not None
                else "none"
            ),
            "The highest rate that met the goal. Lines: intervals; hatched: limited by the bench "
            "or the probe, so the path may do more; grey: invalid.",
            draw.rates,
        )

    def _sizes(self) -> Iterator[Picture]:
        if not _sizes_of(self._summary):
            return
        lines: dict[str, list[CaseRecord]] = {}
        for case in self._summary.cases:
            if case.throughput and case.traffic:
                others = {key: value for key, value in case.varied.items() if key != "size"}
                label = ",".join(map("=".join, others.items())) or self._summary.topology
                lines.setdefault(label, []).append(case)
        parts = _parts(
            list(lines.items()), _MOST_LINES, "throughput-size", "Throughput by frame size"
        )
        for name, title, some in parts:
            told = "; ".join(
                f"{label}: "
                + ", ".join(
                    f"{frames_text(case.traffic.frames)} {rate(case.throughput.rate_pps)}"
                    for case in cases
                    if case.traffic and case.throughput and case.throughput.rate_pps
                )
                for label, cases in some
            )
            yield Picture(
                name,
                title,
                f"Lines of packets and of bits per second over the size of frames. {told}.",
                "Above in packets per second, below in bits per second of frames.",
                WIDTH,
                4.6 + 0.22 * len(some),
                partial(draw.sizes, lines=some),
            )

    def _loaded(self) -> Iterator[Picture]:
        cases = [case for case in self._summary.cases if case.loaded and case.loaded.points]
        for name, title, some in _parts(cases, _MOST_LINES, "latency-load", "Latency under load"):
            told = "; ".join(
                f"{case.name}: "
                + ", ".join(
                    f"{100 * point.load_ratio:g} % load p50 {microseconds(point.latency.p50_ns)} µs"
                    for point in (case.loaded.points if case.loaded else ())
                )
                for case in some
            )
            yield Picture(
                name,
                title,
                f"Lines of the latency over the load of the path. {told}.",
                "● p50, ◇ p99. The load is in percent of the rate that was found first.",
                WIDTH,
                3.3 + 0.22 * len(some),
                partial(draw.loaded, cases=some),
            )

    def _hops(self) -> Iterator[Picture]:
        yield from _bars(
            [case for case in self._summary.cases if case.hops and case.hops.segments],
            "hops",
            "Where the time goes",
            lambda case: ", ".join(
                f"{segment.name} {microseconds(segment.mean_ns)} µs ({percent(segment.share)})"
                for segment in (case.hops.segments if case.hops else ())
            ),
            "The mean one-way delay, split along the way from left to right.",
            draw.hops,
        )

    def _costs(self) -> Iterator[Picture]:
        yield from _bars(
            [case for case in self._summary.cases if case.cost],
            "cost",
            "CPU time per packet",
            lambda case: f"{case.cost.cpu_ns_per_packet:.0f} ns" if case.cost else "none",
            "Of the whole path at full load; generator and receiver are part of it. Grey: invalid.",
            draw.costs,
        )

    def _runs(self) -> Iterator[Picture]:
        verdicts = [
            (f"{case.name}: {found.profile}", found)
            for case in self._summary.cases
            for found in case.sla
            if found.run_lengths
        ]
        for name, title, some in _parts(verdicts, _MOST_PANELS, "sla-runs", "Misses in a row"):
            told = "; ".join(
                f"{label}: {found.misses} misses, the longest run {found.longest_run}"
                for label, found in some
            )
            yield Picture(
                name,
                title,
                f"Histograms of how many misses came in a row. {told}.",
                "A miss is a packet that was lost or late. The dashed line: as many in a row as "
                "the profile allows.",
                WIDTH,
                0.6 + 1.5 * len(some),
                partial(draw.runs, verdicts=some),
            )

    def _soaks(self) -> Iterator[Picture]:
        soaks = [
            (case.name, case.soak)
            for case in self._summary.cases
            if case.soak and case.soak.intervals
        ]
        for name, title, some in _parts(soaks, _MOST_PANELS, "soak", "Soak"):
            told = "; ".join(
                f"{label}: {found.bad_intervals} of {len(found.intervals)} intervals bad"
                for label, found in some
            )
            yield Picture(
                name,
                title,
                f"Latency and loss of each interval over time. {told}.",
                "From bold to faint: p50, p99, largest delay of each interval. ▾: it lost more "
                "than allowed.",
                WIDTH,
                0.7 + 1.5 * len(some),
                partial(draw.soaks, soaks=some),
            )

    def _networks(self) -> Iterator[Picture]:
        found, missing = networks(self._bundle)
        self.missing += missing
        yield from found


def _sizes_of(summary: SummaryRecord) -> bool:
    """Whether throughput is known for several frame sizes."""
    sizes = {case.traffic.frames for case in summary.cases if case.traffic and case.throughput}
    return len(sizes) > 1


def _bars(
    cases: Sequence[CaseRecord],
    name: str,
    title: str,
    tell: Callable[[CaseRecord], str],
    caption: str,
    drawing: Callable[..., None],
) -> Iterator[Picture]:
    """Pictures with a bar for each case."""
    if not cases:
        return
    _, cells = labels_for(cases)
    labelled = [(", ".join(label), case) for label, case in zip(cells, cases, strict=True)]
    for each, heading, some in _parts(labelled, _MOST_BARS, name, title):
        told = "; ".join(f"{label}: {tell(case)}" for label, case in some)
        height = 1.0 + 0.42 * len(some)
        alt = f"Bars, one per case. {told}."
        yield Picture(each, heading, alt, caption, WIDTH, height, partial(drawing, cases=some))


def _parts(
    items: Sequence[Item], most: int, name: str, title: str
) -> Iterator[tuple[str, str, Sequence[Item]]]:
    """More than can be told apart in one picture are shown in several of them."""
    count = -(-len(items) // most)
    for number in range(count):
        # Of about the same size each.
        some = items[number * len(items) // count : (number + 1) * len(items) // count]
        if count == 1:
            yield name, title, some
        else:
            yield f"{name}-{number + 1}", f"{title} ({number + 1} of {count})", some
