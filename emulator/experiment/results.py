"""Which bundles there are in a folder, be they whole or damaged."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle import is_bundle, load_bundle

_STAMP = re.compile(r"(\d{8}T\d{6}Z)-")


@dataclass(frozen=True)
class BundleEntry:
    """A bundle in a list.

    Attributes:
        started_at: as it says itself; by its folder's name, or the folder's age, where it is
            damaged.
        cases: how many there are, ``finished`` of them to their end.
        outcome: as in its ``run.json``; ``damaged`` where it cannot be read.
        problem: why it cannot be read; otherwise None.
    """

    path: Path
    started_at: datetime
    topology: str | None
    measurements: tuple[str, ...]
    cases: int
    finished: int
    outcome: str
    size_bytes: int
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name


def list_bundles(folder: Path) -> list[BundleEntry]:
    """The bundles in a folder, the newest first; or the folder itself, when it is one.

    Raises:
        UsageError: there is no such folder.
        ResultsError: it cannot be read.
    """
    try:
        inside = sorted(folder.iterdir())
    except NotADirectoryError:
        raise UsageError("is no folder", where=str(folder)) from None
    except FileNotFoundError:
        raise UsageError(
            "no such folder",
            where=str(folder),
            hint="vnf bench makes it; name the folder that was given to its --output",
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot be read: {error.strerror}", where=str(folder)) from error
    if is_bundle(folder):
        return [_entry(folder)]
    found = [_entry(each) for each in inside if each.is_dir() and _looks_like_one(each)]
    return sorted(found, key=lambda entry: (entry.started_at, entry.name), reverse=True)


def _looks_like_one(folder: Path) -> bool:
    """Also what lost the files that make it one, but has the name that a bench gives."""
    return is_bundle(folder) or _STAMP.match(folder.name) is not None


def _entry(folder: Path) -> BundleEntry:
    size_bytes = _size_bytes(folder)
    try:
        bundle = load_bundle(folder)
    except (ResultsError, UsageError) as error:
        return BundleEntry(
            path=folder,
            started_at=_started_at(folder),
            topology=None,
            measurements=(),
            cases=0,
            finished=0,
            outcome="damaged",
            size_bytes=size_bytes,
            problem=str(error),
        )
    cases = bundle.summary.cases
    return BundleEntry(
        path=folder,
        started_at=bundle.run.started_at,
        topology=bundle.summary.topology,
        measurements=bundle.summary.measurements,
        cases=len(cases),
        finished=sum(case.status == "finished" for case in cases),
        outcome=bundle.run.outcome,
        size_bytes=size_bytes,
    )


def _started_at(folder: Path) -> datetime:
    if match := _STAMP.match(folder.name):
        with contextlib.suppress(ValueError):
            return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with contextlib.suppress(OSError):
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return datetime.fromtimestamp(0, UTC)


def _size_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # A bench that is under way replaces its files.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
