"""Confidence intervals by block bootstrap: what a repetition of the measurement could have given.

Packets that follow each other are slow together, so they cannot be drawn one by one as if each was
a measurement of its own. What is drawn is whole blocks:

* Of three rounds and more, each round is a block. What differs from one round to the next (caches,
  the scheduler, the neighbours on the machine) is in the interval.
* Of a single round, the blocks are stretches of a twentieth of its packets, and a stretch begins
  anywhere, the end of the round followed by its beginning: the circular block bootstrap of
  D. N. Politis and J. P. Romano, "A Circular Block-Resampling Procedure for Stationary Data", 1992,
  after H. R. Künsch, Annals of Statistics 17(3), 1989. Such an interval holds for this round: it
  knows nothing of how the next would differ. What lasts longer than a twentieth of the round, such
  as a drift, makes it too narrow.
* Two rounds cannot show how rounds differ, and to take them for one would hide it: no interval.

The bootstrap gives the standard error, and the interval is the estimate and Student's t with one
degree of freedom less than there are blocks times that error, which is widened by sqrt(n / (n - 1))
for the blocks having been drawn from themselves. With few blocks the quantiles of the bootstrap
itself are too narrow (T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American
Statistician 69(4), 2015): of five rounds they hold the truth in four cases of five where this does
in 19 of 20.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.measure.histogram import Histogram
from emulator.measure.latency import CONFIDENCE, packets_needed, percentile_ns, place_of
from emulator.measure.slots import SLOTS, bottoms_ns, count_slots, slots_of, tops_ns
from emulator.measure.student import critical_t

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROUNDS = 3
"""With fewer, the difference between rounds is as good as unknown."""
MIN_PACKETS_OF_ONE_ROUND = 1000
"""With fewer, a block would have less than 50 packets."""
RESAMPLES = 1000
"""They know a standard error to 2 or 3 %, whose share in the interval nobody would notice."""
SEED = 1

_BLOCKS_OF_ONE_ROUND = 20
_CELLS_PER_BLOCK = 10
"""Blocks begin at every tenth of their length."""


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with that confidence, in the unit of the value.

    Attributes:
        method: how it was had, in words.
    """

    low: float
    high: float
    confidence: float
    method: str


Statistic = Callable[["Resampled"], "NDArray[np.float64]"]
"""A number for each resample, such as ``lambda delays: delays.quantile_ns(0.999)``."""


class Resampled:
    """The delays of many resamples at once; each method gives an array with a number for each.

    Delays are known to three digits (:mod:`emulator.measure.slots`) and reported at the top of
    their slot; the shortest one and the mean are exact.
    """

    def __init__(self, blocks: Blocks, weights: NDArray[np.int64]) -> None:
        self._blocks = blocks
        self._weights = weights
        self._counts = weights @ blocks.up_to[-1]

    def quantile_ns(self, quantile: float) -> NDArray[np.float64]:
        """The quantile of each resample."""
        import numpy as np

        place = np.array([place_of(quantile, int(count)) for count in self._counts])
        up_to = self._blocks.up_to
        low = np.zeros(len(place), dtype=np.int64)
        high = np.full(len(place), len(up_to) - 1)
        while np.any(low < high):
            middle = (low + high) // 2
            counts = np.einsum("rb,rb->r", self._weights, up_to[middle])
            enough = counts > place
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle + 1)
        tops: NDArray[np.float64] = self._blocks.tops_ns[low].astype(np.float64)
        return tops

    def min_ns(self) -> NDArray[np.float64]:
        """The shortest delay of each resample."""
        import numpy as np

        shortest: NDArray[np.float64] = np.where(
            self._weights > 0, self._blocks.shortest_ns, np.inf
        ).min(axis=1)
        return shortest

    def mean_ns(self) -> NDArray[np.float64]:
        """The mean of each resample."""
        means: NDArray[np.float64] = self._weights @ self._blocks.sums_ns / self._counts
        return means


class Blocks:
    """Rounds of delays, counted once and asked about as often as wanted.

    To count ten million delays takes about half a second; each interval after that takes
    hundredths of one. Equal delays and seeds give equal intervals.

    Attributes:
        rounds: how many rounds there are in which a packet arrived.
        packets: how many delays there are in all.
        tops_ns: the delays that occur, as tops of their slots.
        up_to: for each of those and each block, how many packets of the block are not slower. Of a
            single round, its cells stand in place of blocks.
        shortest_ns, sums_ns: of each block.
    """

    def __init__(self, rounds: Sequence[NDArray[np.int64]], *, seed: int = SEED) -> None:
        """Count the delays of each round, in the order the packets were sent.

        Rounds in which nothing arrived are left out; there are no delays in them.

        Args:
            seed: of the resampling.

        Raises:
            MeasurementError: a delay is negative or longer than a histogram takes.
        """
        import numpy as np

        measured = [latency_ns for latency_ns in rounds if len(latency_ns)]
        self.rounds = len(measured)
        self.packets = sum(len(latency_ns) for latency_ns in measured)
        self._seed = seed
        parts = measured
        if self.rounds == 1:
            cells = min(_BLOCKS_OF_ONE_ROUND * _CELLS_PER_BLOCK, self.packets)
            parts = np.array_split(measured[0], cells)
        occupied = sum((count_slots(latency_ns) for latency_ns in measured), np.zeros(SLOTS)) > 0
        column = np.cumsum(occupied) - 1
        self.tops_ns = tops_ns(np.flatnonzero(occupied))
        self.up_to = np.empty((len(self.tops_ns), len(parts)), dtype=np.int64)
        for place, part in enumerate(parts):
            counts = np.bincount(column[slots_of(part)], minlength=len(self.tops_ns))
            self.up_to[:, place] = np.cumsum(counts)
        self.shortest_ns = np.array([part.min() for part in parts], dtype=np.float64)
        self.sums_ns = np.array([part.sum(dtype=np.float64) for part in parts])

    def interval(self, statistic: Statistic, *, confidence: float = CONFIDENCE) -> Interval | None:
        """The interval of any number that delays give; None where none can be had.

        Whether the sample supports the percentiles in it is for the caller to see to.

        Raises:
            UsageError: the confidence is not possible.
        """
        found = self._estimate(statistic, confidence)
        if found is None:
            return None
        estimate, reach = found
        return Interval(estimate - reach, estimate + reach, confidence, self._method)

    def percentile(self, quantile: float, *, confidence: float = CONFIDENCE) -> Interval | None:
        """The interval of a percentile of all rounds together, in ns.

        It is rounded outwards to whole slots, and does not begin below the shortest delay. None
        where the packets are too few for the percentile, or no interval can be had.

        Raises:
            UsageError: the quantile is not between 0 and 1, or the confidence is not possible.
        """
        if self.packets < packets_needed(quantile):
            return None
        interval = self.interval(lambda delays: delays.quantile_ns(quantile), confidence=confidence)
        return None if interval is None else _outwards(interval, float(self.shortest_ns.min()))

    def _estimate(self, statistic: Statistic, confidence: float) -> tuple[float, float] | None:
        """The number itself, and how far the interval reaches to either side."""
        _check(confidence)
        if 1 < self.rounds < MIN_ROUNDS:
            return None
        if self.rounds == 0 or (self.rounds == 1 and self.packets < MIN_PACKETS_OF_ONE_ROUND):
            return None
        values = statistic(Resampled(self, self._weights()))
        blocks = self.rounds if self.rounds > 1 else _BLOCKS_OF_ONE_ROUND
        error = float(values[1:].std()) * (blocks / (blocks - 1)) ** 0.5
        return float(values[0]), critical_t(confidence, blocks - 1) * error

    def _weights(self) -> NDArray[np.int64]:
        """How often each block is in each resample; the first is the sample as it is."""
        import numpy as np

        random = np.random.default_rng(self._seed)
        parts = self.up_to.shape[1]
        if self.rounds > 1:
            drawn = random.multinomial(parts, np.full(parts, 1 / parts), size=RESAMPLES)
        else:
            begins = np.zeros((RESAMPLES, parts), dtype=np.int64)
            places = random.integers(0, parts, size=(RESAMPLES, _BLOCKS_OF_ONE_ROUND))
            np.add.at(begins, (np.arange(RESAMPLES)[:, None], places), 1)
            # A block goes on for so many cells, and from the last to the first.
            shifted = [np.roll(begins, cell, axis=1) for cell in range(_CELLS_PER_BLOCK)]
            drawn = np.sum(shifted, axis=0)
        return np.concatenate([np.ones((1, parts), dtype=np.int64), drawn])

    @property
    def _method(self) -> str:
        if self.rounds > 1:
            return f"block bootstrap over {self.rounds} rounds"
        return f"block bootstrap over {_BLOCKS_OF_ONE_ROUND} stretches of one round"


def percentile_interval(
    rounds: Sequence[NDArray[np.int64] | Histogram],
    quantile: float,
    *,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval | None:
    """The interval of a percentile as a report states it, in ns.

    Of several rounds that is the median over them of what each round's percentile is; of a single
    one, its percentile. It is rounded outwards to whole slots. None where a round has too few
    packets for the percentile, or no interval can be had: with two rounds, and with one of which
    there is only a histogram, which no longer tells what came when. Of all rounds thrown together
    it is :meth:`Blocks.percentile`.

    Args:
        rounds: the delays of each round in the order the packets were sent, or their histogram;
            those in which nothing arrived are left out.

    Raises:
        UsageError: the quantile is not between 0 and 1, or the confidence is not possible.
        MeasurementError: of a single round, a delay is negative or longer than a histogram takes.
    """
    measured = [each for each in rounds if _count(each)]
    if len(measured) == 1:
        alone = measured[0]
        if isinstance(alone, Histogram):
            return None
        return Blocks([alone], seed=seed).percentile(quantile, confidence=confidence)
    values = [_percentile_ns(each, quantile) for each in measured]
    known = [value for value in values if value is not None]
    interval = None
    if len(known) == len(values):
        interval = median_interval(known, confidence=confidence, seed=seed)
    return None if interval is None else _outwards(interval, 0.0)


def median_interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = SEED
) -> Interval | None:
    """The interval of the median over rounds of what each round gave, such as its throughput.

    It does not go below 0 where no round did, as no delay and no rate can. None with fewer than
    :data:`MIN_ROUNDS` rounds.

    Raises:
        UsageError: the confidence is not possible.
    """
    _check(confidence)
    if len(values) < MIN_ROUNDS:
        return None
    estimate, error = median_and_error(values, seed=seed)
    reach = critical_t(confidence, len(values) - 1) * error
    low = estimate - reach
    if min(values) >= 0:
        low = max(0.0, low)
    method = f"bootstrap over {len(values)} rounds"
    return Interval(low, estimate + reach, confidence, method)


def median_and_error(values: Sequence[float], *, seed: int = SEED) -> tuple[float, float]:
    """The median of two and more values, and its standard error by bootstrap."""
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    random = np.random.default_rng(seed)
    drawn = array[random.integers(0, len(array), size=(RESAMPLES, len(array)))]
    error = float(np.median(drawn, axis=1).std()) * (len(array) / (len(array) - 1)) ** 0.5
    return float(np.median(array)), error


def _count(delays: NDArray[np.int64] | Histogram) -> int:
    return delays.count if isinstance(delays, Histogram) else len(delays)


def _percentile_ns(delays: NDArray[np.int64] | Histogram, quantile: float) -> int | None:
    if isinstance(delays, Histogram):
        return delays.percentile_ns(quantile)
    return percentile_ns(delays, quantile)


def _outwards(interval: Interval, least_ns: float) -> Interval:
    """The interval from the bottom of its first slot, or from the least, to the top of its last."""
    import numpy as np

    ends = np.array([max(interval.low, least_ns), interval.high]).astype(np.int64)
    slots = slots_of(ends)
    low, high = max(float(bottoms_ns(slots)[0]), least_ns), float(tops_ns(slots)[1])
    return Interval(low, high, interval.confidence, interval.method)


def _check(confidence: float) -> None:
    if not 0 < confidence <= 0.9999:
        raise UsageError(
            f"{confidence} is not a confidence", hint="it lies between 0 and 0.9999, such as 0.95"
        )
