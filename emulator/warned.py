"""Telling the user in one line of what is no error, and is yet hardly meant."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).resolve().parent) + "/"


class LabWarning(UserWarning):
    """Something was done as asked, and will hardly do what it is for."""


def warn(text: str) -> None:
    """Warns of something at the line of the user's that asked for it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    warnings.warn_explicit(text, LabWarning, frame.f_code.co_filename, frame.f_lineno)


def tell_by(show: Callable[[str], object]) -> None:
    """Has these warnings be told by a function, from now on, and not as Python tells others.

    Args:
        show: called with the text of each.
    """
    before = warnings.showwarning
    if isinstance(before, _Teller):
        before = before.otherwise
    warnings.showwarning = _Teller(show, before)


class _Teller:
    def __init__(self, show: Callable[[str], object], otherwise: Callable[..., None]) -> None:
        self.show = show
        self.otherwise = otherwise

    def __call__(
        self, message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any
    ) -> None:
        if issubclass(category, LabWarning):
            self.show(str(message))
        else:
            self.otherwise(message, category, *args, **kwargs)
