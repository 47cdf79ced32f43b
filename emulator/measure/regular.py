"""What befalls every n-th packet of a trial: a delay or a loss that comes back again and again.

Chance has no period. A network function that stops for a moment after so many packets, or drops one
of so many, leaves one, and a percentile does not show it: of a thousand packets with a single slow
one, the 99th percentile is that of a function without fault. Pure.

A period is looked for among the packets that stand out (the lost ones; the slowest ones, by several
limits, because other work of the machine makes packets slow too) by how often two of them are so
many packets apart. It counts when nearly all packets at its distance stand out, and when chance
would not bring that about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_TURNS = 8
"""So often a thing has come back before it is called regular."""
LEAST_SHARE = 0.75
"""Of the turns: in so many of them the packet in question stands out."""
MOST_CHANCE = 1e-6
"""That chance alone makes as much of it at any period that was looked at."""
LEAST_EXCESS_NS = 20_000
"""A regular delay below is none of a function: timer ticks and waking up a process cost as much."""

_MOST_PACKETS = 1 << 20
"""The first ones of a longer trial are enough to find what is regular."""
_SLOWEST_SHARES = (0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 1.0)
"""So many of the packets are taken for slow, in turn; none that is not late enough to matter."""
_CANDIDATES = 12


@dataclass(frozen=True)
class Regularity:
    """What was found.

    Attributes:
        every: so many packets apart.
        turns: how often packets at that distance could stand out.
        share: of these, how many did.
        excess_ns: how much later than the median packet those were, at the median; None: lost.
    """

    every: int
    turns: int
    share: float
    excess_ns: int | None = None


def regular_loss(lost: NDArray[np.bool_]) -> Regularity | None:
    """The period with which packets are lost.

    Args:
        lost: of each packet that was sent, in order.
    """
    found = _period(lost[:_MOST_PACKETS])
    return None if found is None else Regularity(found.every, found.turns, found.share)


def regular_delay(delays_ns: NDArray[np.int64]) -> Regularity | None:
    """The period with which packets are late.

    Args:
        delays_ns: of each packet that was sent, in order; below 0: it was lost.
    """
    import numpy as np

    delays_ns = delays_ns[:_MOST_PACKETS]
    arrived = delays_ns[delays_ns >= 0]
    if not len(arrived):
        return None
    middle = int(np.median(arrived))
    best: _Period | None = None
    for share in _SLOWEST_SHARES:
        limit_ns = max(middle + LEAST_EXCESS_NS, float(np.quantile(arrived, 1 - share)))
        found = _period(delays_ns >= limit_ns)
        if found is not None and (best is None or found.chance < best.chance):
            best = found
    if best is None:
        return None
    those = delays_ns[best.phase :: best.every]
    excess_ns = int(np.median(those[those >= 0])) - middle
    return Regularity(best.every, best.turns, best.share, excess_ns)


@dataclass(frozen=True)
class _Period:
    every: int
    phase: int
    turns: int
    share: float
    chance: float
    """The logarithm of a bound on how probable it is without any period."""


def _period(marked: NDArray[np.bool_]) -> _Period | None:
    """The period of what is marked that chance explains least."""
    import numpy as np

    longest = len(marked) // LEAST_TURNS
    if np.count_nonzero(marked) < LEAST_SHARE * LEAST_TURNS or longest < 2:
        return None
    best: _Period | None = None
    for every in _candidates(marked, longest):
        turns = len(marked) // every
        hits = marked[: turns * every].reshape(turns, every).sum(axis=0)
        phase = int(hits.argmax())
        share = float(hits[phase] / turns)
        # As many distances and places in them might have stood out by chance.
        chance = _log_chance(share, turns, float(marked.mean())) + math.log(longest * every)
        if share < LEAST_SHARE or chance > math.log(MOST_CHANCE):
            continue
        if best is None or chance < best.chance:
            best = _Period(every, phase, turns, share, chance)
    return best


def _candidates(marked: NDArray[np.bool_], longest: int) -> Iterator[int]:
    """Distances at which what is marked comes again most often (its autocorrelation)."""
    import numpy as np

    # What goes on for several packets counts once, where it begins: two long disturbances have as
    # many pairs of packets between them as a period has turns.
    begins = marked.copy()
    begins[1:] &= ~marked[:-1]
    size = 1 << (2 * len(begins) - 1).bit_length()
    spectrum = np.fft.rfft(begins.astype(np.float64), size)
    pairs = np.fft.irfft(spectrum * spectrum.conj(), size)[: longest + 1]
    pairs[:2] = 0
    for every in np.argsort(pairs)[::-1][:_CANDIDATES]:
        if every >= 2:
            yield int(every)


def _log_chance(share: float, turns: int, usual: float) -> float:
    """Of a share at least as large among so many, each with the usual probability: the logarithm
    of the bound of Chernoff and Hoeffding (Hoeffding, JASA 58(301), 1963, theorem 1)."""
    if share <= usual:
        return 0.0
    if share >= 1:
        return turns * math.log(usual)
    return -turns * (
        share * math.log(share / usual) + (1 - share) * math.log((1 - share) / (1 - usual))
    )
