"""Folders that a node has for itself, mounted in its own mount namespace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emulator.errors import LabError
from emulator.hosts.leftovers import Leftovers, remove_folder
from emulator.kernel.mounts import MS_BIND, MS_REC, mount
from emulator.plan.host_model import PrivateDirPlan

_TMPFS_OPTIONS = b"mode=755"


class PrivateDirs:
    """The folders of one node; ``close`` removes what was made on the machine for them.

    Args:
        node: the node's name, for messages.
        dirs: its folders, those above before those below.
        leftovers: where folders are noted that have to be made on the machine, as places to mount
            something.
    """

    def __init__(self, node: str, dirs: Sequence[PrivateDirPlan], leftovers: Leftovers) -> None:
        self._node = node
        self._dirs = tuple(dirs)
        self._leftovers = leftovers
        self._made: list[dict[str, Any]] = []

    def mount(self) -> None:
        """Mounts them in the mount namespace of the calling thread, which is the node's own.

        Raises:
            LabError: a folder cannot be made, or not be mounted.
        """
        for each in self._dirs:
            if each.source is not None:
                # The user has named it on the machine, so what is in it stays there.
                self._make(each.source, kept=True)
        for each in self._dirs:
            self._make(each.path)
            try:
                if each.source is None:
                    mount("tmpfs", each.path, "tmpfs", 0, _TMPFS_OPTIONS)
                else:
                    mount(each.source, each.path, None, MS_BIND | MS_REC)
            except OSError as error:
                is_file = Path(each.path).is_file()
                raise LabError(
                    f"{each.path} cannot be a folder of its own: {error.strerror}",
                    where=self._node,
                    hint="name a folder, or a pair of files" if is_file else "",
                ) from error

    def close(self) -> None:
        """Removes the folders that were made to mount on; closing twice is allowed."""
        made, self._made = self._made, []
        for entry in reversed(made):
            remove_folder(entry["path"])
            self._leftovers.drop(entry)

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
