"""The texts about links; pure, no network is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from emulator.wire.words import direction_text, duration_text

if TYPE_CHECKING:
    from emulator.plan.model import LinkPlan
    from emulator.wire.manager import LinkCounters
    from emulator.wire.protocol import WireCounters

_WORDS = {
    "in_packets": "came in",
    "in_bytes": "  bytes",
    "out_packets": "went out",
    "out_bytes": "  bytes",
    "lost_packets": "lost as asked for",
    "overflow_packets": "dropped: queue full",
    "aqm_packets": "dropped by the AQM",
    "marked_packets": "marked (ECN)",
    "duplicated_packets": "copies made",
    "corrupted_packets": "corrupted",
    "queue_high_packets": "most at once inside",
    "late_packets": "late by over 100 us",
    "late_most_ns": "  the latest by",
    "missed_packets": "NOT ASKED FOR: missed, the machine was too slow",
    "unsent_packets": "NOT ASKED FOR: unsent, the far end took no more",
    "no_memory_packets": "NOT ASKED FOR: lost for want of memory",
    "lost_changes": "NOT DONE: changes for which there was no memory",
}
# Of no interest as long as they are 0.
_EXCEPTIONAL = ("missed_packets", "unsent_packets", "no_memory_packets", "lost_changes")


def link_report(link: LinkPlan, counters: LinkCounters | None, failure: str | None) -> str:
    """A link at one moment: what it does in each direction, by what, and what became of frames."""
    a, b = link.a, link.b
    lines = [f"{a.interface}<->{b.interface}: {_mechanism(link)}"]
    if link.mechanism != "none":
        for way, first, second, plan in (("up", a, b, link.up), ("down", b, a, link.down)):
            seed = f" (seed {plan.seed})" if plan is not None and plan.impairs else ""
            lines.append(f"{way:<4}  {first.node} -> {second.node}: {direction_text(plan)}{seed}")
    if failure is not None:
        lines.append(f"no counters: {failure}")
    if counters is not None:
        lines += [f"warning: {warning}" for warning in counters.warnings]
        heads = (f"{a.node} -> {b.node}", f"{b.node} -> {a.node}")
        lines += ["", *_columns([("", *heads), *_counter_rows(counters)])]
    return "\n".join(lines)


def _mechanism(link: LinkPlan) -> str:
    if link.mechanism == "wire":
        return "a wire of our own"
    if link.mechanism == "netem":
        return "the kernel's netem"
    if link.kind == "memif":
        return "memory that two VNFs share, nothing impairs it"
    return "a bare pair of veth, nothing impairs it"


def _counter_rows(counters: LinkCounters) -> list[tuple[str, str, str]]:
    rows = []
    for field in fields(counters.up):
        name = field.name
        up, down = (_value(name, each) for each in (counters.up, counters.down))
        if name in _EXCEPTIONAL and up == down == "0":
            continue
        rows.append((_WORDS[name], up, down))
    return rows


def _value(name: str, counters: WireCounters) -> str:
    number = getattr(counters, name)
    return duration_text(number) if name.endswith("_ns") and number else str(number)


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip()
        for row in rows
    ]
