"""Folders that a node has for itself: a mount namespace for each node that asks for one.

The namespace is a copy of the lab's own, held by nothing but a descriptor. Only processes of the
node are started in it, and other nodes go on as they were.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emulator.errors import BuildVnfError, LabError
from emulator.hosts.leftovers import Leftovers, remove_folder
from emulator.kernel.netns import CLONE_FS, CLONE_NEWNS, setns, unshare
from emulator.plan.host_model import PrivateDirPlan

_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_TMPFS_OPTIONS = b"mode=755"


class PrivateDirs:
    """The mount namespace of a node; ``close`` gives it back.

    Args:
        node: the node's name, for messages.
        init_pid: the first process of the lab, in whose mount namespace the others live.
        dirs: the node's folders, those above before those below.
        leftovers: where folders are noted that have to be made on the machine, as places to mount
            something.

    Raises:
        LabError: a folder cannot be made, or not be mounted.
    """

    def __init__(
        self,
        node: str,
        init_pid: int,
        dirs: Sequence[PrivateDirPlan],
        leftovers: Leftovers,
    ) -> None:
        self._node = node
        self._leftovers = leftovers
        self._made: list[dict[str, Any]] = []
        self.fd = -1
        try:
            for each in dirs:
                if each.source is not None:
                    # The user has named it on the machine, so what is in it stays there.
                    self._make(each.source, kept=True)
            self.fd = _elsewhere(lambda: self._enter(init_pid, dirs))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the namespace; closing twice is allowed."""
        self.let_go()
        made, self._made = self._made, []
        for entry in reversed(made):
            remove_folder(entry["path"])
            self._leftovers.drop(entry)

    def let_go(self) -> None:
        """Closes the descriptor and removes nothing; what a forked process does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _enter(self, init_pid: int, dirs: Sequence[PrivateDirPlan]) -> int:
        # The lab has a /proc of its own, in which this thread is not to be found.
        thread = os.open("/proc/thread-self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lab = os.open(f"/proc/{init_pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            try:
                unshare(CLONE_FS)
                setns(lab, CLONE_NEWNS)
                unshare(CLONE_NEWNS)
            finally:
                os.close(lab)
            # What the machine mounts later is to appear, and what is mounted here to stay here.
            _mount(None, "/", None, _MS_REC | _MS_SLAVE, b"", self._node)
            for each in dirs:
                self._make(each.path)
                if each.source is None:
                    _mount("tmpfs", each.path, "tmpfs", 0, _TMPFS_OPTIONS, self._node)
                else:
                    _mount(each.source, each.path, None, _MS_BIND | _MS_REC, b"", self._node)
            return os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=thread)
        finally:
            os.close(thread)

    def _make(self, path: str, *, kept: bool = False) -> None:
        """Make a folder and those above it that are not there."""
        missing = []
        folder = Path(path)
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            entry = None if kept else self._leftovers.add("folder", path=str(each))
            try:
                each.mkdir(exist_ok=True)
            except OSError as error:
                if entry is not None:
                    self._leftovers.drop(entry)
                raise LabError(
                    f"the folder {each} cannot be made: {error.strerror}", where=self._node
                ) from error
            if entry is not None:
                self._made.append(entry)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: bytes, node: str
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), data or None):
        reason = os.strerror(ctypes.get_errno())
        raise LabError(
            f"{target} cannot be a folder of its own: {reason}",
            where=node,
            hint="name a folder, or a pair of files" if Path(target).is_file() else "",
        )


def _elsewhere(function: Any) -> int:
    """Call it on a thread of its own, which ends with it and takes its namespaces along."""
    results: list[int] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised on the caller's thread
            errors.append(error)

    thread = threading.Thread(target=target, name="private-dirs", daemon=True)
    thread.start()
    thread.join()
    if errors:
        error = errors[0]
        if isinstance(error, OSError) and not isinstance(error, BuildVnfError):
            raise LabError(f"no mount namespace can be had: {error.strerror}") from error
        raise error
    return results[0]
