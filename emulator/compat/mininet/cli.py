"""Mininet's command line: our shell, whose commands a script's own class may add to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from emulator.cli.shell import Shell
from emulator.cli.shell_commands import COMMANDS
from emulator.compat.mininet.log import info
from emulator.compat.unsupported import refuse_names
from emulator.errors import UsageError


class CLI:
    """A shell on a script's network; making one runs it until the user leaves it.

    A subclass adds commands as methods ``do_xxx(self, line)``, and may set ``prompt``.

    Attributes:
        mn: the network.
        locals: further names that ``py`` and ``px`` know.
    """

    prompt = "mininet> "

    def __init__(
        self, mininet: Any, stdin: TextIO | None = None, script: str | None = None
    ) -> None:
        """
        Args:
            mininet: the network.
            stdin: where lines are read from; what the script reads by default.
            script: a file of lines to carry out instead.
        """
        self.mn = mininet
        self.stdin = sys.stdin if stdin is None else stdin
        self.locals: dict[str, Any] = {"net": mininet}
        mininet.growth.live()
        reads_keys = stdin is None and script is None
        self._shell = _ScriptShell(
            self, interactive=reads_keys and sys.stdin.isatty() and sys.stdout.isatty()
        )
        self._script = script
        info("*** Starting CLI:\n")
        self.run()

    def run(self) -> None:
        """Carries out lines until they end or one of them leaves the shell."""
        from emulator.cli.shell_prompt import read_prompt

        if self._script is not None:
            self._shell.source(Path(self._script))
        elif self._shell.interactive:
            self._shell.run(read_prompt(self._shell))
        else:
            self._shell.run(self.stdin)

    def onecmd(self, line: str) -> None:
        """Carries out one line."""
        self._shell.run_line(line)

    def default(self, line: str) -> None:
        """What to do with a line that is no command; a subclass may know better."""
        raise UsageError(
            f"unknown command: {line.split()[0]}", hint=self._shell.suggest(line.split()[0])
        )

    def getLocals(self) -> dict[str, Any]:
        """The names that ``py`` and ``px`` know."""
        return self._shell.python_names()

    @property
    def failed(self) -> bool:
        """Whether a line was not understood, or could not be carried out."""
        return self._shell.failed and not self._shell.interactive

    def isatty(self) -> bool:
        """Whether a person types."""
        return self._shell.interactive


class _ScriptShell(Shell):
    """Our shell, with the commands and the objects of a script."""

    def __init__(self, cli: CLI, *, interactive: bool) -> None:
        super().__init__(cli.mn.engine, interactive=interactive)
        self.prompt = cli.prompt
        self._cli = cli

    def dispatch(self, line: str) -> None:
        # What was declared at the line before lives from now on.
        self._cli.mn.growth.live()
        first, _, rest = line.strip().partition(" ")
        own = getattr(self._cli, f"do_{first}", None)
        if own is not None and not hasattr(own, "of_the_shell"):
            if own(rest.strip()):
                self.finished = True
        elif first and not first.startswith("#") and not self._knows(first):
            self._cli.default(line)
        else:
            super().dispatch(line)

    def python_names(self) -> dict[str, Any]:
        return {**super().python_names(), **self._cli.mn.nameToNode, **self._cli.locals}

    def _knows(self, word: str) -> bool:
        return word in COMMANDS or word in self.net


def _command_of_the_shell(name: str) -> Any:
    def do(self: CLI, line: str = "") -> None:
        Shell.dispatch(self._shell, f"{name} {line}")

    do.__doc__ = f"The command {name} of the shell."
    do.of_the_shell = True  # type: ignore[attr-defined]
    return do


for _name in COMMANDS:
    setattr(CLI, f"do_{_name}", _command_of_the_shell(_name))

__getattr__ = refuse_names("mininet.cli")
