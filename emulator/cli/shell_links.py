"""What the shell reads and prints of links; pure, no network is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emulator.cli import shell_format
from emulator.errors import UsageError
from emulator.plan.impairments import DIRECTIONS, SETTINGS
from emulator.wire.words import duration_text, link_text

if TYPE_CHECKING:
    from emulator.plan.model import LinkPlan
    from emulator.wire.manager import LinkCounters
    from emulator.wire.scheduling import ScheduleRun

LINK_WORDS = ("up", "down", "show", "set")
"""What can be asked of a link."""


def link_settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings as they are written after ``set``: ``delay=20ms up.loss=1%``.

    Raises:
        UsageError: a word is no setting, or says what another one has said.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        direction, dot, rest = name.partition(".")
        into, key = given, name
        if dot and direction in DIRECTIONS:
            into, key = given.setdefault(direction, {}), rest
        if not equals or not key or not value:
            hint = "write NAME=VALUE: delay=20ms, up.loss=1%"
            raise UsageError(f"{word!r} is no setting", where="link set", hint=hint)
        if key in into:
            raise UsageError(f"{name} is given twice", where="link set")
        into[key] = value
    return given


def setting_words() -> list[str]:
    """The beginnings of settings, for completion."""
    prefixes = ("", *(f"{direction}." for direction in DIRECTIONS))
    return [f"{prefix}{name}=" for prefix in prefixes for name in SETTINGS]


def impaired_text(links: Iterable[LinkPlan]) -> str:
    """One line for each impaired link; empty where there is none."""
    rows = [(link.id, link_text(link)) for link in links if link.mechanism != "none"]
    return shell_format.aligned(rows)


def wires_table(links: Sequence[LinkPlan], counters: Mapping[str, LinkCounters]) -> str:
    """Two lines for each impaired link, one for each direction.

    Args:
        links: the impaired links.
        counters: by id, of those that count.
    """
    rows: list[Sequence[object]] = [
        ("link", "mechanism", "in", "out", "lost", "overflow", "late", "unasked")
    ]
    for link in links:
        both = counters.get(link.id)
        for way, first, second in (("up", link.a, link.b), ("down", link.b, link.a)):
            name = f"{first.interface}->{second.interface}"
            if both is None:
                rows.append((name, link.mechanism, *"------"))
                continue
            n = both.up if way == "up" else both.down
            row = (n.in_packets, n.out_packets, n.lost_packets)
            dropped = n.overflow_packets + n.aqm_packets
            rows.append((name, link.mechanism, *row, dropped, n.late_packets, n.unasked_packets))
    return shell_format.aligned(rows)


def schedules_text(schedules: Sequence[ScheduleRun]) -> str:
    """How far each schedule is, and what went wrong."""
    if not schedules:
        return "no schedule runs"
    lines = []
    for run in schedules:
        state = "over" if run.finished else "running"
        late = ""
        if run.late_steps:
            late = f", {run.late_steps} late by up to {duration_text(run.late_most_ns)}"
        lines.append(f"{run.name}: {state}, {run.done} of {run.steps} steps{late}")
        lines += [f"  failed {failure}" for failure in run.failures]
    return "\n".join(lines)
