"""Descriptors of other processes."""

from __future__ import annotations

import ctypes
import os

from emulator.errors import LabError

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def descriptor_of(pid: int, number: int) -> int:
    """A copy of what a process has open as ``number``; close it.

    Raises:
        LabError: the process has ended, has nothing open there, or may not be asked.
    """
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        raise LabError("its process has ended") from error
    try:
        found = int(_libc.syscall(_PIDFD_GETFD, process, number, 0))
        if found < 0:
            reason = os.strerror(ctypes.get_errno())
            raise LabError(f"its descriptor {number} cannot be had: {reason}")
        return found
    finally:
        os.close(process)
