"""How long BPF programs run, by the kernel's own statistics.

Having them kept costs a reading of the clock before and after each run: short programs take almost
twice as long. So this is a pass of its own, never a part of a measurement of anything else.

Source: bpf(2) and struct bpf_prog_info in linux/bpf.h; BPF_ENABLE_STATS came with Linux 5.8.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from emulator.errors import LabError
from emulator.kernel.libbpf import last_error, library, read_info, refused

_RUN_TIME = 0
"""BPF_STATS_RUN_TIME"""


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to where the statistics end; what is not read is left as words."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("before_name", ctypes.c_uint64 * 7),
        ("name", ctypes.c_char * 16),
        ("before_statistics", ctypes.c_uint64 * 14),
        ("run_time_ns", ctypes.c_uint64),
        ("run_count", ctypes.c_uint64),
    ]


@dataclass(frozen=True)
class RunTime:
    """How often a program has run, and how long altogether.

    Attributes:
        id: the program's number.
        name: of its function in C, as much of it as the kernel keeps.
    """

    id: int
    name: str
    run_time_ns: int
    runs: int

    @property
    def ns_per_run(self) -> float | None:
        """The mean length of a run; None when there was none."""
        return self.run_time_ns / self.runs if self.runs else None


@contextmanager
def bpf_statistics() -> Iterator[None]:
    """Have the kernel count the runs of all BPF programs and their time, as long as this lasts.

    Raises:
        MachineError: the kernel is too old, or we lack the right.
    """
    fd = library().bpf_enable_stats(_RUN_TIME)
    if fd < 0:
        raise refused("the kernel keeps no statistics of BPF programs", last_error())
    try:
        yield
    finally:
        os.close(fd)


def run_times(programs: Iterable[int]) -> dict[int, RunTime]:
    """What the kernel has counted of some programs so far, by their numbers; those that are gone
    are left out.

    Raises:
        MachineError: we lack the right.
    """
    found = {}
    for number in programs:
        fd = library().bpf_prog_get_fd_by_id(number)
        if fd < 0:
            if last_error() == errno.ENOENT:
                continue
            raise refused(f"BPF program {number} cannot be opened", last_error())
        try:
            info = _ProgramInfo()
            read_info(fd, info)
        finally:
            os.close(fd)
        found[number] = RunTime(
            id=number,
            name=bytes(info.name).decode(errors="replace"),
            run_time_ns=int(info.run_time_ns),
            runs=int(info.run_count),
        )
    return found


def run_time_between(
    before: Mapping[int, RunTime], after: Mapping[int, RunTime]
) -> dict[int, RunTime]:
    """What was counted between two readings, of the programs that are in both.

    Raises:
        LabError: the second reading was made before the first.
    """
    spent = {}
    for number, later in after.items():
        if number not in before:
            continue
        earlier = before[number]
        if later.runs < earlier.runs:
            raise LabError("the readings are in the wrong order", where=f"BPF program {number}")
        spent[number] = RunTime(
            id=number,
            name=later.name,
            run_time_ns=later.run_time_ns - earlier.run_time_ns,
            runs=later.runs - earlier.runs,
        )
    return spent
