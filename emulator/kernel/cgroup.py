"""What a control group has used and what it may use, under version 1, version 2, or both.

A process belongs to one group of each hierarchy (``/proc/PID/cgroup``), and a hierarchy is a tree
of folders wherever it is mounted (``/proc/self/mountinfo``). Version 1 has a hierarchy for each
controller, or for several that are mounted together such as ``cpu,cpuacct``; version 2 has one for
all of them. Where both are mounted, a controller belongs to one of the two, and version 1 is
asked first. Everything is read from outside the container, in whose own view the paths differ.

Sources: the kernel's Documentation/admin-guide/cgroup-v1 (cpuacct, cpusets, memory, pids),
Documentation/scheduler/sched-bwc and Documentation/admin-guide/cgroup-v2; what counts as memory in
use is what ``docker stats`` shows.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from emulator.errors import LabError, MachineError

_V2 = ""
"""How the hierarchy of version 2 is called where those of version 1 have their controllers."""
_UNLIMITED_BYTES = 1 << 62
"""Version 1 writes "no limit" as the largest whole number of pages below 2^63."""

_PF_EXITING = 0x4
"""linux/sched.h"""

T = TypeVar("T")
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class CgroupReading:
    """A control group at one moment; None where it has no limit, or where this is not known.

    Attributes:
        cpu_ns: CPU time since it was made, of all its processes.
        throttled_ns: how long it has been kept off the CPUs because its share of a period was
            used up; added over the CPUs.
        memory_bytes: in use, as ``docker stats`` has it: without the file cache that the kernel
            would give up first.
        memory_peak_bytes: the most that it has used, file cache included.
        memory_limit_bytes: its own limit or that of a group above it, whichever is less.
        tasks: processes and threads.
        tasks_limit: its own limit or that of a group above it, whichever is less.
        cpu_limit: how many CPUs' worth of time it may take; the same of groups above it.
        cpuset: the CPUs it may run on.
        oom_kills: how many of its processes the kernel has killed for want of memory.
        unavailable: for each of these that cannot be known here, why.
    """

    cpu_ns: int | None
    throttled_ns: int | None
    memory_bytes: int | None
    memory_peak_bytes: int | None
    memory_limit_bytes: int | None
    tasks: int | None
    tasks_limit: int | None
    cpu_limit: float | None
    cpuset: tuple[int, ...] | None
    oom_kills: int | None
    unavailable: Mapping[str, str]


class Cgroup:
    """The control group of a process, in each hierarchy there is."""

    def __init__(self, folders: Mapping[str, Path], tops: Mapping[str, Path]) -> None:
        self._folders = folders
        self._tops = tops

    @property
    def folders(self) -> Mapping[str, Path]:
        """Its folder in each hierarchy: by controllers, and by "" in that of version 2."""
        return self._folders

    def __repr__(self) -> str:
        return f"Cgroup({', '.join(sorted({str(folder) for folder in self._folders.values()}))})"

    @classmethod
    def of(cls, pid: int, *, root: Path = Path("/")) -> Cgroup:
        """The control group that a process is in now.

        Args:
            pid: the process.
            root: the folder in which ``proc`` and the mounted hierarchies are looked for.

        Raises:
            LabError: there is no such process, or it has ended.
            MachineError: no hierarchy is mounted that shows its group.
        """
        process = root / "proc" / str(pid)
        try:
            memberships = (process / "cgroup").read_text()
            # A process that is ending is said to be in the topmost group of version 1.
            is_ending = _flags((process / "stat").read_text()) & _PF_EXITING
        except (FileNotFoundError, ProcessLookupError) as error:
            raise LabError(f"there is no process {pid}", where="its control group") from error
        if is_ending:
            raise LabError(f"process {pid} has ended", where="its control group")
        mounts = list(_mounts((root / "proc/self/mountinfo").read_text(), root))
        folders: dict[str, Path] = {}
        tops: dict[str, Path] = {}
        for line in memberships.splitlines():
            # 4:cpu,cpuacct:/docker/5f0a, or of version 2: 0::/docker/5f0a
            _, names, path = line.split(":", 2)
            for mount in mounts:
                folder = mount.folder_of(path)
                if mount.has(names) and folder is not None and folder.is_dir():
                    for name in names.split(","):
                        folders[name], tops[name] = folder, mount.point
                    break
        if not folders:
            raise MachineError(
                "no control group of the process can be seen",
                where=str(process / "cgroup"),
                hint="mount the control groups at /sys/fs/cgroup, as every distribution does",
            )
        return cls(folders, tops)

    def read(self) -> CgroupReading:
        """Everything, now.

        Raises:
            LabError: the group has been removed, because its last process has ended.
        """
        asking = _Asking(self)
        reading = CgroupReading(
            cpu_ns=asking.for_("cpu_ns", self._cpu_ns),
            throttled_ns=asking.for_("throttled_ns", self._throttled_ns),
            memory_bytes=asking.for_("memory_bytes", self._memory_bytes),
            memory_peak_bytes=asking.for_("memory_peak_bytes", self._memory_peak_bytes),
            memory_limit_bytes=asking.for_("memory_limit_bytes", self._memory_limit_bytes),
            tasks=asking.for_("tasks", self._tasks),
            tasks_limit=asking.for_("tasks_limit", self._tasks_limit),
            cpu_limit=asking.for_("cpu_limit", self._cpu_limit),
            cpuset=asking.for_("cpuset", self._cpuset),
            oom_kills=asking.for_("oom_kills", self._oom_kills),
            unavailable=asking.unavailable,
        )
        self.ensure_there()
        return reading

    def ensure_there(self) -> None:
        """Raises ``LabError`` when the group has been removed."""
        if not all(folder.is_dir() for folder in self._folders.values()):
            raise LabError(
                "its control group is gone, because its last process has ended",
                hint="is the container running?",
            )

    def _cpu_ns(self) -> int:
        if "cpuacct" in self._folders:
            return int(self._text("cpuacct", "cpuacct.usage"))
        return 1000 * self._entry(_V2, "cpu.stat", "usage_usec", controller="cpu")

    def _throttled_ns(self) -> int:
        if "cpu" in self._folders:
            return self._entry("cpu", "cpu.stat", "throttled_time")
        return 1000 * self._entry(_V2, "cpu.stat", "throttled_usec", controller="cpu")

    def _memory_bytes(self) -> int:
        if "memory" in self._folders:
            used = int(self._text("memory", "memory.usage_in_bytes"))
            idle = self._entry("memory", "memory.stat", "total_inactive_file")
        else:
            used = int(self._text(_V2, "memory.current", controller="memory"))
            idle = self._entry(_V2, "memory.stat", "inactive_file")
        # The two are read one after the other, so the part may come out larger than the whole.
        return used - idle if idle < used else used

    def _memory_peak_bytes(self) -> int:
        if "memory" in self._folders:
            return int(self._text("memory", "memory.max_usage_in_bytes"))
        self._text(_V2, "memory.current", controller="memory")
        return int(self._text(_V2, "memory.peak", since="5.19"))

    def _memory_limit_bytes(self) -> int | None:
        if "memory" in self._folders:
            limit = self._least("memory", "memory.limit_in_bytes", int)
            return limit if limit is not None and limit < _UNLIMITED_BYTES else None
        return self._least(_V2, "memory.max", _whole_or_max, controller="memory")

    def _tasks(self) -> int:
        if "pids" in self._folders:
            return int(self._text("pids", "pids.current"))
        return int(self._text(_V2, "pids.current", controller="pids"))

    def _tasks_limit(self) -> int | None:
        hierarchy = "pids" if "pids" in self._folders else _V2
        return self._least(hierarchy, "pids.max", _whole_or_max, controller="pids")

    def _cpu_limit(self) -> float | None:
        if "cpu" in self._folders:
            return self._least("cpu", "cpu.cfs_quota_us", _quota, beside="cpu.cfs_period_us")
        return self._least(_V2, "cpu.max", _quota, controller="cpu")

    def _cpuset(self) -> tuple[int, ...]:
        if "cpuset" in self._folders:
            return cpus_of(self._text("cpuset", "cpuset.effective_cpus"))
        return cpus_of(self._text(_V2, "cpuset.cpus.effective", controller="cpuset"))

    def _oom_kills(self) -> int:
        if "memory" in self._folders:
            return self._entry("memory", "memory.oom_control", "oom_kill", since="4.13")
        return self._entry(_V2, "memory.events", "oom_kill", controller="memory", since="4.13")

    def _text(self, hierarchy: str, file: str, *, controller: str = "", since: str = "") -> str:
        folder = self._folders.get(hierarchy)
        if folder is None:
            raise _UnknownError(f"the {controller} controller does not count for this group")
        try:
            return (folder / file).read_text()
        except FileNotFoundError as error:
            raise _missing(file, hierarchy, controller, since) from error
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise _UnknownError(f"{file} cannot be read: {reason}") from error

    def _entry(
        self, hierarchy: str, file: str, key: str, *, controller: str = "", since: str = ""
    ) -> int:
        for line in self._text(hierarchy, file, controller=controller).splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
        raise _missing(f"{key} in {file}", hierarchy, controller, since)

    def _least(
        self,
        hierarchy: str,
        file: str,
        parse: Callable[[str], N | None],
        *,
        controller: str = "",
        beside: str = "",
    ) -> N | None:
        """The least limit of the group and those above it; the group itself must have the file."""
        self._text(hierarchy, file, controller=controller)
        folder, top = self._folders[hierarchy], self._tops[hierarchy]
        limits: list[N] = []
        while True:
            # The groups at the top have no limits of their own, and no files for them.
            if (folder / file).is_file():
                text = " ".join((folder / name).read_text() for name in (file, beside) if name)
                limit = parse(text)
                if limit is not None:
                    limits.append(limit)
            if folder == top:
                return min(limits, default=None)
            folder = folder.parent


def hierarchies(root: Path = Path("/")) -> dict[str, tuple[Path, int]]:
    """Each controller there is -> where its hierarchy is mounted, and the hierarchy's version.

    A controller that version 1 has is none of version 2's. Of a mount that shows only a part of
    the hierarchy, as in a container, that part counts for all.
    """
    found: dict[str, tuple[Path, int]] = {}
    mounts = list(_mounts((root / "proc/self/mountinfo").read_text(), root))
    for mount in sorted(mounts, key=lambda each: each.version):
        if mount.version == 1:
            names = [name for name in mount.options if name.isalpha() and name not in ("rw", "ro")]
        else:
            listed = mount.point / "cgroup.controllers"
            names = listed.read_text().split() if listed.exists() else []
        for name in names:
            found.setdefault(name, (mount.point, mount.version))
    return found


def path_of(pid: int) -> str | None:
    """The path of a process's control group; None when it is another one for each controller.

    Raises:
        LabError: there is no such process.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except FileNotFoundError as error:
        raise LabError(f"there is no process {pid}", where="its control group") from error
    paths = {line.split(":", 2)[2] for line in lines}
    return paths.pop() if len(paths) == 1 else None


def cpus_of(text: str) -> tuple[int, ...]:
    """The numbers in a list of CPUs as the kernel writes it: ``0-2,5``."""
    found: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    return tuple(found)


class _UnknownError(Exception):
    """Why something is not known; never leaves this module."""


def _missing(what: str, hierarchy: str, controller: str, since: str) -> _UnknownError:
    if since:
        return _UnknownError(f"{what} came with Linux {since}")
    if hierarchy == _V2 and controller:
        return _UnknownError(f"the {controller} controller is not on for its control group")
    return _UnknownError(f"its control group has no {what}")


class _Asking:
    """Collects what is not known, and why."""

    def __init__(self, cgroup: Cgroup) -> None:
        self.cgroup = cgroup
        self.unavailable: dict[str, str] = {}

    def for_(self, name: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except _UnknownError as reason:
            self.unavailable[name] = str(reason)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            # A group above it, or the group itself, went while it was read.
            self.cgroup.ensure_there()
            self.unavailable[name] = f"it cannot be read: {error.strerror}"
        return None


@dataclass(frozen=True)
class _Mount:
    """Where a hierarchy, or the part of it below ``top``, is mounted."""

    point: Path
    top: PurePosixPath
    version: int
    options: frozenset[str]

    def has(self, names: str) -> bool:
        """Whether it is the hierarchy that ``/proc/PID/cgroup`` calls so."""
        if names == _V2:
            return self.version == 2
        return self.version == 1 and self.options.issuperset(names.split(","))

    def folder_of(self, path: str) -> Path | None:
        """The folder of a group; None where the mount does not show it."""
        group = PurePosixPath(path)
        if ".." in group.parts or not group.is_relative_to(self.top):
            return None
        return self.point / group.relative_to(self.top)


def _mounts(mountinfo: str, root: Path) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        # 33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            top, point = map(_unescaped, before.split(" ")[3:5])
            yield _Mount(
                point=root / point.lstrip("/"),
                top=PurePosixPath(top),
                version=2 if kind == "cgroup2" else 1,
                options=frozenset(options.split(",")),
            )


def _flags(stat: str) -> int:
    """The kernel's flags of a process; its name, in brackets, may contain anything."""
    return int(stat.rpartition(")")[2].split()[6])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _whole_or_max(text: str) -> int | None:
    return None if text.strip() == "max" else int(text)


def _quota(text: str) -> float | None:
    """CPUs, from a quota and its period: ``50000 100000``; ``max`` and -1 stand for no limit."""
    quota, period = text.split()
    return None if quota in ("max", "-1") else int(quota) / int(period)
