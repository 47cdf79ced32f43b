"""Things that are given back when they are no longer needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
