"""From a schedule as it was written to the steps that a plan holds.

It is done in two parts. Which links a schedule changes has to be known before their interfaces
are decided: a link that is to be impaired later has to be a wire from the start. What they change
to can only be computed afterwards, from what they are then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from emulator.errors import Problem, UsageError
from emulator.names import choice_hint, place_of, suggestion
from emulator.plan.impairments import DIRECTIONS, SETTINGS, changed_link
from emulator.plan.link_model import (
    ImpairmentPlan,
    LinkChangePlan,
    LinkPlan,
    StepPlan,
)
from emulator.plan.model import Plan
from emulator.plan.quantities import QuantityMistake, read_count, read_duration_ns, shown
from emulator.schedule import LinkSet, ScheduleEntry

MOST_CHANGES = 100_000
"""Of links, that a schedule may have in all."""

_STATES = ("up", "down")
_KEYS = ("at", "links", "over", "steps", "state", "flap")
_FLAP_KEYS = ("down", "every", "times")
_STEP_NS = 100_000_000
_RAMPED = (
    "delay_ns",
    "jitter_ns",
    "loss",
    "duplicate",
    "reorder",
    "corrupt",
    "rate_bps",
    "burst_bytes",
    "queue_packets",
    "queue_bytes",
    "queue_ns",
)


@dataclass(frozen=True)
class Flap:
    """Down for a time, again and again."""

    down_ns: int
    every_ns: int
    times: int


@dataclass(frozen=True)
class Entry:
    """An entry of a schedule, understood."""

    where: str
    folder: Path
    at_ns: int
    links: tuple[str, ...]
    settings: Mapping[str, Any]
    over_ns: int = 0
    steps: int = 1
    state: str | None = None
    flap: Flap | None = None

    @property
    def end_ns(self) -> int:
        """When all of it has happened."""
        if self.flap is not None:
            return self.at_ns + self.flap.every_ns * (self.flap.times - 1) + self.flap.down_ns
        return self.at_ns + self.over_ns

    @property
    def changes(self) -> int:
        """How many changes of links it makes."""
        return len(self.links) * (2 * self.flap.times if self.flap is not None else self.steps)


class LinkNames:
    """The links of a network, to be found by name."""

    def __init__(self, links: Iterable[tuple[str, str, str]]) -> None:
        """``links``: the id and the two nodes of each."""
        self._ids: set[str] = set()
        self._between: dict[frozenset[str], list[str]] = {}
        for link, a, b in links:
            self._ids.add(link)
            self._between.setdefault(frozenset((a, b)), []).append(link)

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Those of a plan."""
        return cls((link.id, link.a.node, link.b.node) for link in plan.links)

    def find(self, name: Any) -> list[str]:
        """The ids of the links that one name means.

        That is a link's id, ``h1-s1`` for all links between two nodes, or a tuple of the two.

        Raises:
            QuantityMistake: there is no such link.
        """
        if isinstance(name, tuple) and len(name) == 2 and all(isinstance(n, str) for n in name):
            found = self._between.get(frozenset(name), [])
            name = "-".join(name)
        elif isinstance(name, str):
            # Names of nodes may have a "-" themselves.
            pairs = {
                frozenset((name[:place], name[place + 1 :]))
                for place, letter in enumerate(name)
                if letter == "-"
            } & self._between.keys()
            if len(pairs) > 1:
                raise QuantityMistake(f"{name} may be more than one link", "name it by its id")
            found = (
                [name]
                if name in self._ids
                else [link for pair in pairs for link in self._between[pair]]
            )
        else:
            text = f"{shown(name)} is not the name of a link"
            raise QuantityMistake(text, 'name its nodes: "h1-s1"')
        if not found:
            known = ["-".join(sorted(pair)) for pair in self._between]
            raise QuantityMistake(f"there is no link {name}", choice_hint(name, known))
        return found


def read_entries(
    written: Iterable[ScheduleEntry],
    sets: Mapping[str, LinkSet],
    links: LinkNames,
    problems: list[Problem],
    *,
    forgiving: bool = False,
) -> list[Entry]:
    """A schedule's entries, in the order of time; what is wrong is added to ``problems``.

    ``forgiving``: of a running lab, from which links may have been taken away.
    """
    reader = _Reader(sets, links, forgiving)
    entries = []
    for number, entry in enumerate(written, 1):
        where = place_of(entry.place, f"schedule entry {number}")
        mistakes: list[QuantityMistake] = []
        entries.append(reader.read(entry, where, mistakes))
        problems += [Problem(where, str(mistake), mistake.hint) for mistake in mistakes]
    entries.sort(key=lambda entry: entry.at_ns)
    count = sum(entry.changes for entry in entries)
    if count > MOST_CHANGES:
        text = f"{count} changes of links are more than the {MOST_CHANGES} there can be"
        problems.append(Problem("schedule", text, "use fewer steps, or a trace"))
        return []
    return entries


@dataclass(frozen=True)
class _Reader:
    sets: Mapping[str, LinkSet]
    links: LinkNames
    forgiving: bool

    def read(self, written: ScheduleEntry, where: str, mistakes: list[QuantityMistake]) -> Entry:
        values = dict(written.values)
        settings = {key: values[key] for key in values if key in (*SETTINGS, *DIRECTIONS)}
        for key in values:
            if key not in _KEYS and key not in settings:
                hint = suggestion(key, (*_KEYS, *SETTINGS)) or f"its keys: {', '.join(_KEYS)}"
                mistakes.append(QuantityMistake(f"an entry has no {shown(key)}", hint))
        at_ns = _duration(values, "at", mistakes)
        if at_ns is None and values.get("at") is None:
            mistakes.append(QuantityMistake("it does not say when", "write at: 10s"))
        state, flap = values.get("state"), values.get("flap")
        if state is not None and state not in _STATES:
            mistakes.append(QuantityMistake(f"state: {shown(state)} is not up or down"))
        asked = [what for what in (settings, state, flap) if what]
        if len(asked) != 1:
            text = "it changes nothing" if not asked else "it changes more than one thing"
            mistakes.append(
                QuantityMistake(text, "give settings such as loss: 5%, or state: down, or flap")
            )
        over_ns = _duration(values, "over", mistakes) or 0
        if (over_ns or values.get("steps") is not None) and not settings:
            text = "only settings can change gradually"
            mistakes.append(QuantityMistake(text, "leave over and steps out"))
        steps = max(1, over_ns // _STEP_NS)
        if values.get("steps") is not None:
            try:
                steps = read_count(values["steps"], "a number of steps", range(1, MOST_CHANGES))
            except QuantityMistake as mistake:
                mistakes.append(mistake)
            if not over_ns:
                text = "steps does nothing without over"
                mistakes.append(QuantityMistake(text, "write over: 5s"))
        return Entry(
            where=where,
            folder=Path(written.folder),
            at_ns=at_ns or 0,
            links=self._links(values.get("links"), mistakes),
            settings=settings,
            over_ns=over_ns,
            steps=steps,
            state=state,
            flap=_flap(flap, mistakes),
        )

    def _links(self, given: Any, mistakes: list[QuantityMistake]) -> tuple[str, ...]:
        if given is None:
            mistakes.append(QuantityMistake("it names no links", "write links: h1-s1"))
            return ()
        found: dict[str, None] = {}
        for name in given if isinstance(given, list | set | frozenset) else [given]:
            try:
                names = [name]
                if isinstance(name, str) and name in self.sets:
                    content = self.sets[name].links
                    names = content if isinstance(content, list) else [content]
                for each in names:
                    found |= dict.fromkeys(self.links.find(each))
            except QuantityMistake as mistake:
                if not self.forgiving:
                    mistakes.append(mistake)
        return tuple(found)


def _duration(values: Mapping[str, Any], key: str, mistakes: list[QuantityMistake]) -> int | None:
    try:
        return None if values.get(key) is None else read_duration_ns(values[key])
    except QuantityMistake as mistake:
        mistakes.append(QuantityMistake(f"{key}: {mistake}", mistake.hint))
        return None


def _flap(given: Any, mistakes: list[QuantityMistake]) -> Flap | None:
    hint = "write flap: {down: 1s, every: 5s, times: 3}"
    if given is None:
        return None
    if not isinstance(given, Mapping) or not given.keys() <= set(_FLAP_KEYS):
        mistakes.append(QuantityMistake(f"flap: {shown(given)} is not understood", hint))
        return None
    down_ns = _duration(given, "down", mistakes)
    every_ns = _duration(given, "every", mistakes)
    times = 1
    try:
        if given.get("times") is not None:
            times = read_count(given["times"], "a number of times", range(1, MOST_CHANGES))
    except QuantityMistake as mistake:
        mistakes.append(mistake)
    if not down_ns:
        mistakes.append(QuantityMistake("flap: it does not say how long it is down", hint))
        return None
    if times > 1 and (every_ns is None or every_ns <= down_ns):
        text = "flap: the link has to be up again before it goes down once more"
        mistakes.append(QuantityMistake(text, hint))
        return None
    return Flap(down_ns, every_ns or down_ns, times)


def compile_steps(
    entries: Sequence[Entry], plan: Plan, problems: list[Problem]
) -> tuple[StepPlan, ...]:
    """What changes when, from a schedule's entries; what is wrong is added to ``problems``."""
    state = _State({link.id: link for link in plan.links})
    for entry in entries:
        for link in entry.links:
            try:
                state.follow(plan, entry, link)
            except UsageError as error:
                where = f"{entry.where}: {error.where}" if error.where else entry.where
                problems.append(Problem(where, error.message, error.hint))
    return tuple(
        StepPlan(at_ns=at_ns, changes=tuple(changes.values()))
        for at_ns, changes in sorted(state.steps.items())
    )


class _State:
    """What links are at the time of an entry, and what has been decided so far."""

    def __init__(self, links: dict[str, LinkPlan]) -> None:
        self.links = links
        self.steps: dict[int, dict[str, LinkChangePlan]] = {}
        # Until when an entry is at work on the settings, or on the state, of a link.
        self._busy: dict[tuple[str, bool], Entry] = {}

    def follow(self, plan: Plan, entry: Entry, link: str) -> None:
        """Have an entry happen to one link."""
        if self.links[link].kind == "memif":
            raise UsageError(f"{link} is a memif link, which does not change")
        key = (link, bool(entry.settings))
        before = self._busy.get(key)
        if before is not None and before.end_ns > entry.at_ns:
            text = f"{before.where} still changes {link} at {_seconds(entry.at_ns)}"
            raise UsageError(text, hint=f"begin at {_seconds(before.end_ns)}, or shorten that")
        self._busy[key] = entry
        if entry.flap is not None:
            for time in range(entry.flap.times):
                down_ns = entry.at_ns + time * entry.flap.every_ns
                self._put(down_ns, link, state="down")
                self._put(down_ns + entry.flap.down_ns, link, state="up")
        elif entry.state is not None:
            self._put(entry.at_ns, link, state=entry.state)
        else:
            self._ramp(plan, entry, link)

    def _ramp(self, plan: Plan, entry: Entry, link: str) -> None:
        was = self.links[link]
        will = changed_link(plan, was, entry.settings, folder=entry.folder)
        if entry.over_ns:
            for direction in DIRECTIONS:
                _check_ramp(getattr(was, direction), getattr(will, direction))
        for step in range(1, entry.steps + 1):
            now: dict[str, ImpairmentPlan] = {}
            for direction in DIRECTIONS:
                first, last = getattr(was, direction), getattr(will, direction)
                if first != last:
                    now[direction] = _between_plans(first, last, step, entry.steps)
            if now:
                self._put(entry.at_ns + entry.over_ns * step // entry.steps, link, **now)
        self.links[link] = will

    def _put(self, at_ns: int, link: str, **fields: Any) -> None:
        changes = self.steps.setdefault(at_ns, {})
        before = changes.get(link) or LinkChangePlan(link=link)
        changes[link] = before.model_copy(update=fields)


def _check_ramp(first: ImpairmentPlan, last: ImpairmentPlan) -> None:
    for field in type(first).__dataclass_fields__:
        before, after = getattr(first, field), getattr(last, field)
        if before == after:
            continue
        name = field.rpartition("_")[0] or field
        if field not in _RAMPED:
            text = f"{name} cannot change gradually"
            raise UsageError(text, hint="leave over out, or give it an entry of its own")
        if before is None or after is None:
            text = f"there is no {name} to {'begin with' if before is None else 'end with'}"
            raise UsageError(text, hint="a gradual change goes from one value to another")


def _between_plans(
    first: ImpairmentPlan, last: ImpairmentPlan, step: int, steps: int
) -> ImpairmentPlan:
    if step == steps:
        return last
    fields: dict[str, Any] = {}
    for field in _RAMPED:
        before, after = getattr(first, field), getattr(last, field)
        if before != after:
            value = before + (after - before) * step / steps
            fields[field] = value if isinstance(before, float) else round(value)
    return first.model_copy(update=fields)


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:g}s"
