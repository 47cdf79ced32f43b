"""What ``/proc`` tells of processes, CPUs and the queues in which frames wait for a CPU.

Everything is read as it stands at one moment; what lies between two readings is worked out in
``emulator.measure.resources``. Times are in ns. Those of threads come from ``schedstat`` and are
exact up to the tick of a thread that runs at this moment; those of CPUs and of the table of all
processes are counted in ticks of ``SC_CLK_TCK``, 10 ms.

Sources: proc(5), the kernel's Documentation/scheduler/sched-stats, and
net/core/net-procfs.c for ``softnet_stat``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.unavailable import Unavailable

NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")

_PF_KTHREAD = 0x00200000
"""linux/sched.h"""
_CARRIERS = ("ksoftirqd/", "napi/")
_INTERPRETER = re.compile(r"(python|perl|ruby|bash|dash|sh|node|lua|php)[\d.]*")
_GONE = (FileNotFoundError, ProcessLookupError)
_NO_SCHEDSTAT = "the kernel was built without CONFIG_SCHED_INFO"


@dataclass(frozen=True)
class ThreadReading:
    """A thread at one moment.

    Attributes:
        cpu_ns: how long it has run; where the kernel counts them so, with the softirqs that ran on
            its back.
        wait_ns: how long it was ready to run and another one had the CPU.
        voluntary_switches: how often it gave up the CPU because it had to wait for something.
        involuntary_switches: how often the CPU was taken from it.
    """

    cpu_ns: int | Unavailable
    wait_ns: int | Unavailable
    voluntary_switches: int
    involuntary_switches: int


@dataclass(frozen=True)
class ProcessReading:
    """A process at one moment.

    Attributes:
        started_ticks: when it began, in ticks since the machine did: with the number of the
            process it is unique.
        name: what the kernel calls it.
        threads: by their numbers.
        rss_bytes: memory of its own or shared that is in RAM.
        cpus: those that it may run on.
    """

    pid: int
    started_ticks: int
    name: str
    threads: dict[int, ThreadReading]
    rss_bytes: int
    cpus: frozenset[int]


@dataclass(frozen=True)
class TableRow:
    """A process in the table of all: what is cheap to read of each.

    Attributes:
        cpu_ns: of all its threads, ended ones too, in whole ticks.
        last_cpu: where it ran last.
        is_kernel: whether it is a thread of the kernel.
    """

    pid: int
    parent: int
    name: str
    started_ticks: int
    cpu_ns: int
    last_cpu: int
    is_kernel: bool

    @property
    def carries_packets(self) -> bool:
        """Whether it is a thread of the kernel that carries packets: ksoftirqd, threaded NAPI."""
        return self.is_kernel and self.name.startswith(_CARRIERS)


@dataclass(frozen=True)
class CpuTimes:
    """What a CPU has spent its time on since the machine began, in whole ticks.

    Attributes:
        busy_ns: on processes, the kernel and interrupts.
        irq_ns: of that, on interrupts.
        softirq_ns: of that, on what interrupts leave for later, received packets above all.
        steal_ns: it had work, and the hypervisor gave the time to others; not part of ``busy_ns``.
        idle_ns: on nothing.
    """

    busy_ns: int
    irq_ns: int
    softirq_ns: int
    steal_ns: int
    idle_ns: int


@dataclass(frozen=True)
class SoftnetCounters:
    """The queue in which frames wait for a CPU, since the machine began.

    Attributes:
        processed: frames taken from it.
        dropped: frames lost because it was full (``net.core.netdev_max_backlog``).
        squeezed: how often work was left for later because the time for it was used up.
    """

    processed: int
    dropped: int
    squeezed: int


def read_process(pid: int, *, proc: Path = PROC) -> ProcessReading | None:
    """A process with each of its threads; None when there is no such process (any more)."""
    folder = proc / str(pid)
    try:
        row = _row_of(pid, (folder / "stat").read_text())
        status = _fields((folder / "status").read_text())
        threads = dict(_threads(folder / "task"))
    except _GONE:
        return None
    return ProcessReading(
        pid=pid,
        started_ticks=row.started_ticks,
        name=row.name,
        threads=threads,
        # Threads of the kernel and processes that have ended have no memory.
        rss_bytes=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        cpus=frozenset(_cpus(status["Cpus_allowed_list"])),
    )


def read_processes(pids: Iterable[int], *, proc: Path = PROC) -> dict[int, ProcessReading]:
    """Several of them; those that have ended are left out."""
    readings = ((pid, read_process(pid, proc=proc)) for pid in pids)
    return {pid: reading for pid, reading in readings if reading is not None}


def process_table(*, proc: Path = PROC) -> dict[int, TableRow]:
    """All processes and threads of the kernel, by number; cheap enough for the begin of a trial."""
    table = {}
    for pid in _pids(proc):
        with suppress(*_GONE):
            table[pid] = _row_of(pid, (proc / str(pid) / "stat").read_text())
    return table


def command_of(pid: int, name: str) -> str:
    """How a person would recognise a process: by its program, and the script that this runs.

    The rest of the command line may be nobody else's business, and results are given away.

    Args:
        pid: its number.
        name: what the kernel calls it, for one that has no command line or has just ended.
    """
    import psutil

    try:
        return recognisable(psutil.Process(pid).cmdline(), name)
    except psutil.Error:
        return name


def recognisable(command: Sequence[str], name: str) -> str:
    """The same from a command line."""
    words = [word for word in command if word]
    if not words:
        return name
    program = Path(words[0]).name
    if not _INTERPRETER.fullmatch(program):
        return program
    if len(words) > 2 and words[1] == "-m":
        return f"{program} -m {words[2]}"
    scripted = len(words) > 1 and not words[1].startswith("-")
    return f"{program} {Path(words[1]).name}" if scripted else program


def pids_by_namespace(kind: Literal["net", "pid"], *, proc: Path = PROC) -> dict[int, list[int]]:
    """The processes in each namespace of a kind, by the inode number of the namespace."""
    found: dict[int, list[int]] = {}
    for pid in _pids(proc):
        with suppress(*_GONE, PermissionError):
            # The link reads as "net:[4026531840]".
            link = os.readlink(proc / str(pid) / "ns" / kind)
            found.setdefault(int(link.partition("[")[2][:-1]), []).append(pid)
    return found


def cpu_times() -> dict[int, CpuTimes]:
    """What each CPU has spent its time on."""
    import psutil

    return {
        # Guests' time is in that of the processes that run them.
        number: CpuTimes(
            busy_ns=_ns(each.user + each.nice + each.system + each.irq + each.softirq),
            irq_ns=_ns(each.irq),
            softirq_ns=_ns(each.softirq),
            steal_ns=_ns(getattr(each, "steal", 0.0)),
            idle_ns=_ns(each.idle + each.iowait),
        )
        for number, each in enumerate(psutil.cpu_times(percpu=True))
    }


def softnet_counters(*, proc: Path = PROC) -> dict[int, SoftnetCounters] | Unavailable:
    """The queues of received frames, by CPU."""
    try:
        text = (proc / "net/softnet_stat").read_text()
    except OSError as error:
        return Unavailable(f"/proc/net/softnet_stat cannot be read: {error.strerror}")
    found = {}
    for line, row in enumerate(text.splitlines()):
        words = [int(word, 16) for word in row.split()]
        # The CPU is told since Linux 5.10; before, there was a line for each one online.
        cpu = words[12] if len(words) > 12 else line
        found[cpu] = SoftnetCounters(processed=words[0], dropped=words[1], squeezed=words[2])
    return found


def _threads(folder: Path) -> Iterator[tuple[int, ThreadReading]]:
    for each in folder.iterdir():
        try:
            status = _fields((each / "status").read_text())
            cpu_ns, wait_ns = _schedstat(each / "schedstat")
        except _GONE:
            continue
        yield (
            int(each.name),
            ThreadReading(
                cpu_ns=cpu_ns,
                wait_ns=wait_ns,
                voluntary_switches=int(status["voluntary_ctxt_switches"]),
                involuntary_switches=int(status["nonvoluntary_ctxt_switches"]),
            ),
        )


def _schedstat(path: Path) -> tuple[int | Unavailable, int | Unavailable]:
    try:
        cpu_ns, wait_ns, _ = path.read_text().split()
    except FileNotFoundError:
        if path.parent.exists():
            return Unavailable(_NO_SCHEDSTAT), Unavailable(_NO_SCHEDSTAT)
        raise
    return int(cpu_ns), int(wait_ns)


def _row_of(pid: int, stat: str) -> TableRow:
    # The name, in brackets, may contain anything, brackets and spaces included.
    before, _, after = stat.rpartition(")")
    words = after.split()
    return TableRow(
        pid=pid,
        parent=int(words[1]),
        name=before.partition("(")[2],
        started_ticks=int(words[19]),
        cpu_ns=(int(words[11]) + int(words[12])) * NS_PER_TICK,
        last_cpu=int(words[36]),
        is_kernel=bool(int(words[6]) & _PF_KTHREAD),
    )


def _fields(status: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _cpus(text: str) -> Iterator[int]:
    from emulator.kernel.cgroup import cpus_of

    return iter(cpus_of(text))


def _pids(proc: Path) -> list[int]:
    return [int(name) for name in os.listdir(proc) if name.isdigit()]


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
