"""What is different between two runs beside their numbers: machine, versions, settings, plans.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emulator.experiment.words import MISSING

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle
    from emulator.plan.model import Plan

About = Literal["machine", "versions", "revision", "settings", "plan"]

_NO_SETTING = ("output", "resume")
"""Of a specification: where results go is nothing that they depend on."""
_CHANGES_BY_ITSELF = ("load_average_1min",)


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        about: what kind of thing.
        what: its name; of a plan with the case in front.
        a, b: what it was; ``–`` where there is none.
    """

    about: About
    what: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.what}: {self.a} → {self.b}"


def environment_differences(a: Bundle, b: Bundle) -> list[Difference]:
    """Of machine, versions, revision and settings."""
    first, second = a.machine.model_dump(mode="json"), b.machine.model_dump(mode="json")
    versions = [record.pop("versions") for record in (first, second)]
    for name in _CHANGES_BY_ITSELF:
        first.pop(name, None)
        second.pop(name, None)
    specs = [
        {key: value for key, value in each.run.spec.items() if key not in _NO_SETTING}
        for each in (a, b)
    ]
    revisions = [{"revision": each.run.revision} for each in (a, b)]
    return [
        *_differences("machine", first, second),
        *_differences("versions", *versions),
        *_differences("revision", *revisions),
        *_differences("settings", *specs),
    ]


def plan_differences(case: str, a: Plan, b: Plan) -> list[Difference]:
    """Of two plans of a case; nodes and links that only one of them has are one difference each."""
    return list(_differences("plan", _of_plan(a), _of_plan(b), prefix=f"{case}: "))


def _of_plan(plan: Plan) -> dict[str, Any]:
    """A plan with its nodes, interfaces and links by name, so that the same ones are compared."""
    content = plan.model_dump(mode="json")
    content["nodes"] = {node["name"]: node for node in content["nodes"]}
    for node in content["nodes"].values():
        node["interfaces"] = {each["name"]: each for each in node["interfaces"]}
    content["links"] = {link["id"]: link for link in content["links"]}
    return content


def _differences(
    about: About, a: Mapping[str, Any], b: Mapping[str, Any], *, prefix: str = ""
) -> Iterator[Difference]:
    for key in dict.fromkeys([*a, *b]):
        first, second = a.get(key), b.get(key)
        if first == second or _said(first) == _said(second) == MISSING:
            # An option that an older version did not have, and that is not used.
            continue
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(about, first, second, prefix=f"{prefix}{key}.")
        else:
            yield Difference(about, f"{prefix}{key}", _said(first), _said(second))


def _said(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return MISSING
    if isinstance(value, dict):
        # A whole node or link: that it is there is all there is to say.
        return "there" if "name" in value or "id" in value else str(value)
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return str(value)
