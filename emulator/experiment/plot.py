"""The picture of a run: the one-way latency of its cases as cumulative distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from emulator.experiment.report import grouped, microseconds, percent, title
from emulator.experiment.samples import latency_ns

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from emulator.experiment.bundle import Bundle

# Okabe and Ito's palette ("Color Universal Design", 2008) without its yellow, which vanishes on
# white: told apart by colour-blind readers, and by the line styles in a black and white print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_STYLES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "solid",
    (0, (6, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_POINTS = 1500
_HEAD_INCHES = 0.5
_INK, _SOFT, _GRID = "#222222", "#5c5c5c", "#dcdcdc"
# To bound a quantile by the maximum at 95 % confidence takes ln(0.05)/ln(q) packets.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Curve:
    """What is drawn of one case.

    Attributes:
        label: the case's name.
        trials_ns: per trial, the latency of each packet that arrived.
        p50_ns: the median given in the table.
        p99_ns: the 99th percentile given in the table; None when not supported.
        loss_ratio: lost packets of those sent.
        valid: whether the generator was left to its work meanwhile.
    """

    label: str
    trials_ns: Sequence[NDArray[np.int64]]
    p50_ns: float | None
    p99_ns: float | None
    loss_ratio: float = 0.0
    valid: bool = True


def draw_bundle(file: BinaryIO, bundle: Bundle) -> None:
    """Draw the picture of a bundle, from its samples.

    Raises:
        ResultsError: a file of samples is missing or broken.
    """
    summary = bundle.summary
    curves = []
    for case in summary.cases:
        if not case.trials:
            continue
        trials_ns = [
            latency_ns(bundle.samples(case.name, trial.number))
            for trial in case.counted_trials
            if trial.samples is not None
        ]
        p50_ns = case.latency.p50_ns if case.latency else None
        p99_ns = case.latency.p99_ns if case.latency else None
        loss_ratio = case.lost / case.sent if case.sent else 0.0
        curves.append(Curve(case.name, trials_ns, p50_ns, p99_ns, loss_ratio, case.valid))
    head, _, rest = title(summary).partition(" · ")
    draw_cdf(file, curves, title=f"{head}: one-way latency", subtitle=rest)


def draw_cdf(file: BinaryIO, curves: Sequence[Curve], *, title: str, subtitle: str) -> None:
    """Draw the cases' distributions over a logarithmic axis in microseconds, as a PNG.

    Of several trials the median curve is drawn, with a band from the lowest to the highest.
    A case of which nothing arrived is named in the legend and not drawn.
    """
    # The object interface and not pyplot: no global state, no display, and the caller's own
    # figures stay as they are.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    texts = [_legend(curve) for curve in curves]
    width, height = _size_inches(texts)
    with rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.edgecolor": _INK,
            # A name may hold a dollar sign, which is no formula.
            "text.parse_math": False,
        }
    ):
        figure = Figure(
            figsize=(width, height),
            dpi=160,
            layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - _HEAD_INCHES / height)),
            facecolor="white",
        )
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for number, (curve, text) in enumerate(zip(curves, texts, strict=True)):
            _draw_curve(axes, curve, text, number)
        _dress(axes, max((len(trial) for curve in curves for trial in curve.trials_ns), default=0))
        left, top = 0.11 / width, 1 - 0.08 / height
        figure.text(left, top, title, weight="bold", size=12.5, va="top", color=_INK)
        figure.text(left, top - 0.24 / height, subtitle, size=9.5, va="top", color=_SOFT)
        figure.savefig(file, format="png")


def _size_inches(texts: Sequence[str]) -> tuple[float, float]:
    """Room for the axes, and for a legend of these texts beside them."""
    lines = [line for text in texts for line in text.split("\n")]
    longest = max((len(line) for line in lines), default=0)
    height = _HEAD_INCHES + 0.5 + 0.17 * (len(lines) + len(texts))
    return 9.0 + 0.09 * max(0, longest - 24), max(5.2, height)


def _draw_curve(axes: Axes, curve: Curve, label: str, number: int) -> None:
    import numpy as np

    look: dict[str, Any] = {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _STYLES[number % len(_STYLES)],
        "linewidth": 2.0,
    }
    trials = [trial for trial in curve.trials_ns if len(trial)]
    if not trials:
        axes.plot([], [], label=label, **look)
        return
    shares, rows_us = _quantiles_us(trials)
    if len(trials) > 1:
        lowest, highest = rows_us.min(axis=0), rows_us.max(axis=0)
        axes.fill_betweenx(shares, lowest, highest, color=look["color"], alpha=0.14, linewidth=0)
    middle_us = np.median(rows_us, axis=0)
    sure = int(np.searchsorted(shares, _supported_share(min(len(trial) for trial in trials))))
    axes.plot(middle_us[:sure], shares[:sure], label=label, zorder=3, **look)
    # Beyond what the sample supports a curve shows single packets, not a property of the path.
    look |= {"linewidth": 1.0, "alpha": 0.6}
    axes.plot(middle_us[sure - 1 :], shares[sure - 1 :], zorder=2, **look)
    for value_ns, share, marker in ((curve.p50_ns, 0.5, "o"), (curve.p99_ns, 0.99, "D")):
        if value_ns is not None:
            axes.plot(
                max(value_ns, 1) / 1000,
                share,
                marker=marker,
                markersize=7 if marker == "o" else 6,
                color=look["color"],
                markeredgecolor="white",
                markeredgewidth=1.2,
                linestyle="none",
                zorder=4,
            )


def _quantiles_us(
    trials: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the packets and, a row per trial, the latency in µs within which they arrived.

    A picture cannot show every one of a million packets; the last ones are all drawn, up to the
    slowest, which ends the curve.
    """
    import numpy as np

    # Half a packet short of all of them, where the slowest one stands: a whole has no place on an
    # axis of nines.
    last = 0.5 / max(len(trial) for trial in trials)
    shares = 1 - np.geomspace(1, last, _POINTS)
    rows = np.asarray(
        [np.quantile(trial, shares, method="inverted_cdf") for trial in trials], dtype=np.float64
    )
    # A logarithmic axis has no place for 0; a nanosecond is the resolution of the clock.
    return shares, np.maximum(rows, 1.0) / 1000


def _supported_share(packets: int) -> float:
    """The highest quantile that so many packets bound by their maximum at 95 % confidence."""
    return float((1 - _CONFIDENCE) ** (1 / packets))


def _legend(curve: Curve) -> str:
    label = curve.label if len(curve.label) <= 32 else curve.label.replace(",", ",\n")
    if label.startswith("_"):
        # Such labels are kept out of a legend.
        label = f" {label}"
    if not any(len(trial) for trial in curve.trials_ns):
        return f"{label}\nnothing arrived"
    text = f"{label}\np50 {microseconds(curve.p50_ns)} · p99 {microseconds(curve.p99_ns)} µs"
    if curve.loss_ratio:
        text += f"\nlost {percent(curve.loss_ratio)}"
    return text if curve.valid else f"{text}\n‡ invalid: generator disturbed"


def _dress(axes: Axes, packets: int) -> None:
    """Axes on which the tail is as easy to read as the median: each further nine of the share takes
    the same height."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

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
    axes.set_xscale("log")
    if not packets:
        axes.set_xlim(0.1, 100)
    lowest_us, highest_us = axes.get_xlim()
    narrow = highest_us / lowest_us < 5000
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axes.xaxis.set_minor_locator(LogLocator(base=10, subs=tuple(range(1, 10)), numticks=99))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: grouped(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("one-way latency in µs: received − intended send time", color=_INK)
    axes.set_ylabel("share of the packets that arrived within", color=_INK)
    axes.grid(True, which="major", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=_SOFT, labelcolor=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not axes.lines:
        return
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        frameon=False,
        labelspacing=1.2,
        handlelength=2.8,
        title="● p50    ◆ p99    end: slowest packet",
        title_fontproperties={"size": 9},
        alignment="left",
    )
