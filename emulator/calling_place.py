"""Where in a user's script a call comes from."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = str(Path(__file__).resolve().parent) + "/"
_SHARED = _PACKAGE + "share/"


def calling_place() -> str:
    """The file and the line that called the package from outside: ``/my/topo.py:12``.

    Empty where that is no script of the user's, but a line of the shell.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    if "-packages/" in frame.f_code.co_filename:  # what runs our own command
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_ours(filename: str) -> bool:
    return filename.startswith(_PACKAGE) and not filename.startswith(_SHARED)
