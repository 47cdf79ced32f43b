"""The commands of the shell: how one is told to it, and how its words are read.

A module of commands registers them when it is imported; ``shell_commands`` imports them all. The
docstring of a command's function is its help text, and its first line is what the list shows.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.cli.shell import Shell

Run = Callable[["Shell", str], None]
"""Carries a command out; takes the shell, and the text after the command's name."""

LOOK = "Look at the lab"
NODES = "Work on nodes"
TRAFFIC = "Send traffic, and watch it"
CHANGE = "Change the lab"
MEASURE = "Measure"
SHELL = "This shell"

GROUPS = (LOOK, NODES, TRAFFIC, CHANGE, MEASURE, SHELL)
"""What commands are for, in the order in which they are listed."""


@dataclass(frozen=True)
class Command:
    """A command of the shell.

    Attributes:
        name: its first word.
        usage: the words after the name, as shown to the user.
        run: carries it out.
        arguments: the kind of each argument, for completion.
        group: what it is for, one of ``GROUPS``.
    """

    name: str
    usage: str
    run: Run
    arguments: tuple[str, ...]
    group: str

    @property
    def full_usage(self) -> str:
        """The whole line."""
        return f"{self.name} {self.usage}".rstrip()

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]

    @property
    def help(self) -> str:
        """What the command does, from the docstring of its function."""
        return inspect.getdoc(self.run) or ""


COMMANDS: dict[str, Command] = {}


def command(
    name: str, usage: str = "", *arguments: str, group: str = SHELL
) -> Callable[[Run], Run]:
    """Make a function a command of the shell."""

    def register(run: Run) -> Run:
        COMMANDS[name] = Command(name, usage, run, arguments, group)
        return run

    return register


def read_words(name: str, text: str, *counts: int) -> list[str]:
    """The arguments of a command; a trailing comment is dropped.

    Raises:
        UsageError: their number is none of ``counts``, or a quote is not closed.
    """
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(str(error).lower(), where=name) from error
    if len(words) not in counts:
        raise UsageError(
            f"{len(words)} argument{'s' * (len(words) != 1)} given"
            if words
            else "arguments are missing",
            where=name,
            hint=f"usage: {COMMANDS[name].full_usage}",
        )
    return words


def argument_kinds() -> dict[str, tuple[str, ...]]:
    """The kinds of the arguments of every command, as completion wants them."""
    return {each.name: each.arguments for each in COMMANDS.values()}


def read_positive(word: str, name: str) -> float:
    """A number of seconds above 0 among the words of a command.

    Raises:
        UsageError: it is none.
    """
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise UsageError(f"{word!r} is not a number of seconds above 0", where=name)
    return value


def read_whole(word: str, name: str) -> int:
    """A whole number of seconds above 0 among the words of a command.

    Raises:
        UsageError: it is none.
    """
    if not word.isdecimal() or int(word) == 0:
        raise UsageError(f"{word!r} is not a whole number of seconds above 0", where=name)
    return int(word)
