"""Starting processes of one node: in its control group, among its own folders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.hosts.groups import Group
from emulator.native_parts import native_part

if TYPE_CHECKING:
    from emulator.hosts.node_mounts import NodeMounts
    from emulator.kernel.cgroup import Cgroup
    from emulator.kernel.netns import Netns
    from emulator.runtime.namespace import Processes

_ERRNO_BYTES = 4


class NodeProcesses:
    """Starts processes of one node of a lab, as the lab's own ``Processes`` do for it.

    Attributes:
        group: the control group that they belong to from their first instruction on.
        rt_priority: that of SCHED_RR, for real-time processes.
        mounts: the mount namespace that they live in.
    """

    def __init__(self, processes: Processes, mounts: NodeMounts) -> None:
        self._processes = processes
        self.group: Group | None = None
        self.rt_priority = 0
        self.mounts = mounts

    @property
    def reader(self) -> Cgroup | None:
        """What the node's processes have used and may use; None where they are not limited."""
        return None if self.group is None else self.group.reader

    def popen(
        self, netns: Netns, args: Sequence[str] | str, **options: Any
    ) -> subprocess.Popen[Any]:
        """As ``Processes.popen``."""
        options["mounts"] = self.mounts.find
        if self.group is None:
            return self._processes.popen(netns, args, **options)
        return self._popen_limited(netns, args, self.group, options)

    def prepare(self, netns: Netns) -> None:
        """As ``Processes.prepare``."""
        self._processes.prepare(netns, self.mounts.find)

    def let_go(self) -> None:
        """Closes this process's descriptors and leaves everything to whoever else has the lab."""
        self.mounts.let_go()

    def popen_logged(
        self, netns: Netns, args: Sequence[str], log: int, **options: Any
    ) -> subprocess.Popen[Any]:
        """As ``Processes.popen_logged``."""
        return self.popen(netns, args, stdout=log, stderr=subprocess.STDOUT, **options)

    def _popen_limited(
        self, netns: Netns, args: Sequence[str] | str, group: Group, options: dict[str, Any]
    ) -> subprocess.Popen[Any]:
        words = [os.fspath(args)] if isinstance(args, str | os.PathLike) else list(args)
        program = options.pop("executable", None)
        if options.pop("shell", False):
            words = [program or "/bin/sh", "-c", *words]
        program = os.fspath(program or words[0])
        if options.pop("take_terminal", False):
            words = [program, "setsid", "--ctty", *words]
            words[0] = "setsid"
            options["start_new_session"] = False
        else:
            words = [program, *words]
        told, trouble = os.pipe()
        helper = -1
        members: list[int] = []
        try:
            # By its descriptor: the folder that it lies in may be another one in the node.
            helper = os.open(native_part("vnf-join"), os.O_RDONLY | os.O_CLOEXEC)
            # One by one: those before one that cannot be opened are closed below.
            members.extend(os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in group.members)
            options["pass_fds"] = (*options.get("pass_fds", ()), helper, trouble, *members)
            options["executable"] = f"/proc/self/fd/{helper}"
            numbers = [helper, trouble, self.rt_priority, len(members), *members]
            command = ["vnf-join", *map(str, numbers), *words]
            child = self._processes.popen(netns, command, **options)
            os.close(trouble)
            trouble = -1
            # Closed without a word when the program runs.
            failed = os.read(told, _ERRNO_BYTES)
        finally:
            for fd in (told, trouble, helper, *members):
                if fd >= 0:
                    os.close(fd)
        child.args = args
        if failed:
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
            number = int.from_bytes(failed, "little")
            raise OSError(number, os.strerror(number), program)
        return child
