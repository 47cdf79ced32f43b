"""Things that are given back when they are no longer needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self


class Closing(ABC):
    """Something that ``close`` undoes; as a context manager, at the end of the block."""

    @abstractmethod
    def close(self) -> None:
        """Undo what making it did; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def close_at_once(closers: Sequence[Callable[[], object]], at_most: int) -> None:
    """Call all of them at the same time, and each whatever happens at another one.

    Args:
        at_most: so many at a time.
    """
    if not closers:
        return
    with ExitStack() as each, ThreadPoolExecutor(min(at_most, len(closers))) as pool:
        for close in closers:
            try:
                each.callback(pool.submit(close).result)
            except RuntimeError:  # while Python itself ends no thread begins: one by one, then
                each.callback(close)
