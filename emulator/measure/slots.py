"""Slots: delays counted to three digits, laid out as HdrHistogram lays them out.

A slot holds the delays that share their first 11 bits: each ns has its own up to 2,047 ns, and
above that a slot is less than 0.1 % as wide as the delays in it. Ten million delays fall into a few
thousand slots, and whatever is asked about them afterwards is asked of the slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import MeasurementError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_NS = 100_000_000_000
"""The longest delay that has a slot: 100 s."""
DIGITS = 3

# 3 digits take 2,000 steps, so 11 bits; the lower half of them is used by the first doubling only.
_HALF_BITS = 10
_HALF = 1 << _HALF_BITS
_BITS = _HALF_BITS + 1
SLOTS = ((LONGEST_NS.bit_length() - _BITS) << _HALF_BITS) + (1 << _BITS)
"""How many there are."""
# Small enough to stay in a core's cache, which makes it three times as fast.
_CHUNK = 1 << 16


def count_slots(latency_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the delays fall into each slot.

    Raises:
        MeasurementError: a delay is negative, or longer than :data:`LONGEST_NS`.
    """
    import numpy as np

    counts = np.zeros(SLOTS, dtype=np.int64)
    if not len(latency_ns):
        return counts
    _check(int(latency_ns.min()), int(latency_ns.max()))
    for begin in range(0, len(latency_ns), _CHUNK):
        slots = slots_of(latency_ns[begin : begin + _CHUNK])
        chunk = np.bincount(slots)
        counts[: len(chunk)] += chunk
    return counts


def slots_of(latency_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slot of each delay; all of them must be in range."""
    import numpy as np

    delays = latency_ns.astype(np.int64, copy=False)
    # The exponent of a float is the position of a number's highest bit; 2^52 and more would round.
    floats = (delays | ((1 << _BITS) - 1)).astype(np.float64)
    shift = (floats.view(np.int64) >> 52) - (1022 + _BITS)
    slots: NDArray[np.int64] = (shift << _HALF_BITS) + (delays >> shift)
    return slots


def bottoms_ns(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shortest delay of each slot."""
    bottoms: NDArray[np.int64] = (slots - (_shift(slots) << _HALF_BITS)) << _shift(slots)
    return bottoms


def tops_ns(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """The longest delay of each slot."""
    import numpy as np

    tops: NDArray[np.int64] = bottoms_ns(slots) + (np.int64(1) << _shift(slots)) - 1
    return tops


def _shift(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many low bits the delays in a slot do not share."""
    import numpy as np

    shift: NDArray[np.int64] = np.maximum((slots >> _HALF_BITS) - 1, 0)
    return shift


def _check(least_ns: int, most_ns: int) -> None:
    if least_ns < 0:
        raise MeasurementError(
            f"a packet arrived {-least_ns} ns before it was due",
            where="latency",
            hint="both times must be read from the same clock",
        )
    if most_ns > LONGEST_NS:
        raise MeasurementError(
            f"a delay of {most_ns / 1e9:.1f} s is longer than a histogram takes",
            where="latency",
            hint=f"it takes up to {LONGEST_NS // 1_000_000_000} s",
        )
