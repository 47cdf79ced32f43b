"""What a benchmark says: series of measurements, rows of a table, and targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Series:
    """One quantity, measured once per round."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Series:
        """A series of at least one value."""
        if not values:
            raise ValueError("a series needs a value")
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """Median, extremes and every value."""
        return {
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Target:
    """What is to be reached; a part that is None is not asked for.

    Args:
        at_most, at_least: a bound of our own median, in the unit of the row.
        ratio: how many times better than the peer at least.
        strictly: whether reaching the ratio exactly is not enough.
    """

    at_most: float | None = None
    at_least: float | None = None
    ratio: float | None = None
    strictly: bool = False

    def met(self, ours: float, ratio: float | None) -> bool:
        """Whether all that is asked for was reached; without a peer its part was not."""
        if self.at_most is not None and ours > self.at_most:
            return False
        if self.at_least is not None and ours < self.at_least:
            return False
        if self.ratio is None:
            return True
        if ratio is None:
            return False
        return ratio > self.ratio if self.strictly else ratio >= self.ratio

    def text(self, unit: str) -> str:
        """As a person writes it."""
        parts = []
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:g} {unit}")
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:g} {unit}")
        if self.ratio is not None:
            parts.append(f"{'>' if self.strictly else '≥'} {self.ratio:.3g}×")
        return ", ".join(parts)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: the quantity.
        unit: of ours and the peer's alike.
        ours, peer: the measurements; those of one round have the same place in both.
        peer_name: what the peer is.
        target: what is to be reached; None for a line that only informs.
        more_is_better: of rates, as opposed to times and sizes.
    """

    what: str
    unit: str
    ours: Series
    peer: Series | None = None
    peer_name: str = ""
    target: Target | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> Series | None:
        """How many times better than the peer, round by round; None without a peer."""
        if self.peer is None:
            return None
        pairs = zip(self.ours.values, self.peer.values, strict=True)
        if self.more_is_better:
            return Series.of([ours / peer for ours, peer in pairs])
        return Series.of([peer / ours for ours, peer in pairs])

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        ratio = self.ratio
        return self.target.met(self.ours.median, ratio.median if ratio else None)

    def as_json(self) -> dict[str, Any]:
        """All of it, with the ratios."""
        ratio = self.ratio
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours.as_json(),
            "peer": self.peer.as_json() if self.peer else None,
            "peer_name": self.peer_name or None,
            "ratio": ratio.as_json() if ratio else None,
            "target": self.target.text(self.unit) if self.target else None,
            "met": self.met,
        }


@dataclass
class Outcome:
    """What came of one benchmark.

    Attributes:
        rows: what was measured.
        notes: what a reader should know about it.
        error: why it could not be measured; empty when it could.
        busy: of every round that began on a busy machine, the share of its CPU time in use.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    busy: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything could be measured and reached its target."""
        return not self.error and all(row.met is not False for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "name": self.name,
            "good": self.good,
            "rows": [row.as_json() for row in self.rows],
            "notes": self.notes,
            "error": self.error or None,
            "busy_rounds": self.busy,
        }
