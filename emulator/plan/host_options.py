"""The options of a node that is in no container: its share of the machine, folders of its own."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.errors import Problem
from emulator.multigraph import NodeEntry
from emulator.plan.container_spellings import read_values
from emulator.plan.container_values import ValueMistake, read_cpuset
from emulator.plan.host_model import LimitsPlan, PrivateDirPlan
from emulator.plan.model import VnfPlan
from emulator.plan.options import pop_meant

HOST_OPTIONS = ("cpu", "cores", "sched", "period_us", "privateDirs")
"""Mininet's, of CPULimitedHost and of every node."""
_SCHEDULERS = ("cfs", "rt", "host")
_PERIODS_US = range(1000, 1_000_001)
# fmt: off
SHARED_WORDS = frozenset((
    "cpus", "cpu_quota", "cpu_period", "nano_cpus", "cpuset", "cpuset_cpus", "memory", "mem_limit",
    "pids", "pids_limit",
))
"""Words for limits that a container has too."""
_NEVER_PRIVATE = ("/", "/proc", "/sys", "/dev")
# fmt: on


@dataclass(frozen=True)
class HostWish:
    """What a node's options ask for beyond its links."""

    limits: LimitsPlan | None = None
    private_dirs: tuple[PrivateDirPlan, ...] = ()
    nat: bool = False
    """Whether it leads out of the lab."""


NOTHING = HostWish()
"""That of most nodes."""


def read_host_wish(
    where: str,
    entry: NodeEntry,
    options: dict[str, Any],
    given: dict[str, Any],
    *,
    in_container: bool,
    problems: list[Problem],
) -> HostWish:
    """What a host, a router or a VNF asks for beyond its links, and where its packets go.

    Args:
        where: the place that the problems name.
        entry: the node.
        options: its own, and
        given: those about a container; what is read is taken out of both.
        in_container: whether it is in one, which has other words for the same.
        problems: what is wrong is added here.
    """
    if entry.kind not in ("host", "router", "vnf"):
        return NOTHING
    # Of a VNF, cores are where its process polls; they are read with the rest of that.
    names = [name for name in HOST_OPTIONS if not (name == "cores" and entry.kind == "vnf")]
    own = {name: options.pop(name) for name in names if name in options}
    nat = entry.kind == "router" and bool(options.pop("nat", False))
    if nat and in_container:
        text = "a router in a container cannot lead out of the lab"
        problems.append(Problem(where, text, "leave runtime out"))
    if in_container:
        _hand_over(where, own, given, problems)
        return NOTHING
    dirs = read_private_dirs(where, entry.name, own, problems)
    return HostWish(read_limits(where, own, pop_limits(given), problems), dirs, nat)


def pop_limits(given: dict[str, Any]) -> dict[str, Any]:
    """Take the limits that need no container out of the options of one."""
    return {name: given.pop(name) for name in list(given) if name in SHARED_WORDS}


def read_limits(
    where: str,
    options: dict[str, Any],
    shared: Mapping[str, Any],
    problems: list[Problem],
) -> LimitsPlan | None:
    """What a node's processes may use; None for as much as there is.

    Args:
        where: the place that the problems name.
        options: the node's, from which Mininet's words are taken out.
        shared: the words that containers have too.
        problems: what is wrong is added here.
    """
    known = len(problems)
    values = read_values(where, shared, problems)
    share = _read_share(where, options.pop("cpu", None), problems)
    sched = options.pop("sched", None) or "cfs"
    period_us = options.pop("period_us", None)
    cores = options.pop("cores", None)
    if sched not in _SCHEDULERS:
        text = f"there is no scheduler {sched!r} for a node"
        problems.append(Problem(where, text, f"there are: {', '.join(_SCHEDULERS)}"))
    if share is not None and "cpus" in values:
        text = "cpu and cpus both limit its time on the CPUs"
        hint = "cpu=0.5 is half of the whole machine, cpus=0.5 half of one CPU; keep one"
        problems.append(Problem(where, text, hint))
    if sched == "rt" and (share is None or share >= 1):
        text = "real-time processes need a share of the CPUs below 1, or they would take all of it"
        problems.append(Problem(where, text, 'write sched="rt", cpu=0.2'))
    if sched == "host" and (share is not None or "cpus" in values):
        text = 'sched="host" leaves its time on the CPUs alone, and a share of it is given'
        problems.append(Problem(where, text, "leave sched out"))
    if period_us is not None and (type(period_us) is not int or period_us not in _PERIODS_US):
        text = f"period_us: {period_us!r} is not a time in microseconds"
        problems.append(Problem(where, text, "write 1000 to 1000000; 100000 is usual"))
    cpuset = _read_cores(where, cores, values.get("cpuset", ()), problems)
    if len(problems) > known:
        return None
    limited = share is not None or "cpus" in values
    if period_us is not None and not limited:
        # Mininet's own default for nodes without a share, which asks for nothing.
        period_us = None
    limits = LimitsPlan(
        cpu_share=share,
        cpus=values.get("cpus"),
        sched="rt" if sched == "rt" else "cfs",
        period_us=period_us or LimitsPlan.period_us,
        cpuset=cpuset,
        memory_bytes=values.get("memory"),
        pids=values.get("pids"),
    )
    return None if limits == LimitsPlan() else limits


def refuse_useless_limits(
    where: str, limits: LimitsPlan | None, vnf: VnfPlan | None, problems: list[Problem]
) -> None:
    """Limits hold for processes; what the kernel does for a VNF is no process of the node's."""
    if limits is None or vnf is None or vnf.mechanism == "process":
        return
    text = f"on the data plane {vnf.dataplane} its frames are handled by no process to be limited"
    hint = "use dataplane=afxdp|dpdk|packet|python, or leave the limits out"
    problems.append(Problem(where, text, hint))


def read_private_dirs(
    where: str, name: str, options: dict[str, Any], problems: list[Problem]
) -> tuple[PrivateDirPlan, ...]:
    """The folders that a node has for itself: paths, and pairs of a path and a folder to be there.

    ``%(name)s`` in the latter stands for the node's name.
    """
    written = options.pop("privateDirs", None)
    if not written:
        return ()
    entries = written if isinstance(written, Sequence) and not isinstance(written, str) else None
    hint = 'write privateDirs=["/var/run", ("/var/log", "/tmp/%(name)s/log")]'
    if entries is None:
        text = f"privateDirs: {written!r} is not a list"
        problems.append(Problem(where, text, hint))
        return ()
    found: dict[str, PrivateDirPlan] = {}
    for entry in entries:
        pair = (entry, None) if isinstance(entry, str) else entry
        try:
            path, source = pair
            source = source if source is None else source % {"name": name}
        except (TypeError, ValueError, KeyError):
            text = f"privateDirs: {entry!r} is neither a path nor a pair of paths"
            problems.append(Problem(where, text, hint))
            continue
        wrong = [each for each in (path, source) if each is not None and not _is_path(each)]
        if wrong or posixpath.normpath(path) in _NEVER_PRIVATE:
            text = f"privateDirs: {(wrong or [path])[0]!r} cannot be a folder of its own"
            problems.append(Problem(where, text, "give absolute paths below the root"))
            continue
        path = posixpath.normpath(path)
        if path in found:
            text = f"privateDirs: {path} is named twice"
            problems.append(Problem(where, text, "keep one of them"))
        found[path] = PrivateDirPlan(path=path, source=source and posixpath.normpath(source))
    # Those above before those below, which would be hidden otherwise.
    return tuple(sorted(found.values(), key=lambda each: each.path.count("/")))


def _is_path(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("/") and "\0" not in text


def _hand_over(
    where: str, own: dict[str, Any], given: dict[str, Any], problems: list[Problem]
) -> None:
    """Options of a node in no container, given for one in a container: the same by its words."""
    if own.get("sched") in (None, "cfs", "host"):
        own.pop("sched", None)
    cores = own.pop("cores", None)
    if cores is not None:
        given.setdefault("cpuset", cores)
    meant = pop_meant(own, frozenset(HOST_OPTIONS))
    if meant:
        hint = "in a container it is cpus, cpuset, cpu_quota, tmpfs or volumes"
        problems.append(Problem(where, f"{meant}: that is for a node in no container", hint))


def _read_share(where: str, value: Any, problems: list[Problem]) -> float | None:
    try:
        share = None if value is None or isinstance(value, bool) else float(value)
        if isinstance(value, bool):
            raise ValueError(value)
    except (TypeError, ValueError):
        problems.append(Problem(where, f"cpu: {value!r} is not a number", "write cpu=0.2"))
        return None
    # In Mininet -1 takes a limit away, and 0 is none.
    if share is None or share in (0, -1):
        return None
    if not 0.001 <= share <= 1:
        text = f"cpu: {value!r} is no share of the machine's CPUs"
        hint = "write 0.001 to 1; for CPUs' worth of time write cpus=2"
        problems.append(Problem(where, text, hint))
        return None
    return share


def _read_cores(
    where: str, cores: Any, cpuset: tuple[int, ...], problems: list[Problem]
) -> tuple[int, ...]:
    if cores is None or (isinstance(cores, list | tuple | str) and not cores):
        return cpuset
    try:
        found = read_cpuset(cores)
    except ValueMistake as mistake:
        problems.append(Problem(where, f"cores: {mistake}", mistake.hint))
        return cpuset
    if cpuset and found != cpuset:
        text = "cores and cpuset name different CPUs"
        problems.append(Problem(where, text, "keep one of them"))
    return found
