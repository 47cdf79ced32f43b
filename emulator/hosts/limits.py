"""Limits of nodes that are in no container: what their processes may use of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emulator.errors import LabError, MachineError, Problem, UsageError
from emulator.hosts.groups import (
    Group,
    lab_folder,
    lab_folders,
    make_group,
    move_processes,
    remove_groups,
)
from emulator.hosts.leftovers import Leftovers
from emulator.kernel.cgroup import cpus_of, hierarchies
from emulator.kernel.proc import pids_by_namespace
from emulator.names import suggestion
from emulator.plan.host_model import LimitsPlan
from emulator.plan.host_options import HOST_OPTIONS, SHARED_WORDS, read_limits

RT_PRIORITY = 20
"""Of real-time nodes' processes, as in Mininet; the kernel's own are above it."""
_LEAST_QUOTA_US = 1000
_RT_PERIOD_US = 1_000_000
_CHANGEABLE = ("cpu", "cpus", "period_us", "cores", "cpuset", "memory", "pids")
_FIELDS = {
    "cpu": "cpu_share",
    "cores": "cpuset",
    "cpuset_cpus": "cpuset",
    "memory": "memory_bytes",
    "mem_limit": "memory_bytes",
    "pids_limit": "pids",
    "cpu_quota": "cpus",
    "cpu_period": "cpus",
    "nano_cpus": "cpus",
}
_MOVE_ROUNDS = 100


class LabLimits:
    """The control groups of a lab's nodes; ``close`` removes them once the lab's processes ended.

    Args:
        lab: the lab's id.
        leftovers: where it is noted that they are there.
    """

    def __init__(self, lab: str, leftovers: Leftovers) -> None:
        self._lab = lab
        self._leftovers = leftovers
        self._noted: dict[str, Any] | None = None
        self._groups: dict[str, Group] = {}
        self._limits: dict[str, LimitsPlan] = {}

    def in_force(self, node: str) -> LimitsPlan | None:
        """How a node is limited; None where it is not."""
        limits = self._limits.get(node)
        return None if limits == LimitsPlan() else limits

    def apply(self, node: str, limits: LimitsPlan) -> Group:
        """Limits a node, or limits it otherwise.

        Raises:
            MachineError: the machine cannot limit it so.
            LabError: the kernel does not take a value.
        """
        if self._noted is None:
            folders = [str(folder) for folder in lab_folders(self._lab)]
            self._noted = self._leftovers.add("cgroups", folders=folders)
        before = self._groups.get(node)
        wanted = [*_controllers(limits), *(before.folders if before is not None else ())]
        group = make_group(self._lab, node, list(dict.fromkeys(wanted)))
        self._groups[node] = group
        self._limits[node] = limits
        with _told(node):
            _write_cpu(group, limits, self._grow_rt)
            if "cpuset" in group.folders:
                group.write("cpuset", "cpuset.cpus", _cpus_text(limits.cpuset))
            if "memory" in group.folders:
                _write_memory(group, limits.memory_bytes)
            if "pids" in group.folders:
                group.write("pids", "pids.max", "max" if limits.pids is None else limits.pids)
        return group

    def adopt(self, node: str, netns: int) -> None:
        """Have all processes that live in a node belong to its group, those they start too.

        Args:
            netns: a descriptor of the node's network namespace.
        """
        group, space = self._groups[node], os.fstat(netns).st_ino
        for _ in range(_MOVE_ROUNDS):
            outside = [
                pid for pid in pids_by_namespace("net").get(space, ()) if not _is_in(pid, group)
            ]
            if not outside:
                return
            move_processes(group, outside)
        raise LabError("its processes start others faster than they can be limited", where=node)

    def remove(self, node: str) -> None:
        """Removes a node's group; with processes that still run in it, it goes with the lab."""
        group = self._groups.pop(node, None)
        self._limits.pop(node, None)
        if group is not None:
            remove_groups(dict.fromkeys(group.folders.values()), 0)

    def close(self) -> None:
        """Removes all groups."""
        self._groups.clear()
        if self._noted is not None:
            remove_groups(lab_folders(self._lab))
            self._leftovers.drop(self._noted)
            self._noted = None

    def _grow_rt(self) -> None:
        """Let the lab have as much real-time as its nodes have together."""
        shares = [each.cpu_share or 0.0 for each in self._limits.values() if each.sched == "rt"]
        folder = hierarchies()["cpu"][0] / lab_folder(self._lab)
        # Rounded up: what the nodes have must not be more than what the lab has.
        runtime_us = min(_RT_PERIOD_US, int(sum(shares) * _RT_PERIOD_US) + len(shares))
        Group({"cpu": folder}, {"cpu": 1}).write("cpu", "cpu.rt_runtime_us", runtime_us)


def ensure_real_time(limits: LimitsPlan, where: str) -> None:
    """Raises ``MachineError`` where nodes cannot have real-time shares."""
    top, version = hierarchies().get("cpu", (None, 0))
    if top is None or version == 2 or not (top / "cpu.rt_runtime_us").exists():
        raise MachineError(
            "the kernel gives groups no share of real time",
            where=where,
            hint='it takes CONFIG_RT_GROUP_SCHED and control groups of version 1; use sched="cfs"',
        )


def updated(current: LimitsPlan | None, changes: Mapping[str, Any], *, where: str) -> LimitsPlan:
    """The limits of a node after some of them were changed.

    Args:
        current: those it has.
        changes: the new ones, by the names that a topology has for them; None takes one away, and
            what is not named stays.

    Raises:
        UsageError: there is no such limit, or a value makes no sense.
    """
    hint = f"what can be: {', '.join(_CHANGEABLE)}"
    known = {*SHARED_WORDS, "cpu", "cores", "period_us"}
    if not changes:
        raise UsageError("nothing is given that is to change", where=where, hint=hint)
    for name in changes:
        if name not in known:
            text = f"there is no limit {name}"
            if name in HOST_OPTIONS:
                text = f"{name} cannot be changed while the node runs"
            raise UsageError(text, where=where, hint=suggestion(name, sorted(known)) or hint)
    current = current or LimitsPlan()
    problems: list[Problem] = []
    given = {name: value for name, value in changes.items() if value is not None}
    own = {name: given.pop(name) for name in HOST_OPTIONS if name in given}
    if current.sched == "rt" and own.get("cpu") is not None:
        own["sched"] = "rt"
    wanted = read_limits(where, own, given, problems) or LimitsPlan()
    for problem in problems:
        raise UsageError(problem.message, where=where, hint=problem.hint)
    named = {_FIELDS.get(name, name) for name in changes}
    fields = {name: getattr(wanted, name) for name in named}
    if "cpu_share" in fields and fields["cpu_share"] is not None:
        fields["cpus"] = None
    elif "cpus" in fields and fields["cpus"] is not None:
        fields["cpu_share"] = None
    if changes.get("period_us") is not None:
        fields["period_us"] = changes["period_us"]
    if current.sched == "rt" and fields.get("cpu_share", current.cpu_share) is None:
        raise UsageError(
            "real-time processes need a share of the CPUs", where=where, hint="give cpu=0.2"
        )
    return current.model_copy(update=fields)


def _controllers(limits: LimitsPlan) -> Iterator[str]:
    if limits.cpu_share is not None or limits.cpus is not None:
        yield "cpu"
        if hierarchies().get("cpuacct", (None, 0))[1] == 1:
            yield "cpuacct"
    if limits.cpuset:
        yield "cpuset"
    if limits.memory_bytes is not None:
        yield "memory"
    if limits.pids is not None:
        yield "pids"


def _write_cpu(group: Group, limits: LimitsPlan, grow_rt: Callable[[], None]) -> None:
    if "cpu" not in group.folders:
        return
    if limits.sched == "rt":
        grow_rt()
        group.write("cpu", "cpu.rt_period_us", limits.period_us)
        share = limits.cpu_share or 0.0
        group.write("cpu", "cpu.rt_runtime_us", int(share * limits.period_us))
        return
    quota_us, period_us = _quota_us(limits)
    if group.versions["cpu"] == 2:
        group.write("cpu", "cpu.max", f"{'max' if quota_us is None else quota_us} {period_us}")
        return
    # The old quota may be more than the new period allows.
    group.write("cpu", "cpu.cfs_quota_us", -1)
    group.write("cpu", "cpu.cfs_period_us", period_us)
    if quota_us is not None:
        group.write("cpu", "cpu.cfs_quota_us", quota_us)


def _quota_us(limits: LimitsPlan) -> tuple[int | None, int]:
    cpus = limits.cpus
    if limits.cpu_share is not None:
        cpus = limits.cpu_share * (os.cpu_count() or 1)
    if cpus is None:
        return None, limits.period_us
    quota_us, period_us = round(cpus * limits.period_us), limits.period_us
    if quota_us < _LEAST_QUOTA_US:
        # The kernel takes no less at a time; over a longer period it is the same share.
        quota_us, period_us = _LEAST_QUOTA_US, min(1_000_000, round(_LEAST_QUOTA_US / cpus))
    return quota_us, period_us


def _write_memory(group: Group, size: int | None) -> None:
    if group.versions["memory"] == 2:
        group.write("memory", "memory.max", "max" if size is None else size)
        return
    swap = group.folders["memory"] / "memory.memsw.limit_in_bytes"
    if swap.exists():
        # Otherwise what is too much would go to the disk, where there is one for it.
        swap.write_text("-1")
    group.write("memory", "memory.limit_in_bytes", -1 if size is None else size)
    if swap.exists() and size is not None:
        swap.write_text(str(size))


def _cpus_text(cpuset: tuple[int, ...]) -> str:
    return ",".join(map(str, cpuset or _all_cpus()))


def _all_cpus() -> tuple[int, ...]:
    top, version = hierarchies()["cpuset"]
    name = "cpuset.cpus.effective" if version == 2 else "cpuset.cpus"
    return cpus_of((top / name).read_text())


def _is_in(pid: int, group: Group) -> bool:
    """Whether a process belongs to a group; one that has ended does as well as any."""
    try:
        return group.holds(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return True


@contextmanager
def _told(node: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = Path(error.filename or "").name
        hint = ""
        if what == "cpuset.cpus":
            with suppress(OSError):
                hint = f"the machine has {_cpus_text(())}"
        elif what.startswith("cpu.rt"):
            hint = "all real-time shares of the machine together must stay below 0.95"
        elif what.startswith("memory"):
            hint = "its processes use more than that already"
        raise LabError(
            f"the kernel does not take its limit {what}: {os.strerror(error.errno or 0)}",
            where=node,
            hint=hint,
        ) from error
