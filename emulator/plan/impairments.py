"""From the options of a link to what happens to frames in each of its directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

from emulator.errors import Problem, UsageError
from emulator.names import suggestion
from emulator.plan.impairment_checks import (
    HEADER_BYTES,
    check_direction,
    check_netem,
)
from emulator.plan.impairment_values import (
    OPTIONS,
    QUEUE_PACKETS,
    Fields,
    default_of,
    read_option,
)
from emulator.plan.link_model import ImpairmentPlan, LinkMechanism, LinkPlan
from emulator.plan.model import Plan
from emulator.plan.quantities import (
    QuantityMistake,
    read_count,
    read_megabits_bps,
    shown,
)

Direction = Literal["up", "down"]

DIRECTIONS: Final[tuple[Direction, Direction]] = ("up", "down")
"""From the first node of a link to the second, and back."""
SETTINGS = (*OPTIONS, "speedup", "seed")
"""The options that each direction of a link may have of its own."""
IMPAIRMENT_OPTIONS = (*SETTINGS, *DIRECTIONS, "mechanism")
"""All options of a link that are about impairments."""

_MECHANISMS = ("auto", "wire", "netem", "none")
_LARGEST_SEED = 1 << 63
# Two of these say the same thing.
_RIVALS = (
    ("rate", "bw"),
    ("queue", "max_queue_size"),
    ("queue", "latency_ms"),
    ("aqm", "enable_red"),
    ("aqm", "enable_ecn"),
    ("ecn", "enable_ecn"),
)
_QUEUE = ("queue_packets", "queue_bytes", "queue_ns")
_QUEUE_OPTIONS = ("queue", "max_queue_size", "latency_ms")
# What hangs on a rate, and the options that set it.
_OF_RATE = {
    **dict.fromkeys(_QUEUE, _QUEUE_OPTIONS),
    "burst_bytes": ("burst",),
    "overhead_bytes": (),
    "aqm": ("aqm", "enable_red", "enable_ecn"),
    "ecn": ("ecn", "enable_ecn"),
}


@dataclass(frozen=True)
class Impairments:
    """What impairs a link, and how."""

    mechanism: LinkMechanism = "none"
    up: ImpairmentPlan | None = None
    down: ImpairmentPlan | None = None


UNIMPAIRED: Final = Impairments()


@dataclass(frozen=True)
class LinkEnds:
    """What the options of a link are read with.

    Attributes:
        where: what problems name.
        names: of the two nodes.
        ports: their ports; with the names they tell links apart.
        folder: what the paths of files start from.
        mtu: in bytes of payload.
    """

    where: str
    names: tuple[str, str]
    ports: tuple[object, object]
    folder: Path
    mtu: int = 1500


def idle_wire(names: tuple[str, str], ports: tuple[object, object]) -> Impairments:
    """A wire that does nothing to frames, as long as it is not told to."""
    (a, b), (port_a, port_b) = names, ports
    up, down = (
        # Unless it is said, the randomness of a direction begins with its place.
        ImpairmentPlan(seed=direction_seed(f"{a}:{port_a} {b}:{port_b}", direction))
        for direction in DIRECTIONS
    )
    return Impairments("wire", up, down)


def direction_seed(seed: int | str, direction: Direction) -> int:
    """The seed of one direction from that of a link, so that the two differ."""
    # 48 bits stay exact in any program that reads the plan's JSON.
    return int.from_bytes(blake2b(f"{seed} {direction}".encode(), digest_size=6).digest())


def read_impairments(
    ends: LinkEnds,
    options: Mapping[str, Any],
    params: tuple[Mapping[str, Any], Mapping[str, Any]],
    problems: list[Problem],
) -> Impairments:
    """What impairs a link; what cannot be had is added to ``problems``.

    Args:
        ends: the link.
        options: of the link, by name.
        params: settings for what leaves its first and its second end, as in Mininet.
        problems: takes the mistakes.
    """
    if not options and not any(params):
        return UNIMPAIRED
    mistakes: list[QuantityMistake] = []
    chosen = options.get("mechanism") or "auto"
    if chosen not in _MECHANISMS:
        hint = suggestion(chosen, _MECHANISMS) or f"there are: {', '.join(_MECHANISMS)}"
        mistakes.append(QuantityMistake(f"there is no mechanism {shown(chosen)}", hint))
        chosen = "auto"
    given = settings_by_direction(options, mistakes)
    for direction, end in zip(DIRECTIONS, params, strict=True):
        for name, value in end.items():
            if value is None:
                continue
            if given[direction].get(name, value) != value:
                text = f"{name} is given for the link and for what leaves one end"
                mistakes.append(QuantityMistake(text, "keep one of them"))
            given[direction][name] = value
    plans = {}
    found: dict[Direction, list[QuantityMistake]] = {}
    idle = idle_wire(ends.names, ends.ports)
    for direction in DIRECTIONS:
        base = getattr(idle, direction)
        settings = {name: value for name, value in given[direction].items() if value is not None}
        plans[direction], found[direction] = _changed(base, settings, ends, direction)
        if chosen == "netem":
            seeded = "seed" in settings
            found[direction] += check_netem(plans[direction], seeded=seeded)
    mistakes += _joined(found)
    impairs = any(plan.impairs for plan in plans.values())
    if chosen == "none" and impairs:
        text = 'mechanism="none" and impairments exclude each other'
        mistakes.append(QuantityMistake(text, "leave one of them out"))
    problems += [Problem(ends.where, str(mistake), mistake.hint) for mistake in mistakes]
    if chosen == "none" or (chosen == "auto" and not impairs):
        return UNIMPAIRED
    return Impairments("netem" if chosen == "netem" else "wire", plans["up"], plans["down"])


def changed_link(
    plan: Plan, link: LinkPlan, settings: Mapping[str, Any], *, folder: Path | None = None
) -> LinkPlan:
    """A link as it is after some of its settings have changed; the others stay.

    Args:
        plan: the plan that the link is of.
        link: the link as it is.
        settings: options as of ``addLink``, also as text; ``up`` and ``down`` are dicts of those
            of one direction, and None or "none" takes an impairment away. A link that nothing
            impaired becomes a wire.
        folder: what the paths of files start from; the working folder by default.

    Raises:
        UsageError: the link cannot have such settings.
    """
    ends = ends_of(plan, link, folder)
    mistakes: list[QuantityMistake] = []
    if link.kind == "memif":
        mistakes.append(QuantityMistake("a memif link cannot be impaired"))
    unknown = [name for name in settings if name not in (*SETTINGS, *DIRECTIONS)]
    mistakes += [unknown_setting(name) for name in unknown]
    given = settings_by_direction(settings, mistakes)
    plans, found = {}, {}
    idle = idle_wire(ends.names, ends.ports)
    for direction in DIRECTIONS:
        before = getattr(link, direction) or getattr(idle, direction)
        plans[direction], found[direction] = _changed(before, given[direction], ends, direction)
        if link.mechanism == "netem":
            seeded = "seed" in given[direction]
            found[direction] += check_netem(plans[direction], seeded=seeded)
    mistakes += _joined(found)
    if mistakes:
        more = "".join(f"; {mistake}" for mistake in mistakes[1:])
        raise UsageError(f"{mistakes[0]}{more}", where=ends.where, hint=mistakes[0].hint)
    mechanism = "wire" if link.mechanism == "none" else link.mechanism
    return link.model_copy(
        update={"mechanism": mechanism, "up": plans["up"], "down": plans["down"]}
    )


def ends_of(plan: Plan, link: LinkPlan, folder: Path | None = None) -> LinkEnds:
    """What the options of a planned link are read with."""
    a, b = plan.interface(link.a), plan.interface(link.b)
    return LinkEnds(
        where=f"link {link.a.node} - {link.b.node}",
        names=(link.a.node, link.b.node),
        ports=(a.port, b.port),
        folder=folder or Path(),
        mtu=a.mtu,
    )


def unknown_setting(name: object) -> QuantityMistake:
    """The mistake of naming a setting that no link has."""
    hint = suggestion(name, SETTINGS) or f"its settings: {', '.join(SETTINGS)}"
    return QuantityMistake(f"a link has no setting {shown(name)}", hint)


def settings_by_direction(
    options: Mapping[str, Any], mistakes: list[QuantityMistake]
) -> dict[Direction, dict[str, Any]]:
    """The settings of each direction: of both, as a pair (up, down), or in its own dict."""
    given: dict[Direction, dict[str, Any]] = {"up": {}, "down": {}}
    for name in SETTINGS:
        if name in options:
            try:
                given["up"][name], given["down"][name] = _pair(name, options[name])
            except QuantityMistake as mistake:
                mistakes.append(mistake)
    for direction in DIRECTIONS:
        own = options.get(direction)
        if own is None:
            continue
        if not isinstance(own, Mapping):
            text = f"{direction} is {shown(own)}"
            mistakes.append(QuantityMistake(text, f'give a dict: {direction}={{"delay": "5ms"}}'))
            continue
        for name, value in own.items():
            if name in SETTINGS:
                given[direction][name] = value
            else:
                mistakes.append(unknown_setting(name))
    return given


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple):
        return value, value
    # A list of frames is one value, unless it is made of lists.
    if name == "drop" and not any(isinstance(item, list | tuple) for item in value):
        return value, value
    if len(value) != 2:
        text = f"{name}={shown(value)} has {len(value)} values"
        raise QuantityMistake(text, "give one, or a pair: (up, down)")
    return value[0], value[1]


def _changed(
    base: ImpairmentPlan, given: Mapping[str, Any], ends: LinkEnds, direction: Direction
) -> tuple[ImpairmentPlan, list[QuantityMistake]]:
    """One direction with some of its settings changed, and what is wrong with it then."""
    mistakes = [
        QuantityMistake(f"{first} and {second} say the same", "keep one of them")
        for first, second in _RIVALS
        if _asks(given.get(first)) and _asks(given.get(second))
    ]
    if _asks(given.get("loss")) and _asks(given.get("loss_model")):
        text = "loss and loss_model both say what is lost"
        mistakes.append(QuantityMistake(text, "keep one of them"))
    fields: Fields = {}
    # What is taken away goes first, so that it takes nothing away that another option gives.
    for name in sorted((name for name in OPTIONS if name in given), key=lambda n: _asks(given[n])):
        try:
            fields |= read_option(name, given[name], ends.folder)
        except QuantityMistake as mistake:
            mistakes.append(QuantityMistake(f"{name}: {mistake}", mistake.hint))
    try:
        fields |= _speedup(given, ends, direction)
        if given.get("seed") is not None:
            seed = read_count(given["seed"], "a seed", range(_LARGEST_SEED))
            fields["seed"] = direction_seed(seed, direction)
    except QuantityMistake as mistake:
        mistakes.append(mistake)
    plan = base.model_copy(update=fields)
    if not plan.has_rate:
        names = {name for name, value in given.items() if _asks(value)}
        idle = [field for field, options in _OF_RATE.items() if names.isdisjoint(options)]
        plan = plan.model_copy(update={field: default_of(field) for field in idle})
    elif all(getattr(plan, field) is None for field in _QUEUE):
        plan = plan.model_copy(update={"queue_packets": QUEUE_PACKETS})
    if not mistakes:
        # What cannot be read is not judged together with the rest.
        mistakes += check_direction(plan, ends.mtu + HEADER_BYTES)
    return plan, mistakes


def _speedup(given: Mapping[str, Any], ends: LinkEnds, direction: Direction) -> Fields:
    """Mininet's rate of what a switch sends: there it is one if its name begins with s."""
    speedup = given.get("speedup")
    sender = ends.names[direction == "down"]
    if not _asks(speedup) or not _asks(given.get("bw")) or not sender.startswith("s"):
        return {}
    return {"rate_bps": read_megabits_bps(speedup)}


def _asks(value: Any) -> bool:
    """Whether a value asks for anything."""
    if isinstance(value, str):
        return value.strip().lower() not in ("none", "0", "0%")
    return value is not None and value is not False and value != 0


def _joined(found: Mapping[Direction, list[QuantityMistake]]) -> list[QuantityMistake]:
    """The mistakes of both directions; what is wrong with both alike is said once."""
    texts = {direction: {str(mistake) for mistake in found[direction]} for direction in found}
    joined = [mistake for mistake in found["up"] if str(mistake) in texts["down"]]
    for direction in DIRECTIONS:
        other = texts["down" if direction == "up" else "up"]
        joined += [
            QuantityMistake(f"{direction}: {mistake}", mistake.hint)
            for mistake in found[direction]
            if str(mistake) not in other
        ]
    return joined
