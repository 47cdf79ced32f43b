"""Options of a node, taken out of what a user gave, one by one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from emulator.errors import Problem
from emulator.names import suggestion
from emulator.plan.quantities import QuantityMistake, read_duration_ns

PORT_NUMBERS = range(1, 65536)
"""Of TCP."""


class OptionReader:
    """Takes options out of a dict, one by one, and notes what is wrong with them.

    Args:
        where: the node, for messages.
        options: what the user gave; what is read is gone from it.
        problems: where mistakes are noted.
    """

    def __init__(self, where: str, options: dict[str, Any], problems: list[Problem]) -> None:
        self.where = where
        self.options = options
        self.problems = problems

    def tell(self, message: str, hint: str) -> None:
        """Note a mistake."""
        self.problems.append(Problem(self.where, message, hint))

    def choice(self, name: str, known: Collection[str], default: Any) -> Any:
        """One of the words that are known; the default when it is not given, or another one."""
        given = self.options.pop(name, None)
        if given is None:
            return default
        if given not in known:
            hint = suggestion(given, known) or f"one of: {', '.join(known)}"
            self.tell(f"{name} cannot be {given!r}", hint)
            return default
        return given

    def number(self, name: str, allowed: range, unit: str = "") -> int | None:
        """A whole number among those allowed; None when it is not given, or another one.

        Args:
            unit: for the hint, with the space before it.
        """
        given = self.options.pop(name, None)
        if given is None:
            return None
        if type(given) is not int or given not in allowed:
            step = f" in steps of {allowed.step}" if allowed.step > 1 else ""
            last = allowed[-1]
            hint = f"give {allowed.start} to {last}{unit}{step}"
            self.tell(f"{name} cannot be {given!r}", hint)
            return None
        return given

    def seconds(self, name: str, default: float, *, least: float = 0.0) -> float:
        """A time in seconds, as a number or with a unit; the default when it is not given."""
        given = self.options.pop(name, None)
        if given is None:
            return default
        try:
            value = read_duration_ns(given) / 1e9 if isinstance(given, str) else float(given)
        except (QuantityMistake, TypeError, ValueError):
            value = -1.0
        if isinstance(given, bool) or not least <= value <= 1e6:
            self.tell(f"{name} cannot be {given!r}", 'give seconds, such as 10 or "10s"')
            return default
        return value

    def words(self, name: str) -> tuple[str, ...] | None:
        """A list of words, or one text with commas between them; None when it is not given."""
        if name not in self.options:
            return None
        given = self.options.pop(name)
        if given is None:
            return ()
        if isinstance(given, str):
            given = [word.strip() for word in given.split(",") if word.strip()]
        elif not isinstance(given, list | tuple):
            given = [given]
        names = [each if isinstance(each, str) else getattr(each, "name", None) for each in given]
        wrong = [each for each, text in zip(given, names, strict=True) if not isinstance(text, str)]
        if wrong:
            self.tell(f"{name} holds {wrong[0]!r}", "give a text, or a list of texts")
        return tuple(text for text in names if isinstance(text, str))
