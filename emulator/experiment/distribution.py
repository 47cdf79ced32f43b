"""How delays are distributed: which values, and how often, from samples or from a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.measure.histogram import Histogram
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
        """Of a histogram as a bundle has it.

        Raises:
            ResultsError: the text is none.
        """
        return cls(*Histogram.decode(encoded, where=where).distribution())

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
