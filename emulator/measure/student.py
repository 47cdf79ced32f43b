"""Student's t distribution with whole degrees of freedom, which is all that our intervals need.

Closed forms of M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and
26.7.4, so that the product needs no library of special functions for two numbers.
"""

from __future__ import annotations

import math
from functools import lru_cache


def two_sided_p(t: float, degrees: int) -> float:
    """How probable it is that the distribution gives a value as far from 0 as t, or farther.

    Exact to about 1e-15, so that a probability below that comes out as 0.

    Args:
        degrees: of freedom, 1 or more.
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    cosine = math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    total = 0.0
    for k in range(degrees % 2, degrees - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    if degrees % 2:
        inside = (2 / math.pi) * (angle + math.sin(angle) * total)
    else:
        inside = math.sin(angle) * total
    return min(1.0, max(0.0, 1 - inside))


@lru_cache(maxsize=256)
def critical_t(confidence: float, degrees: int) -> float:
    """The t that the distribution stays within, on both sides of 0, with that probability.

    Args:
        confidence: such as 0.95, at most 0.9999.
        degrees: of freedom, 1 or more.
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > 1 - confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided_p(middle, degrees) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high
