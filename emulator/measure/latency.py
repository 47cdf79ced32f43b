"""Latency: what a sample of delays allows to say, and nothing more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.probe import ProbeResult

CONFIDENCE = 0.95


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
    import numpy as np

    if len(latency_ns) < packets_needed(quantile):
        return None
    return int(np.quantile(latency_ns, quantile, method="inverted_cdf"))


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
    return LatencySummary(
        count=len(latency_ns),
        min_ns=int(latency_ns.min()),
        mean_ns=float(latency_ns.mean()),
        p50_ns=percentile_ns(latency_ns, 0.5),
        p90_ns=percentile_ns(latency_ns, 0.9),
        p99_ns=percentile_ns(latency_ns, 0.99),
        p999_ns=percentile_ns(latency_ns, 0.999),
        max_ns=int(latency_ns.max()),
    )


def cdf(latency_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The empirical distribution: each delay that occurred, and the share of packets up to it."""
    import numpy as np

    values, counts = np.unique(latency_ns, return_counts=True)
    return values, np.cumsum(counts) / max(1, len(latency_ns))
