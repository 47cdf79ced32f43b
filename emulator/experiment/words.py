"""Numbers as a person reads them in a report: units, significant digits, marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.traffic.schedule import is_capture

if TYPE_CHECKING:
    from emulator.experiment.measured import IntervalRecord

MISSING = "–"
"""Stands where nothing was measured, or where the sample cannot support a number."""

BENCH_LIMITED = "†"
PROBE_LIMITED = "≥"
INVALID = "‡"


def microseconds(value_ns: float | None) -> str:
    """Nanoseconds as microseconds with three significant digits, or all of its whole ones."""
    return MISSING if value_ns is None else significant(value_ns / 1000)


def significant(value: float) -> str:
    """Three significant digits without an exponent; whole numbers are kept whole."""
    if not value:
        return "0"
    size = abs(value)
    digits = 3 if size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{digits}f}".replace(",", " ")


def grouped(value: float) -> str:
    """A count or rate with its thousands set apart."""
    return f"{value:,.10g}".replace(",", " ")


def whole(value: float | None) -> str:
    """Rounded to a whole number, with its thousands set apart."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", " ")


def percent(ratio: float | None) -> str:
    """A ratio in percent, with as many digits as it needs to not look like zero."""
    return MISSING if ratio is None else f"{ratio * 100:.3g} %"


def share(ratio: float) -> str:
    """A ratio that is near to all, in percent, with as many nines as it takes to tell it from all.

    ``0.99999`` is ``99.999 %`` and never ``100 %``.
    """
    if ratio >= 1:
        return "100 %"
    for digits in range(1, 12):
        text = f"{ratio * 100:.{digits}f}"
        if float(text) < 100:
            # One digit more than tells it from all, so that the last one means something.
            return f"{ratio * 100:.{min(digits + 1, 11)}f}".rstrip("0").rstrip(".") + " %"
    return "just below 100 %"


def span(interval: IntervalRecord | None, scale: float) -> str:
    """The ends of an interval, divided by ``scale``: ``[0.740, 0.762]``."""
    if interval is None:
        return MISSING
    return f"[{significant(interval.low / scale)}, {significant(interval.high / scale)}]"


def duration(value_ns: float) -> str:
    """A time with the unit that fits it: ``350 µs``, ``1.5 ms``, ``2 s``."""
    for scale, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if abs(value_ns) >= scale:
            return f"{value_ns / scale:.4g} {unit}"
    return f"{value_ns:.4g} ns"


def size(count_bytes: float) -> str:
    """A number of bytes with the unit that fits it: ``4.2 MiB``."""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count_bytes >= scale:
            return f"{count_bytes / scale:.1f} {unit}"
    return f"{count_bytes:.0f} B"


def frames_text(frames: str) -> str:
    """The size of frames with its unit, or the name of a mix or of a capture."""
    if is_capture(frames):
        return "captured"
    return f"{frames} B" if frames.isdigit() else frames


def rate(value_pps: float) -> str:
    """Packets per second with the unit that fits: ``3.52 Mpps``, ``9.00 kpps``."""
    for scale, unit in ((1e6, "Mpps"), (1e3, "kpps")):
        if value_pps >= scale:
            return f"{significant(value_pps / scale)} {unit}"
    return f"{significant(value_pps)} pps"


def signed(text: str, *, valid: bool = True) -> str:
    """A difference with its sign; marked where a part of it is invalid."""
    if text == MISSING:
        return text
    sign = "" if text.startswith("-") else "+"
    return f"{'' if valid else INVALID}{sign}{text}"
