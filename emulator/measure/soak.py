"""Soak: a constant load for a long time, and what becomes of a path meanwhile.

A long trial is cut into intervals, such as of one second. Each is judged by itself; together they
show outages, and whether latency drifts, as it does where memory leaks, a table fills or a machine
gets hot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from emulator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Violation = Literal["loss", "p99"]
Direction = Literal["rising", "falling", "steady"]

POINTS_NEEDED = 10
"""Of fewer intervals the spread of slopes says too little to call anything a trend."""

_POINTS_MOST = 1000
"""Their slopes are 0.5 million; more points are first gathered into so many medians."""
_NORMAL_975 = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""
_VALID_RATIO = 0.95


@dataclass(frozen=True)
class SoakInterval:
    """A part of a long trial.

    Attributes:
        start_s: since the trial began.
        duration_s: how long it is.
        sent, lost: packets; those sent in it, and of these those that never arrived.
        unsent: packets that the generator could not send in time.
        p50_ns, p99_ns, max_ns: of the delays of its packets; None: not measured, or too few.
        valid: whether generator and receiver were left to their work.
    """

    start_s: float
    duration_s: float
    sent: int
    lost: int
    unsent: int = 0
    p50_ns: int | None = None
    p99_ns: int | None = None
    max_ns: int | None = None
    valid: bool = True

    @property
    def loss_ratio(self) -> float:
        """Lost packets per packet sent; 0 where nothing was sent."""
        return self.lost / self.sent if self.sent else 0.0


@dataclass(frozen=True)
class SoakLimits:
    """What is allowed.

    Attributes:
        loss_ratio: of an interval, the most that may be lost.
        p99_ns: of an interval, the highest 99th percentile of delay; None: any.
        drift_ratio: by how much the median delay may rise from begin to end, as a share of itself;
            None: by any.

    Raises:
        UsageError: a value makes no sense.
    """

    loss_ratio: float = 0.001
    p99_ns: int | None = None
    drift_ratio: float | None = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.loss_ratio < 1:
            raise UsageError(
                f"a loss of {self.loss_ratio} is no limit", hint="it is a ratio from 0 to below 1"
            )
        if self.p99_ns is not None and self.p99_ns <= 0:
            raise UsageError(f"a delay of {self.p99_ns} ns is no limit", hint="above 0")
        if self.drift_ratio is not None and not self.drift_ratio > 0:
            raise UsageError(f"a drift of {self.drift_ratio} is no limit", hint="such as 0.1")

    def violated_by(self, interval: SoakInterval) -> tuple[Violation, ...]:
        """What an interval violates."""
        found: list[Violation] = []
        if interval.loss_ratio > self.loss_ratio:
            found.append("loss")
        limit_ns = math.inf if self.p99_ns is None else self.p99_ns
        if interval.p99_ns is not None and interval.p99_ns > limit_ns:
            found.append("p99")
        return tuple(found)


@dataclass(frozen=True)
class Outage:
    """Intervals in a row that each lost more than is allowed.

    Attributes:
        first: the number of the first of them, from 0; ``start_s`` when it began.
        span_s: how long they are together: what is known of the length of the outage.
        lost: packets.
        dead_s: how long the path would have been dead, if it had carried all the rest: lost packets
            by the rate of sending, as RFC 6201 computes the time of a reset from lost frames.
    """

    first: int
    start_s: float
    span_s: float
    lost: int
    dead_s: float


@dataclass(frozen=True)
class Trend:
    """How a value moves with time.

    Attributes:
        slope_per_s: the median of the slopes between all pairs of points (H. Theil, 1950).
        low_per_s, high_per_s: its 95 % interval (P. K. Sen, "Estimates of the Regression
            Coefficient Based on Kendall's Tau", JASA 63(324), 1968). It takes points for
            independent of each other; where they are not, it is too narrow.
        change: the slope times the time between the first point and the last.
        change_ratio: that as a share of the median of the points; None: that is 0.
    """

    slope_per_s: float
    low_per_s: float
    high_per_s: float
    change: float
    change_ratio: float | None

    def direction(self, least_ratio: float) -> Direction:
        """Where it goes: neither is noise called a trend, nor what is too little to matter."""
        if self.change_ratio is None or abs(self.change_ratio) <= least_ratio:
            return "steady"
        if self.low_per_s > 0:
            return "rising"
        return "falling" if self.high_per_s < 0 else "steady"


@dataclass(frozen=True)
class SoakResult:
    """What a soak showed.

    Attributes:
        intervals: in order of time.
        violations: of each interval what it violates; of one that is not valid nothing, for what
            happened in it may be the bench's doing.
        outages: in order of time.
        trend: of the medians of delay; None: there are too few of them.
        direction: where the trend goes; None: as before.
        verdict: ``pass``, ``fail``, or ``unknown`` where nothing was violated, but more than one
            interval in twenty is not valid, or there is none.
        reason: why, in one line.
    """

    intervals: tuple[SoakInterval, ...]
    violations: tuple[tuple[Violation, ...], ...]
    outages: tuple[Outage, ...]
    trend: Trend | None
    direction: Direction | None
    verdict: Literal["pass", "fail", "unknown"]
    reason: str

    @property
    def bad_intervals(self) -> int:
        """How many intervals violate something."""
        return sum(bool(found) for found in self.violations)

    @property
    def first_violation(self) -> int | None:
        """The number of the first interval that violates something, from 0."""
        return next((number for number, found in enumerate(self.violations) if found), None)

    @property
    def longest_outage(self) -> Outage | None:
        """The one that spans the most time."""
        return max(self.outages, key=lambda outage: outage.span_s, default=None)

    @property
    def loss_ratio(self) -> float:
        """Of all packets."""
        sent = sum(interval.sent for interval in self.intervals)
        return sum(interval.lost for interval in self.intervals) / sent if sent else 0.0


def judge_soak(intervals: Sequence[SoakInterval], limits: SoakLimits | None = None) -> SoakResult:
    """Judge the intervals of a soak.

    Raises:
        UsageError: they are not in order of time.
    """
    limits = limits or SoakLimits()
    rows = tuple(intervals)
    for number, (before, after) in enumerate(pairwise(rows), 1):
        if after.start_s <= before.start_s:
            raise UsageError("intervals are not in order of time", where=f"interval {number}")
    violations = tuple(limits.violated_by(row) if row.valid else () for row in rows)
    points = [row for row in rows if row.valid and row.p50_ns is not None]
    trend = theil_sen(
        [row.start_s + row.duration_s / 2 for row in points], [row.p50_ns or 0 for row in points]
    )
    direction = None if trend is None else trend.direction(limits.drift_ratio or 0.0)
    outages = _outages(rows, violations)
    verdict, reason = _verdict(rows, violations, limits, trend, direction)
    return SoakResult(rows, violations, outages, trend, direction, verdict, reason)


def theil_sen(time_s: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of values over time, which must rise; None: there are too few of them."""
    import numpy as np

    if len(time_s) < POINTS_NEEDED:
        return None
    x, y = np.asarray(time_s, dtype=float), np.asarray(values, dtype=float)
    span_s, middle = float(x[-1] - x[0]), float(np.median(y))
    if len(x) > _POINTS_MOST:
        x, y = (_medians(each, _POINTS_MOST) for each in (x, y))
    first, second = np.triu_indices(len(x), 1)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    # Kendall's variance of the number of rising pairs; equal values make it smaller.
    _, ties = np.unique(y, return_counts=True)
    parts = [n * (n - 1) * (2 * n + 5) for n in (len(y), *ties.tolist())]
    half = _NORMAL_975 * math.sqrt((parts[0] - sum(parts[1:])) / 18) / 2
    low = max(0, round(len(slopes) / 2 - half) - 1)
    high = min(len(slopes) - 1, round(len(slopes) / 2 + half))
    slope = float(np.median(slopes))
    return Trend(
        slope_per_s=slope,
        low_per_s=float(slopes[low]),
        high_per_s=float(slopes[high]),
        change=slope * span_s,
        change_ratio=slope * span_s / abs(middle) if middle else None,
    )


def _medians(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The medians of so many parts in a row."""
    import numpy as np

    return np.array([np.median(part) for part in np.array_split(values, count)])


def _outages(
    rows: Sequence[SoakInterval], violations: Sequence[tuple[Violation, ...]]
) -> tuple[Outage, ...]:
    found = []
    number = 0
    while number < len(rows):
        first = number
        while number < len(rows) and "loss" in violations[number]:
            number += 1
        if number > first:
            part = rows[first:number]
            outage = Outage(
                first=first,
                start_s=part[0].start_s,
                span_s=sum(row.duration_s for row in part),
                lost=sum(row.lost for row in part),
                dead_s=sum(row.loss_ratio * row.duration_s for row in part),
            )
            found.append(outage)
        number += 1
    return tuple(found)


def _verdict(
    rows: Sequence[SoakInterval],
    violations: Sequence[tuple[Violation, ...]],
    limits: SoakLimits,
    trend: Trend | None,
    direction: Direction | None,
) -> tuple[Literal["pass", "fail", "unknown"], str]:
    bad = [number for number, found in enumerate(violations) if found]
    if bad:
        what = " and ".join(violations[bad[0]])
        return "fail", (
            f"{len(bad)} of {len(rows)} intervals violate the limits, the first of them "
            f"after {rows[bad[0]].start_s:g} s ({what})"
        )
    if trend and direction == "rising" and limits.drift_ratio is not None:
        return "fail", (
            f"the median delay rose by {trend.change / 1e3:.3g} µs, which is "
            f"{trend.change_ratio or 0:.0%} of itself"
        )
    valid = sum(row.valid and row.sent > 0 for row in rows)
    if not rows or valid < _VALID_RATIO * len(rows):
        return "unknown", f"only {valid} of {len(rows)} intervals were left undisturbed"
    return "pass", f"all {valid} intervals keep to the limits"
