"""A certificate: what was asked of a link, what was measured of it, and whether that is the same.

The records here travel with results; ``emulator.wire.checks`` makes the lines of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from emulator.plan.model import ImpairmentPlan

Verdict = Literal["pass", "fail", "not certified"]
Unit = Literal["ns", "ratio", "bit/s", "frames", "length", ""]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Record):
    """One line of a certificate.

    Attributes:
        what: the quantity.
        unit: of the numbers.
        asked, measured: the values; null where there is none.
        low, high: between which the measured one has to be.
        note: what else a reader should know.
    """

    what: str
    unit: Unit
    asked: float | None
    measured: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    note: str = ""


class DirectionCertificate(_Record):
    """One direction of a link.

    Attributes:
        direction: up is from the link's first node to its second.
        spec: what was asked for.
        attempts: how often it was measured until it passed; an interval that holds 99 samples of
            100 has to be missed by one in a hundred.
        late_frames, late_most_ns: that the wire released more than 100 µs late, meanwhile.
        unasked_frames: that it lost although nobody asked for it.
        reason: why it is not certified.
        notes: what was not measured, and why; and what keeps the wires from doing better.
    """

    direction: Literal["up", "down"]
    source: str
    destination: str
    spec: ImpairmentPlan
    checks: tuple[Check, ...]
    attempts: int = 1
    frames: int = 0
    late_frames: int = 0
    late_most_ns: int = 0
    unasked_frames: int = 0
    verdict: Verdict
    reason: str = ""
    notes: tuple[str, ...] = ()


class LinkCertificate(_Record):
    """One link.

    Attributes:
        plane: of the VNFs at its ends, where the link was measured through some.
        floor_ns: median delay of the same way with an unimpaired link, which was subtracted.
        spread_ns: by how much more that is at p99, which is allowed to the link as well.
    """

    link: str
    mechanism: str
    directions: tuple[DirectionCertificate, ...]
    plane: str | None = None
    floor_ns: int | None = None
    spread_ns: int | None = None
    verdict: Verdict
    reason: str = ""


class Certificate(_Record):
    """All impaired links of a topology, on one machine at one time.

    Attributes:
        dma_latency_held: whether the CPUs were kept out of deep idle states meanwhile.
    """

    version: Literal[1] = 1
    topology: str
    measured_at: datetime
    duration_s: float
    dma_latency_held: bool
    links: tuple[LinkCertificate, ...]
    verdict: Verdict


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """What holds of a whole by its parts: a failure tells more than what was not measured."""
    found = set(verdicts)
    return "fail" if "fail" in found else "not certified" if "not certified" in found else "pass"


def judge(checks: Sequence[Check], *, unasked_frames: int) -> tuple[Verdict, str]:
    """The verdict on a direction, and the reason where it is not certified."""
    if unasked_frames:
        return "not certified", f"the machine was too slow: {unasked_frames} frames went astray"
    verdict = worst(check.verdict for check in checks)
    if verdict != "not certified":
        return verdict, ""
    reasons = [f"{each.what}: {each.note}" for each in checks if each.verdict == verdict]
    return verdict, reasons[0]
