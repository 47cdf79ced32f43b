"""What cannot be known here, and why: stands where a number would, and is never taken for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Unavailable:
    """Stands in the place of a value that this machine, or this moment, does not tell.

    Attributes:
        because: the reason, as the rest of a sentence that begins with "unavailable, because".
    """

    because: str

    def __str__(self) -> str:
        return f"unavailable, because {self.because}"


def known(value: T | Unavailable) -> T | None:
    """The value; None in the place of one that is not known."""
    return None if isinstance(value, Unavailable) else value


def derived(value: T | Unavailable, work_out: Callable[[T], R]) -> R | Unavailable:
    """What is worked out from a value; where that is not known, this is not for the same reason."""
    return value if isinstance(value, Unavailable) else work_out(value)
