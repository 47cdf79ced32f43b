"""What can be asked of a VNF or a container by its name, in the shell and by ``vnf exec``.

The docstring of each command is its help text.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.cli import shell_format
from emulator.errors import UsageError
from emulator.settings import SettingsError, assignments
from emulator.vnf_stats import VnfStats

if TYPE_CHECKING:
    from emulator.node import Node
    from emulator.plan.model import NodePlan
    from emulator.runtime.usage import ContainerStats


@dataclass(frozen=True)
class VnfCommand:
    """A command for a VNF.

    Attributes:
        name: the word after the node's name.
        usage: the words after that, as shown to the user.
        run: carries it out; takes the node and the words after the name, returns what to print.
        for_containers: whether it is also for other nodes, where they are containers.
    """

    name: str
    usage: str
    run: Callable[[Node, Sequence[str]], str]
    for_containers: bool = False

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]

    @property
    def help(self) -> str:
        """What the command does, from the docstring of its function."""
        return inspect.getdoc(self.run) or ""


VNF_COMMANDS: dict[str, VnfCommand] = {}

SHADOWED = (
    "Where a node has such a word, it is not a program; to run one of that name,\n"
    'write "command" before it: fw command stats'
)


def _command(name: str, usage: str = "", *, for_containers: bool = False) -> Callable[[Any], Any]:
    def register(run: Callable[[Node, Sequence[str]], str]) -> Any:
        VNF_COMMANDS[name] = VnfCommand(name, usage, run, for_containers)
        return run

    return register


def is_for_vnf(node: Node, words: Sequence[str]) -> bool:
    """Whether a node's command is one of ours, and not a program."""
    return bool(words) and words[0] in names_for(node.plan)


def names_for(plan: NodePlan) -> list[str]:
    """The names of the commands that a node has."""
    return [
        command.name
        for command in VNF_COMMANDS.values()
        if plan.kind == "vnf" or (command.for_containers and plan.runtime == "docker")
    ]


def run_for_vnf(node: Node, words: Sequence[str]) -> str:
    """Carry out a command for a VNF; returns what to print, which may be nothing.

    Raises:
        UsageError: the words make no sense, or a value is not allowed.
        BuildVnfError: the VNF cannot do it.
    """
    return VNF_COMMANDS[words[0]].run(node, words[1:])


@_command("stats", "[--json]", for_containers=True)
def _stats(node: Node, words: Sequence[str]) -> str:
    """Show what a VNF counts, or a container uses.

    Of a VNF its counters and parameters, its data plane and mode, whether it runs, and where it is
    a process, its number, what it does while it is idle, and its cores. Of a container, and of a
    VNF in one, how much CPU time and memory it uses, and of a host what went through its
    interfaces. With --json as one JSON document.
    """
    if list(words) not in ([], ["--json"]):
        raise _usage(node, "stats", f"{words[0]} means nothing here")
    stats: VnfStats | ContainerStats = node.stats()
    if isinstance(stats, VnfStats):
        return json.dumps(stats.to_json(), indent=2) if words else shell_format.stats_text(stats)
    if words:
        return json.dumps({"node": node.name, **stats.to_json()}, indent=2)
    return shell_format.container_text(node.name, stats)


@_command("set", "NAME=VALUE...")
def _set(node: Node, words: Sequence[str]) -> str:
    """Change a VNF's parameters while it runs.

    For example: fw set allow="udp dport 9999" every=3. All of them change at the same moment, no
    packet is lost, and when one value is wrong nothing changes.
    """
    known = {**(node.plan.vnf.parameters if node.plan.vnf else {}), **node.parameters}
    if not words:
        raise UsageError(
            "no parameter is given",
            where=f"{node.name} set",
            hint=f"now {shell_format.parameters_text(known) or 'it has none'}",
        )
    try:
        changes = assignments(words, known)
    except SettingsError as error:
        raise UsageError(error.message, where=f"{node.name} set", hint=error.hint) from error
    node.set(**changes)
    return ""


@_command("restart", for_containers=True)
def _restart(node: Node, words: Sequence[str]) -> str:
    """Start a VNF or a container anew, dead or alive.

    On the same links, and a VNF with the parameters in force. Its counters begin at zero again, and
    what a container has written is lost, but for its volumes. Only in the terminal that runs the
    lab.
    """
    if words:
        raise _usage(node, "restart", f"{words[0]} means nothing here")
    node.restart()
    return ""


def _usage(node: Node, name: str, message: str) -> UsageError:
    usage = f"{node.name} {name} {VNF_COMMANDS[name].usage}".rstrip()
    return UsageError(message, where=f"{node.name} {name}", hint=f"usage: {usage}")
