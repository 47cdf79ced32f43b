"""The cases of an experiment: the cross product of the settings and of the traffic that vary.

Pure: nothing here knows how a case is measured.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.traffic.frames import FrameMix

DEFAULT_RATE_PPS = 10_000.0
NO_VNF = "none"
"""The value of the setting ``dataplane`` that asks a topology for its path without any VNF."""


@dataclass(frozen=True)
class Traffic:
    """What is sent in a case.

    Attributes:
        rate_pps: packets per second of the latency trials, on average.
        frames: the size of frames with their FCS in bytes, a mix of several, ``imix``, or
            ``pcap:FILE``: those of a capture.
        pattern: how packets follow each other, as :func:`emulator.traffic.schedule.parse_pattern`
            reads it.
    """

    rate_pps: float = DEFAULT_RATE_PPS
    frames: str = "64"
    pattern: str = "const"

    @classmethod
    def of_capture(cls, pattern: str, rate_pps: float | None) -> Self:
        """The frames of a capture as they follow each other there.

        Args:
            pattern: ``pcap:FILE``.
            rate_pps: that it is stretched to; its own mean rate when None.

        Raises:
            UsageError: the capture cannot be used.
        """
        from emulator.traffic.schedule import capture_named

        if rate_pps is None:
            rate_pps = capture_named(pattern).rate_pps
        return cls(rate_pps, pattern, pattern)

    def frame_mix(self) -> FrameMix:
        """The frames by their shares.

        Raises:
            UsageError: that is no size, or the capture cannot be used.
        """
        from emulator.traffic.frames import parse_frames
        from emulator.traffic.schedule import capture_named, is_capture

        if is_capture(self.frames):
            return capture_named(self.frames).frame_mix()
        return parse_frames(self.frames)

    def options(self) -> dict[str, str]:
        """By the names that a user gives them; the pattern tells the capture that frames are of."""
        digits = 12 if float(self.rate_pps).is_integer() else 6
        rate = f"{self.rate_pps:.{digits}g}"
        size = "captured" if self.frames == self.pattern else self.frames
        return {"rate": rate, "size": size, "pattern": self.pattern}


@dataclass(frozen=True)
class Case:
    """One combination of settings and traffic, measured on networks of its own.

    Attributes:
        name: what tells it from the other cases, like ``dataplane=xdp,length=2``.
        settings: everything the topology is given, the fixed settings included.
        traffic: what is sent.
        varied: what tells it from the others, of both of them.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    traffic: Traffic = Traffic()
    varied: Mapping[str, str] = field(default_factory=dict)

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


def expand_cases(
    settings: Mapping[str, str],
    vary: Mapping[str, Sequence[str]],
    traffics: Sequence[Traffic] = (Traffic(),),
) -> list[Case]:
    """All combinations of the varied values on top of the fixed ``settings``, in the order written,
    and of the traffic.

    Without anything to vary there is one case, named after the fixed settings.

    Raises:
        UsageError: as :func:`check_vary`; the topology has a setting that is named as one of the
            traffic, and both vary; a kind of traffic is given twice.
    """
    check_vary(vary, settings)
    if len(set(traffics)) < len(traffics):
        raise UsageError(
            "the same rate, size or pattern is given more than once",
            hint="to measure a case several times, use --repeat",
        )
    several = _several(traffics)
    for key in several & vary.keys():
        raise UsageError(
            f"both the topology's setting and the traffic's {key} vary",
            where=f"--vary {key}",
            hint="vary one of them at a time",
        )
    cases = []
    for values in itertools.product(*vary.values()):
        chosen = dict(zip(vary, values, strict=True))
        for traffic in traffics:
            sent = {key: text for key, text in traffic.options().items() if key in several}
            varied = {**chosen, **sent}
            name = _name(varied) or _name(settings) or "default"
            cases.append(Case(name, {**settings, **chosen}, traffic, varied))
    return cases


def _several(traffics: Sequence[Traffic]) -> set[str]:
    """The options of which there is more than one value."""
    options = [traffic.options() for traffic in traffics]
    return {key for key in options[0] if len({each[key] for each in options}) > 1}


def _joined(values: Sequence[str]) -> str:
    return (";" if any("," in value for value in values) else ",").join(values)


@dataclass(frozen=True)
class Unit:
    """A case in one of its rounds, from 1: what is measured without a break."""

    case: Case
    round: int


def random_order(cases: Sequence[Case], rounds: int, seed: int) -> list[Unit]:
    """What to measure in which order, decided by ``seed`` alone: every round has each case once.

    A machine that warms up or is busier at one time than at another would otherwise favour
    whichever case is always measured last or first.
    """
    chance = random.Random(seed)
    units = []
    for number in range(1, rounds + 1):
        shuffled = list(cases)
        chance.shuffle(shuffled)
        units += [Unit(case, number) for case in shuffled]
    return units


def baseline_for(case: Case, cases: Iterable[Case]) -> Case | None:
    """The case that differs from ``case`` only in having no VNF, if it is among ``cases``."""
    if case.is_baseline:
        return None
    wanted = {**case.settings, "dataplane": NO_VNF}
    return next(
        (
            other
            for other in cases
            if dict(other.settings) == wanted and other.traffic == case.traffic
        ),
        None,
    )


def _name(settings: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in settings.items())
