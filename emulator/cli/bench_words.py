"""The words and options of ``vnf bench``: which go together, and what they say to measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.experiment.spec import Measurement


def split(words: Sequence[str], topo: str | None) -> tuple[str | None, tuple[Measurement, ...]]:
    """The file among the words, and what is to be measured.

    Raises:
        UsageError: a word is neither.
    """
    from emulator.experiment.spec import MEASUREMENTS

    known: dict[str, Measurement] = {name: name for name in MEASUREMENTS}
    file, rest = None, list(words)
    # A file comes first, and a topology of that name would have to be written ./latency.
    if rest and rest[0] not in known and topo is None:
        file = rest.pop(0)
    for word in rest:
        if word not in known:
            raise UsageError(
                f"{word!r} is nothing that can be measured",
                hint=f"there are: {', '.join(MEASUREMENTS)}; and one FILE comes before them",
            )
    return file, tuple(known[word] for word in rest)


def listed(text: str, separator: str, where: str) -> list[str]:
    """The values that an option was given, separated.

    Raises:
        UsageError: one of them is empty.
    """
    values = [value.strip() for value in text.split(separator)]
    if not all(values):
        raise UsageError(
            f"a value is missing in {text!r}", where=where, hint=f"separate them by one {separator}"
        )
    return values


def alone(context: typer.Context, what: str, goes: Sequence[str], rest: Sequence[str]) -> None:
    """Check that nothing is given beside what says all that is to be measured.

    Args:
        goes: parameters that may be given all the same.
        rest: words that may not.

    Raises:
        UsageError: something is.
    """
    options = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in (None, "what", *goes) and is_given(context, parameter.name)
    ]
    if beside := [*rest, *options]:
        raise UsageError(
            f"{what} says all that is to be measured, and beside it is {' '.join(beside)}",
            hint="drop one of them",
        )


def check_running(context: typer.Context, file: str | None) -> None:
    """Check that nothing is given that a lab which runs cannot have any more.

    Raises:
        UsageError: something is.
    """
    names = ("topo", "settings", "vary", "schedule", "resume")
    options = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names and is_given(context, parameter.name)
    ]
    hint = "the lab that runs is measured as it is; vnf bench, outside of it, starts labs"
    if file is not None:
        from emulator.experiment.spec import MEASUREMENTS

        message = f"{file!r} is none of {', '.join(MEASUREMENTS)}"
        raise UsageError(message, where="bench", hint=hint)
    if options:
        raise UsageError(f"{options[0]} has no place here", where="bench", hint=hint)


def is_given(context: typer.Context, parameter: str) -> bool:
    """Whether the user has written a parameter, and not left it at its default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
