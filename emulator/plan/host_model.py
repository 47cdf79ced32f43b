"""The part of a plan that is about what a host, a router or a process of a VNF may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emulator.plan.record import Record

Scheduler = Literal["cfs", "rt"]


@dataclass(frozen=True, kw_only=True)
class LimitsPlan(Record):
    """What the processes of a node that is in no container may use; None: as much as there is."""

    cpu_share: float | None = None
    """Of the time of all the machine's CPUs together; with ``rt`` of each CPU's."""
    cpus: float | None = None
    """How many CPUs' worth of time, in place of ``cpu_share``."""
    sched: Scheduler = "cfs"
    """``rt``: the processes are real-time ones, and get that share before all others."""
    period_us: int = 100_000
    """Over which the share is kept to."""
    cpuset: tuple[int, ...] = ()
    """The CPUs they may run on; none given, all."""
    memory_bytes: int | None = None
    pids: int | None = None
    """Processes and threads."""
    others: tuple[tuple[str, str], ...] = ()
    """Further parameters of its control group, by the names of version 1: ``cpu.shares``."""


@dataclass(frozen=True, kw_only=True)
class PrivateDirPlan(Record):
    """A folder that a node has for itself."""

    path: str
    """Where the node's processes see it."""
    source: str | None = None
    """The folder of the machine that they see there; None: an empty one in memory."""


@dataclass(frozen=True, kw_only=True)
class NatPlan(Record):
    """That a router leads to what is outside of the lab, under its own address there."""

    serves: tuple[str, ...] = ()
    """The nodes whose default route it is because they asked for no other."""


@dataclass(frozen=True, kw_only=True)
class ExternalPlan(Record):
    """Which of the machine's interfaces an interface of a node is."""

    interface: str
    """Its name on the machine."""
    keeps_mac: bool = True
    """Whether it has in the lab the MAC address that it has on the machine."""
    force: bool = False
    """Whether it is taken even if the machine's default route goes through it."""
