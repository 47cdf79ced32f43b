"""The lines of a certificate, and what excuses a line that fails."""

from __future__ import annotations

from emulator.wire.certificate import Check, Unit

ANOTHER_FATE = "frames with another fate than their seed gives them"
TOO_EARLY = "frames before they were due"

_OF_TIME = ("ns", "bit/s", "")
_OF_MOMENTS = (ANOTHER_FATE, TOO_EARLY)
_MOST_LATE_RATIO = 0.01
_FEW_FRAMES = 2.0


def excused(found: list[Check], frames: int, late_frames: int) -> list[Check]:
    """The same, where times that are off are no fault of the link when its wire was too late.

    A machine that is too slow proves nothing: what fails on it is not certified.
    """
    if late_frames <= _MOST_LATE_RATIO * frames:
        return found
    why = f"the machine was too slow: {late_frames} of {frames} frames left late"
    return [
        each.model_copy(update={"verdict": "not certified", "note": why})
        if each.verdict == "fail" and each.unit in _OF_TIME
        else each
        for each in found
    ]


def forgiving(found: list[Check], frames: int) -> list[Check]:
    """The same for a link that changes over time: a frame may just miss the moment of a change."""
    most = max(_FEW_FRAMES, _MOST_LATE_RATIO * frames)
    return [
        each.model_copy(update={"high": most, "verdict": "pass"})
        if each.what in _OF_MOMENTS and (each.measured or 0) <= most
        else each
        for each in found
    ]


def within(
    what: str, unit: Unit, asked: float, measured: float, low: float, high: float, note: str = ""
) -> Check:
    """A line for a value that has to lie between two others."""
    return Check(
        what=what,
        unit=unit,
        asked=asked,
        measured=measured,
        low=low,
        high=high,
        verdict="pass" if low <= measured <= high else "fail",
        note=note,
    )


def none(what: str, count: int) -> Check:
    """A line for what must not happen."""
    return within(what, "frames", 0, count, 0, 0)


def unknown(what: str, unit: Unit, asked: float | None, note: str) -> Check:
    """A line for what could not be measured, with the reason."""
    return Check(
        what=what,
        unit=unit,
        asked=asked,
        measured=None,
        low=None,
        high=None,
        verdict="not certified",
        note=note,
    )
