"""Counters of the processor and the kernel by ``perf_event_open``, for threads or for CPUs.

An event that the machine does not have is unavailable with the reason; it never counts 0. Where
there are more events than the processor has counters, the kernel lets them take turns, and a count
is scaled up by the share of the time it was on.

Source: perf_event_open(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from emulator.closing import Closing
from emulator.kernel.proc import PROC
from emulator.unavailable import Unavailable

_SYSCALLS = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_HARDWARE, _SOFTWARE, _CACHE = 0, 1, 3
_LAST_LEVEL_READ_MISSES = 2 | 0 << 8 | 1 << 16
_TIMES = 1 | 2
"""PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING"""
_INHERIT = 1 << 1
_CLOEXEC = 1 << 3
_READING = struct.Struct("=QQQ")

EVENTS: Mapping[str, tuple[int, int]] = {
    "cycles": (_HARDWARE, 0),
    "instructions": (_HARDWARE, 1),
    "llc_misses": (_CACHE, _LAST_LEVEL_READ_MISSES),
    "migrations": (_SOFTWARE, 4),
}
"""Name -> the type and number of the event: processor cycles, instructions, reads that missed the
last level of the caches, and moves from one CPU to another."""

Counts = Mapping[str, int | Unavailable]


class _Attributes(ctypes.Structure):
    """struct perf_event_attr as it began, which every kernel takes (PERF_ATTR_SIZE_VER0)."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("bp_addr", ctypes.c_uint64),
    ]


@dataclass(frozen=True)
class _Counter:
    event: str
    fd: int


class PerfCounters(Closing):
    """Counts from when it is made until it is closed, in user space and the kernel alike.

    Threads that those watched start meanwhile count too.
    """

    def __init__(self, targets: Iterable[tuple[int, int]], events: Iterable[str]) -> None:
        """Use :meth:`of_processes` or :meth:`of_cpus`.

        Args:
            targets: thread and CPU of each, -1 for any.
            events: of ``EVENTS``.
        """
        self._undo = ExitStack()
        self._counters: list[_Counter] = []
        self._unavailable: dict[str, Unavailable] = {}
        self._events = tuple(events)
        try:
            for tid, cpu in targets:
                for event in self._events:
                    self._open(event, tid, cpu)
        except BaseException:
            self._undo.close()
            raise

    @classmethod
    def of_processes(
        cls, pids: Iterable[int], events: Iterable[str] = tuple(EVENTS)
    ) -> PerfCounters:
        """Of all threads of some processes, wherever they run; those that have ended count not."""
        return cls([(tid, -1) for pid in pids for tid in _threads_of(pid)], events)

    @classmethod
    def of_cpus(cls, cpus: Iterable[int], events: Iterable[str] = tuple(EVENTS)) -> PerfCounters:
        """Of all that runs on some CPUs."""
        return cls([(-1, cpu) for cpu in cpus], events)

    def read(self) -> Counts:
        """How often each event has happened so far, over all threads or CPUs together."""
        totals = dict.fromkeys((counter.event for counter in self._counters), 0)
        missed: dict[str, Unavailable] = {}
        for counter in self._counters:
            value, enabled_ns, running_ns = _READING.unpack(os.read(counter.fd, _READING.size))
            if running_ns:
                totals[counter.event] += round(value * enabled_ns / running_ns)
            elif enabled_ns:
                missed[counter.event] = Unavailable("the processor's counters were taken by others")
        nothing = Unavailable("there was no thread to count on")
        known: dict[str, int | Unavailable] = {**totals, **missed, **self._unavailable}
        return {event: known.get(event, nothing) for event in self._events}

    def close(self) -> None:
        self._undo.close()
        self._counters.clear()

    def _open(self, event: str, tid: int, cpu: int) -> None:
        if event in self._unavailable:
            return
        kind, number = EVENTS[event]
        attributes = _Attributes(
            type=kind,
            size=ctypes.sizeof(_Attributes),
            config=number,
            read_format=_TIMES,
            # Only what belongs to threads can be handed down.
            flags=_INHERIT if cpu < 0 else 0,
        )
        fd, error = _perf_event_open(attributes, tid, cpu)
        if fd >= 0:
            self._undo.callback(os.close, fd)
            self._counters.append(_Counter(event, fd))
        elif error != errno.ESRCH:  # the thread has just ended
            self._unavailable[event] = _refusal(kind, error)


def _perf_event_open(attributes: _Attributes, tid: int, cpu: int) -> tuple[int, int]:
    """A descriptor, or -1 and the errno."""
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        return -1, errno.ENOSYS
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    word = ctypes.c_long
    fd = call(
        word(number), ctypes.byref(attributes), word(tid), word(cpu), word(-1), word(_CLOEXEC)
    )
    return int(fd), ctypes.get_errno()


def _refusal(kind: int, error: int) -> Unavailable:
    if error in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL) and kind != _SOFTWARE:
        return Unavailable(
            "the processor shows no such counter (no PMU), as in most virtual machines"
        )
    if error in (errno.EACCES, errno.EPERM):
        level = _text("/proc/sys/kernel/perf_event_paranoid")
        return Unavailable(f"perf is not allowed here (kernel.perf_event_paranoid is {level})")
    if error == errno.ENOSYS:
        return Unavailable("the kernel has no perf_event_open for this processor")
    return Unavailable(f"the kernel refuses the counter: {os.strerror(error)}")


def _threads_of(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC / str(pid) / "task")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"
