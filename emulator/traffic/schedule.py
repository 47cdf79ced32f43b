"""Patterns of traffic: when each packet of a stream is due, settled before the first one is sent.

A schedule is open loop: it says when packets are *intended* to be sent, whatever the network does
with them. The same pattern, rate, duration and seed always give the same schedule.

======================== ===========================================================================
``const``                equal distances
``poisson``              independent, exponentially distributed distances: many unrelated senders
``pareto(shape=1.5)``    Pareto-distributed distances, heavy-tailed: clusters on every time scale
``onoff(on=10ms, off=90ms)`` equal distances while it is on, nothing while it is off
``burst(size=32)``       groups of packets that are all due at once, at equal distances
``pcap:FILE``            the pace and the frame sizes of a capture, again and again
======================== ===========================================================================

The rate is always the mean over the whole: ``onoff`` is that much faster while it is on. A stream
of ``pareto`` that ends can be far from its mean, the more so the nearer its shape is to 1; what
counts is what was sent. Of a capture nothing but times and sizes is used: the packets are the
probe's own, so that each can be told from the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from emulator.errors import UsageError
from emulator.names import suggestion
from emulator.plan.quantities import (
    MOST_NS,
    QuantityMistake,
    read_count,
    read_duration_ns,
    read_number,
    shown,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.capture import Capture

FRACTION_BITS: Final = 20
"""Equal distances are counted in units of 2^-20 ns, so that the last of many packets is on time."""
MAX_PLANNED_PACKETS: Final = 50_000_000
"""A schedule without equal distances is a table of 8 bytes for each packet."""
MAX_BURST: Final = 65_536
_NS_PER_S = 1_000_000_000
_CHUNK = 1 << 20
_SPARE = 1000
_MIN_SHAPE, _MAX_SHAPE = 1.05, 100.0
_FORMS = "const, poisson, onoff(on=10ms, off=90ms), pareto(shape=1.5), burst(size=32), pcap:FILE"
_PCAP = "pcap:"
_UNITS = ((_NS_PER_S, "s"), (1_000_000, "ms"), (1000, "us"), (1, "ns"))
_WRITTEN = re.compile(r"([\w-]*)\s*(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Const:
    """Equal distances."""

    def __str__(self) -> str:
        return "const"


@dataclass(frozen=True)
class Poisson:
    """Exponentially distributed distances."""

    def __str__(self) -> str:
        return "poisson"


@dataclass(frozen=True)
class OnOff:
    """Equal distances while it is on, which it is first, and nothing while it is off.

    Raises:
        UsageError: a phase does not last above 0 and up to an hour.
    """

    on_ns: int = 10_000_000
    off_ns: int = 90_000_000

    def __post_init__(self) -> None:
        for name, value in (("on", self.on_ns), ("off", self.off_ns)):
            if not 0 < value <= MOST_NS:
                raise _bad(f"{name}={_duration_text(value)}", "a phase lasts above 0, up to 1 h")

    def __str__(self) -> str:
        return f"onoff(on={_duration_text(self.on_ns)}, off={_duration_text(self.off_ns)})"


@dataclass(frozen=True)
class Pareto:
    """Pareto-distributed distances.

    Args:
        shape: the exponent of the tail. The variance exists above 2, the mean above 1; but close
            to 1 it takes more packets than can be sent until a stream shows its mean.

    Raises:
        UsageError: the shape is below 1.05, or so large that the distances are all but equal.
    """

    shape: float = 1.5

    def __post_init__(self) -> None:
        if not _MIN_SHAPE <= self.shape <= _MAX_SHAPE:
            hint = f"a shape is from {_MIN_SHAPE:g}, just above where the mean exists, "
            hint += f"to {_MAX_SHAPE:g}"
            raise _bad(f"shape={self.shape:g}", hint)

    def __str__(self) -> str:
        return f"pareto(shape={self.shape!r})"


@dataclass(frozen=True)
class Burst:
    """Groups of packets that are all due at once: the generator sends them back to back.

    How long it needs for that is part of their delay, as it is for a sender's own burst.

    Raises:
        UsageError: the size is not from 1 to 65,536.
    """

    size: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_BURST:
            raise _bad(f"size={self.size}", f"a burst has 1 to {MAX_BURST} packets")

    def __str__(self) -> str:
        return f"burst(size={self.size})"


@dataclass(frozen=True)
class Pcap:
    """The pace and the frame sizes of a capture of an Ethernet, repeated until the time is over.

    Without a rate it keeps its own pace. With one, all its distances grow or shrink alike.
    """

    file: str

    def __str__(self) -> str:
        return f"{_PCAP}{self.file}"

    def capture(self) -> Capture:
        """What the file holds.

        Raises:
            UsageError: it cannot be read, or holds nothing to send.
        """
        from emulator.traffic.capture import read_capture

        return read_capture(self.file)


Pattern = Const | Poisson | OnOff | Pareto | Burst | Pcap
CONST: Final = Const()
_Made = TypeVar("_Made", bound=Pattern)


def parse_pattern(text: str) -> Pattern:
    """The pattern that a text names, as in the table above; parameters may be left out.

    ``str`` of a pattern is such a text. A capture is not opened here.

    Raises:
        UsageError: there is no such pattern, or a parameter is unknown or wrong.
    """
    written = text.strip()
    if written.startswith(_PCAP):
        if not written.removeprefix(_PCAP):
            raise _bad(shown(text), "name the capture: pcap:traffic.pcap")
        return Pcap(written.removeprefix(_PCAP))
    match = _WRITTEN.fullmatch(written)
    make = _MAKERS.get(match[1]) if match else None
    if match is None or make is None:
        near = suggestion(match[1] if match else written, [*_MAKERS, "pcap"])
        raise _bad(shown(text), near or f"there are: {_FORMS}")
    return make(_parameters(match[2] or "", shown(text)))


def is_capture(text: str) -> bool:
    """Whether a text names a capture, ``pcap:FILE``."""
    return text.strip().startswith(_PCAP)


def capture_named(text: str) -> Capture:
    """The capture that ``pcap:FILE`` names.

    Raises:
        UsageError: it cannot be read, or holds nothing to send.
    """
    pattern = parse_pattern(text)
    if not isinstance(pattern, Pcap):
        raise _bad(shown(text), f"it is no capture: {_PCAP}FILE")
    return pattern.capture()


def interval_of(rate_pps: float) -> int:
    """From one packet to the next at an even rate, in units of 2^-20 ns."""
    return max(1, round((_NS_PER_S << FRACTION_BITS) / rate_pps))


def even_places(rate_pps: float, duration_s: float) -> int:
    """How many packets an even rate has in a duration, at least one."""
    return max(1, round(rate_pps * duration_s))


def offsets_ns(
    pattern: Pattern, rate_pps: float | None, duration_s: float, seed: int = 0
) -> NDArray[np.uint64]:
    """When each packet is due, in ns after the start, in the order of sending.

    ``const`` and ``burst`` have rate times duration packets. The others have those that are due
    within the duration, so ``poisson`` and ``pareto`` have a number that hangs on chance. There is
    always at least one.

    Args:
        rate_pps: the mean rate; None, of a capture only: its own.
        seed: of the patterns that are random; the others are always the same.

    Raises:
        UsageError: there is no rate, the capture cannot be used, or it is too many packets.
    """
    import numpy as np

    if isinstance(pattern, Pcap):
        return _capture_offsets(pattern.capture(), rate_pps, duration_s)
    if rate_pps is None:
        raise needs_a_rate(pattern)
    if not isinstance(pattern, Const):
        check_planned(rate_pps * duration_s)
    if isinstance(pattern, OnOff):
        return _on_off(pattern, rate_pps, round(duration_s * _NS_PER_S))
    if isinstance(pattern, Const | Burst):
        size = pattern.size if isinstance(pattern, Burst) else 1
        places = np.arange(even_places(rate_pps, duration_s), dtype=np.uint64)
        places -= places % np.uint64(size)
        return places * np.uint64(interval_of(rate_pps)) >> np.uint64(FRACTION_BITS)
    mean_ns = _NS_PER_S / rate_pps
    random = np.random.Generator(np.random.PCG64(seed))

    def exponential(count: int) -> NDArray[np.float64]:
        return -mean_ns * np.log1p(-random.random(count))

    def pareto(count: int) -> NDArray[np.float64]:
        assert isinstance(pattern, Pareto)
        shortest = mean_ns * (pattern.shape - 1) / pattern.shape
        return shortest * (1 - random.random(count)) ** (-1 / pattern.shape)

    gaps = pareto if isinstance(pattern, Pareto) else exponential
    return _renewal(gaps, duration_s * _NS_PER_S, round(rate_pps * duration_s))


def check_planned(packets: float) -> None:
    """Refuse a schedule that would not fit into memory.

    Raises:
        UsageError: it has too many packets.
    """
    if packets > MAX_PLANNED_PACKETS:
        raise UsageError(
            f"{packets:.0f} packets are too many for a schedule without equal distances, "
            f"at most {MAX_PLANNED_PACKETS} fit",
            where="pattern",
            hint="use a shorter duration, a lower rate, or the pattern const",
        )


def needs_a_rate(pattern: Pattern) -> UsageError:
    """What to say of a pattern that came without one."""
    return UsageError(
        f"the pattern {pattern} needs a rate",
        where="rate_pps",
        hint="give one; as fast as possible goes with const alone",
    )


def _on_off(pattern: OnOff, rate_pps: float, duration_ns: int) -> NDArray[np.uint64]:
    import numpy as np

    cycle_ns = pattern.on_ns + pattern.off_ns
    cycles, rest_ns = divmod(duration_ns, cycle_ns)
    time_on_ns = cycles * pattern.on_ns + min(rest_ns, pattern.on_ns)
    rate_on_pps = rate_pps * cycle_ns / pattern.on_ns
    count = even_places(rate_on_pps, time_on_ns / _NS_PER_S)
    check_planned(count)
    # As if the time that it is off did not pass; then put in between.
    since = np.arange(count, dtype=np.uint64) * np.uint64(interval_of(rate_on_pps))
    cycle, within = np.divmod(since >> np.uint64(FRACTION_BITS), np.uint64(pattern.on_ns))
    return cycle * np.uint64(cycle_ns) + within


def _renewal(
    gaps: Callable[[int], NDArray[np.float64]], duration_ns: float, likely: int
) -> NDArray[np.uint64]:
    """Where independent distances add up to; the first one begins at the start."""
    import numpy as np

    found: list[NDArray[np.uint64]] = []
    now, count = 0.0, 0
    while now < duration_ns:
        times = now + np.cumsum(gaps(min(likely + _SPARE, _CHUNK)))
        now = float(times[-1])
        times = times[: np.searchsorted(times, duration_ns)]
        count += len(times)
        check_planned(count)
        found.append(times.astype(np.uint64))
    return np.concatenate(found) if count else np.zeros(1, dtype=np.uint64)


def _capture_offsets(
    capture: Capture, rate_pps: float | None, duration_s: float
) -> NDArray[np.uint64]:
    import numpy as np

    cycle_ns = capture.cycle_ns(rate_pps)
    own_ns = capture.times_ns.astype(np.float64)
    if capture.span_ns:
        own_ns *= cycle_ns / capture.cycle_ns(None)
    duration_ns = duration_s * _NS_PER_S
    cycles = int(duration_ns / cycle_ns)
    rest = int(np.searchsorted(own_ns, duration_ns - cycles * cycle_ns))
    count = max(1, cycles * len(own_ns) + rest)
    check_planned(count)
    cycle, within = np.divmod(np.arange(count), len(own_ns))
    return (cycle * cycle_ns + own_ns[within]).astype(np.uint64)


def _duration_text(time_ns: int) -> str:
    """Exactly, in the largest unit in which it is a whole number."""
    scale, unit = next((scale, unit) for scale, unit in _UNITS if time_ns % scale == 0)
    return f"{time_ns // scale}{unit}"


def _parameters(text: str, written: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(",") if text.strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value or name in found:
            raise _bad(written, f"write each parameter once, as name=value: {_FORMS}")
        found[name] = value
    return found


def _made(
    make: Callable[..., _Made], readers: Mapping[str, tuple[str, Callable[[str], object]]]
) -> Callable[[Mapping[str, str]], _Made]:
    """What makes a pattern from its parameters as they are written."""

    def read(written: Mapping[str, str]) -> _Made:
        fields = {}
        for name, text in written.items():
            if name not in readers:
                there = f"there are: {', '.join(readers)}" if readers else "it has none"
                raise _bad(f"the parameter {name}", suggestion(name, readers) or there)
            field, reader = readers[name]
            try:
                fields[field] = reader(text)
            except QuantityMistake as mistake:
                raise UsageError(
                    f"{name}: {mistake}", where="pattern", hint=mistake.hint
                ) from mistake
        return make(**fields)

    return read


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, str]], Pattern]]] = {
    "const": _made(Const, {}),
    "poisson": _made(Poisson, {}),
    "onoff": _made(OnOff, {"on": ("on_ns", read_duration_ns), "off": ("off_ns", read_duration_ns)}),
    "pareto": _made(Pareto, {"shape": ("shape", lambda text: read_number(text, "a shape"))}),
    "burst": _made(
        Burst,
        {"size": ("size", lambda text: read_count(text, "a size", range(1, MAX_BURST + 1)))},
    ),
}


def _bad(what: str, hint: str) -> UsageError:
    return UsageError(f"{what} is not possible", where="pattern", hint=hint)
