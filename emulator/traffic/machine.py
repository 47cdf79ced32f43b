"""What the probe needs to know of, and ask from, the machine it runs on."""

from __future__ import annotations

import gzip
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

SoftirqAccounting = Literal["in-task", "separate", "unknown"]

_DMA_LATENCY = "/dev/cpu_dma_latency"
_SWITCH = "CONFIG_IRQ_TIME_ACCOUNTING"
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@contextmanager
def low_wakeup_latency() -> Iterator[bool]:
    """Ask the kernel to keep the CPUs out of deep idle states, which take long to leave.

    The request stands as long as the file is open. Gives whether it was granted: without root, or
    without the file, it is not, and sleeping receivers look slower than they are.
    """
    try:
        fd = os.open(_DMA_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        os.write(fd, (0).to_bytes(4, "little"))
        yield True
    finally:
        os.close(fd)


@cache
def softirq_accounting() -> SoftirqAccounting:
    """Whether the CPU time of a task includes the softirqs that run on its back.

    They do unless the kernel was built with IRQ_TIME_ACCOUNTING. Unknown where the kernel's
    configuration cannot be read.
    """
    for line in _kernel_configuration():
        if line.startswith(f"{_SWITCH}="):
            return "separate"
        if line.startswith(f"# {_SWITCH} is not set"):
            return "in-task"
    return "unknown"


def softirq_thread_ns() -> int:
    """CPU time of the kernel threads that carry packets: ksoftirqd, and napi of threaded NAPI."""
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "comm").read_text().startswith(("ksoftirqd/", "napi/")):
                total += int((process / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, its softirqs included where tasks bear them.

    0 when there is no such process. The time of threads that have ended is not part of it.
    """
    total = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total


def separate_softirq_ns() -> int:
    """CPU time of interrupts and softirqs on the whole machine, where it is accounted for apart.

    0 on other machines: there it is in the time of the tasks.
    """
    if softirq_accounting() != "separate":
        return 0
    with open("/proc/stat") as file:
        fields = file.readline().split()
    return (int(fields[6]) + int(fields[7])) * _NS_PER_TICK


def _kernel_configuration() -> Iterator[str]:
    try:
        with gzip.open("/proc/config.gz", "rt") as file:
            yield from file
        return
    except OSError:
        pass
    try:
        with open(f"/boot/config-{platform.release()}") as file:
            yield from file
    except OSError:
        return
