"""How names are checked, ordered, and put right when one is nearly right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

NAME_RULE = "letters, digits, '_', '.' and '-', the first a letter"
"""What a name may be made of, as messages say it."""

_SHOWN = 8
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_DIGITS = re.compile(r"(\d+)")


def is_name(text: str) -> bool:
    """Whether a text can be the name of a node, an interface, a lab or a VNF."""
    return _NAME.fullmatch(text) is not None


def natural(text: object) -> list[str | int]:
    """A sorting key that compares the numbers inside names as numbers: h2 before h10."""
    return [int(part) if index % 2 else part for index, part in enumerate(_DIGITS.split(str(text)))]


def suggestion(name: object, known: Iterable[str]) -> str:
    """A hint that names the known word closest to a wrong one; empty when none is close."""
    close = closest(name, known)
    return f"did you mean {close}?" if close is not None else ""


def closest(name: object, known: Iterable[str]) -> str | None:
    """The known word that is most like a wrong one; None when none is close."""
    words = list(known)
    close = difflib.get_close_matches(str(name), words, n=1)
    if not close:
        close = [word for word in words if word.lower() == str(name).lower()]
    return close[0] if close else None


def choice_hint(name: object, known: Iterable[str]) -> str:
    """A hint for someone who asked for what does not exist: the closest word, or what there is."""
    words = list(known)
    return suggestion(name, words) or (f"there are: {_few(words)}" if words else "there are none")


def _few(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")


def missing_hint(name: str, known: Iterable[str]) -> str:
    """A hint for a link to a node that is not there: its likely name, or those of its kin.

    Names that differ in their number only, s2 and s1, are too short to look alike and are just as
    likely meant.
    """
    words = list(known)
    close = suggestion(name, words)
    if close:
        return close
    stem = name.rstrip("0123456789")
    kin = sorted((word for word in words if word.rstrip("0123456789") == stem), key=natural)
    advice = "add the node before linking it"
    return f"{advice}; or did you mean {_few(kin)}?" if kin else advice


def kind_word(kind: str) -> str:
    """A node's kind as messages write it."""
    return {"vnf": "VNF", "app": "app container"}.get(kind, kind)


def place_of(place: str, what: str) -> str:
    """Where a mistake is: the line of the script, if it is known, and the node or link."""
    return f"{place}: {what}" if place else what
