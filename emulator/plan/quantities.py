"""Quantities as people write them: durations, ratios, rates, sizes.

A number without a unit is taken only where no other unit could be meant. Whoever writes
``delay=5`` may mean milliseconds, or microseconds as tc does, and is asked.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

MOST_NS: Final = 3_600_000_000_000
"""The longest time that a link can be told: an hour."""
RATES_BPS: Final = (100, 1_000_000_000_000)
"""The lowest and the highest rate of a link."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([^\d\s.+-][^\d.+-]*)?")
_DURATIONS_NS = {
    **dict.fromkeys(("h",), 3_600_000_000_000),
    **dict.fromkeys(("min",), 60_000_000_000),
    **dict.fromkeys(("s", "sec", "secs"), 1_000_000_000),
    **dict.fromkeys(("ms", "msec", "msecs"), 1_000_000),
    # Both of Unicode's: the micro sign, and the Greek letter.
    **dict.fromkeys(("us", "usec", "usecs", "\u00b5s", "\u03bcs"), 1_000),
    **dict.fromkeys(("ns", "nsec", "nsecs"), 1),
}
_SCALES: dict[str, int] = {
    "": 1,
    **{unit: 10 ** (3 * power) for power, unit in enumerate("kmgt", 1)},
    **{f"{unit}i": 1 << (10 * power) for power, unit in enumerate("kmgt", 1)},
}
# Not "b/s": in "10MB/s" it would be bytes.
_RATE_UNIT = re.compile(r"([kmgt]?i?)(?:bit(?:/s)?)?")
_SIZE_UNIT = re.compile(r"([kmgt]?i?)b?")
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class QuantityMistake(ValueError):
    """A text or a number is not the quantity it should be; carries a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read_duration_ns(value: Any) -> int:
    """A duration in nanoseconds: ``5ms``, ``100us``, ``1.5s``.

    Raises:
        QuantityMistake: it is none, has no unit, is negative or longer than an hour.
    """
    number, unit = _parts(value, "a duration", 'write it with its unit: "5ms", "100us", "1.5s"')
    if number == 0 and not unit:
        return 0
    scale = _DURATIONS_NS.get(unit)
    if scale is None:
        hint = 'write it with its unit: "5ms", "100us", "1.5s"'
        problem = f"has the unknown unit {unit}" if unit else "has no unit"
        raise QuantityMistake(f"{shown(value)} {problem}", hint)
    _refuse_negative(number, value)
    if number * scale > MOST_NS:
        raise QuantityMistake(f"{shown(value)} is longer than an hour")
    return round(number * scale)


def read_ratio(value: Any) -> float:
    """A ratio from 0 to 1: ``1%`` as a text; a number is percent, as in Mininet.

    Raises:
        QuantityMistake: it is none, is a text without %, is negative or above 100 %.
    """
    hint = 'write it in percent: "1%"'
    number, unit = _parts(value, "a ratio", hint)
    if unit != "%" and not (number == 0 and not unit) and isinstance(value, str):
        raise QuantityMistake(f"{shown(value)} is not in percent", hint)
    _refuse_negative(number, value)
    if number > 100:
        raise QuantityMistake(f"{shown(value)} is more than 100 %")
    return number / 100


def read_rate_bps(value: Any) -> int:
    """A rate in bits per second: ``100mbit``, ``1.5Gbit/s``, ``50k``; 1 kbit is 1000 bits.

    Raises:
        QuantityMistake: it is none, is a number without a unit, or is outside :data:`RATES_BPS`.
    """
    hint = 'write it with its unit: "100mbit", "1gbit"'
    number, unit = _parts(value, "a rate", hint)
    if unit in ("bps", "kbps", "mbps", "gbps", "tbps"):
        letter = unit[:-3]
        text = f"{shown(value)} may be bits or, as tc reads it, bytes per second"
        raise QuantityMistake(text, f'write "{letter}bit" for bits: "{number:g}{letter}bit"')
    parsed = _RATE_UNIT.fullmatch(unit)
    scale = _SCALES.get(parsed[1]) if parsed is not None else None
    if scale is None:
        raise QuantityMistake(f"{shown(value)} has the unknown unit {unit}", hint)
    if not unit and number != 0:
        raise QuantityMistake(f"{shown(value)} has no unit", hint)
    return check_rate_bps(number * scale, value)


def read_megabits_bps(value: Any) -> int:
    """A rate in bits per second from a number of Mbit/s; with a unit, as any other rate.

    Raises:
        QuantityMistake: it is none, or is outside :data:`RATES_BPS`.
    """
    number, unit = _parts(value, "a rate", "give Mbit/s: 10, 0.5")
    return read_rate_bps(value) if unit else check_rate_bps(number * 1e6, value)


def check_rate_bps(rate_bps: float, value: Any) -> int:
    """A rate as it was computed from what was written, rounded to whole bits per second.

    Raises:
        QuantityMistake: it is outside :data:`RATES_BPS`.
    """
    _refuse_negative(rate_bps, value)
    if rate_bps == 0:
        text = "a rate of 0 lets nothing through"
        raise QuantityMistake(
            text, 'for no limit leave it out, or say "none"; to stop all, loss="100%"'
        )
    least, most = RATES_BPS
    if not least <= rate_bps <= most:
        text = f"a rate of {shown(value)} is not possible"
        raise QuantityMistake(text, "give 100 bit/s to 1 Tbit/s")
    return round(rate_bps)


def read_size_bytes(value: Any) -> int:
    """A size in bytes: ``1500``, ``50KB`` (50 000), ``64KiB`` (65 536).

    Raises:
        QuantityMistake: it is none, is negative, or is a terabyte and more.
    """
    hint = 'write bytes: 15000, "50KB" (50 000), "64KiB" (65 536)'
    number, unit = _parts(value, "a size", hint)
    parsed = _SIZE_UNIT.fullmatch(unit)
    scale = _SCALES.get(parsed[1]) if parsed is not None else None
    if scale is None:
        raise QuantityMistake(f"{shown(value)} has the unknown unit {unit}", hint)
    _refuse_negative(number, value)
    size = number * scale
    if size >= 1e12 or size != round(size):
        raise QuantityMistake(f"{shown(value)} is not a number of bytes to be had", hint)
    return round(size)


def read_count(value: Any, what: str, numbers: range) -> int:
    """A whole number in a range, also as text.

    Raises:
        QuantityMistake: it is none.
    """
    number: Any = value
    written = isinstance(value, str) and re.fullmatch(r"\d{1,20}", value.strip())
    if written or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or number not in numbers:
        hint = f"give a whole number from {numbers.start} to {numbers.stop - 1}"
        raise QuantityMistake(f"{shown(value)} is not {what}", hint)
    return int(number)


def read_truth(value: Any) -> bool:
    """True or False, also as ``yes`` and ``no``, ``on`` and ``off``, 1 and 0.

    Raises:
        QuantityMistake: it is neither.
    """
    truth = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else value
    if type(truth) not in (bool, int) or truth not in (0, 1):
        raise QuantityMistake(f"{shown(value)} is not True or False")
    return bool(truth)


def read_number(value: Any, what: str) -> float:
    """A finite number that is not negative, also as text.

    Raises:
        QuantityMistake: it is none.
    """
    number, unit = _parts(value, what, "give a number")
    if unit:
        raise QuantityMistake(f"{shown(value)} is not {what}", "give a number without a unit")
    _refuse_negative(number, value)
    return number


def _parts(value: Any, what: str, hint: str) -> tuple[float, str]:
    """The number and, in lower case, the unit of a quantity; a number has none."""
    mistake = QuantityMistake(f"{shown(value)} is not {what}", hint)
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None:
            raise mistake
        number, unit = float(match[1]), (match[2] or "").strip().lower()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number, unit = float(value), ""
        except OverflowError:
            raise mistake from None
    else:
        raise mistake
    if not math.isfinite(number):
        raise mistake
    return number, unit


def _refuse_negative(number: float, value: Any) -> None:
    if number < 0:
        raise QuantityMistake(f"{shown(value)} is negative")


def shown(value: Any) -> str:
    """What was written, as messages say it: never too long."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "so large a number"
    text = value.strip() if isinstance(value, str) else ""
    text = text if text.isprintable() and text else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
