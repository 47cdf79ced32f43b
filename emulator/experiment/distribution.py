"""How delays are distributed: which values, and how often, from samples or from a histogram."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import ResultsError
from emulator.measure.latency import CONFIDENCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Distribution:
    """Delays in ascending order without repetition, and how often each occurred."""

    values_ns: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, latency_ns: NDArray[np.int64]) -> Distribution:
        """Of every single delay."""
        import numpy as np

        values, counts = np.unique(latency_ns, return_counts=True)
        return cls(values.astype(np.int64), counts.astype(np.int64))

    @classmethod
    def from_histogram(cls, encoded: str, *, where: str = "") -> Distribution:
        """Of an HdrHistogram in base64; values are those in the middle of its buckets.

        Raises:
            ResultsError: the text is none.
        """
        import numpy as np
        from hdrh.histogram import HdrHistogram

        try:
            histogram = HdrHistogram.decode(encoded.encode())
        except Exception as error:
            raise ResultsError(
                f"a histogram cannot be read: {type(error).__name__}",
                where=where,
                hint="it was changed or cut short",
            ) from error
        counts = np.fromiter(histogram.counts, dtype=np.int64, count=histogram.counts_len)
        found = np.flatnonzero(counts)
        # The layout of HdrHistogram: the first bucket is linear, each further one has half as many
        # slots, of twice the width.
        magnitude = histogram.sub_bucket_half_count_magnitude
        half = 1 << magnitude
        bucket = np.maximum((found >> magnitude) - 1, 0)
        slot = np.where(found < 2 * half, found, (found & (half - 1)) + half)
        values = (slot << bucket) + ((1 << bucket) >> 1)
        return cls(values.astype(np.int64) << histogram.unit_magnitude, counts[found])

    @classmethod
    def merged(cls, parts: Iterable[Distribution]) -> Distribution:
        """Of all of them together."""
        import numpy as np

        kept = list(parts)
        if not kept:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64))
        values, places = np.unique(np.concatenate([p.values_ns for p in kept]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in kept]))
        return cls(values, counts)

    @property
    def total(self) -> int:
        """How many delays there are."""
        return int(self.counts.sum())

    def quantiles_ns(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each share, the smallest delay that at least so many of them did not exceed."""
        import numpy as np

        reached = np.cumsum(self.counts)
        ranks = np.maximum(np.ceil(shares * reached[-1] * (1 - 1e-15)), 1)
        places = np.minimum(np.searchsorted(reached, ranks), len(reached) - 1)
        found: NDArray[np.int64] = self.values_ns[places]
        return found


def supported_share(packets: int) -> float:
    """The highest quantile that so many packets bound by their maximum at 95 % confidence."""
    return float((1 - CONFIDENCE) ** (1 / packets))
