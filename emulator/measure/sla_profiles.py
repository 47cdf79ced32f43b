"""The service levels that come with the product, and those that users write into files.

A file holds profiles by their names, in TOML or YAML. This one has all keys::

    [press]
    cycle = "2ms"                      # optional: from one packet to the next
    deadline = "1ms"                   # a packet that takes longer is missed
    kind = "rtt"                       # or "one-way"
    consecutive_misses_allowed = 3     # optional: one more in a row violates the profile
    percentile = 99.999                # optional: the percentile that must be within the deadline
    payload_bytes = [64, 256]          # optional: sizes to try, or one
    source = "requirements of the line, page 12"

    [franka-strict]
    base = "franka-fci"                # a built-in profile: what is not said here is as it says
    consecutive_misses_allowed = 9
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from emulator.errors import UsageError
from emulator.measure.sla import SlaProfile
from emulator.names import NAME_RULE, choice_hint, is_name, suggestion
from emulator.plan.quantities import QuantityMistake, read_duration_ns
from emulator.wording import what_is_wrong

_US, _MS = 1_000, 1_000_000
_MOST_BYTES = 1 << 20
_SUFFIXES = (".toml", ".yaml", ".yml")

PROFILES: Final[Mapping[str, SlaProfile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            SlaProfile(
                name="calvin-mec",
                cycle_ns=5 * _MS,
                deadline_ns=350 * _US,
                kind="rtt",
                payload_bytes=(256, 1400),
                source="CALVIN, IEEE JSAC 37(5) 2019, abstract",
                caveats=("it allows no number of misses: what is reported is the fraction",),
            ),
            SlaProfile(
                name="franka-fci",
                cycle_ns=_MS,
                deadline_ns=_MS,
                kind="rtt",
                consecutive_misses_allowed=19,
                payload_bytes=(370, 2373),
                source="Franka Control Interface documentation",
                caveats=(
                    (
                        "the deadline includes control and robot processing: about 0.3 ms is "
                        "left for the user's loop"
                    ),
                    (
                        "the 20th miss in a row stops the robot; the documentation is not "
                        "consistent about 20, so consecutive_misses_allowed can be set in a "
                        "profile of your own"
                    ),
                    "a command has 370 bytes and a state 2373",
                ),
            ),
            SlaProfile(
                name="detnet-m2m",
                cycle_ns=_MS,
                deadline_ns=_MS,
                kind="one-way",
                consecutive_misses_allowed=1,
                payload_bytes=(100, 700),
                source="RFC 8578, section 7.2.1",
                caveats=("the documented range is 0.1 to 50 ms",),
            ),
            SlaProfile(
                name="tsn-isochronous",
                cycle_ns=500 * _US,
                deadline_ns=500 * _US,
                kind="one-way",
                consecutive_misses_allowed=0,
                payload_bytes=(30, 100),
                source="IEC/IEEE 60802 contributions",
                secondary=True,
                caveats=("the deadline is one period",),
            ),
            SlaProfile(
                name="profinet-rt",
                cycle_ns=_MS,
                deadline_ns=3 * _MS,
                kind="one-way",
                consecutive_misses_allowed=2,
                payload_bytes=(40, 250),
                source="vendors' manuals",
                secondary=True,
                caveats=("the deadline is that of the watchdog, 3 cycles",),
            ),
            SlaProfile(
                name="urllc",
                deadline_ns=_MS,
                kind="one-way",
                quantile=0.99999,
                payload_bytes=(32,),
                source="3GPP",
                secondary=True,
                caveats=("the 99.999th percentile needs 299,572 packets",),
            ),
        )
    }
)
"""The built-in profiles by name. Those with ``secondary`` rest on what others write about the
standard; it was not read itself."""


def profile_named(target: str) -> SlaProfile:
    """A profile by what a user calls it.

    Args:
        target: the name of a built-in profile, or ``FILE`` with one profile of the user's own, or
            ``FILE:NAME`` for one of several.

    Raises:
        UsageError: there is no such profile or file, or the file has mistakes.
    """
    if target in PROFILES:
        return PROFILES[target]
    path, name = _split(target)
    if path is None:
        file = target.rpartition(":")[0] if Path(target).suffix not in _SUFFIXES else target
        if Path(file).suffix in _SUFFIXES:
            raise UsageError("no such file", where=file, hint=_HINT)
        raise UsageError(
            f"there is no profile {target}",
            where="SLA",
            hint=f"{choice_hint(target, PROFILES)}; or name a file of your own, .toml or .yaml",
        )
    profiles = read_profiles(path)
    if name is not None:
        if name not in profiles:
            raise UsageError(
                f"has no profile {name}", where=str(path), hint=choice_hint(name, profiles)
            )
        return profiles[name]
    if len(profiles) > 1:
        raise UsageError(
            f"has {len(profiles)} profiles: {', '.join(profiles)}",
            where=str(path),
            hint=f"choose one: {path}:{next(iter(profiles))}",
        )
    return next(iter(profiles.values()))


def read_profiles(path: Path) -> dict[str, SlaProfile]:
    """All profiles of a file, in its order.

    Raises:
        UsageError: it cannot be read, is neither TOML nor YAML, or has mistakes; all of them at
            once, each with its profile and key.
    """
    content = _content(path)
    if not isinstance(content, dict) or not content:
        raise UsageError("has no profiles", where=str(path), hint=_HINT)
    profiles = {}
    mistakes = []
    for name, entry in content.items():
        try:
            profiles[str(name)] = _profile(str(name), entry)
        except _Mistakes as error:
            mistakes += error.texts
    if mistakes:
        raise UsageError("; ".join(mistakes), where=str(path), hint=_HINT)
    return profiles


_HINT = 'a profile is: [press], and below it deadline = "1ms", kind = "rtt", cycle = "2ms"'


class _Mistakes(Exception):
    """What is wrong with one profile."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts


def _duration(value: Any) -> int:
    try:
        return read_duration_ns(value)
    except QuantityMistake as error:
        raise ValueError(f"{error} ({error.hint})" if error.hint else str(error)) from None


_Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
_Size = Annotated[int, Field(ge=1, le=65_507)]


class _Entry(BaseModel):
    """A profile as a file spells it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base: str | None = None
    cycle: _Duration | None = None
    deadline: _Duration | None = None
    kind: Literal["one-way", "rtt"] | None = None
    consecutive_misses_allowed: int | None = Field(default=None, ge=0)
    percentile: float | None = Field(default=None, gt=0, lt=100)
    payload_bytes: tuple[_Size, ...] | None = Field(default=None, strict=False)
    source: str | None = None
    caveats: tuple[str, ...] | None = Field(default=None, strict=False)

    def values(self) -> dict[str, Any]:
        """What it says, by the names that a profile has for it."""
        said: dict[str, Any] = {
            "cycle_ns": self.cycle,
            "deadline_ns": self.deadline,
            "kind": self.kind,
            "consecutive_misses_allowed": self.consecutive_misses_allowed,
            "payload_bytes": self.payload_bytes,
            "source": self.source,
            "caveats": self.caveats,
        }
        if self.percentile is not None:
            # In decimal, for 99.999 / 100 is not quite 0.99999 in binary.
            said["quantile"] = float(Decimal(str(self.percentile)) / 100)
        return {key: value for key, value in said.items() if value is not None}


def _profile(name: str, content: Any) -> SlaProfile:
    if not is_name(name):
        raise _Mistakes([f"{name!r} is not a usable name ({NAME_RULE})"])
    if name in PROFILES:
        raise _Mistakes([f"{name} is a built-in profile; choose another name and base it on that"])
    if not isinstance(content, dict):
        raise _Mistakes([f"{name}: is not a table of keys and values"])
    sizes = content.get("payload_bytes")
    if isinstance(sizes, int):
        content = {**content, "payload_bytes": [sizes]}
    try:
        entry = _Entry.model_validate(content)
    except ValidationError as error:
        raise _Mistakes([_mistake(name, detail) for detail in error.errors()]) from None
    values = entry.values()
    if entry.base is None:
        missing = [key for key in ("deadline", "kind") if getattr(entry, key) is None]
        if missing:
            raise _Mistakes([f"{name}.{key}: must be given" for key in missing])
        return SlaProfile(name=name, **values)
    if entry.base not in PROFILES:
        raise _Mistakes(
            [f"{name}.base: no built-in profile {entry.base} ({choice_hint(entry.base, PROFILES)})"]
        )
    base = PROFILES[entry.base]
    changed = ", ".join(key for key in content if key not in ("base", "source", "caveats"))
    values.setdefault("source", f"{base.source}; changed here: {changed or 'nothing'}")
    return dataclasses.replace(base, name=name, **values)


def _mistake(name: str, detail: Any) -> str:
    key = ".".join(str(part) for part in (name, *detail["loc"]))
    if detail["type"] == "extra_forbidden":
        hint = suggestion(detail["loc"][-1], _Entry.model_fields)
        return f"{key}: there is no such key ({hint or ', '.join(_Entry.model_fields)})"
    return f"{key}: {what_is_wrong(detail)}"


def _split(target: str) -> tuple[Path | None, str | None]:
    """The file of a target, and the name behind the colon; no file when there is none."""
    if Path(target).is_file():
        return Path(target), None
    file, colon, name = target.rpartition(":")
    if colon and Path(file).is_file():
        return Path(file), name
    return None, None


def _content(path: Path) -> Any:
    import yaml  # takes a moment, which most commands do not need

    where = str(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            "is neither TOML nor YAML", where=where, hint="name it .toml, .yaml or .yml"
        )
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"is larger than {_MOST_BYTES >> 20} MiB", where=where)
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=where) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not text", where=where, hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML: {error}", where=where, hint=_HINT) from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise UsageError(
            f"is not YAML: {error.problem}", where=f"{where}{line}", hint=_HINT
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: of what YAML takes for a date, 2024-13-40.
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot be read: {reason}", where=where, hint=_HINT) from error
