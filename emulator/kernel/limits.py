"""Limits that the kernel sets to a process."""

from __future__ import annotations

import resource

from emulator.errors import MachineError


def allow_open_files(count: int) -> None:
    """Lets this process have ``count`` files open, by raising its soft limit if need be.

    It is left alone where it suffices: the processes of the lab inherit it, and a program that
    waits with select(2) cannot handle descriptors from 1024 up.

    Raises:
        MachineError: when the hard limit does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise MachineError(
            f"a lab of this size keeps up to {count} files open, and the limit is {hard}",
            hint=f"ulimit -Hn {count}, or LimitNOFILE= of the service it runs in",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
