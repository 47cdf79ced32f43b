"""What a lab has changed of the machine that no kernel reference owns, and how to take it back.

It is written into the lab's folder before it is done. A lab that ends well takes it back itself;
when one was killed, whoever finds its folder does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_FILE = "outside.json"


class Leftovers:
    """The list of a lab that runs.

    Args:
        folder: the lab's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: list[dict[str, Any]] = []

    def add(self, kind: str, **what: Any) -> dict[str, Any]:
        """Note what is about to be done; returns the entry."""
        entry = {"kind": kind, **what}
        self._entries.append(entry)
        self._write()
        return entry

    def drop(self, entry: dict[str, Any]) -> None:
        """Forget what has been taken back; it may have been forgotten before."""
        # The same one, not one that says the same: two nodes may have done it.
        self._entries = [each for each in self._entries if each is not entry]
        self._write()

    def _write(self) -> None:
        if self.folder.is_dir():
            _write(self.folder, self._entries)


def give_back(folder: Path) -> bool:
    """Take back what a lab that was killed has left.

    Args:
        folder: the lab's.

    Returns:
        Whether all of it is gone; processes of the lab may just be ending, and hold some of it.
    """
    # The last first, and each of them, also after one that cannot be taken back yet.
    noted = reversed(entries_of(folder))
    left = [entry for entry in noted if not _taken_back(entry)]
    return not left


def forget(folder: Path, entry: dict[str, Any]) -> None:
    """Drop what has been taken back from the notes of a lab that was killed."""
    entries = entries_of(folder)
    if entry in entries:
        entries.remove(entry)
        _write(folder, entries)


def entries_of(folder: Path) -> list[dict[str, Any]]:
    """What a lab has noted; nothing where it has changed nothing of the machine."""
    try:
        entries = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def _write(folder: Path, entries: list[dict[str, Any]]) -> None:
    # Never a part of it: who reads one would think that there is nothing to take back. Under a name
    # of our own, because of a lab that was killed several processes may do so at once.
    draft = folder / f"{_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(entries))
    draft.replace(folder / _FILE)


def _taken_back(entry: dict[str, Any]) -> bool:
    kind = entry.get("kind")
    if kind == "cgroups":
        from emulator.hosts.groups import remove_groups

        return remove_groups([Path(path) for path in entry["folders"]])
    if kind == "folder":
        remove_folder(entry["path"])
        return True
    if kind == "nat":
        from emulator.hosts.nat import take_back

        return _where_it_was(entry, take_back)
    if kind == "interface":
        from emulator.hosts.external import restore

        return _where_it_was(entry, restore)
    return True


def _where_it_was(entry: dict[str, Any], function: Callable[[dict[str, Any]], bool]) -> bool:
    """Call it in the namespace in which it was done, which is that of the machine or of a
    container; one in which nobody lives any more needs nothing back."""
    from emulator.kernel.netns import Netns
    from emulator.kernel.proc import pids_by_namespace

    name = entry["netns"]
    if name == netns_name():
        return function(entry)
    for pid in pids_by_namespace("net").get(int(name.strip("net:[]")), ()):
        try:
            space = Netns.from_path(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        with space:
            return space.run(function, entry)
    return True


def remove_folder(path: str) -> None:
    """Remove a folder that was made as a place to mount something, unless it is in use.

    What has been put into it, or mounted there, is somebody else's, and so is the folder then.
    """
    with suppress(OSError):
        os.rmdir(path)


def netns_name() -> str:
    """What the kernel calls the network namespace of the calling thread."""
    return os.readlink("/proc/thread-self/ns/net")
