"""Files that the options of an impaired link name: distributions of delay, and traces."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from emulator.errors import UsageError
from emulator.paths import share_dir
from emulator.plan.link_model import TraceSetting
from emulator.plan.quantities import QuantityMistake
from emulator.plan.traces import read_trace

TABLE_ENTRIES = 4096
"""The most quantiles that a plan holds of a distribution."""

PATHS_HINT = "paths start from the folder of the topology's file"

_NETEM_SCALE = 8192
_MOST_BYTES = 16 << 20


def read_distribution(path: Path, name: str) -> tuple[float, ...]:
    """The quantiles of a distribution, rising, in units of its standard deviation.

    ``*.dist`` is a table as tc-netem reads it: whole numbers, 8192 for one standard deviation.
    Any other file holds samples, such as delays that were measured, in whatever unit: they are
    shifted and scaled to a mean of 0 and a standard deviation of 1. In both, numbers are
    separated by white space, and ``#`` begins a comment.

    Raises:
        QuantityMistake: there is no such file, or it has no such numbers.
    """
    try:
        stat = path.stat()
        return _quantiles(path, name, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        text = f"the distribution {name} cannot be read: {error.strerror}"
        raise QuantityMistake(text, PATHS_HINT) from None
    except ValueError as error:
        if isinstance(error, QuantityMistake):
            raise
        raise QuantityMistake(f"the distribution {name} is no path of a file") from None


@lru_cache(maxsize=32)
def _quantiles(path: Path, name: str, _changed_ns: int, size: int) -> tuple[float, ...]:
    if size > _MOST_BYTES:
        raise QuantityMistake(f"the distribution {name} is larger than {_MOST_BYTES >> 20} MiB")
    numbers = []
    for count, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        for word in line.partition("#")[0].replace(",", " ").split():
            number = _number(word)
            if number is None:
                text = f"the distribution {name} has {word[:20]!r} in line {count}"
                raise QuantityMistake(text, "it takes numbers, separated by white space")
            numbers.append(number)
    if len(numbers) < 2:
        text = f"the distribution {name} has {len(numbers) or 'no'} number{'s'[: not numbers]}"
        raise QuantityMistake(text, "give at least two")
    numbers.sort()
    if path.suffix == ".dist":
        return _thinned([number / _NETEM_SCALE for number in numbers])
    return _standardised(_thinned(numbers), name)


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if abs(number) < 1e100 else None


def _thinned(quantiles: list[float]) -> tuple[float, ...]:
    """As many of them as a plan holds, at even steps of probability."""
    count = len(quantiles)
    if count <= TABLE_ENTRIES:
        return tuple(quantiles)
    thinned = []
    for entry in range(TABLE_ENTRIES):
        below, part = divmod(entry * (count - 1), TABLE_ENTRIES - 1)
        above = min(below + 1, count - 1)
        share = part / (TABLE_ENTRIES - 1)
        thinned.append(quantiles[below] * (1 - share) + quantiles[above] * share)
    return tuple(thinned)


def _standardised(quantiles: tuple[float, ...], name: str) -> tuple[float, ...]:
    """The same, shifted and scaled to a mean of 0 and a standard deviation of 1.

    Between two quantiles the distribution is even, and that is what has to come out right.
    """
    steps = list(pairwise(quantiles))
    mean = math.fsum(a + b for a, b in steps) / (2 * len(steps))
    centred = [(a - mean, b - mean) for a, b in steps]
    variance = math.fsum(a * a + a * b + b * b for a, b in centred) / (3 * len(steps))
    if not 0 < variance < math.inf:
        text = f"the distribution {name} has no spread"
        raise QuantityMistake(text, "its numbers are all the same")
    deviation = math.sqrt(variance)
    return tuple((quantile - mean) / deviation for quantile in quantiles)


def find_trace(folder: Path, name: str) -> Path:
    """The file of a trace: in the topology's folder, or one of those that come along.

    Raises:
        QuantityMistake: there is none.
    """
    shipped = share_dir() / "topologies" / "traces"
    for path in (folder / name, shipped / name):
        # A name with a zero byte is no file either.
        with suppress(OSError, ValueError):
            if path.is_file():
                return path.absolute()
    raise QuantityMistake(f"there is no file {name}", PATHS_HINT)


def settings_of_trace(path: Path) -> tuple[TraceSetting, ...]:
    """What a trace says over time.

    Raises:
        QuantityMistake: it is not a trace.
    """
    try:
        return read_trace(path).sets
    except UsageError as error:
        line = error.where.rpartition("/")[2]
        raise QuantityMistake(f"{line}: {error.message}", error.hint) from None
