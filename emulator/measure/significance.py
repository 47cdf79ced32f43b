"""Whether two sets of rounds differ, or only seem to.

A number of one set of rounds beside that of another says nothing as long as nobody knows how much
it changes by itself from one round to the next. So a round is what counts as one observation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.errors import UsageError
from emulator.measure.intervals import MIN_ROUNDS, SEED, Interval, median_and_error
from emulator.measure.latency import CONFIDENCE
from emulator.measure.student import critical_t, two_sided_p

Verdict = Literal["higher", "lower", "no-difference", "unknown"]


@dataclass(frozen=True)
class Comparison:
    """What became of one metric from A to B.

    Attributes:
        metric: its name.
        a_rounds, b_rounds: how many rounds of each there are.
        a_median, b_median: over the rounds; None without any. In the unit of the metric, as are:
        difference: B's median less A's; None where one of them is missing.
        difference_interval: where the true difference lies; None with too few rounds.
        ratio: B's median as a multiple of A's; None where a value is not above 0.
        ratio_interval: where the true ratio lies; None likewise.
        p_value: how probable so large a difference would be if there was none; None with too few
            rounds.
        adjusted_p: the same when several metrics are looked at, see :func:`holm`; else the p value.
        verdict: whether B is ``higher`` or ``lower`` than A; ``no-difference``: none that could be
            told from what changes by itself, and the interval says how large it may still be;
            ``unknown``: fewer than 3 rounds of one of them.
    """

    metric: str
    a_rounds: int
    b_rounds: int
    a_median: float | None
    b_median: float | None
    difference: float | None
    difference_interval: Interval | None
    ratio: float | None
    ratio_interval: Interval | None
    p_value: float | None
    adjusted_p: float | None
    verdict: Verdict


def compare(
    metric: str,
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Comparison:
    """Compare one metric in two sets of rounds.

    The standard error of each median comes from a bootstrap over its rounds, and the interval of
    the difference is that of B. L. Welch (Biometrika 34, 1947), who allows the two sets to vary
    differently. The verdict is that of the interval: without 0 in it there is a difference. The
    interval of the ratio is had in the same way from the logarithms of the values.

    Args:
        metric: its name.
        a, b: what each round gave: the p99 of a round, its throughput, its cost.

    Raises:
        UsageError: a value is not a number, or the confidence is not possible.
    """
    if not 0 < confidence <= 0.9999:
        raise UsageError(
            f"{confidence} is not a confidence", hint="it lies between 0 and 0.9999, such as 0.95"
        )
    for value in (*a, *b):
        if not math.isfinite(value):
            raise UsageError(
                f"a round gave {value}", where=metric, hint="leave out rounds without a value"
            )
    a_median, b_median = _median(a), _median(b)
    difference = ratio = None
    if a_median is not None and b_median is not None:
        difference = b_median - a_median
        ratio = b_median / a_median if min(*a, *b) > 0 else None
    interval = ratio_interval = p_value = None
    verdict: Verdict = "unknown"
    if min(len(a), len(b)) >= MIN_ROUNDS:
        method = f"bootstrap over {len(a)} and {len(b)} rounds"
        low, high, p_value = _welch(a, b, confidence, seed)
        interval = Interval(low, high, confidence, method)
        verdict = "higher" if low > 0 else "lower" if high < 0 else "no-difference"
        if ratio is not None:
            logarithms = [math.log(value) for value in a], [math.log(value) for value in b]
            low, high, _ = _welch(*logarithms, confidence, seed)
            ratio_interval = Interval(_exp(low), _exp(high), confidence, method)
    return Comparison(
        metric=metric,
        a_rounds=len(a),
        b_rounds=len(b),
        a_median=a_median,
        b_median=b_median,
        difference=difference,
        difference_interval=interval,
        ratio=ratio,
        ratio_interval=ratio_interval,
        p_value=p_value,
        adjusted_p=p_value,
        verdict=verdict,
    )


def holm(
    comparisons: Sequence[Comparison], *, confidence: float = CONFIDENCE
) -> tuple[Comparison, ...]:
    """The comparisons of many metrics, with verdicts that hold for all of them together.

    Of twenty metrics that did not change, one seems to at 95 %. The step-down method of S. Holm (A
    Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6,
    1979) keeps the risk that any of them is called different without being so at 5 %, whether they
    depend on each other or not. Intervals stay what they are, each for itself.
    """
    known = [(each.p_value, place) for place, each in enumerate(comparisons)]
    ranked = sorted((p, place) for p, place in known if p is not None)
    adjusted = list(comparisons)
    largest = 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        verdict = comparisons[place].verdict
        if largest >= 1 - confidence:
            verdict = "no-difference"
        adjusted[place] = dataclasses.replace(
            comparisons[place], adjusted_p=largest, verdict=verdict
        )
    return tuple(adjusted)


def _welch(
    a: Sequence[float], b: Sequence[float], confidence: float, seed: int
) -> tuple[float, float, float]:
    """The interval of the difference of the medians, and the p value of there being none."""
    a_median, a_error = median_and_error(a, seed=seed)
    # Other resamples than those of A, or equal values would seem to change together.
    b_median, b_error = median_and_error(b, seed=seed + 1)
    difference = b_median - a_median
    squared = a_error**2 + b_error**2
    if not squared:
        return difference, difference, 0.0 if difference else 1.0
    # Rounded down to a whole number, which makes the interval the wider one.
    parts = a_error**4 / (len(a) - 1) + b_error**4 / (len(b) - 1)
    degrees = max(1, int(squared**2 / parts)) if parts else min(len(a), len(b)) - 1
    error = math.sqrt(squared)
    reach = critical_t(confidence, degrees) * error
    return difference - reach, difference + reach, two_sided_p(difference / error, degrees)


def _median(values: Sequence[float]) -> float | None:
    import numpy as np

    return float(np.median(values)) if len(values) else None


def _exp(value: float) -> float:
    """The exponential, infinite where that of a float would be out of range."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
