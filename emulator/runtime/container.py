"""A node's container, whoever runs its lab."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import BuildVnfError
from emulator.kernel.cgroup import Cgroup
from emulator.runtime.container_processes import ContainerProcesses
from emulator.runtime.ending import last_words

if TYPE_CHECKING:
    from emulator.plan.model import PublishedPortPlan


class Container:
    """A container of a running lab.

    Attributes:
        id: Docker's.
        pid: of its first process, as the machine's own PID namespace numbers it.
        image: the name of what it was made from.
        image_id: of the same, ``sha256:…``.
        image_digest: of what an image of ours was made from; None for others.
        processes: starts processes in it.
        bash: the shell that runs commands in it.
        log: the file of what its program has printed.
    """

    def __init__(self, name: str, described: Mapping[str, Any]) -> None:
        self.id = str(described["id"])
        self.pid = int(described["pid"])
        self.image = str(described["image"])
        self.image_id = str(described["image_id"])
        self.image_digest: str | None = described["image_digest"]
        self.bash = str(described["bash"])
        self.log = Path(described["log"])
        self.processes = ContainerProcesses(Path(described["socket"]), name)
        self._described = dict(described)

    def note_ports(self, bound: Iterable[tuple[PublishedPortPlan, int]]) -> None:
        """Take note of the machine's ports that it has got."""
        self._described["ports"] = [[p.host_address, number, p.port] for p, number in bound]

    @property
    def ports(self) -> list[tuple[str, int, int]]:
        """What is published: the machine's address, its port, and the port in the container."""
        known = self._described.get("ports", [])
        return [(str(address), int(bound), int(port)) for address, bound, port in known]

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return Path(f"/proc/{self.pid}").exists()

    @cached_property
    def cgroup(self) -> Cgroup:
        """What tells of its resources.

        Raises:
            LabError: it has ended.
        """
        return Cgroup.of(self.pid)

    @property
    def program_status(self) -> int | None:
        """The exit status of its program; None while it runs, and when there is none.

        Negative for a signal. Only who started a program knows more than that it has gone.
        """
        program = self._described.get("program")
        return None if program is None or _same_space(self.pid, program) else 0

    def failure(self) -> str | None:
        """Why the node does not do its work; None while it does, or when its program ended well."""
        if not self.alive:
            return f"its container has ended{last_words(self.log)}"
        status = self.program_status
        if not status:
            return None
        how = f"with exit code {status}" if status > 0 else f"by signal {-status}"
        return f"its program has ended {how}{self.killed_for_memory()}{last_words(self.log)}"

    def killed_for_memory(self) -> str:
        """That, and because of which limit, to go on with in a message; empty if it was not so."""
        try:
            reading = self.cgroup.read()
        except BuildVnfError:  # it has gone with the container
            return ""
        if not reading.oom_kills:
            return ""
        limit = reading.memory_limit_bytes
        most = "" if limit is None else f", of which it may have {limit / (1 << 20):g} MiB"
        return f": the kernel killed it for want of memory{most}"

    def describe(self) -> dict[str, Any]:
        """What another emulator needs to reach it."""
        return dict(self._described)

    def let_go(self) -> None:
        """Close our descriptors without ending it; what a forked process does."""


def _same_space(pid: int, other: int) -> bool:
    """Whether two processes live in the same PID namespace: a number may have a new owner."""
    try:
        spaces = {os.readlink(f"/proc/{each}/ns/pid") for each in (pid, other)}
    except OSError:
        return False
    return len(spaces) == 1
