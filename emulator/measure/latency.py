"""Latency: what a sample of delays allows to say, and nothing more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.probe import ProbeResult

CONFIDENCE = 0.95
RFC8219_REPEATS = 20
RFC8219_FRAMES = 500


@dataclass(frozen=True)
class LatencySummary:
    """Latency of the packets that arrived, in ns; a lost packet has none and is not part of it.

    A percentile is the smallest delay that at least that share of the packets did not exceed, so it
    is one of the delays that were measured. It is None where the sample is too small to support it
    (see :func:`packets_needed`), and everything is None where no packet arrived.
    """

    count: int
    min_ns: int | None
    mean_ns: float | None
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    max_ns: int | None
    p9999_ns: int | None = None
    p99999_ns: int | None = None


@dataclass(frozen=True)
class RepeatedLatency:
    """Latency over repeats of a trial, as RFC 8219, section 7 reports it.

    Of each repeat there is a typical latency TL, the median of its frames, and a worst-case latency
    WCL, their 99.9th percentile; what is reported is the median of each over the repeats, and
    their 1st and 99th percentiles for how much they vary. With 20 repeats those two are the
    least and the greatest.

    Attributes:
        repeats: trials in which a frame arrived.
        frames: of the repeat with the fewest.
        tl_ns, wcl_ns: None where a repeat has too few frames for it (:func:`packets_needed`): the
            500 that the RFC asks for support no 99.9th percentile.
        conforms: whether there are the 20 repeats and 500 frames that the RFC asks for.
    """

    repeats: int
    frames: int
    tl_ns: int | None
    tl_p1_ns: int | None
    tl_p99_ns: int | None
    wcl_ns: int | None
    wcl_p1_ns: int | None
    wcl_p99_ns: int | None
    conforms: bool


def packets_needed(quantile: float) -> int:
    """How many packets it takes before a quantile may be stated: 299 for 0.99, 2,995 for 0.999.

    The largest of n independent delays reaches the quantile q of their distribution with a
    probability of 1 - q^n, whatever the distribution; we ask for 95 %, so n >= ln(0.05) / ln(q).
    This is the one-sided, distribution-free bound of S. S. Wilks, "Determination of Sample Sizes
    for Setting Tolerance Limits", Annals of Mathematical Statistics 12(1), 1941.

    Raises:
        UsageError: the quantile is not between 0 and 1.
    """
    if not 0 < quantile < 1:
        raise UsageError(f"{quantile} is not a quantile", hint="it lies between 0 and 1")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(quantile))


def percentile_ns(latency_ns: NDArray[np.int64], quantile: float) -> int | None:
    """A quantile of the delays; None when there are too few of them to support it."""
    return percentiles_ns(latency_ns, [quantile])[0]


def percentiles_ns(
    latency_ns: NDArray[np.int64], quantiles: Sequence[float]
) -> tuple[int | None, ...]:
    """Several of them at the price of little more than one."""
    import numpy as np

    supported = [q for q in quantiles if len(latency_ns) >= packets_needed(q)]
    if not supported:
        return (None,) * len(quantiles)
    found = np.quantile(latency_ns, supported, method="inverted_cdf")
    values = {q: int(value) for q, value in zip(supported, found, strict=True)}
    return tuple(values.get(q) for q in quantiles)


def place_of(quantile: float, count: int) -> int:
    """Which of that many delays, sorted and counted from 0, is the quantile.

    The arithmetic is that of numpy's ``inverted_cdf``, to the last bit.
    """
    return max(0, math.ceil(count * quantile - 1))


def summarise(result: ProbeResult) -> LatencySummary:
    """The latency of a recorded trial: one-way, or there and back of a round trip.

    Raises:
        UsageError: the trial was not recorded.
    """
    return summarise_latency(result.latency_ns())


def summarise_latency(latency_ns: NDArray[np.int64]) -> LatencySummary:
    """The same for delays from anywhere, such as a file of samples."""
    if not len(latency_ns):
        return LatencySummary(0, None, None, None, None, None, None, None)
    p50_ns, p90_ns, p99_ns, p999_ns, p9999_ns, p99999_ns = percentiles_ns(
        latency_ns, [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
    )
    return LatencySummary(
        count=len(latency_ns),
        min_ns=int(latency_ns.min()),
        mean_ns=float(latency_ns.mean()),
        p50_ns=p50_ns,
        p90_ns=p90_ns,
        p99_ns=p99_ns,
        p999_ns=p999_ns,
        max_ns=int(latency_ns.max()),
        p9999_ns=p9999_ns,
        p99999_ns=p99999_ns,
    )


def summarise_repeats(rounds: Sequence[NDArray[np.int64]]) -> RepeatedLatency:
    """TL and WCL over the delays of each repeat; one in which nothing arrived has none."""
    measured = [latency_ns for latency_ns in rounds if len(latency_ns)]
    fewest = min((len(latency_ns) for latency_ns in measured), default=0)
    typical_and_worst = [percentiles_ns(latency_ns, [0.5, 0.999]) for latency_ns in measured]
    tl = _over_repeats([tl_ns for tl_ns, _ in typical_and_worst])
    wcl = _over_repeats([wcl_ns for _, wcl_ns in typical_and_worst])
    conforms = len(measured) >= RFC8219_REPEATS and fewest >= RFC8219_FRAMES
    return RepeatedLatency(len(measured), fewest, *tl, *wcl, conforms)


def _over_repeats(values: list[int | None]) -> tuple[int | None, int | None, int | None]:
    """The median of what each repeat gave, and its 1st and 99th percentile."""
    import numpy as np

    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None, None
    p1_ns, p99_ns = np.quantile(known, [0.01, 0.99], method="inverted_cdf")
    return round(np.median(known)), int(p1_ns), int(p99_ns)


def cdf(latency_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The empirical distribution: each delay that occurred, and the share of packets up to it."""
    import numpy as np

    values, counts = np.unique(latency_ns, return_counts=True)
    return values, np.cumsum(counts) / max(1, len(latency_ns))
