"""What chance allows: intervals that hold 99 of 100 samples of what is as it should be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.99
_Z = 2.5758293035489004
"""Of the normal distribution, for :data:`CONFIDENCE`."""


def binomial_interval(count: int, ratio: float) -> tuple[int, int]:
    """How often something with that probability happens in so many tries: at least, at most.

    Exact: on each side at most half a percent of the distribution is left out.
    """
    if count == 0 or ratio <= 0:
        return 0, 0
    if ratio >= 1:
        return count, count
    numbers = np.arange(count + 1)
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    logs = factorials[count] - factorials - factorials[::-1]
    logs += numbers * math.log(ratio) + (count - numbers) * math.log1p(-ratio)
    cumulative = np.cumsum(np.exp(logs))
    left_out = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(cumulative, left_out, side="right"))
    high = int(np.searchsorted(cumulative, 1 - left_out, side="left"))
    return min(low, count), min(high, count)


def mean_margin(deviation: float, count: int) -> float:
    """How far the mean of so many independent values may be from what it should be."""
    return _Z * deviation / math.sqrt(max(1, count))


def deviation_margin(values: NDArray[np.float64], count: int) -> float:
    """How far their standard deviation may be, as a ratio; ``values`` have the distribution.

    By the asymptotic variance of the sample's deviation, which depends on the kurtosis.
    """
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    if variance == 0:
        return 0.0
    kurtosis = float(np.mean(centred**4)) / variance**2
    return _Z * math.sqrt(max(0.0, kurtosis - 1) / (4 * max(1, count)))


def kolmogorov_smirnov(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """How far two samples' distributions are apart, and how far at most 99 of 100 would be.

    The two-sample test of Kolmogorov and Smirnov with its asymptotic bound.
    """
    first, second = np.sort(one), np.sort(other)
    both = np.concatenate((first, second))
    shares = [np.searchsorted(each, both, side="right") / len(each) for each in (first, second)]
    distance = float(np.max(np.abs(shares[0] - shares[1])))
    scale = math.sqrt(-math.log((1 - CONFIDENCE) / 2) / 2)
    bound = scale * math.sqrt((len(first) + len(second)) / (len(first) * len(second)))
    return distance, bound


def gilbert_elliott_loss(gemodel: tuple[float, float, float, float]) -> tuple[float, float]:
    """The ratio of frames that a Gilbert-Elliott model loses, and its variance times the count.

    That variance is larger than that of independent losses: those of neighbours go together.
    """
    p, r, bad, good = gemodel
    if p + r == 0:
        return good, good * (1 - good)  # it never leaves the good state, in which it begins
    in_bad = p / (p + r)
    loss = in_bad * bad + (1 - in_bad) * good
    memory = 1 - p - r
    spread = (bad - good) ** 2 * in_bad * (1 - in_bad)
    together = 2 * spread * memory / (1 - memory) if memory < 1 else 0.0
    return loss, loss * (1 - loss) + together


def gilbert_elliott_interval(
    count: int, gemodel: tuple[float, float, float, float]
) -> tuple[float, float]:
    """How many of so many frames a Gilbert-Elliott model loses: at least, at most."""
    loss, variance = gilbert_elliott_loss(gemodel)
    margin = _Z * math.sqrt(max(0.0, variance) * count) + 1
    return max(0.0, loss * count - margin), min(float(count), loss * count + margin)


def gilbert_elliott_burst(gemodel: tuple[float, float, float, float]) -> float:
    """The mean length of a run of lost frames; 0 when none is ever lost."""
    p, r, bad, good = gemodel
    loss, _ = gilbert_elliott_loss(gemodel)
    in_bad = p / (p + r) if p + r else 0.0
    pair = in_bad * bad * ((1 - r) * bad + r * good)
    pair += (1 - in_bad) * good * ((1 - p) * good + p * bad)
    return loss / (loss - pair) if loss > pair else 0.0


def run_lengths(lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The lengths of the runs of lost frames that both begin and end within the sample."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], lost, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    whole = (starts > 0) & (ends < len(lost))
    lengths: NDArray[np.int64] = (ends - starts)[whole]
    return lengths
