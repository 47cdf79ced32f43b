"""The file that has a VNF's parameters in force, for every process that reaches the VNF."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import LabError

if TYPE_CHECKING:
    from emulator.parameters import Value


class ValuesFile:
    """The values in force.

    Replaced as a whole with each change, so that who reads never sees half of it, and locked
    meanwhile, so that of two who change the VNF the second begins with what the first has left.

    Args:
        path: in the lab's folder; it is there while the VNF runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Value]:
        """The values in force.

        Raises:
            LabError: the VNF has ended.
        """
        try:
            values: dict[str, Value] = json.loads(self.path.read_text())
        except FileNotFoundError:
            raise _ended() from None
        return values

    def write(self, values: Mapping[str, Value]) -> None:
        """Replace the values."""
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text(json.dumps(values))
        draft.replace(self.path)

    def remove(self) -> None:
        """Take the file away; that it has gone already is no mistake."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until nobody else changes the VNF, and have others wait for the block's end.

        Raises:
            LabError: the VNF has ended.
        """
        lock = self._lock()
        try:
            yield
        finally:
            os.close(lock)

    def _lock(self) -> int:
        while True:
            try:
                lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise _ended() from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Who had it before us has put another file in its place.
                if os.path.samestat(os.fstat(lock), self.path.stat()):
                    return lock
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _ended() -> LabError:
    return LabError("the VNF has ended", hint="where it is being started anew, try again")
