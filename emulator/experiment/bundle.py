"""A bundle: the folder that holds everything of one run, and can be given to someone else.

Every file appears whole or not at all, as soon as what it holds exists, so that whatever ends a run
early leaves what was measured until then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle_files import (
    CERTIFICATES,
    MACHINE,
    PICTURE,
    README,
    RESOURCES,
    RUN,
    SAMPLES,
    SUMMARY,
    TOOLS,
    readme,
)
from emulator.experiment.machine import Machine
from emulator.experiment.records import CaseRecord, RunRecord, SummaryRecord
from emulator.experiment.samples import read_samples, write_samples
from emulator.plan.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emulator.experiment.certificates import CertificatesRecord
    from emulator.plan.model import Plan

__all__ = [
    "CERTIFICATES",
    "MACHINE",
    "PICTURE",
    "RESOURCES",
    "RUN",
    "SUMMARY",
    "Bundle",
    "BundleWriter",
    "is_bundle",
    "load_bundle",
]

_RESERVE = ".reserve"
_PARTIAL, _PLAN = ".partial", "plan-"
_RESERVE_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._=,+-]+")


class _Read(Protocol):
    @classmethod
    def model_validate_json(cls, text: bytes, /) -> Self: ...


Model = TypeVar("Model", bound=_Read)


class BundleWriter:
    """Fills a new bundle. Every method raises :class:`ResultsError` when it cannot write.

    A file of some size is put aside at the start and given up once the disk is full, so that even
    then the summary of what was measured finds room.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, str] = {}
        self._written: set[str] = set()

    @classmethod
    def create(
        cls, output: Path, topology: str, *, started_at: datetime, needed_bytes: int = 0
    ) -> BundleWriter:
        """Make a new folder of its own inside ``output``, which is made too when missing.

        Args:
            output: the folder of all bundles.
            topology: what the bundle is called after, beside the time.
            started_at: when the run started.
            needed_bytes: how much is going to be written, at most.

        Raises:
            ResultsError: the folder cannot be written, or has too little room.
        """
        stamp = started_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        with _explained(output):
            output.mkdir(parents=True, exist_ok=True)
            _check_room(output, needed_bytes + _RESERVE_BYTES)
            folder = _new_folder(output, f"{stamp}-{_file_name(topology)}")
            writer = cls(folder)
            try:
                writer._take()
                (folder / SAMPLES).mkdir()
                with open(folder / _RESERVE, "xb") as reserve:
                    os.posix_fallocate(reserve.fileno(), 0, _RESERVE_BYTES)
                writer.write_file(README, lambda file: file.write(readme().encode()))
            except BaseException:
                writer.discard()
                raise
        return writer

    @classmethod
    def reopen(cls, folder: Path, plans: Mapping[str, str]) -> BundleWriter:
        """Go on filling a bundle that a run has left before its end.

        Args:
            folder: the bundle's.
            plans: by the names of the cases that have one, the file of the plan: their other files
                are called after it.

        Raises:
            ResultsError: the folder cannot be written, or a run is still filling it.
        """
        writer = cls(folder)
        with _explained(folder):
            writer._take()
            (folder / SAMPLES).mkdir(exist_ok=True)
            for path in folder.rglob("*"):
                if path.name.endswith(_PARTIAL):
                    # What a run that was killed had not written to its end.
                    path.unlink()
                elif path.is_file():
                    writer._written.add(str(path.relative_to(folder)))
            with open(folder / _RESERVE, "wb") as reserve:
                os.posix_fallocate(reserve.fileno(), 0, _RESERVE_BYTES)
        for case, plan in plans.items():
            writer._names[case] = plan.removeprefix(_PLAN).removesuffix(".json")
        return writer

    def _take(self) -> None:
        """Keep other runs out until ``close``; the kernel does it when this process ends."""
        lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self._unlock = weakref.finalize(self, os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise ResultsError(
                "a bench is still filling this bundle",
                where=str(self.folder),
                hint="wait for it to end, or stop it with Ctrl-C",
            ) from None

    def close(self) -> None:
        """Let others go on with the bundle."""
        self._unlock()

    def count_samples(self, case: str) -> int:
        """How many files of samples a case has by now."""
        prefix = f"{SAMPLES}/{self._unique(case)}-"
        return sum(name.startswith(prefix) for name in self._written)

    def write_file(self, name: str, write: Callable[[BinaryIO], object]) -> Path:
        """Make the file ``name`` appear with all that ``write`` puts into it, or not at all."""
        path = self.folder / name
        partial = path.with_name(f".{path.name}{_PARTIAL}")
        with _explained(path):
            try:
                with open(partial, "wb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink()
                raise
        self._written.add(name)
        return path

    def write_record(self, name: str, record: BaseModel) -> Path:
        """Write one of the JSON files."""
        text = record.model_dump_json(indent=2) + "\n"
        return self.write_file(name, lambda file: file.write(text.encode()))

    def write_plan(self, case: str, plan: Plan) -> str:
        """Write the plan of a case; returns the file's name within the bundle."""
        name = f"{_PLAN}{self._unique(case)}.json"
        self.write_file(name, lambda file: file.write((plan.to_json() + "\n").encode()))
        return name

    def write_samples(
        self,
        case: str,
        number: int,
        columns: Mapping[str, NDArray[Any]],
        metadata: Mapping[str, str],
    ) -> str:
        """Write the samples of a trial of a case; returns the file's name within the bundle."""
        name = f"{SAMPLES}/{self._unique(case)}-{number}.parquet"
        about = {"case": case, "trial": str(number), **metadata}
        self.write_file(name, lambda file: write_samples(file, columns, about))
        return name

    def write_output(self, case: str, name: str, text: str) -> str:
        """Write what another tool said of a case; returns the file's name within the bundle."""
        folder = self.folder / TOOLS
        with _explained(folder):
            folder.mkdir(exist_ok=True)
        file_name = f"{TOOLS}/{self._unique(case)}-{_file_name(name)}"
        self.write_file(file_name, lambda file: file.write(text.encode()))
        return file_name

    def release_reserve(self) -> None:
        """Give up the room put aside, for the last files of a run."""
        with contextlib.suppress(OSError):
            (self.folder / _RESERVE).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the folder with what this writer put there; for a run that measured nothing."""
        for name in (_RESERVE, *self._written):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)
        for folder in (self.folder / SAMPLES, self.folder / TOOLS, self.folder):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _unique(self, case: str) -> str:
        """A file name for the case: readable, and different for different cases."""
        if case not in self._names:
            wanted = name = _file_name(case)
            number = 2
            while name in self._names.values():
                name = f"{wanted}+{number}"
                number += 1
            self._names[case] = name
        return self._names[case]


class Bundle:
    """A bundle read back; plans and samples are read when asked for."""

    def __init__(
        self, folder: Path, run: RunRecord, machine: Machine, summary: SummaryRecord
    ) -> None:
        self.folder = folder
        self.run = run
        self.machine = machine
        self.summary = summary

    def plan(self, case: str) -> Plan:
        """The plan of a case.

        Raises:
            ResultsError: no such case, or its plan is missing or broken.
        """
        from emulator.plan.model import Plan

        record = self._case(case)
        if record.plan is None:
            raise ResultsError(f"the case {case!r} has no plan", where=str(self.folder))
        return _load(self.folder / record.plan, Plan)

    def certificates(self) -> CertificatesRecord | None:
        """Those of the impaired links; None where none is, or they were not measured.

        Raises:
            ResultsError: the file is broken.
        """
        from emulator.experiment.certificates import CertificatesRecord

        path = self.folder / CERTIFICATES
        return _load(path, CertificatesRecord) if path.exists() else None

    def resources(self) -> str:
        """What trials took of the machine, as CSV; empty where nothing was written.

        Raises:
            ResultsError: the file cannot be read.
        """
        path = self.folder / RESOURCES
        try:
            return path.read_bytes().decode() if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ResultsError(f"cannot be read: {error}", where=str(path)) from error

    def samples(self, case: str, number: int = 1) -> dict[str, NDArray[Any]]:
        """The samples of a trial of a case: numpy arrays by column name.

        Raises:
            ResultsError: no such case or trial, or its file is missing or broken.
        """
        for trial in self._case(case).trials:
            if trial.number == number and trial.samples is not None:
                return read_samples(self.folder / trial.samples)
        raise ResultsError(
            f"the case {case!r} has no samples of a trial {number}",
            where=str(self.folder),
            hint=f"it has {len(self._case(case).trials)} trials, counted from 1",
        )

    def _case(self, name: str) -> CaseRecord:
        try:
            return self.summary.case(name)
        except KeyError:
            names = ", ".join(case.name for case in self.summary.cases) or "none"
            raise ResultsError(
                f"no case {name!r}", where=str(self.folder), hint=f"its cases: {names}"
            ) from None


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle back.

    Raises:
        UsageError: there is no bundle.
        ResultsError: a file of it is missing, broken or of another version.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(
            "no such folder" if not folder.exists() else "a bundle is a folder, and this is none",
            where=str(folder),
            hint="give the folder that a bench printed; vnf results lists them",
        )
    if not is_bundle(folder):
        raise UsageError("the folder is no bundle", where=str(folder), hint=_nearby(folder))
    return Bundle(
        folder,
        _load(folder / RUN, RunRecord),
        _load(folder / MACHINE, Machine),
        _load(folder / SUMMARY, SummaryRecord),
    )


def is_bundle(folder: Path) -> bool:
    """Whether the folder looks like one, be it complete or not."""
    return any((folder / name).is_file() for name in (RUN, SUMMARY))


def _nearby(folder: Path) -> str:
    """Where a bundle may be found instead."""
    inside: list[str] = []
    with contextlib.suppress(OSError):
        inside = sorted(each.name for each in folder.iterdir() if is_bundle(each))
    if not inside:
        return f"a bundle has a file {SUMMARY}; vnf results lists those of a folder"
    several = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
    return f"it holds {inside[-1]}{several}; name one of these"


def _load(path: Path, model: type[Model]) -> Model:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ResultsError(
            "the file is missing",
            where=str(path),
            hint="a bundle has it from its first moment; copy the whole folder",
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot be read: {error.strerror}", where=str(path)) from error
    _check_version(path, content, model)
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ResultsError(
            f"cannot be understood: {f'{key}: ' if key else ''}{first['msg']}",
            where=str(path),
            hint="it was changed, cut short, or written by another version",
        ) from error


def _check_version(path: Path, content: bytes, model: type[_Read]) -> None:
    """Tell of a file of another version before its fields are complained about one by one."""
    fields: Mapping[str, Any] = {}
    if issubclass(model, BaseModel):
        fields = model.model_fields
    elif issubclass(model, Record):
        fields = model.__dataclass_fields__
    field = fields.get("version")
    # What is no JSON object at all is told of by who reads the fields.
    with contextlib.suppress(ValueError):
        record = json.loads(content)
        found = record.get("version") if isinstance(record, dict) else None
        if field is not None and type(found) is int and found != field.default:
            older = found < field.default
            raise ResultsError(
                f"written by version {found} of this file; this program reads {field.default}",
                where=str(path),
                hint="read it with the program that wrote it, or measure again"
                if older
                else "a newer program wrote it: update this one",
            )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a write into an error a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = "the disk is full" if error.errno == errno.ENOSPC else "the quota is used up"
            hint = "free some room, or choose another folder with --output"
        else:
            message = f"cannot be written: {error.strerror or error}"
            hint = "choose another folder with --output"
        raise ResultsError(message, where=str(path), hint=hint) from error


def _check_room(folder: Path, needed_bytes: int) -> None:
    usage = os.statvfs(folder)
    free_bytes = usage.f_bavail * usage.f_frsize
    if free_bytes < needed_bytes:
        raise ResultsError(
            f"{_mebibytes(free_bytes)} free where this run may need {_mebibytes(needed_bytes)}",
            where=str(folder),
            hint="free some room, choose another folder with --output, "
            "or shorten the run with --duration or --rate",
        )


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"


def _new_folder(output: Path, name: str) -> Path:
    """A folder nobody had before, also when runs start within the same second."""
    number = 1
    while True:
        folder = output / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _file_name(text: str) -> str:
    """``text`` as part of a file name: short, and with nothing in it that a shell or a file system
    takes for more than a letter."""
    return _NOT_IN_FILE_NAMES.sub("_", text).strip(".-")[:100] or "unnamed"
