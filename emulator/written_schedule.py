"""What is to change while a network runs, as users write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emulator.errors import Problem
from emulator.names import NAME_RULE, is_name, place_of
from emulator.schedule import LinkSet, ScheduleEntry, read_schedule


class WrittenSchedule:
    """The schedule of a topology, and the sets of links that it has names for."""

    def __init__(self) -> None:
        self.entries: list[ScheduleEntry] = []
        self.sets: dict[str, LinkSet] = {}
        self.problems: list[Problem] = []

    def add_set(self, name: Any, links: LinkSet) -> None:
        """Give links a name; one that cannot be had is a problem."""
        where = place_of(links.place, f"set of links {name}")
        if not isinstance(name, str) or not is_name(name):
            self.problems.append(Problem(where, "that is no usable name", f"use {NAME_RULE}"))
        elif name in self.sets:
            text = "the name is already that of another set"
            self.problems.append(Problem(where, text, "every set needs a name of its own"))
        else:
            self.sets[name] = links

    def add_file(self, path: str | Path) -> None:
        """Add the schedule in a file.

        Raises:
            UsageError: the file cannot be read, or is no schedule.
        """
        written = read_schedule(path)
        for name, links in written.sets.items():
            self.add_set(name, links)
        self.entries += written.entries
