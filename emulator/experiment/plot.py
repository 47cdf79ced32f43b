"""The picture of a run: the one-way latency of its cases as cumulative distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from emulator.experiment.canvas import (
    INK,
    PAPER,
    SOFT,
    canvas,
    legend_text,
    logarithmic,
    look,
    plain,
)
from emulator.experiment.distribution import Distribution, supported_share
from emulator.experiment.report_notes import title
from emulator.experiment.samples import latency_ns
from emulator.experiment.words import microseconds, percent

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from emulator.experiment.bundle import Bundle
    from emulator.experiment.measured import TrialRecord
    from emulator.experiment.records import CaseRecord

_POINTS = 700
_HEAD_INCHES = 0.5


@dataclass(frozen=True)
class Curve:
    """What is drawn of one case.

    Attributes:
        label: the case's name.
        trials: per trial, the latency of the packets that arrived.
        p50_ns: the median given in the table.
        p99_ns: the 99th percentile given in the table; None when not supported.
        loss_ratio: lost packets of those sent.
        valid: whether the generator was left to its work meanwhile.
    """

    label: str
    trials: Sequence[Distribution]
    p50_ns: float | None
    p99_ns: float | None
    loss_ratio: float = 0.0
    valid: bool = True


def draw_bundle(file: BinaryIO, bundle: Bundle) -> None:
    """Draw the picture of a bundle, from its histograms, or its samples where there are none.

    Raises:
        ResultsError: a file of samples is missing or broken.
    """
    way = "round-trip" if bundle.summary.round_trip else "one-way"
    head, _, rest = title(bundle.summary).partition(" · ")
    curves = [curve_of(bundle, case) for case in bundle.summary.cases if case.trials]
    draw_cdf(file, curves, title=f"{head}: {way} latency", subtitle=rest)


def curve_of(bundle: Bundle, case: CaseRecord) -> Curve:
    """What is drawn of a case with latency trials.

    Raises:
        ResultsError: a file of samples, or a histogram, is missing or broken.
    """
    trials = [found for each in case.counted_trials if (found := _trial(bundle, case, each))]
    return Curve(
        case.name,
        trials,
        p50_ns=case.latency.p50_ns if case.latency else None,
        p99_ns=case.latency.p99_ns if case.latency else None,
        loss_ratio=case.lost / case.sent if case.sent else 0.0,
        valid=case.valid,
    )


def _trial(bundle: Bundle, case: CaseRecord, trial: TrialRecord) -> Distribution | None:
    if trial.histogram is not None:
        return Distribution.from_histogram(trial.histogram, where=str(bundle.folder))
    if trial.samples is None:
        return None
    return Distribution.of(latency_ns(bundle.samples(case.name, trial.number)))


def draw_cdf(file: BinaryIO, curves: Sequence[Curve], *, title: str, subtitle: str) -> None:
    """Draw the cases' distributions over a logarithmic axis in microseconds, as a PNG.

    Of several trials the median curve is drawn, with a band from the lowest to the highest.
    A case of which nothing arrived is named in the legend and not drawn.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    texts = [_legend(curve) for curve in curves]
    width, height = _size_inches(texts)
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - _HEAD_INCHES / height))
    with canvas(width, height, layout=layout) as figure:
        axes = figure.add_subplot()
        draw_curves(axes, curves, texts)
        if axes.lines:
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(1.02, 1.0),
                borderaxespad=0,
                labelspacing=1.2,
                handlelength=2.8,
                title="● p50    ◆ p99    end: slowest packet",
                title_fontproperties={"size": 9},
                alignment="left",
            )
        left, top = 0.11 / width, 1 - 0.08 / height
        figure.text(left, top, title, weight="bold", size=12.5, va="top", color=INK)
        figure.text(left, top - 0.24 / height, subtitle, size=9.5, va="top", color=SOFT)
        figure.savefig(file, format="png")


def draw_curves(axes: Axes, curves: Sequence[Curve], labels: Sequence[str]) -> None:
    """Draw distributions on axes, each named by its label."""
    for number, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        _draw_curve(axes, curve, label, number)
    _dress(axes, max((trial.total for curve in curves for trial in curve.trials), default=0))


def _size_inches(texts: Sequence[str]) -> tuple[float, float]:
    """Room for the axes, and for a legend of these texts beside them."""
    lines = [line for text in texts for line in text.split("\n")]
    longest = max((len(line) for line in lines), default=0)
    height = _HEAD_INCHES + 0.5 + 0.17 * (len(lines) + len(texts))
    return 9.0 + 0.09 * max(0, longest - 24), max(5.2, height)


def _draw_curve(axes: Axes, curve: Curve, label: str, number: int) -> None:
    import numpy as np

    style: dict[str, Any] = {**look(number), "linewidth": 2.0}
    trials = [trial for trial in curve.trials if trial.total]
    if not trials:
        axes.plot([], [], label=label, **style)
        return
    shares, rows_us = _quantiles_us(trials)
    if len(trials) > 1:
        lowest, highest = rows_us.min(axis=0), rows_us.max(axis=0)
        axes.fill_betweenx(shares, lowest, highest, color=style["color"], alpha=0.14, linewidth=0)
    middle_us = np.median(rows_us, axis=0)
    sure = int(np.searchsorted(shares, supported_share(min(trial.total for trial in trials))))
    axes.plot(middle_us[:sure], shares[:sure], label=label, zorder=3, **style)
    # Beyond what the sample supports a curve shows single packets, not a property of the path.
    style |= {"linewidth": 1.0, "alpha": 0.6}
    axes.plot(middle_us[sure - 1 :], shares[sure - 1 :], zorder=2, **style)
    for value_ns, share, marker in ((curve.p50_ns, 0.5, "o"), (curve.p99_ns, 0.99, "D")):
        if value_ns is not None:
            axes.plot(
                max(value_ns, 1) / 1000,
                share,
                marker=marker,
                markersize=7 if marker == "o" else 6,
                color=style["color"],
                markeredgecolor=PAPER,
                markeredgewidth=1.2,
                linestyle="none",
                zorder=4,
            )


def _quantiles_us(
    trials: Sequence[Distribution],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the packets and, a row per trial, the latency in µs within which they arrived.

    A picture cannot show every one of a million packets; the last ones are all drawn, up to the
    slowest, which ends the curve.
    """
    import numpy as np

    # Half a packet short of all of them, where the slowest one stands: a whole has no place on an
    # axis of nines.
    last = 0.5 / max(trial.total for trial in trials)
    shares = 1 - np.geomspace(1, last, _POINTS)
    rows = np.asarray([trial.quantiles_ns(shares) for trial in trials], dtype=np.float64)
    # A logarithmic axis has no place for 0; a nanosecond is the resolution of the clock.
    return shares, np.maximum(rows, 1.0) / 1000


def _legend(curve: Curve) -> str:
    label = legend_text(curve.label)
    if not any(trial.total for trial in curve.trials):
        return f"{label}\nnothing arrived"
    text = f"{label}\np50 {microseconds(curve.p50_ns)} · p99 {microseconds(curve.p99_ns)} µs"
    if curve.loss_ratio:
        text += f"\nlost {percent(curve.loss_ratio)}"
    return text if curve.valid else f"{text}\n‡ invalid: generator disturbed"


def _dress(axes: Axes, packets: int) -> None:
    """Axes on which the tail is as easy to read as the median: each further nine of the share takes
    the same height."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.set_yscale(
        "function",
        functions=(
            lambda share: -np.log10(np.maximum(1 - share, 1e-12)),
            lambda nines: 1 - 10.0**-nines,
        ),
    )
    top = max(2.3, np.log10(2 * max(packets, 1)) + 0.12)
    axes.set_ylim(0, 1 - 10**-top)
    ticks = [0.0, 0.5, 0.9, *(1 - 10.0**-nines for nines in range(2, int(top) + 1))]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:.8g} %"))
    if not packets:
        axes.set_xlim(0.1, 100)
    logarithmic(axes, "x")
    axes.set_xlabel("latency in µs: received − intended send time", color=INK)
    axes.set_ylabel("share of the packets that arrived within", color=INK)
    plain(axes)
