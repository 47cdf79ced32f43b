"""The part of a plan that is about chains: which traffic passes which VNFs, and by what way."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.plan.link_model import EndPlan
from emulator.plan.record import Record


@dataclass(frozen=True, kw_only=True)
class TurnPlan(Record):
    """What one switch does for a leg of a chain."""

    switch: str
    come_in: str
    """The switch's interface by which frames come."""
    go_out: str
    """The one by which they go."""


@dataclass(frozen=True, kw_only=True)
class LegPlan(Record):
    """The way from one member of a chain to the next."""

    start: EndPlan
    """Where frames leave a member, or the chain's source."""
    end: EndPlan
    """Where they come to the next one, or to the chain's destination."""
    turns: tuple[TurnPlan, ...] = ()
    """The switches between them, in order; none where a link joins the two."""


@dataclass(frozen=True, kw_only=True)
class ChainPlan(Record):
    """One chain."""

    name: str
    src: str
    """The node that the traffic comes from."""
    dst: str
    """The node that it goes to."""
    via: tuple[str, ...] = ()
    """The VNFs, or hosts, that it passes, in order."""
    match: str = "any"
    """Which traffic: see ``emulator.match``."""
    both_ways: bool = False
    """Whether the way back leads through the chain too, reversed."""
    forward: tuple[LegPlan, ...] = ()
    """From ``src`` to ``dst``; empty without ``via``."""
    back: tuple[LegPlan, ...] = ()
    """From ``dst`` to ``src``; empty unless ``both_ways``."""
