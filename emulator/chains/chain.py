"""A chain of a running network, to look at and to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.plan.steering_rules import Direction, legs_of

if TYPE_CHECKING:
    from emulator.chains.steering import Count
    from emulator.plan.chain_model import ChainPlan


@dataclass(frozen=True)
class LegCounters:
    """What of one leg of a chain has been steered, since it is as it is.

    Attributes:
        direction: ``forward``, from the chain's source to its destination, or ``back``.
        start, end: the nodes between which the leg leads.
        packets, bytes: frames, and their bytes without check sequence; None where no switch lies
            between the two, which could count.
    """

    direction: Direction
    start: str
    end: str
    packets: int | None
    bytes: int | None


class Chain:
    """A chain of a running network.

    Args:
        name: the chain's.
        plan: gives it as it is now, or raises UsageError.
        counts: gives what has been steered, by the labels of legs.
        change: changes settings of it, as ``Network.setChain``.

    Attributes:
        name: the chain's.
    """

    def __init__(
        self,
        name: str,
        plan: Callable[[], ChainPlan],
        counts: Callable[[], Mapping[str, Count]],
        change: Callable[..., object],
    ) -> None:
        self.name = name
        self._plan = plan
        self._counts = counts
        self._change = change

    def __repr__(self) -> str:
        return f"<Chain {self.name}: {' - '.join((self.src, *self.via, self.dst))}, {self.match}>"

    @property
    def plan(self) -> ChainPlan:
        """What was decided for it.

        Raises:
            UsageError: the network has it no more.
        """
        return self._plan()

    @property
    def src(self) -> str:
        """The node that the traffic comes from."""
        return self.plan.src

    @property
    def dst(self) -> str:
        """The node that it goes to."""
        return self.plan.dst

    @property
    def via(self) -> tuple[str, ...]:
        """What it passes, in order."""
        return self.plan.via

    @property
    def match(self) -> str:
        """Which traffic."""
        return self.plan.match

    def set(self, **changes: Any) -> None:
        """Change ``src``, ``dst``, ``via``, ``match`` or ``both_ways``; see ``setChain``."""
        self._change(self.name, **changes)

    def counters(self) -> list[LegCounters]:
        """What each of its legs has steered, those of the way back behind the others.

        Legs that stay when the chain is changed go on counting.

        Raises:
            LabError: the lab has ended.
        """
        plan, counts = self.plan, self._counts()
        found = []
        for key, leg in legs_of(plan):
            count = counts.get(key.label) if leg.turns else None
            found.append(
                LegCounters(
                    key.direction,
                    leg.start.node,
                    leg.end.node,
                    None if count is None else count.packets,
                    None if count is None else count.bytes,
                )
            )
        return found
