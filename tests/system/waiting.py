"""Waiting for what a machine does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable

_WITHIN_S = 60
_LOOK_S = 0.01


def until(condition: Callable[[], object], what: str = "it did not come to pass") -> None:
    """Returns when a condition is true; fails when it is not within a minute.

    Args:
        what: what the failure says.
    """
    deadline_s = time.monotonic() + _WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(_LOOK_S)
