"""What the options of nodes and links have in common."""

from __future__ import annotations

import re
from typing import Any, Final

from emulator.errors import Problem

AUTOMATIC: Final = object()
"""Stands for an address that the compiler is to choose."""

_NOTHING = re.compile(r"(0+\.?0*\s*[a-zA-Zµ%/]*)?")


def pop_meant(options: dict[str, Any], names: frozenset[str]) -> str:
    """Take the named options out and give back, as they were written, those that ask for something.

    None, 0, "0ms" and "0%" ask for nothing.
    """
    meant = []
    for key in [key for key in options if key in names]:
        value = options.pop(key)
        if isinstance(value, str):
            nothing = _NOTHING.fullmatch(value.strip()) is not None
        else:
            nothing = value is None or (isinstance(value, int | float) and value == 0)
        if not nothing:
            meant.append(f"{key}={class_name(value) if key == 'cls' else repr(value)}")
    return ", ".join(meant)


def not_yet(where: str, what: str, available: str) -> Problem:
    """The mistake of asking for what is still to come."""
    return Problem(where, f"not available yet: {what}", f"available: {available}")


def class_name(chosen: object) -> str:
    """The name of a class that was given as an option, or of what was given in its place."""
    return str(getattr(chosen, "__name__", chosen))
