"""``/sys`` as a network namespace has it: ``/sys/class/net`` with its interfaces and no others.

What a sysfs shows of the network was settled when it was mounted, by whoever mounted it. So a
thread has to mount another one where it is, and what lay below the old one hides it: control
groups, maps of BPF, tracing. They are taken along.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache

from emulator.kernel.mounts import (
    MS_BIND,
    MS_MOVE,
    MS_REC,
    MS_SLAVE,
    Mount,
    mount,
    mounts_of,
)
from emulator.kernel.netns import CLONE_FS, CLONE_NEWNET, CLONE_NEWNS, unshare

_SYS = b"/sys"
_KEPT_FLAGS = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
"""Those that statvfs(3) and mount(2) call by the same numbers."""


def mount_own_sysfs(thread: int) -> None:
    """Has the calling thread's mount namespace show its network namespace in ``/sys``.

    It must be one that passes no mounts on to others, and the thread must share its working
    directory with nobody; that is ``/`` afterwards.

    Args:
        thread: a descriptor of the thread's folder in ``/proc``.

    Raises:
        OSError: the kernel refuses it; the namespace is then of no use.
    """
    points = points_below(list(mounts_of(thread)))
    kept: list[tuple[int, bytes]] = []
    try:
        # One by one: those before one that cannot be opened are closed below.
        kept.extend((os.open(point, os.O_PATH | os.O_CLOEXEC), point) for point in points)
        mount("sysfs", _SYS, "sysfs", os.statvfs(_SYS).f_flag & _KEPT_FLAGS)
        # By descriptors, because their paths lead into the new one by now.
        os.fchdir(thread)
        for fd, point in kept:
            if os.path.exists(point):
                _take_along(f"fd/{fd}", point)
    finally:
        for fd, _ in kept:
            os.close(fd)
        os.chdir("/")


def points_below(mounts: Sequence[Mount]) -> list[bytes]:
    """The paths at which something is mounted on what is seen as ``/sys``.

    What is mounted on these in turn goes with them. What lies below a ``/sys`` that another one
    hides is hidden too.
    """
    seen = [each.number for each in mounts if each.point == _SYS]
    below = [each for each in mounts if each.point.startswith(_SYS + b"/")]
    if seen:
        return _once(each.point for each in below if each.parent == seen[-1])
    numbers = {each.number for each in below}
    return _once(each.point for each in below if each.parent not in numbers)


@lru_cache(maxsize=1)
def sysfs_refusal() -> str | None:
    """Why the kernel does not let a namespace have its own ``/sys`` here; None if it does.

    It is tried out, on a thread of its own, in namespaces that end with it.
    """
    refusals: list[str] = []

    def target() -> None:
        try:
            unshare(CLONE_FS | CLONE_NEWNS | CLONE_NEWNET)
            mount(None, "/", None, MS_REC | MS_SLAVE)
            mount("sysfs", _SYS, "sysfs", os.statvfs(_SYS).f_flag & _KEPT_FLAGS)
        except OSError as error:
            refusals.append(os.strerror(error.errno or 0))

    thread = threading.Thread(target=target, name="sysfs", daemon=True)
    thread.start()
    thread.join()
    return refusals[0] if refusals else None


def _take_along(source: str, point: bytes) -> None:
    try:
        mount(source, point, None, MS_MOVE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # In a user namespace, what was mounted outside of it cannot be moved away.
        mount(source, point, None, MS_BIND | MS_REC)


def _once(points: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(points))
