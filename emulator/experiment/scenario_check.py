"""What is wrong with the values of a scenario, each where it stands, before anything starts.

What the specification of a bench would refuse one after another is found here all at once, and by
the keys of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import BuildVnfError, UsageError

if TYPE_CHECKING:
    from emulator.experiment.scenario import Scenario

Place = tuple[str | int, ...]
"""The keys, and the numbers in lists, that lead to a value."""
_Check = tuple[Place, Callable[[], object]]

_KEYS: dict[str, Place] = {
    "--rate": ("traffic", "rate"),
    "--size": ("traffic", "size"),
    "--pattern": ("traffic", "pattern"),
    "--background": ("background",),
    "--duration": ("duration",),
    "--probe": ("probe",),
    "--core": ("core",),
    "--repeat": ("repeat",),
    "--goal": ("goal",),
    "--profile": ("profile",),
    "--tool": ("tools",),
    "--from": ("from",),
    "--to": ("to",),
}


def place_of(error: UsageError) -> Place | None:
    """The key that an error is about which names an option; None when it names none."""
    option, _, rest = error.where.partition(" ")
    if option in ("--vary", "--set"):
        return ("vary" if option == "--vary" else "settings", rest.partition("=")[0])
    return _KEYS.get(option)


def in_words(error: UsageError) -> tuple[str, str]:
    """What is wrong and what to do about it, without the names of options."""
    place = error.where
    named = place and not place.startswith("--") and place not in ("sla", "SLA")
    message = f"{place}: {error.message}" if named else error.message
    return _without_dashes(message), _without_dashes(error.hint)


def _without_dashes(text: str) -> str:
    return re.sub(r"(?<!\S)--(?=[a-z])", "", text)


def contradictions(
    scenario: Scenario, target: str, profiles: Collection[str], folder: Path, wrong: Collection[str]
) -> Iterator[tuple[Place, UsageError]]:
    """What a scenario says that cannot be carried out, and where; its keys have been read.

    Args:
        target: its topology, as from the working folder.
        profiles: its profiles, likewise.
        folder: of the scenario's file.
        wrong: keys at the top that are known to be wrong, and have no say here.
    """
    from emulator.experiment.cases import check_vary
    from emulator.experiment.measuring.tools import read_tool
    from emulator.experiment.spec import check_core, check_profiles
    from emulator.measure.goals import goal_named
    from emulator.measure.sla_profiles import profile_named
    from emulator.topofile import require_target
    from emulator.traffic.frames import parse_frames
    from emulator.traffic.schedule import parse_pattern

    traffic = scenario.traffic
    checks: list[_Check] = [
        (("topology",), partial(require_target, target)),
        (("core",), partial(check_core, scenario.core)),
        *_each(("profile",), profiles, profile_named),
        *_each(("goal",), scenario.goal, goal_named),
        *_each(("tools",), scenario.tools, read_tool),
        *_each(("traffic", "size"), traffic.size, parse_frames),
        *_each(("traffic", "pattern"), traffic.pattern, parse_pattern),
    ]
    if not {"measure", "profile"} & set(wrong):
        place: Place = ("profile",) if scenario.profile else ("measure",)
        checks.append((place, partial(check_profiles, scenario.measure, scenario.profile)))
    if not {"settings", "vary"} & set(wrong):
        checks.append((("vary",), partial(check_vary, scenario.vary, scenario.settings)))
    if scenario.schedule is not None:
        checks.append((("schedule",), partial(_require_file, folder / scenario.schedule)))
    known = not {"topology", "settings", "vary"} & set(wrong)
    for place, check in checks:
        if place[0] in wrong:
            continue
        try:
            check()
        except UsageError as error:
            yield place_of(error) or place if place == ("vary",) else place, error
            known &= place[0] not in ("topology", "vary")
    if known:
        yield from _ends(scenario, target)


def _each(place: Place, values: Iterable[str], read: Callable[[str], object]) -> list[_Check]:
    return [((*place, number), partial(read, value)) for number, value in enumerate(values)]


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise UsageError("no such file", where=str(file))


def _ends(scenario: Scenario, target: str) -> Iterator[tuple[Place, UsageError]]:
    """Ends of the path that the topology of the first case does not have."""
    ends = {"from": scenario.source, "to": scenario.destination}
    # That both are the same is for the specification to say.
    if not any(ends.values()) or scenario.source == scenario.destination:
        return
    from emulator.experiment.cases import expand_cases
    from emulator.experiment.prepare import catalog_for, check_end
    from emulator.plan.compile import compile_plan
    from emulator.topofile import load_topology

    try:
        case = expand_cases(scenario.settings, scenario.vary)[0]
        topo = load_topology(target, case.settings)
        plan = compile_plan(topo, catalog=catalog_for(target))
    except BuildVnfError:
        # A topology with mistakes has them told by whoever prepares the cases, for all of them.
        return
    for key, name in ends.items():
        if name is not None:
            try:
                check_end(plan, name, f"--{key}")
            except UsageError as error:
                yield (key,), error
