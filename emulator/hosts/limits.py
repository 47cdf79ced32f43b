"""Limits of nodes that are in no container: what their processes may use of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emulator.errors import LabError, MachineError, UsageError
from emulator.hosts.groups import (
    Group,
    lab_folder,
    lab_folders,
    make_group,
    move_processes,
    remove_groups,
)
from emulator.hosts.leftovers import Leftovers
from emulator.hosts.parameters import controller_of, read_parameter, write_parameter
from emulator.kernel.cgroup import cpus_of, hierarchies
from emulator.plan.host_model import LimitsPlan

RT_PRIORITY = 20
"""Of real-time nodes' processes, as in Mininet; the kernel's own are above it."""
_LEAST_QUOTA_US = 1000
_RT_WHOLE_US = 1_000_000
"""The period of groups for which none is set."""
_RT = _RT_PERIOD, _RT_RUNTIME = "cpu.rt_period_us", "cpu.rt_runtime_us"
_IN_PLAN = (
    "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max", "cpuset.cpus", "memory.limit_in_bytes",
    "memory.max", "pids.max",
)  # fmt: skip
"""The parameters that limits have a word of their own for."""
_UNLIMITED_BYTES = 1 << 62
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
        self._rt_shares: dict[str, float] = {}

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
        group = self._group(node, _controllers(limits))
        self._limits[node] = limits
        others = dict(limits.others)
        with _told(node):
            if "cpu" in group.folders and limits.sched == "rt":
                self._write_real_time(node, *_real_time_us(limits))
            elif "cpu" in group.folders:
                _write_cpu(group, limits)
                if self._rt_shares.get(node) and _RT_RUNTIME not in others:
                    self._write_real_time(node, limits.period_us, 0)
            if "cpuset" in group.folders:
                group.write("cpuset", "cpuset.cpus", _cpus_text(limits.cpuset))
            if "memory" in group.folders:
                _write_memory(group, limits.memory_bytes)
            if "pids" in group.folders:
                group.write("pids", "pids.max", "max" if limits.pids is None else limits.pids)
            for name, value in others.items():
                resource, _, parameter = name.partition(".")
                self._write_parameter(node, resource, parameter, value)
        return group

    def open_group(self, node: str, resource: str) -> Group:
        """A node's control group, with the controller that a parameter's first word stands for.

        It limits nothing by itself.

        Raises:
            MachineError: the machine has no such controller.
        """
        return self._group(node, [controller_of(resource, hierarchies())])

    def set_parameter(self, node: str, resource: str, parameter: str, value: object) -> LimitsPlan:
        """Sets a parameter of a node's group, by its name in version 1; its limits from then on.

        Raises:
            UsageError: there is no such parameter.
            LabError: the kernel does not take the value.
        """
        group = self.open_group(node, resource)
        with _told(node):
            self._write_parameter(node, resource, parameter, value)
            text = str(read_parameter(group, resource, parameter))
            limits = _as_it_is(group, self._limits.get(node, LimitsPlan()))
        name = f"{resource}.{parameter}"
        if name not in _IN_PLAN and not (limits.sched == "rt" and name in _RT):
            limits = limits.model_copy(
                update={"others": tuple({**dict(limits.others), name: text}.items())}
            )
        self._limits[node] = limits
        return limits

    def schedule(self, node: str, rt_priority: int) -> None:
        """Have all that runs in a node's group be real-time processes, or (0) plain ones again.

        Raises:
            LabError: the kernel does not let them.
        """
        policy = os.SCHED_RR if rt_priority else os.SCHED_OTHER
        for task in map(int, (self._groups[node].folders["cpu"] / "tasks").read_text().split()):
            try:
                os.sched_setscheduler(task, policy, os.sched_param(rt_priority))
            except ProcessLookupError:
                continue
            except OSError as error:
                raise LabError(
                    f"process {task} cannot be scheduled so: {error.strerror}", where=node
                ) from error

    def dissolve(self, node: str, home: Mapping[str, Path]) -> bool:
        """Takes a node's group away from what runs in it; whether it is gone.

        Args:
            home: controller -> the group in which its processes are from then on.
        """
        group = self._groups.get(node)
        if group is None:
            return True
        if self._rt_shares.get(node):
            self.schedule(node, 0)
        for controller, folder in group.folders.items():
            back = Group({controller: home[controller]}, {controller: group.versions[controller]})
            for _ in range(_MOVE_ROUNDS):
                pids = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
                if not pids:
                    break
                move_processes(back, pids)
        self.remove(node)
        return not any(folder.exists() for folder in group.folders.values())

    def adopt(self, node: str, netns: int) -> None:
        """Have all processes that live in a node belong to its group, those they start too.

        Args:
            netns: a descriptor of the node's network namespace.
        """
        from emulator.kernel.proc import pids_by_namespace

        group, space = self._groups[node], os.fstat(netns).st_ino
        outside: list[int] = []
        for _ in range(_MOVE_ROUNDS):
            outside = [
                pid for pid in pids_by_namespace("net").get(space, ()) if not _is_in(pid, group)
            ]
            if not outside:
                return
            move_processes(group, outside)
        for pid in outside:
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(pid) in (os.SCHED_RR, os.SCHED_FIFO):
                    raise LabError(
                        f"process {pid} is a real-time process, and the node has no such share",
                        where=node,
                        hint=f"chrt --other -p 0 {pid} makes it a plain one",
                    )
        raise LabError("its processes start others faster than they can be limited", where=node)

    def remove(self, node: str) -> None:
        """Removes a node's group; with processes that still run in it, it goes with the lab."""
        group = self._groups.pop(node, None)
        self._limits.pop(node, None)
        self._rt_shares.pop(node, None)
        if group is not None:
            remove_groups(dict.fromkeys(group.folders.values()), 0)

    def close(self) -> None:
        """Removes all groups."""
        self._groups.clear()
        if self._noted is not None:
            remove_groups(lab_folders(self._lab))
            self._leftovers.drop(self._noted)
            self._noted = None

    def _group(self, node: str, controllers: Iterable[str]) -> Group:
        """The node's group, with these controllers beside those that it has."""
        if self._noted is None:
            folders = [str(folder) for folder in lab_folders(self._lab)]
            self._noted = self._leftovers.add("cgroups", folders=folders)
        before = self._groups.get(node)
        wanted = [*controllers, *(before.folders if before is not None else ())]
        self._groups[node] = make_group(self._lab, node, list(dict.fromkeys(wanted)))
        return self._groups[node]

    def _write_parameter(self, node: str, resource: str, parameter: str, value: object) -> None:
        group, name = self._groups[node], f"{resource}.{parameter}"
        if name not in _RT or group.versions["cpu"] == 2:
            write_parameter(group, resource, parameter, value)
            return
        times = {each: int(group.folders["cpu"].joinpath(each).read_text()) for each in _RT}
        try:
            times[name] = int(str(value))
        except ValueError:
            raise UsageError(f"{name} cannot be {value!r}: it is a number", where=node) from None
        self._write_real_time(node, times[_RT_PERIOD], times[_RT_RUNTIME])

    def _write_real_time(self, node: str, period_us: int, runtime_us: int) -> None:
        """Give a node its share of real time, and the lab what its nodes have together."""
        group, share = self._groups[node], max(runtime_us, 0) / period_us
        # A group never has more than the one above it: that grows first and shrinks last.
        self._rt_shares[node] = max(share, self._rt_shares.get(node, 0.0))
        self._let_lab_have_real_time()
        group.write("cpu", _RT_PERIOD, period_us)
        group.write("cpu", _RT_RUNTIME, runtime_us)
        self._rt_shares[node] = share
        self._let_lab_have_real_time()

    def _let_lab_have_real_time(self) -> None:
        shares = self._rt_shares.values()
        folder = hierarchies()["cpu"][0] / lab_folder(self._lab)
        # Rounded up: what the nodes have must not be more than what the lab has.
        runtime_us = min(_RT_WHOLE_US, int(sum(shares) * _RT_WHOLE_US) + len(shares))
        Group({"cpu": folder}, {"cpu": 1}).write("cpu", _RT_RUNTIME, runtime_us)


def ensure_real_time(where: str) -> None:
    """Raises ``MachineError`` where nodes cannot have real-time shares."""
    top, version = hierarchies().get("cpu", (None, 0))
    if top is None or version == 2 or not (top / _RT_RUNTIME).exists():
        raise MachineError(
            "the kernel gives groups no share of real time",
            where=where,
            hint='it takes CONFIG_RT_GROUP_SCHED and control groups of version 1; use sched="cfs"',
        )


def quota_of(cpus: float, period_us: int) -> tuple[int, int]:
    """The quota for some CPUs' worth of time, and the period it is for, in microseconds."""
    quota_us = round(cpus * period_us)
    if quota_us < _LEAST_QUOTA_US:
        # The kernel takes no less at a time; over a longer period it is the same share.
        return _LEAST_QUOTA_US, min(1_000_000, round(_LEAST_QUOTA_US / cpus))
    return quota_us, period_us


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


def _write_cpu(group: Group, limits: LimitsPlan) -> None:
    quota_us, period_us = _quota_us(limits)
    if group.versions["cpu"] == 2:
        group.write("cpu", "cpu.max", f"{'max' if quota_us is None else quota_us} {period_us}")
        return
    # The old quota may be more than the new period allows.
    group.write("cpu", "cpu.cfs_quota_us", -1)
    group.write("cpu", "cpu.cfs_period_us", period_us)
    if quota_us is not None:
        group.write("cpu", "cpu.cfs_quota_us", quota_us)


def _as_it_is(group: Group, limits: LimitsPlan) -> LimitsPlan:
    """Limits, with what a group has been given by the names of its parameters."""

    def number(resource: str, parameter: str) -> int:
        value = read_parameter(group, resource, parameter)
        return value if isinstance(value, int) else -1

    changes: dict[str, Any] = {}
    if "cpu" in group.folders and limits.sched == "rt":
        period_us, runtime_us = (number("cpu", each.partition(".")[2]) for each in _RT)
        if (period_us, runtime_us) != _real_time_us(limits):
            changes |= {"cpu_share": max(runtime_us, 0) / period_us, "period_us": period_us}
    elif "cpu" in group.folders:
        quota_us, period_us = number("cpu", "cfs_quota_us"), number("cpu", "cfs_period_us")
        quota = None if quota_us < 0 else quota_us
        if (quota, period_us) != _quota_us(limits):
            cpus = None if quota is None else quota / period_us
            changes |= {"cpu_share": None, "cpus": cpus, "period_us": period_us}
    if "cpuset" in group.folders:
        cpuset = cpus_of(str(read_parameter(group, "cpuset", "cpus")))
        changes["cpuset"] = () if cpuset == _all_cpus() else cpuset
    if "memory" in group.folders:
        size = number("memory", "limit_in_bytes")
        changes["memory_bytes"] = size if 0 <= size < _UNLIMITED_BYTES else None
    if "pids" in group.folders:
        pids = number("pids", "max")
        changes["pids"] = pids if pids >= 0 else None
    return limits.model_copy(update=changes)


def _real_time_us(limits: LimitsPlan) -> tuple[int, int]:
    return limits.period_us, int((limits.cpu_share or 0.0) * limits.period_us)


def _quota_us(limits: LimitsPlan) -> tuple[int | None, int]:
    cpus = limits.cpus
    if limits.cpu_share is not None:
        cpus = limits.cpu_share * (os.cpu_count() or 1)
    if cpus is None:
        return None, limits.period_us
    return quota_of(cpus, limits.period_us)


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
