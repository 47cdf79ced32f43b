"""Rates and durations as people write them."""

from __future__ import annotations

import math
import re

from emulator.errors import UsageError

_SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_DURATIONS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+"


def parse_rate(text: str, *, where: str = "--rate") -> float:
    """A packet rate in packets per second: ``1000``, ``10k``, ``1.5M``, ``10kpps``.

    Args:
        text: what the user wrote.
        where: the option it was given to.

    Raises:
        UsageError: the text is no rate, or not a positive one.
    """
    match = re.fullmatch(rf"({_NUMBER})\s*([kKMG]?)(?:pps)?", text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is not a packet rate",
            where=where,
            hint="write packets per second: 1000, 10k, 1.5M or 10kpps",
        )
    rate_pps = float(match[1]) * _SCALES[match[2]]
    if not 0 < rate_pps < math.inf:
        raise UsageError(f"the rate must be above 0, not {text}", where=where)
    return rate_pps


def parse_duration(text: str, *, where: str) -> float:
    """A duration in seconds: ``2``, ``2s``, ``500ms``, ``1min``.

    Args:
        text: what the user wrote.
        where: the option it was given to.

    Raises:
        UsageError: the text is no duration, or not a positive one.
    """
    match = re.fullmatch(rf"({_NUMBER})\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _DURATIONS_S:
        raise UsageError(
            f"{text!r} is not a duration",
            where=where,
            hint="write seconds, or a unit with the number: 2, 500ms, 1min",
        )
    duration_s = float(match[1]) * _DURATIONS_S[match[2]]
    if not 0 < duration_s < math.inf:
        raise UsageError(f"the duration must be above 0, not {text}", where=where)
    return duration_s
