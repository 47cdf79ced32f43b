"""What the settings of one direction of a link mean together, and which cannot be had."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.plan.model import ImpairmentPlan
from emulator.plan.quantities import QuantityMistake

HEADER_BYTES = 14
"""Of Ethernet, in a frame beside its payload."""


def check_direction(plan: ImpairmentPlan, frame_bytes: int) -> Iterator[QuantityMistake]:
    """What is wrong with a direction, whatever carries it out.

    ``frame_bytes`` is the length of the longest frame there.
    """
    yield from _check_delay(plan)
    yield from _check_rate(plan, frame_bytes)
    yield from _check_aqm(plan)


def _check_delay(plan: ImpairmentPlan) -> Iterator[QuantityMistake]:
    jitter, delay = _milliseconds(plan.jitter_ns), _milliseconds(plan.delay_ns)
    hint = 'give a longer delay, or less jitter, or floor="0ms", which cuts off what is below'
    free = plan.floor_ns is not None or "delay" in plan.trace_sets
    if plan.distribution == "table":
        shortest_ns = plan.delay_ns + plan.jitter_ns * plan.table[0]
        if shortest_ns < 0 and not free:
            yield QuantityMistake(
                f"with a delay of {delay} and a jitter of {jitter} its distribution would have "
                f"frames leave {_milliseconds(-shortest_ns)} before they come",
                hint,
            )
    elif plan.jitter_ns > plan.delay_ns and not free:
        yield QuantityMistake(f"a jitter of {jitter} is more than the delay of {delay}", hint)
    if plan.reorder and not plan.delay_ns and "delay" not in plan.trace_sets:
        yield QuantityMistake(
            "reorder lets frames overtake others in the delay, and there is none",
            "give a delay as well",
        )


def _check_rate(plan: ImpairmentPlan, frame_bytes: int) -> Iterator[QuantityMistake]:
    line_bytes = frame_bytes + plan.overhead_bytes
    said = {
        "rate": plan.rate_bps is not None,
        "delay": bool(plan.delay_ns),
        "loss": bool(plan.loss) or plan.gemodel is not None,
    }
    for name in plan.trace_sets:
        if said[name]:
            text = f"{name} is given, and the trace says it as well"
            yield QuantityMistake(text, "keep one of them")
    if not plan.has_rate:
        given = {
            "a queue": plan.queue_packets or plan.queue_bytes or plan.queue_ns,
            "a burst": plan.burst_bytes,
            f"aqm={plan.aqm}": plan.aqm != "fifo",
            "ecn": plan.ecn,
        }
        for what, there in given.items():
            if there:
                text = f"{what} does nothing without a rate, because nothing waits"
                yield QuantityMistake(text, "give a rate or a trace, or leave it out")
    elif plan.ecn and plan.aqm == "fifo":
        text = "ecn does nothing without an aqm that marks"
        yield QuantityMistake(text, 'give aqm="codel" or aqm="red", or leave it out')
    if plan.burst_bytes and "rate" in plan.trace_sets:
        yield QuantityMistake("a trace that says the rate has no burst", "leave burst out")
    elif 0 < plan.burst_bytes < line_bytes:
        yield QuantityMistake(
            f"a burst of {plan.burst_bytes} bytes is less than the longest frame of {line_bytes}",
            f"give at least {line_bytes} bytes, or a smaller mtu",
        )
    if plan.queue_bytes is not None and plan.queue_bytes < frame_bytes:
        yield QuantityMistake(
            f"a queue of {plan.queue_bytes} bytes has no room for the longest frame of "
            f"{frame_bytes}",
            f"give at least {frame_bytes} bytes, or a smaller mtu",
        )


def _check_aqm(plan: ImpairmentPlan) -> Iterator[QuantityMistake]:
    if plan.aqm == "red":
        if not 0 < plan.red_min_bytes < plan.red_max_bytes:
            text = f"red: min={plan.red_min_bytes} is not below max={plan.red_max_bytes}"
            yield QuantityMistake(text, 'write "red(min=30KB, max=90KB, p=10%)"')
        if not plan.red_probability:
            yield QuantityMistake("red: with p=0% it does nothing", "give p=10%")
        if plan.queue_bytes is not None and plan.queue_bytes < plan.red_max_bytes:
            text = f"red: max={plan.red_max_bytes} is more than the queue's {plan.queue_bytes}"
            yield QuantityMistake(text, "give a longer queue, or smaller min and max")
    if plan.aqm == "codel" and not 0 < plan.codel_target_ns < plan.codel_interval_ns:
        target, interval = map(_milliseconds, (plan.codel_target_ns, plan.codel_interval_ns))
        text = f"codel: target={target} is not below interval={interval}"
        yield QuantityMistake(text, 'write "codel(target=5ms, interval=100ms)"')


def check_netem(plan: ImpairmentPlan, *, seeded: bool) -> Iterator[QuantityMistake]:
    """What the kernel's netem cannot do of it; ``seeded``: a seed was asked for."""
    lacking = {
        "follow a trace": plan.trace is not None,
        "drop frames by their number": bool(plan.drop),
        "keep the order of frames with jitter": bool(plan.jitter_ns) and plan.keep_order,
        f"take the distribution {plan.distribution}": plan.distribution != "uniform"
        and bool(plan.jitter_ns),
        "lose frames by a gemodel": plan.gemodel is not None,
        f"manage its queue by {plan.aqm}": plan.aqm != "fifo",
        "repeat what it did by a seed": seeded,
    }
    for what, asked in lacking.items():
        if asked:
            other = "say keep_order=False, or " if what.startswith("keep") else ""
            yield QuantityMistake(f"netem cannot {what}", f'{other}use mechanism="wire"')


def _milliseconds(time_ns: float) -> str:
    return f"{time_ns / 1e6:.6g} ms"
