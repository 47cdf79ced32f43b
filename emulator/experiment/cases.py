"""The cases of an experiment: the cross product of the settings that vary.

Pure: nothing here knows how a case is measured.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from emulator.errors import UsageError

NO_VNF = "none"
"""The value of the setting ``dataplane`` that asks a topology for its path without any VNF."""


@dataclass(frozen=True)
class Case:
    """One combination of settings, measured on a network of its own.

    Attributes:
        name: what tells it from the other cases, like ``dataplane=xdp,length=2``.
        settings: everything the topology is given, the fixed settings included.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_baseline(self) -> bool:
        """Whether the settings ask for the path without any VNF."""
        return self.settings.get("dataplane") == NO_VNF


def parse_vary(options: Iterable[str]) -> dict[str, list[str]]:
    """Read ``KEY=VALUE[,VALUE…]`` options, as ``vnf bench --vary`` takes them.

    Where there is a semicolon, semicolons separate the values, and a comma is part of one.

    Raises:
        UsageError: no ``=``, no key, an empty or repeated value, a key given twice.
    """
    vary: dict[str, list[str]] = {}
    for option in options:
        key, equals, text = option.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(
                "not of the form KEY=VALUE,VALUE",
                where=f"--vary {option}",
                hint="for example --vary dataplane=kernel,xdp",
            )
        if key in vary:
            raise UsageError(
                f"{key!r} is varied twice",
                where=f"--vary {option}",
                hint=f"give all its values at once: --vary {key}="
                + _joined([*vary[key], text.strip()]),
            )
        vary[key] = [value.strip() for value in text.split(";" if ";" in text else ",")]
    check_vary(vary)
    return vary


def check_vary(
    vary: Mapping[str, Sequence[str]], settings: Mapping[str, str] | None = None
) -> None:
    """Check that every varied key has distinct, non-empty values and is not fixed as well.

    Raises:
        UsageError: naming the key concerned.
    """
    for key, values in vary.items():
        where = f"--vary {key}"
        if settings is not None and key in settings:
            raise UsageError(
                f"{key!r} is both fixed and varied",
                where=where,
                hint=f"drop --set {key}={settings[key]} or --vary {key}",
            )
        if not values or any(not value for value in values):
            raise UsageError(
                "a value is missing", where=where, hint=f"for example --vary {key}=1,2,3"
            )
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise UsageError(
                f"the value {repeated[0]!r} is given more than once",
                where=where,
                hint="to measure a case several times, use --repeat",
            )


def expand_cases(settings: Mapping[str, str], vary: Mapping[str, Sequence[str]]) -> list[Case]:
    """All combinations of the varied values on top of the fixed ``settings``, in the order written.

    Without anything to vary there is one case, named after the fixed settings.

    Raises:
        UsageError: as :func:`check_vary`.
    """
    check_vary(vary, settings)
    if not vary:
        return [Case(_name(settings) or "default", dict(settings))]
    return [
        Case(_name(chosen), {**settings, **chosen})
        for values in itertools.product(*vary.values())
        for chosen in [dict(zip(vary, values, strict=True))]
    ]


def _joined(values: Sequence[str]) -> str:
    return (";" if any("," in value for value in values) else ",").join(values)


def random_order(cases: Sequence[Case], seed: int) -> list[Case]:
    """The cases in the order in which to measure them, decided by ``seed`` alone.

    A machine that warms up or is busier at one time than at another would otherwise favour
    whichever case is always measured last or first.
    """
    shuffled = list(cases)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def baseline_for(case: Case, cases: Iterable[Case]) -> Case | None:
    """The case that differs from ``case`` only in having no VNF, if it is among ``cases``."""
    if case.is_baseline:
        return None
    wanted = {**case.settings, "dataplane": NO_VNF}
    return next((other for other in cases if dict(other.settings) == wanted), None)


def _name(settings: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in settings.items())
