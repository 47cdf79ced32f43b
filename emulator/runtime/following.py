"""Reading a file while others write it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_S = 0.1
_CHUNK_BYTES = 1 << 20


def follow(find: Callable[[], Path], *, lines: int | None = None) -> Iterator[bytes]:
    """What a file holds, and what is added to it from then on; without an end of its own.

    It may come late, and another may take its place: that one is then read from its beginning.

    Args:
        find: where it is now; asked again and again. What it raises ends this.
        lines: only so many of the last lines that it holds at first.
    """
    file: BinaryIO | None = None
    try:
        while True:
            path = find()
            if file is None or _is_another(file, path):
                if file is not None:
                    yield from _rest(file)
                    file.close()
                file = _opened(path)
                if file is not None and lines is not None:
                    known = file.read().splitlines(keepends=True)
                    yield b"".join(known[max(0, len(known) - lines) :])
            # What is there after the first look at a file is new, or the whole of a later one.
            lines = None
            if file is not None:
                yield from _rest(file)
            time.sleep(_POLL_S)
    finally:
        if file is not None:
            file.close()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_another(file: BinaryIO, path: Path) -> bool:
    """Whether the path leads to another file by now, or to the same with its content gone."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    return not os.path.samestat(os.fstat(file.fileno()), now) or now.st_size < file.tell()


def _rest(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK_BYTES):
        yield piece
