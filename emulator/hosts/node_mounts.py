"""What the processes of a node see in the file system otherwise than those of other nodes do.

Each node has a mount namespace: a copy of the lab's own with a ``/sys`` of the node's network
namespace, and with the folders that are the node's alone. It is made when the first process is
started in the node, because most nodes of a large lab never have one; a node with folders of its
own has it from the start, so that whatever is wrong with them ends the start of the lab.

It is held by a descriptor of the lab's owner, or where another emulator was the first to start
something, by a process of the lab that does nothing else. A file in the lab's folder says which.
(It could be mounted on that file, as namespaces can be, were it not for kernels that number
namespaces by processor: they take one that was made on another processor for an ancestor, and
refuse.)
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from emulator.errors import LabError
from emulator.kernel.netns import CLONE_NEWNS, unshare
from emulator.kernel.sysfs import mount_own_sysfs, sysfs_refusal

_FOLDER = "mounts"
_OWNERS = "../../../{pid}/fd/{fd}"
"""From a thread's folder in ``/proc``: the lab's own ``/proc`` does not show its owner."""
_HOLDERS = "/proc/{pid}/ns/mnt"
_HOLD = "sleep infinity > /dev/null & echo $!"
"""For a shell that ends at once: what holds the namespace is then the lab's child, not ours."""
_PLACE_BYTES = 64


class NodeMounts:
    """The mount namespace of one node.

    Args:
        node: the node's name.
        lab: the lab's folder.
        mount_folders: mounts the folders of its own, if it has any.
        owned: whether this process runs the lab.
        is_made: whether the lab's owner has made it, and nobody else is to.
    """

    def __init__(
        self,
        node: str,
        lab: Path,
        mount_folders: Callable[[], None] | None = None,
        *,
        owned: bool = True,
        is_made: bool = False,
    ) -> None:
        self._node = node
        self._lab = lab
        self._mount_folders = mount_folders
        self._owned = owned
        self._is_made = is_made
        self._is_needless = False
        self._fd = -1

    def find(self, thread: int) -> int | None:
        """A descriptor of it, which stays ours; it is made if it is not there.

        Args:
            thread: a descriptor of the calling thread's folder in ``/proc``. The thread is in the
                lab's mount namespace and in the node's network namespace, and shares its working
                directory with nobody. Where it is made, the thread is in it afterwards.

        Returns:
            None where it would not be another one than the lab's.

        Raises:
            LabError: it cannot be made.
        """
        if self._is_needless:
            return None
        if not self._owned:
            # The lab's owner may have made the node anew since.
            self.let_go()
        try:
            if self._fd < 0:
                self._find_or_make(thread)
            return self._fd if self._fd >= 0 else None
        except OSError as error:
            raise LabError(
                f"no mount namespace can be had: {error.strerror}", where=self._node
            ) from error

    def let_go(self) -> None:
        """Closes the descriptor, as a forked process does, or one that leaves the lab running."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Gives it up; what runs in it keeps it as long as it runs. Closing twice is allowed."""
        self._file.unlink(missing_ok=True)
        self.let_go()
        self._is_needless = False

    @property
    def _file(self) -> Path:
        # The names of nodes may be longer than those of files.
        return self._lab / _FOLDER / sha256(self._node.encode()).hexdigest()[:16]

    def _find_or_make(self, thread: int) -> None:
        # Another emulator may have the same in mind, and only one of both is to be the node's.
        with self._locked() as file:
            place = os.pread(file, _PLACE_BYTES, 0).decode()
            # One with folders of its own is no other process's to make.
            if place and not (self._owned and self._mount_folders):
                self._fd = _open(thread, place)
            if self._fd < 0:
                if self._is_made:
                    raise LabError(
                        "its folders are just being made anew", where=self._node, hint="try again"
                    )
                place = self._make(thread)
            elif self._owned:
                place = self._ours()
            os.ftruncate(file, 0)
            os.pwrite(file, place.encode(), 0)

    def _make(self, thread: int) -> str:
        """Make it; the path that leads to it from now on, empty where it is not needed."""
        unshare(CLONE_NEWNS)
        if not self._fill(thread):
            self._is_needless = True
            return ""
        self._fd = os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=thread)
        return self._ours() if self._owned else _hold()

    def _ours(self) -> str:
        return _OWNERS.format(pid=os.getpid(), fd=self._fd)

    def _fill(self, thread: int) -> bool:
        """Mount what makes it another one than the lab's; whether there is anything."""
        is_different = True
        try:
            mount_own_sysfs(thread)
        except OSError:
            # Where the machine allows nobody to have one, the lab's notes have told of it.
            if sysfs_refusal() is None:
                raise
            is_different = False
        if self._mount_folders is not None:
            self._mount_folders()
            is_different = True
        return is_different

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        file = os.open(self._file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _hold() -> str:
    """Start what holds the mount namespace of the calling thread; the path that leads to it."""
    said = subprocess.run(
        ["sh", "-c", _HOLD],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
    return _HOLDERS.format(pid=said.stdout.decode().strip())


def _open(thread: int, place: str) -> int:
    """A descriptor of the mount namespace at a place in ``/proc``; -1 when it has gone."""
    with suppress(OSError):
        if place.endswith("/ns/mnt"):
            # By now the number may be another process's; one that is in the node will do.
            theirs = os.stat(f"{place.removesuffix('mnt')}net")
            if not os.path.samestat(theirs, os.stat("ns/net", dir_fd=thread)):
                return -1
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC, dir_fd=thread)
    return -1
