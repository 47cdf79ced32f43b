"""Traces: what a link lets through over time, read from files of two kinds.

*Mahimahi* (any file whose name does not end in ``.csv``): on each line a time in milliseconds, not
falling, at which a packet of 1500 bytes may leave. The last is also where the trace begins anew.

*CSV* (``*.csv``): a first line that names columns, ``time`` and one or more of ``rate``, ``delay``
and ``loss``, and below it what holds from each time on. Cells have units as the options of a link
do (``1.5s``, ``20mbit``, ``40ms``, ``2%``), or the column's name has it (``time_s``, ``rate_mbps``,
``delay_ms``, ``loss_percent``). An empty cell leaves a setting as it is; a rate of 0 lets nothing
through. A last line with nothing but a time is where the trace begins anew; without it, what the
last line says holds as long as what the one before said, or a second.

In both, ``#`` begins a comment.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from emulator.errors import UsageError
from emulator.plan.quantities import (
    QuantityMistake,
    read_duration_ns,
    read_number,
    read_rate_bps,
    read_ratio,
)

Setting = Literal["rate", "delay", "loss"]

MTU_BYTES: Final = 1500
"""What an opportunity of a Mahimahi trace carries."""
MOST_POINTS: Final = 1 << 20

_MOST_BYTES = 64 << 20
_NS_IN_MS = 1_000_000
_LONGEST_NS = 1 << 60
_LONE_POINT_NS = 1_000_000_000
_NO_RATE = re.compile(r"0+(\.0*)?\s*([kmgt]?bit(/s)?)?", re.IGNORECASE)
_SETTINGS: tuple[Setting, ...] = ("rate", "delay", "loss")


@dataclass(frozen=True)
class TracePoint:
    """What holds from a time on; None leaves it as it is.

    Attributes:
        at_ns: since the beginning of the trace.
        rate_bps: 0 lets nothing through.
        delay_ns: of the link, without jitter.
        loss: ratio of frames lost.
    """

    at_ns: int
    rate_bps: int | None = None
    delay_ns: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Trace:
    """A trace, which is repeated when it is over.

    Attributes:
        kind: whether points are opportunities to leave, or settings that hold from then on.
        points: in the order of their times.
        period_ns: how long it is.
        opportunity_bytes: of packets, without Ethernet's header, that leave at an opportunity.
    """

    kind: Literal["opportunities", "settings"]
    points: tuple[TracePoint, ...]
    period_ns: int
    opportunity_bytes: int = MTU_BYTES

    @property
    def sets(self) -> tuple[Setting, ...]:
        """What it says over time, in the order rate, delay, loss."""
        if self.kind == "opportunities":
            return ("rate",)
        return tuple(
            name
            for name, field in zip(_SETTINGS, ("rate_bps", "delay_ns", "loss"), strict=True)
            if any(getattr(point, field) is not None for point in self.points)
        )

    @property
    def mean_rate_bps(self) -> float | None:
        """The mean rate over a period, of packets; None when it says none."""
        if self.kind == "opportunities":
            return 8e9 * self.opportunity_bytes * len(self.points) / self.period_ns
        if "rate" not in self.sets:
            return None
        rate, work = 0, 0
        ends = [*(point.at_ns for point in self.points[1:]), self.period_ns]
        for point, end_ns in zip(self.points, ends, strict=True):
            rate = rate if point.rate_bps is None else point.rate_bps
            work += rate * (end_ns - point.at_ns)
        return work / self.period_ns


def read_trace(path: str | Path) -> Trace:
    """The trace in a file.

    Raises:
        UsageError: it cannot be read, has nothing in it, goes back in time, or lets nothing
            through at all; with the line.
    """
    path = Path(path)
    try:
        stat = path.stat()
        if stat.st_size > _MOST_BYTES:
            raise UsageError(f"the trace is larger than {_MOST_BYTES >> 20} MiB", where=str(path))
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except UnicodeDecodeError:
        raise UsageError("the trace is not text", where=str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the trace cannot be read: {reason}", where=str(path)) from error


@lru_cache(maxsize=32)
def _read(path: Path, _changed_ns: int, _size: int) -> Trace:
    text = path.read_text(encoding="utf-8-sig")
    lines = [(number, line.partition("#")[0].strip()) for number, line in _numbered(text)]
    lines = [(number, line) for number, line in lines if line]
    read = _read_csv if path.suffix.lower() == ".csv" else _read_mahimahi
    if not lines:
        raise UsageError("the trace is empty", where=str(path), hint=_HINTS[read])
    if len(lines) > MOST_POINTS:
        raise UsageError(f"the trace has more than {MOST_POINTS} lines", where=str(path))
    return read(path, lines)


def _numbered(text: str) -> Iterable[tuple[int, str]]:
    return enumerate(text.splitlines(), 1)


def _read_mahimahi(path: Path, lines: list[tuple[int, str]]) -> Trace:
    points = []
    last_ms = 0
    for number, line in lines:
        where = f"{path}:{number}"
        if not (line.isascii() and line.isdigit() and len(line) <= 15):
            raise UsageError(
                f"{line[:20]!r} is not a time in whole milliseconds",
                where=where,
                hint="each line is a time in ms; a table of settings is a file named *.csv",
            )
        at_ms = int(line)
        if at_ms < last_ms:
            raise UsageError(f"the trace goes back from {last_ms} to {at_ms} ms", where=where)
        if at_ms * _NS_IN_MS > _LONGEST_NS:
            raise UsageError("the trace is longer than 36 years", where=where)
        last_ms = at_ms
        points.append(TracePoint(at_ms * _NS_IN_MS))
    if last_ms == 0:
        raise UsageError(
            "the trace takes no time",
            where=f"{path}:{lines[-1][0]}",
            hint="the last line says, in ms, when it begins anew",
        )
    return Trace("opportunities", tuple(points), last_ms * _NS_IN_MS)


def _read_csv(path: Path, lines: list[tuple[int, str]]) -> Trace:
    columns = _columns(path, *lines[0])
    points: list[TracePoint] = []
    end_ns = None
    for number, line in lines[1:]:
        where = f"{path}:{number}"
        if end_ns is not None:
            raise UsageError(
                "a line without settings ends the trace, and here is another", where=where
            )
        point = _point(where, columns, line)
        if points and point.at_ns <= points[-1].at_ns:
            raise UsageError(
                f"the trace goes from {points[-1].at_ns / 1e9:g} to {point.at_ns / 1e9:g} s",
                where=where,
                hint="times rise from line to line",
            )
        if point == TracePoint(point.at_ns):
            end_ns = point.at_ns
        else:
            points.append(point)
    if not points:
        raise UsageError("the trace says nothing", where=str(path), hint=_HINTS[_read_csv])
    if end_ns is None:
        times = [point.at_ns for point in points]
        end_ns = times[-1] + (times[-1] - times[-2] if len(times) > 1 else _LONE_POINT_NS)
    trace = Trace("settings", tuple(points), end_ns)
    if not any(point.rate_bps or point.rate_bps is None for point in points):
        raise UsageError("the trace lets nothing through at any time", where=str(path))
    return trace


def _columns(path: Path, number: int, line: str) -> list[str]:
    columns = [name.strip().lower() for name in next(csv.reader([line]))]
    where = f"{path}:{number}"
    for name in columns:
        if name not in _READERS:
            raise UsageError(
                f"there is no column {name[:20]!r}", where=where, hint=f"{_HINTS[_read_csv]}"
            )
    settings = [name.partition("_")[0] for name in columns]
    if "time" not in settings or len(settings) < 2:
        raise UsageError(
            "a trace has a column of times and one more", where=where, hint=_HINTS[_read_csv]
        )
    for setting in settings:
        if settings.count(setting) > 1:
            raise UsageError(f"there are two columns of {setting}", where=where)
    return columns


def _point(where: str, columns: list[str], line: str) -> TracePoint:
    cells = [cell.strip() for cell in next(csv.reader([line]))]
    if len(cells) > len(columns):
        raise UsageError(
            f"here are {len(cells)} cells, and there are {len(columns)} columns", where=where
        )
    values: dict[str, float | None] = {}
    for name, cell in zip(columns, cells, strict=False):
        try:
            values[name.partition("_")[0]] = _READERS[name](cell) if cell else None
        except QuantityMistake as mistake:
            raise UsageError(f"{name}: {mistake}", where=where, hint=mistake.hint) from None
    time_ns, rate_bps, delay_ns, loss = (
        values.get(name) for name in ("time", "rate", "delay", "loss")
    )
    if time_ns is None:
        raise UsageError("here is no time", where=where)
    return TracePoint(
        int(time_ns),
        None if rate_bps is None else int(rate_bps),
        None if delay_ns is None else int(delay_ns),
        loss,
    )


def _read_rate(cell: str) -> int:
    """A rate, which in a trace may be 0."""
    return 0 if _NO_RATE.fullmatch(cell) else read_rate_bps(cell)


def _with_unit(read: Callable[[str], float], unit: str) -> Callable[[str], float]:
    """Read cells that are numbers, with the unit that the column's name has."""

    def reader(cell: str) -> float:
        read_number(cell, "a number")
        return read(cell + unit)

    return reader


_READERS: Mapping[str, Callable[[str], float]] = {
    "time": read_duration_ns,
    "delay": read_duration_ns,
    "rate": _read_rate,
    "loss": read_ratio,
    **{
        f"{name}_{unit}": _with_unit(read_duration_ns, unit)
        for name in ("time", "delay")
        for unit in ("s", "ms", "us", "ns")
    },
    **{
        f"rate_{unit}": _with_unit(_read_rate, scale + "bit")
        for unit, scale in (("bps", ""), ("kbps", "k"), ("mbps", "m"), ("gbps", "g"))
    },
    "loss_percent": _with_unit(read_ratio, "%"),
}
_HINTS = {
    _read_mahimahi: "each line is a time in ms at which a packet may leave",
    _read_csv: 'its first line names columns: "time,rate,delay,loss", or with units '
    '"time_s,rate_mbps,delay_ms,loss_percent"',
}
