"""Chains as users write them: where traffic starts and ends, and which VNFs it is to pass.

What is wrong in them is found when the topology is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from emulator.errors import Problem, UsageError
from emulator.names import NAME_RULE, choice_hint, is_name, place_of

CHANGEABLE = ("src", "dst", "via", "match", "both_ways")
"""What of a chain can be set anew."""


@dataclass(frozen=True)
class ChainEntry:
    """One chain as it was written; ``place`` is as that of a node."""

    name: str
    src: str
    dst: str
    via: tuple[str, ...]
    match: Any
    both_ways: bool
    place: str = ""

    @property
    def where(self) -> str:
        """The place, for messages."""
        return place_of(self.place, f"chain {self.name}")


class WrittenChains:
    """The chains of a topology, in the order they were added."""

    def __init__(self) -> None:
        self.entries: dict[str, ChainEntry] = {}
        self.problems: list[Problem] = []

    def add(self, name: Any, place: str, **asked: Any) -> None:
        """Add a chain; a name that cannot be had is a problem."""
        where = place_of(place, f"chain {name}")
        if not isinstance(name, str) or not is_name(name):
            self.problems.append(Problem(where, "that is no usable name", f"use {NAME_RULE}"))
        elif name in self.entries:
            at = self.entries[name].place
            text = f"the name is already that of a chain{f' added at {at}' if at else ''}"
            self.problems.append(Problem(where, text, "every chain needs a name of its own"))
        else:
            self.entries[name] = ChainEntry(name, place=place, **_meant(asked))

    def set(self, name: str, place: str, **changes: Any) -> None:
        """Change a chain; it keeps its place among the others.

        Raises:
            UsageError: there is no such chain, or chains have no such setting.
        """
        entry = self.get(name)
        for setting in changes:
            if setting not in CHANGEABLE:
                hint = choice_hint(setting, CHANGEABLE)
                raise UsageError(f"a chain has no {setting}", where=f"chain {name}", hint=hint)
        self.entries[name] = replace(entry, place=place, **_meant(changes))

    def remove(self, name: str) -> None:
        """Remove a chain.

        Raises:
            UsageError: there is no such chain.
        """
        del self.entries[self.get(name).name]

    def get(self, name: str) -> ChainEntry:
        """The chain of that name.

        Raises:
            UsageError: there is none.
        """
        try:
            return self.entries[name]
        except KeyError:
            hint = choice_hint(name, self.entries) if self.entries else "addChain adds one"
            raise UsageError(f"there is no chain {name}", hint=hint) from None


def _meant(asked: dict[str, Any]) -> dict[str, Any]:
    """What was given, with nodes by their names and a single member as a list of one."""
    meant = dict(asked)
    for end in ("src", "dst"):
        if end in meant:
            meant[end] = _name_of(meant[end])
    if "via" in meant:
        via = meant["via"]
        is_list = isinstance(via, Iterable) and not isinstance(via, str)
        meant["via"] = tuple(_name_of(each) for each in (via if is_list else [via]))
    return meant


def _name_of(node: Any) -> str:
    name = getattr(node, "name", node)
    return name if isinstance(name, str) else str(name)
