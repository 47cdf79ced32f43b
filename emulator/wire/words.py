"""What links do to frames, in a few words for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.plan.model import ImpairmentPlan, LinkPlan

_TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))
_RATES = ((10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s"), (1, "bit/s"))
_SIZES = ((10**6, "MB"), (10**3, "KB"), (1, "B"))
_FEW = 5


def duration_text(time_ns: int) -> str:
    """A time as it is written in a topology: ``5ms``, ``1.5s``."""
    return _scaled(time_ns, _TIMES, "") if time_ns else "0ms"


def rate_text(rate_bps: int) -> str:
    """``100 Mbit/s``."""
    return _scaled(rate_bps, _RATES, " ")


def percent_text(ratio: float) -> str:
    """``1%``."""
    return f"{ratio * 100:.6g}%"


def direction_text(plan: ImpairmentPlan | None) -> str:
    """What happens to frames in one direction: ``5ms ±1ms, 1% loss, 100 Mbit/s``."""
    if plan is None:
        return "as it is"
    words = [*_delay(plan), *_loss(plan), *_rate(plan)]
    if plan.trace is not None:
        words.append(f"trace {Path(plan.trace).name} ({', '.join(plan.trace_sets) or 'rate'})")
    return ", ".join(words) or "as it is"


def impairments_text(link: LinkPlan) -> str:
    """What a link does to frames; of both directions where they differ. Empty for a plain link."""
    if link.mechanism == "none":
        return ""
    up, down = direction_text(link.up), direction_text(link.down)
    return up if up == down else f"up {up}; down {down}"


def link_text(link: LinkPlan) -> str:
    """The same with what does it: ``5ms, 1% loss [wire]``. Empty for a plain link."""
    text = impairments_text(link)
    return f"{text} [{link.mechanism}]" if text else ""


def _delay(plan: ImpairmentPlan) -> list[str]:
    words = []
    if plan.delay_ns or plan.jitter_ns:
        text = duration_text(plan.delay_ns)
        if plan.jitter_ns:
            text += f" ±{duration_text(plan.jitter_ns)}"
            if plan.distribution != "uniform":
                shape = plan.distribution
                text += f" ({'own distribution' if shape == 'table' else shape})"
            if not plan.keep_order:
                text += " in any order"
        words.append(text)
    if plan.reorder:
        words.append(f"{percent_text(plan.reorder)} reordered")
    return words


def _loss(plan: ImpairmentPlan) -> list[str]:
    words = []
    if plan.loss:
        words.append(f"{percent_text(plan.loss)} loss")
    if plan.gemodel is not None:
        letters = zip(("p", "r", "1-h", "1-k"), plan.gemodel, strict=True)
        given = " ".join(f"{letter}={percent_text(ratio)}" for letter, ratio in letters)
        words.append(f"loss in bursts ({given})")
    if plan.drop:
        shown = ", ".join(str(index) for index in plan.drop[:_FEW])
        more = f" and {len(plan.drop) - _FEW} more" if len(plan.drop) > _FEW else ""
        words.append(f"loss of frames {shown}{more}")
    for ratio, what in ((plan.duplicate, "duplicated"), (plan.corrupt, "corrupted")):
        if ratio:
            words.append(f"{percent_text(ratio)} {what}")
    return words


def _rate(plan: ImpairmentPlan) -> list[str]:
    words = []
    if plan.rate_bps is not None:
        words.append(rate_text(plan.rate_bps))
    if not plan.has_rate:
        return words
    if plan.burst_bytes:
        words.append(f"burst {_scaled(plan.burst_bytes, _SIZES, ' ')}")
    limits = []
    if plan.queue_packets is not None:
        limits.append(f"{plan.queue_packets} packets")
    if plan.queue_bytes is not None:
        limits.append(_scaled(plan.queue_bytes, _SIZES, " "))
    if plan.queue_ns is not None:
        limits.append(duration_text(plan.queue_ns))
    if limits:
        words.append(f"queue {' or '.join(limits)}")
    if plan.aqm != "fifo":
        words.append(f"{plan.aqm}{' with ECN' if plan.ecn else ''}")
    return words


def _scaled(value: int, units: tuple[tuple[int, str], ...], gap: str) -> str:
    """A number in the largest unit of which there is one at least, with up to six digits."""
    scale, unit = next(((s, u) for s, u in units if value >= s), units[-1])
    return f"{value / scale:.6g}{gap}{unit}"
