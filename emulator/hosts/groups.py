"""Control groups of nodes: one folder per lab in each hierarchy, and one per node in it.

A hierarchy of version 1 has its own tree for each controller, version 2 one for all; a machine may
have both, and then a controller belongs to one of them. The folder of a lab is called after the
lab, ``vnf-lab-ID``, and those in it after the nodes.

Sources: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst,
Documentation/scheduler/sched-bwc.rst and sched-rt-group.rst.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import LabError, MachineError
from emulator.kernel.cgroup import Cgroup, hierarchies

_LAB_PREFIX = "vnf-lab-"
# A name that no file of the kernel's in a control group can have.
_NODE_PREFIX = "node."
_GONE_DEADLINE_S = 3.0
_POLL_S = 0.01


@dataclass(frozen=True)
class Group:
    """The control group of a node.

    Attributes:
        folders: controller -> its folder; those of version 2 all have the same.
        versions: controller -> 1 or 2.
    """

    folders: Mapping[str, Path]
    versions: Mapping[str, int]

    @property
    def members(self) -> tuple[Path, ...]:
        """The files that a process joins the group by."""
        return tuple(folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values()))

    @property
    def reader(self) -> Cgroup:
        """What it has used and may use."""
        # Version 1 calls a hierarchy by its controllers, version 2 has one without a name.
        found = {
            controller if self.versions[controller] == 1 else "": folder
            for controller, folder in self.folders.items()
        }
        return Cgroup(found, {name: folder.parent.parent for name, folder in found.items()})

    def holds(self, memberships: str) -> bool:
        """Whether a process belongs to it, of which this is ``/proc/PID/cgroup``."""
        paths = {}
        for line in memberships.splitlines():
            _, names, path = line.split(":", 2)
            paths.update(dict.fromkeys(names.split(","), path))
        return all(
            paths.get(controller if self.versions[controller] == 1 else "", "").endswith(
                "/".join(("", *folder.parts[-2:]))
            )
            for controller, folder in self.folders.items()
        )

    def write(self, controller: str, file: str, value: object) -> None:
        """Set one of its limits.

        Raises:
            OSError: the kernel does not take it.
        """
        path = self.folders[controller] / file
        try:
            path.write_text(str(value))
        except OSError as error:
            # Where it is not the opening that fails, the error does not say of which file.
            error.filename = str(path)
            raise


def lab_folder(lab: str) -> str:
    """What the folder of a lab is called in each hierarchy."""
    return f"{_LAB_PREFIX}{lab}"


def find_group(lab: str, node: str) -> Group | None:
    """The control group of a node of a running lab; None where it has none."""
    folders, versions = {}, {}
    for controller, (top, version) in hierarchies().items():
        folder = top / lab_folder(lab) / f"{_NODE_PREFIX}{node}"
        if folder.is_dir():
            folders[controller], versions[controller] = folder, version
    return Group(folders, versions) if folders else None


def groups_of(pid: int) -> dict[str, Path]:
    """The groups that a process is in: controller -> the folder.

    Raises:
        LabError: it has ended.
    """
    folders = Cgroup.of(pid).folders
    return {
        controller: folders[controller if version == 1 else ""]
        for controller, (_, version) in hierarchies().items()
        if (controller if version == 1 else "") in folders
    }


def make_group(lab: str, node: str, controllers: Sequence[str]) -> Group:
    """A control group for a node, or the one that it has already.

    Args:
        lab: the lab's id.
        node: the node's name.
        controllers: those that it is to be limited by.

    Raises:
        MachineError: a controller is not there, or may not be used.
    """
    known = hierarchies()
    folders, versions = {}, {}
    for controller in controllers:
        if controller not in known:
            raise MachineError(
                f"control groups cannot limit {controller} on this machine",
                where=node,
                hint=f"mount the {controller} controller at /sys/fs/cgroup; vnf doctor says more",
            )
        top, version = known[controller]
        lab_group = top / lab_folder(lab)
        try:
            if version == 2:
                _turn_on(top, controller)
            lab_group.mkdir(exist_ok=True)
            if version == 2:
                _turn_on(lab_group, controller)
            elif controller == "cpuset":
                _inherit_cpuset(top, lab_group)
            folder = lab_group / f"{_NODE_PREFIX}{node}"
            folder.mkdir(exist_ok=True)
            if version == 1 and controller == "cpuset":
                _inherit_cpuset(lab_group, folder)
        except OSError as error:
            raise MachineError(
                f"no control group can be made: {error.strerror}",
                where=str(error.filename or lab_group),
                hint="be root of the machine, or give the container control groups of its own",
            ) from error
        folders[controller], versions[controller] = folder, version
    return Group(folders, versions)


def lab_folders(lab: str) -> list[Path]:
    """The folders of a lab in all hierarchies, whether they are there or not."""
    tops = dict.fromkeys(top for top, _ in hierarchies().values())
    return [top / lab_folder(lab) for top in tops]


def remove_groups(folders: Iterable[Path], deadline_s: float = _GONE_DEADLINE_S) -> bool:
    """Remove control groups and those in them, whose processes have ended or are just ending.

    Returns:
        Whether they are gone.
    """
    deadline = time.monotonic() + deadline_s
    # Each of them, also after one that cannot be removed.
    left = [folder for folder in folders if not _remove(folder, deadline)]
    return not left


def _remove(folder: Path, deadline: float) -> bool:
    try:
        inner = [each for each in folder.iterdir() if each.is_dir()]
    except FileNotFoundError:
        return True
    if [each for each in inner if not _remove(each, deadline)]:
        return False
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def move_processes(group: Group, pids: Iterable[int]) -> None:
    """Have processes that run already belong to a group."""
    for pid in pids:
        for members in group.members:
            try:
                members.write_text(str(pid))
            except ProcessLookupError:
                break
            except OSError as error:
                # What is just ending cannot be moved, and need not be.
                if error.errno not in (errno.ESRCH, errno.EINVAL):
                    raise LabError(
                        f"process {pid} cannot be limited: {os.strerror(error.errno or 0)}"
                    ) from error


def _turn_on(folder: Path, controller: str) -> None:
    switches = folder / "cgroup.subtree_control"
    if controller not in switches.read_text().split():
        switches.write_text(f"+{controller}")


def _inherit_cpuset(above: Path, folder: Path) -> None:
    # Empty in a new group of version 1, which then takes no process.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (folder / name).read_text().strip():
            (folder / name).write_text((above / name).read_text().strip())
