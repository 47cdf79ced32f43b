"""All commands of the shell: those about the shell itself, and the modules of the others."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli import (
    shell_capture,
    shell_chains,
    shell_change,
    shell_look,
    shell_measure,
    shell_nodes,
    shell_traffic,
)
from emulator.cli.shell_complete import FILES, LINE
from emulator.cli.shell_registry import (
    COMMANDS,
    GROUPS,
    NODES,
    SHELL,
    argument_kinds,
    command,
    read_words,
)
from emulator.cli.shell_vnf import SHADOWED, VNF_COMMANDS
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.cli.shell import Shell

_USAGE_WIDTH, _LINE_WIDTH = 26, 80
"""Of the first column of the list, and of the whole."""

__all__ = [
    "COMMANDS",
    "argument_kinds",
    "shell_capture",
    "shell_chains",
    "shell_change",
    "shell_look",
    "shell_measure",
    "shell_nodes",
    "shell_traffic",
]


@command("help", "[COMMAND]", "command", group=SHELL)
def _help(shell: Shell, text: str) -> None:
    """List the commands, or explain one: help link"""
    words = read_words("help", text, 0, 1)
    if words:
        shell.print(_explained(shell, words[0]))
        return
    listed: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
    for each in COMMANDS.values():
        listed[each.group].append((each.full_usage, each.summary))
    listed[NODES].insert(0, ("NODE COMMAND...", "Run a command on a node: h1 ping -c1 h2"))
    listed[NODES] += [(each.full_usage, each.summary) for each in VNF_COMMANDS.values()]
    for group, rows in listed.items():
        shell.print(f"{group}:")
        for usage, summary in rows:
            shell.print(_listed(usage, summary))
    shell.print(
        "\nNames of nodes in a node's command stand for their addresses. Ctrl-C stops"
        "\nthe command that runs, not the lab; exit or Ctrl-D leaves."
    )


def _listed(usage: str, summary: str) -> str:
    begin = f"  {usage.ljust(_USAGE_WIDTH)}  "
    rest = " " * (_USAGE_WIDTH + 4)
    if len(begin) + len(summary) <= _LINE_WIDTH:
        return begin + summary
    wrapped = textwrap.wrap(summary, _LINE_WIDTH - len(rest))
    return "\n".join([begin.rstrip(), *(rest + line for line in wrapped)])


def _explained(shell: Shell, name: str) -> str:
    found = []
    if name in COMMANDS:
        found.append((COMMANDS[name].full_usage, COMMANDS[name].help))
    if name in VNF_COMMANDS:
        word = VNF_COMMANDS[name]
        found.append((word.full_usage, f"{word.help}\n\n{SHADOWED}"))
    if not found:
        raise UsageError(f"no command {name!r}", where="help", hint=shell.suggest(name))
    return "\n\n".join(
        "\n".join([usage, *(f"  {line}".rstrip() for line in text.split("\n"))])
        for usage, text in found
    )


@command("time", "COMMAND", LINE, group=SHELL)
def _time(shell: Shell, text: str) -> None:
    """Run any line of this shell and time it."""
    if not text:
        raise UsageError("a command is missing", where="time", hint="for example: time pingall")
    started_s = time.monotonic()
    shell.dispatch(text)
    shell.print(f"*** Elapsed time: {time.monotonic() - started_s:.6f} secs")


@command("sh", "COMMAND", group=SHELL)
def _sh(shell: Shell, text: str) -> None:
    """Run a shell command on this machine.

    Outside the lab, with the rights of this shell.
    """
    if not text:
        raise UsageError("a command is missing", where="sh", hint="for example: sh ls")
    shell.host_command(text)


@command("py", "EXPRESSION", group=SHELL)
def _py(shell: Shell, text: str) -> None:
    """Evaluate a Python expression: py h1.IP()

    net is the network, and the nodes are names of their own.
    """
    shell.evaluate(text, "eval")


@command("px", "STATEMENT", group=SHELL)
def _px(shell: Shell, text: str) -> None:
    """Execute a Python statement: px gw = h1.IP()

    net is the network, and the nodes are names of their own. What it defines stays for later.
    """
    shell.evaluate(text, "exec")


@command("source", "FILE", FILES, group=SHELL)
def _source(shell: Shell, text: str) -> None:
    """Read commands from a file, one per line."""
    (name,) = read_words("source", text, 1)
    shell.source(Path(name))


@command("exit", group=SHELL)
def _exit(shell: Shell, text: str) -> None:
    """Leave the shell.

    The lab stops, unless it runs in another terminal.
    """
    shell.finished = True


@command("quit", group=SHELL)
def _quit(shell: Shell, text: str) -> None:
    """Leave the shell, as exit does."""
    shell.finished = True


@command("EOF", group=SHELL)
def _eof(shell: Shell, text: str) -> None:
    """Leave the shell, as Ctrl-D does."""
    shell.finished = True
