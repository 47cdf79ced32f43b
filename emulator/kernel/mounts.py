"""Mounting: the system call, and the table of what is mounted where."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

MS_BIND, MS_MOVE, MS_REC, MS_SLAVE = 0x1000, 0x2000, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of the kernel's table.

    Attributes:
        number: the mount's own, as long as it is there.
        parent: that of the mount that it lies on.
        point: its path, as the process sees it whose table it is.
    """

    number: int
    parent: int
    point: bytes


def mount(
    source: str | bytes | None,
    target: str | bytes,
    kind: str | None = None,
    flags: int = 0,
    data: bytes | None = None,
) -> None:
    """As mount(2), for the mount namespace of the calling thread; ``OSError`` when refused."""
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if _libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), data):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


def read_mounts(mountinfo: bytes) -> Iterator[Mount]:
    """What is mounted, in the order in which it came to be.

    Args:
        mountinfo: what the file of that name in ``/proc/PID`` says; see proc(5).
    """
    for line in mountinfo.splitlines():
        number, parent, _, _, point, _ = line.split(b" ", 5)
        yield Mount(int(number), int(parent), _ESCAPED.sub(_unescape, point))


def mounts_of(thread: int) -> Iterator[Mount]:
    """What a thread sees mounted.

    Args:
        thread: a descriptor of its folder in ``/proc``.
    """
    return read_mounts(_read(thread, "mountinfo"))


def mount_number(thread: int, fd: int) -> int:
    """The number of the mount that an open file of a thread's process lies on."""
    return int(_read(thread, f"fdinfo/{fd}").partition(b"mnt_id:")[2].split()[0])


def _read(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    with open(fd, "rb") as file:
        return file.read()


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])
