"""Single parameters of a control group, by the names that they have in version 1.

Those are the names that Mininet's scripts use: ``cpu.cfs_quota_us``, ``cpu.shares``. In version 2
the same things have other files and other units; a file of version 2 can be named where it is.

Sources: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. That 2 to 262144 shares
stand for a weight of 1 to 10000 is what container runtimes have agreed on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.errors import UsageError
from emulator.hosts.groups import Group

_NAME = re.compile(r"[a-z][a-z0-9_.]*")
_LEAST_SHARES, _MOST_SHARES, _MOST_WEIGHT = 2, 262_144, 10_000


@dataclass(frozen=True)
class _Counterpart:
    """What a parameter of version 1 is in version 2.

    Attributes:
        file: the file.
        read: what the parameter would say, out of the file's text.
        written: the file's new text, out of its old one and the parameter; None: it only tells.
    """

    file: str
    read: Callable[[str], int]
    written: Callable[[str, int], str] | None = None


def controller_of(resource: str, known: Mapping[str, tuple[Any, int]]) -> str:
    """The controller that has the parameters of a resource.

    Args:
        resource: a parameter's first word, a controller of version 1.
        known: controller -> where its hierarchy is, and its version.
    """
    # Version 2 has no controller that only counts.
    counts_itself = "cpu" in known and known["cpu"][1] == 2
    return "cpu" if resource == "cpuacct" and counts_itself else resource


def read_parameter(group: Group, resource: str, parameter: str) -> int | str:
    """What a parameter is: a number, or the kernel's text.

    Args:
        group: one that has the parameter's controller.
        resource: the first word: ``cpu``, ``cpuacct``, ``cpuset``, ``memory`` …
        parameter: the rest: ``cfs_quota_us``.

    Raises:
        UsageError: there is no such parameter.
        OSError: the kernel does not tell.
    """
    controller, file, counterpart = _found(group, resource, parameter)
    text = (group.folders[controller] / file).read_text().strip()
    if counterpart is not None:
        return counterpart.read(text)
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def write_parameter(group: Group, resource: str, parameter: str, value: object) -> None:
    """Sets a parameter; as :func:`read_parameter`.

    Raises:
        UsageError: also when it cannot be set, or not so.
        OSError: the kernel does not take it.
    """
    controller, file, counterpart = _found(group, resource, parameter)
    text = str(value)
    if counterpart is not None:
        if counterpart.written is None:
            raise UsageError(f"{resource}.{parameter} tells something, and cannot be set")
        try:
            number = int(text)
        except ValueError:
            mistake = f"{resource}.{parameter} cannot be {value!r}, which is no whole number"
            raise UsageError(mistake) from None
        text = counterpart.written((group.folders[controller] / file).read_text(), number)
    group.write(controller, file, text)


def _found(group: Group, resource: str, parameter: str) -> tuple[str, str, _Counterpart | None]:
    """The controller and the file that a parameter is in, and how it is written there."""
    controller = controller_of(resource, {name: ("", v) for name, v in group.versions.items()})
    name = f"{resource}.{parameter}"
    # What is no name of the kernel's is no file to be opened either.
    if _NAME.fullmatch(parameter) and _NAME.fullmatch(resource):
        if (group.folders[controller] / name).exists():
            return controller, name, None
        counterpart = _COUNTERPARTS.get(name)
        if group.versions[controller] == 2 and counterpart is not None:
            return controller, counterpart.file, counterpart
    version = group.versions[controller]
    names = sorted(each.name for each in group.folders[controller].glob(f"{resource}.*"))
    if version == 2:
        names += [each for each in _COUNTERPARTS if each.startswith(f"{resource}.")]
    raise UsageError(
        f"control groups of version {version}, which this machine has, know no parameter {name}",
        hint=f"there are: {', '.join(names)}" if names else "",
    )


def _word(number: int, text: str) -> int:
    word = text.split()[number]
    return -1 if word == "max" else int(word)


def _entry(key: str, factor: int = 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        entries = dict(line.split() for line in text.splitlines())
        return int(entries.get(key, 0)) * factor

    return read


def _limit(_text: str, value: int) -> str:
    return "max" if value < 0 else str(value)


def _with_period(text: str, period_us: int) -> str:
    return f"{text.split()[0]} {period_us}"


def _with_quota(text: str, quota_us: int) -> str:
    return f"{_limit(text, quota_us)} {text.split()[1]}"


def _shares(weight: str) -> int:
    wide = (_MOST_SHARES - _LEAST_SHARES) / (_MOST_WEIGHT - 1)
    return _LEAST_SHARES + round((int(weight) - 1) * wide)


def _weight(_text: str, shares: int) -> str:
    wide = (_MOST_SHARES - _LEAST_SHARES) / (_MOST_WEIGHT - 1)
    kept = min(max(shares, _LEAST_SHARES), _MOST_SHARES)
    return str(1 + round((kept - _LEAST_SHARES) / wide))


_COUNTERPARTS = {
    "cpu.cfs_quota_us": _Counterpart("cpu.max", lambda text: _word(0, text), _with_quota),
    "cpu.cfs_period_us": _Counterpart("cpu.max", lambda text: _word(1, text), _with_period),
    "cpu.shares": _Counterpart("cpu.weight", _shares, _weight),
    "cpuacct.usage": _Counterpart("cpu.stat", _entry("usage_usec", factor=1000)),
    "memory.limit_in_bytes": _Counterpart("memory.max", lambda text: _word(0, text), _limit),
    "memory.usage_in_bytes": _Counterpart("memory.current", int),
    "memory.max_usage_in_bytes": _Counterpart("memory.peak", int),
    "memory.failcnt": _Counterpart("memory.events", _entry("max")),
}
"""Parameter of version 1 -> what it is in version 2."""
