"""What a forked process does not share with the process that it was forked from.

A child has copies of all that its parent holds, and inherits what is to happen at its exit, but of
the parent's threads it has only the one that has forked: a lock that another one held is never
released in the child.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that a forked process leaves to its parent."""

    def let_go(self) -> None:
        """Called in the child, before anything else is done there."""


def let_go_when_forked(part: Forked) -> None:
    """Have something let go of in every process that is forked from this one, while it is held."""
    _PARTS.add(part)


_PARTS: WeakSet[Forked] = WeakSet()


def _let_go_of_all() -> None:
    for part in _PARTS:
        part.let_go()


os.register_at_fork(after_in_child=_let_go_of_all)
