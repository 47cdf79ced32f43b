"""The labs on this machine: how one terminal finds what another one started.

A running lab is described by a folder under ``/run/build-vnf``. Its owner holds a lock on it; the
kernel lets go of the lock when the owner ends, however it ends, and that is how a dead lab is told
from a living one. Everything else about a lab is taken back by the kernel itself, so reaping a
dead lab means removing its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from emulator.errors import LabError, MachineError, UsageError
from emulator.hosts.leftovers import give_back
from emulator.invocation import with_sudo
from emulator.names import NAME_RULE, is_name
from emulator.paths import run_dir

_RECORD = "lab.json"
_LOCK = "lock"
_LONGEST_ID = 32
"""The path of a socket has 107 characters, and DPDK's lie three folders deep in the lab's."""


@dataclass(frozen=True)
class LabRecord:
    """What is known of a running lab.

    Attributes:
        id: unique on this machine, such as ``chain-3f2a``.
        name: the topology's name.
        pid: the process that owns the lab.
        started_at: seconds since the epoch.
        init_pid: the first process of the lab's PID namespace.
        netns: for each host, router and VNF, the owner's descriptor of its namespace; for each
            switch, that of the namespace which holds all bridges.
        vnfs: for each VNF, the data plane's own description.
        containers: for each node that runs in a container, how to reach it.
        failed: for each node that could not be started, why.
        wires: how to reach what impairs links; empty when nothing does.
        xdp_switches: for each switch of that kind, how to read it.
        control: the processes of Open vSwitch and of controllers; empty when there are none.
        steering: by the kind of switches, how to read what chains have steered.
        plan: the plan, as JSON data.
    """

    id: str
    name: str
    pid: int
    started_at: float
    init_pid: int = 0
    netns: Mapping[str, int] = field(default_factory=dict)
    vnfs: Mapping[str, Any] = field(default_factory=dict)
    containers: Mapping[str, Any] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    wires: Mapping[str, Any] = field(default_factory=dict)
    xdp_switches: Mapping[str, Any] = field(default_factory=dict)
    control: Mapping[str, Any] = field(default_factory=dict)
    steering: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def node_names(self) -> list[str]:
        """The names of the lab's nodes, in the plan's order."""
        return [node["name"] for node in self.plan.get("nodes", ())]

    @property
    def failed_nodes(self) -> list[str]:
        """The names of the nodes that do not do their work, as far as another process can see."""
        failed = {*self.failed}
        for name, vnf in self.vnfs.items():
            if "failure" in vnf or ("pid" in vnf and not self._holds_process(name, vnf["pid"])):
                failed.add(name)
        for name, container in self.containers.items():
            if not Path(f"/proc/{container['pid']}").exists():
                failed.add(name)
        controllers = self.control.get("controllers", {})
        failed |= {name for name, each in controllers.items() if not self.holds(each["pid"])}
        if not all(map(self.holds, self.control.get("ovs", {}).get("pids", ()))):
            nodes = self.plan.get("nodes", ())
            failed |= {n["name"] for n in nodes if (n.get("switch") or {}).get("kind") == "ovs"}
        return [name for name in self.node_names if name in failed]

    def holds(self, pid: int) -> bool:
        """Whether a process, by its number on the machine, lives among the lab's own."""
        return self._holds_process("", pid)

    @property
    def wires_failed(self) -> bool:
        """Whether what impairs links has died, as far as another process can see."""
        return "pid" in self.wires and not self._holds_process("", self.wires["pid"])

    def _holds_process(self, node: str, pid: int) -> bool:
        """Whether a process lives in the lab: by now its number may be that of another one."""
        first = self.containers[node]["pid"] if node in self.containers else self.init_pid
        try:
            spaces = {os.readlink(f"/proc/{each}/ns/pid") for each in (first, pid)}
        except OSError:
            return False
        return len(spaces) == 1

    def netns_path(self, node: str) -> str:
        """The path that opens a node's network namespace from another process.

        Raises:
            UsageError: when the lab has no such node.
        """
        try:
            return f"/proc/{self.pid}/fd/{self.netns[node]}"
        except KeyError:
            raise UsageError(
                f"lab {self.id} has no node {node}", hint=f"it has {', '.join(self.netns)}"
            ) from None


class LabFolder:
    """The folder of a lab we own, locked until it is closed."""

    def __init__(self) -> None:
        self.path = Path()
        self._lock = -1
        self._written_ns = 0

    def create(self, name: str, lab_id: str | None = None) -> None:
        """Makes it; its name, the lab's id, is made from ``name`` unless ``lab_id`` is given.

        Have :meth:`close` called whatever happens from here on: a Ctrl-C may strike at any moment.

        Raises:
            UsageError: when a living lab has that id, or it cannot be a name.
            MachineError: when the folder cannot be written.
        """
        if lab_id is not None and not is_name(lab_id):
            raise UsageError(f"a lab cannot be named {lab_id!r}", hint=f"use {NAME_RULE}")
        if lab_id is not None and len(lab_id) > _LONGEST_ID:
            message = f"a lab cannot have a name of {len(lab_id)} characters"
            raise UsageError(message, where=lab_id, hint=f"at most {_LONGEST_ID}")
        try:
            run_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(100):
                made = f"{name:.{_LONGEST_ID - 5}}-{os.urandom(2).hex()}"
                path = run_dir() / (lab_id or made)
                try:
                    self._make(path)
                    return
                except OSError:
                    if not path.exists():
                        raise
                    if lab_id is not None:
                        raise UsageError(
                            f"a lab named {lab_id} is running",
                            hint=f"choose another name, or vnf attach {lab_id}",
                        ) from None
        except OSError as error:
            raise MachineError(
                f"the record of the lab cannot be written: {error.strerror}",
                where=str(run_dir()),
                hint="run as root, on a system with a writable /run",
            ) from error
        raise LabError(f"no free id for a lab named {name}")

    def _make(self, path: Path) -> None:
        """Creates ``path`` with its lock already held, so that it is never seen without one."""
        draft = _draft(path)
        draft.mkdir(mode=0o755)
        self.path = path
        self._lock = os.open(draft / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except BaseException:
            self.close()
            shutil.rmtree(draft, ignore_errors=True)
            raise

    @property
    def id(self) -> str:
        """The lab's id."""
        return self.path.name

    @property
    def hosts_file(self) -> Path:
        """The lab's ``/etc/hosts``."""
        return self.path / "hosts"

    def write(self, record: LabRecord) -> None:
        """Replaces the record, at once."""
        draft = self.path / f"{_RECORD}.new"
        # Not by asdict, which would copy the whole plan first.
        draft.write_text(json.dumps(vars(record)))
        # The kernel's own stamps are milliseconds apart: two records would have the same one.
        self._written_ns = max(time.time_ns(), self._written_ns + 1)
        os.utime(draft, ns=(self._written_ns, self._written_ns))
        draft.replace(self.path / _RECORD)

    def write_hosts(self, addresses: Mapping[str, str]) -> None:
        """Makes node names resolve to their addresses inside the lab."""
        lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost"]
        lines += [f"{address}\t{name}" for name, address in addresses.items()]
        # Written in place: a bind mount follows the file, not its name.
        self.hosts_file.write_text("\n".join(lines) + "\n")
        # For users other than root in containers, whatever our umask.
        self.hosts_file.chmod(0o644)

    def let_go(self) -> None:
        """Leaves the folder and its lock to the process we were forked from."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def close(self) -> None:
        """Removes the folder; closing twice is allowed."""
        if self._lock >= 0:
            # Under another name first: half a folder is no dead lab, and the name may be wanted.
            going = _draft(self.path)
            with contextlib.suppress(OSError):
                # Where it was never made, another lab may have one of that name.
                if os.path.samestat(os.stat(self.path / _LOCK), os.fstat(self._lock)):
                    self.path.rename(going)
            shutil.rmtree(going, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def list_labs() -> list[LabRecord]:
    """The running labs, oldest first.

    Raises:
        MachineError: their records may not be read, for want of root.
    """
    records = [_read(path) for path in _folders() if _owned(path)]
    return sorted((r for r in records if r is not None), key=lambda record: record.started_at)


def living_folders() -> list[Path]:
    """The folders of the labs that run, those that are just starting too."""
    return [path for path in _folders() if not path.name.startswith(".") and _owned(path)]


def find_lab(lab: str) -> LabRecord:
    """The running lab with this id, or the only one whose id begins with it.

    Raises:
        UsageError: when there is none, or more than one.
        MachineError: the records may not be read, for want of root.
    """
    labs = list_labs()
    matches = [r for r in labs if r.id == lab] or [r for r in labs if r.id.startswith(lab)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"{lab} could be any of {', '.join(r.id for r in matches)}", hint="write more of the id"
        )
    running = ", ".join(r.id for r in labs)
    raise UsageError(
        f"no lab {lab} is running", hint=f"running: {running}" if running else "vnf run starts one"
    )


def read_again(record: LabRecord) -> LabRecord:
    """What is known of a lab by now.

    Raises:
        LabError: it has ended, and what may have its id is another one.
    """
    path = run_dir() / record.id
    now = _read(path) if path.is_dir() else None
    if now is None or (now.pid, now.started_at) != (record.pid, record.started_at):
        raise LabError("the lab has ended", where=record.id)
    return now


def record_written_ns(lab: str) -> int:
    """When the record of a running lab was written last; no two records have the same time.

    Raises:
        LabError: the lab has ended.
    """
    try:
        return (run_dir() / lab / _RECORD).stat().st_mtime_ns
    except OSError as error:
        raise LabError("the lab has ended", where=lab) from error


def clean() -> list[str]:
    """Removes what dead labs left behind, and nothing else; returns their ids.

    Raises:
        MachineError: the records may not be read, for want of root.
    """
    reaped = []
    for path in _folders():
        if not _owned(path):
            # What cannot be taken back yet is left for the next time, with the folder that says it.
            if not give_back(path):
                continue
            shutil.rmtree(path, ignore_errors=True)
            reaped.append(path.name.removeprefix("."))
    return reaped


def _draft(path: Path) -> Path:
    """What a folder is called before it is complete, and when it is not any more."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def _folders() -> Iterator[Path]:
    try:
        yield from sorted(path for path in run_dir().iterdir() if path.is_dir())
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise _forbidden() from error


def _forbidden() -> MachineError:
    """They are root's own: whoever may not look at them cannot tell whether a lab runs."""
    if os.geteuid() == 0:
        hint = "be root of the machine, not of a container or a user namespace"
    else:
        hint = f"run {with_sudo() or 'the same command with sudo'}"
    return MachineError("the records of the labs may not be read", where=str(run_dir()), hint=hint)


def _owned(path: Path) -> bool:
    if path.name.startswith("."):
        # In the making, or going: there are moments in which its lock is not there or not held.
        return _alive(path)
    try:
        lock = os.open(path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return not path.exists()  # it has just gone, at its owner's hands
    except PermissionError as error:
        raise _forbidden() from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Whoever ends a lab takes its folder away first, and another lab may have the name by now.
        return not os.path.samestat(os.fstat(lock), (path / _LOCK).stat())
    except (BlockingIOError, FileNotFoundError):
        return True
    finally:
        os.close(lock)


def _alive(draft: Path) -> bool:
    pid = draft.name.rpartition(".")[2]
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _read(path: Path) -> LabRecord | None:
    try:
        record = json.loads((path / _RECORD).read_text())
        # A newer version on the same machine may write more than this one knows of its labs.
        known = {each.name for each in fields(LabRecord)}
        return LabRecord(**{name: value for name, value in record.items() if name in known})
    except FileNotFoundError:  # it is just starting, or just going
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"the record of the lab is damaged: {error}",
            where=str(path),
            hint="stop the lab that owns it",
        ) from error


def now() -> float:
    """Seconds since the epoch, for ``started_at``."""
    return time.time()
