"""Histograms of delays that can be kept, added up and drawn, in the format of HdrHistogram.

The text that :meth:`Histogram.encode` gives is HdrHistogram's compressed V2 format in base64, which
the tools of http://hdrhistogram.org read. Delays are kept to three digits (see
:mod:`emulator.measure.slots`); the exact ones are in the raw samples.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import ResultsError
from emulator.measure.latency import packets_needed, place_of
from emulator.measure.slots import (
    DIGITS,
    LONGEST_NS,
    SLOTS,
    bottoms_ns,
    count_slots,
    tops_ns,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HIGHEST_QUANTILE = 0.999999
_STEPS = 10
"""Points of the ladder each time that the share of slower packets halves."""


@dataclass(frozen=True)
class LadderPoint:
    """One point of a percentile ladder.

    Attributes:
        quantile: such as 0.999.
        latency_ns: at least that share of the packets was not slower; to three digits, and not
            below the exact one.
        slower: packets that come after this one when they are sorted by their delay.
        supported: whether there are packets enough to state it (:func:`packets_needed`); where not,
            it describes this sample and no more, and should be drawn so that this shows.
    """

    quantile: float
    latency_ns: int
    slower: int
    supported: bool


class Histogram:
    """How often each delay occurred, from 0 to 100 s."""

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram

        self._hdr = HdrHistogram(1, LONGEST_NS, DIGITS)

    @classmethod
    def of(cls, latency_ns: NDArray[np.int64]) -> Histogram:
        """The histogram of an array of delays.

        Raises:
            MeasurementError: a delay is negative or longer than 100 s.
        """
        histogram = cls()
        histogram.add(latency_ns)
        return histogram

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Histogram:
        """A new histogram of all delays of several; what they were made of is left as it is."""
        total = cls()
        for histogram in histograms:
            total.merge(histogram)
        return total

    @classmethod
    def decode(cls, text: str, *, where: str = "") -> Histogram:
        """Read back what :meth:`encode` gave.

        Args:
            where: the file, for the error.

        Raises:
            ResultsError: the text is damaged, or a histogram of another range or precision.
        """
        from hdrh.codec import HdrCookieException, HdrHistogramEncoder, HdrLengthException
        from hdrh.histogram import HdrHistogram

        histogram = cls()
        try:
            payload = HdrHistogramEncoder.decode(text)
            header = payload.payload
            kept = (
                header.lowest_trackable_value,
                header.highest_trackable_value,
                header.significant_figures,
            )
            if kept == (1, LONGEST_NS, DIGITS):
                histogram._hdr = HdrHistogram(*kept, hdr_payload=payload)
                return histogram
        except (
            binascii.Error,
            zlib.error,
            HdrCookieException,
            HdrLengthException,
            # What its C code says of counts that do not fit.
            IndexError,
            MemoryError,
            OverflowError,
            ValueError,
        ) as error:
            raise ResultsError(
                "is not a histogram, or a damaged one",
                where=where or "histogram",
                hint="the raw samples beside it can be counted again",
            ) from error
        raise ResultsError(
            f"is a histogram from {kept[0]} to {kept[1]} with {kept[2]} digits",
            where=where or "histogram",
            hint=f"only those from 1 to {LONGEST_NS} ns with {DIGITS} digits can be read",
        )

    def add(self, latency_ns: NDArray[np.int64]) -> None:
        """Count further delays; ten million take about a quarter of a second.

        Raises:
            MeasurementError: a delay is negative or longer than 100 s; none is counted then.
        """
        import numpy as np

        counts = count_slots(latency_ns)
        slots = np.flatnonzero(counts)
        # The library counts one value at a time, so it is given each slot once.
        for value_ns, count in zip(bottoms_ns(slots).tolist(), counts[slots].tolist(), strict=True):
            self._hdr.record_value(value_ns, count)

    def merge(self, other: Histogram) -> None:
        """Count all delays of another one too."""
        self._hdr.add(other._hdr)

    def encode(self) -> str:
        """The histogram as text, a few kB long."""
        text: bytes = self._hdr.encode()
        return text.decode("ascii")

    @property
    def count(self) -> int:
        """How many delays there are."""
        return int(self._counts().sum())

    @property
    def min_ns(self) -> int | None:
        """The shortest delay, to three digits and not above the exact one; None without any."""
        import numpy as np

        slots = np.flatnonzero(self._counts())
        return int(bottoms_ns(slots[:1])[0]) if len(slots) else None

    @property
    def max_ns(self) -> int | None:
        """The longest delay, to three digits and not below the exact one; None without any."""
        import numpy as np

        slots = np.flatnonzero(self._counts())
        return int(tops_ns(slots[-1:])[0]) if len(slots) else None

    def percentile_ns(self, quantile: float) -> int | None:
        """A quantile, less than 0.1 % above the exact one; None when the sample is too small.

        Raises:
            UsageError: the quantile is not between 0 and 1.
        """
        needed = packets_needed(quantile)
        return self._at(quantile)[0] if self.count >= needed else None

    def distribution(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each delay that occurred, as the longest one of its slot, and how often."""
        import numpy as np

        counts = self._counts()
        slots = np.flatnonzero(counts)
        return tops_ns(slots), counts[slots]

    def ladder(self) -> tuple[LadderPoint, ...]:
        """Percentiles up to p99.9999 for drawing, closer together the nearer they are to 1.

        On an axis of 1 / (1 - quantile) in logarithmic steps they are evenly spaced, as
        HdrHistogram draws them; the customary ones (0.5, 0.9, 0.99 …) are among them. It ends with
        the first one that is the longest delay of all.
        """
        points = []
        count = self.count
        for quantile in _rungs() if count else ():
            latency_ns, slower = self._at(quantile)
            supported = quantile == 0 or count >= packets_needed(quantile)
            points.append(LadderPoint(quantile, latency_ns, slower, supported))
            if not slower:
                break
        return tuple(points)

    def _at(self, quantile: float) -> tuple[int, int]:
        """The delay at a quantile, and how many packets come after it."""
        import numpy as np

        counts = self._counts()
        up_to = np.cumsum(counts)
        place = place_of(quantile, int(up_to[-1]))
        slot = np.searchsorted(up_to, place, side="right")
        return int(tops_ns(np.array([slot]))[0]), int(up_to[-1]) - 1 - place

    def _counts(self) -> NDArray[np.int64]:
        import numpy as np

        return np.frombuffer(self._hdr.counts, dtype=np.uint64)[:SLOTS].astype(np.int64)


def _rungs() -> list[float]:
    """The quantiles of a ladder, rising."""
    rungs = {0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, HIGHEST_QUANTILE}
    share = 1.0
    while share > 1 - HIGHEST_QUANTILE:
        rungs.update(round(1 - share * (1 - step / (2 * _STEPS)), 9) for step in range(_STEPS))
        share /= 2
    return sorted(rung for rung in rungs if rung <= HIGHEST_QUANTILE)
