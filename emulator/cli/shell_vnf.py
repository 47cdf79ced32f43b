"""What can be asked of a VNF or a container by its name, in the shell and by ``vnf exec``.

The docstring of each command is its help text.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.cli import shell_format
from emulator.cli.container_format import limits_text, published
from emulator.cli.host_format import limits_text as host_limits_text
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
        for_vnfs: whether it is for VNFs, whatever encloses them.
        for_containers: whether it is for containers, whatever they are.
        for_switches: whether it is for switches, and for nothing else.
        for_control: whether it is for controllers and Open vSwitch bridges too.
        for_all: whether it is for all nodes.
    """

    name: str
    usage: str
    run: Callable[[Node, Sequence[str]], str]
    for_vnfs: bool = True
    for_containers: bool = False
    for_switches: bool = False
    for_control: bool = False
    for_all: bool = False

    @property
    def full_usage(self) -> str:
        """The whole line, with a word for the nodes that it is for in the place of their name."""
        whose = "VNF" if not self.for_containers else "NODE" if self.for_vnfs else "CONTAINER"
        whose = "SWITCH" if self.for_switches else "NODE" if self.for_all else whose
        return f"{whose} {self.name} {self.usage}".rstrip()

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]

    @property
    def help(self) -> str:
        """What the command does, from the docstring of its function."""
        return inspect.getdoc(self.run) or ""


VNF_COMMANDS: dict[str, VnfCommand] = {}

_WHOLE_NUMBERS = ("pids", "pids_limit", "cpu_shares", "cpu_quota", "cpu_period", "nano_cpus")
"""Limits whose values are numbers where a topology has them too."""

SHADOWED = (
    "Where a node has such a word, it is not a program; to run one of that name,\n"
    'write "command" before it: fw command stats'
)


def _command(
    name: str,
    usage: str = "",
    *,
    for_vnfs: bool = True,
    for_containers: bool = False,
    for_switches: bool = False,
    for_control: bool = False,
    for_all: bool = False,
) -> Callable[[Any], Any]:
    def register(run: Callable[[Node, Sequence[str]], str]) -> Any:
        VNF_COMMANDS[name] = VnfCommand(
            name, usage, run, for_vnfs, for_containers, for_switches, for_control, for_all
        )
        return run

    return register


def is_for_vnf(node: Node, words: Sequence[str]) -> bool:
    """Whether a node's command is one of ours, and not a program."""
    return bool(words) and words[0] in names_for(node.plan)


def names_for(plan: NodePlan) -> list[str]:
    """The names of the commands that a node has."""
    from emulator.switches.control import is_controlled

    return [
        command.name
        for command in VNF_COMMANDS.values()
        if command.for_all
        or (command.for_vnfs and plan.kind == "vnf")
        or (command.for_containers and plan.runtime == "docker")
        or (command.for_switches and plan.kind == "switch")
        or (command.for_control and is_controlled(plan))
    ]


def run_for_vnf(node: Node, words: Sequence[str]) -> str:
    """Carry out a command for a VNF or a container; returns what to print, if anything.

    Raises:
        UsageError: the words make no sense, or a value is not allowed.
        BuildVnfError: the node cannot do it.
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


@_command("restart", for_containers=True, for_control=True)
def _restart(node: Node, words: Sequence[str]) -> str:
    """Start a VNF or a container anew, dead or alive.

    On the same links, and a VNF with the parameters in force. Its counters begin at zero again, and
    what a container has written is lost, but for its volumes. A controller is started anew too, and
    with an Open vSwitch bridge all of the lab's. Only in the terminal that runs the lab.
    """
    if words:
        raise _usage(node, "restart", f"{words[0]} means nothing here")
    node.restart()
    return ""


@_command("logs", "[LINES]", for_containers=True, for_control=True)
def _logs(node: Node, words: Sequence[str]) -> str:
    """Show what a container, a VNF or a controller has printed.

    All of it, or only so many of the last lines. vnf logs, in another terminal, can also follow it.
    """
    if len(words) > 1 or (words and not words[0].isdecimal()):
        error = _usage(node, "logs", f"{words[0]!r} is not a number of lines")
        if words[0] in ("-f", "--follow"):
            error.hint = f"in another terminal: vnf logs LAB {node.name} -f"
        raise error
    return node.logs(int(words[0]) if words else None).removesuffix("\n")


@_command("update", "NAME=VALUE...", for_all=True)
def _update(node: Node, words: Sequence[str]) -> str:
    """Change the limits of a node while it runs.

    For example: d1 update cpus=0.5 memory=256m. There are cpus, cpuset, memory and pids, for a
    container cpu_shares and memory_swap too, and for others cpu, a share of all the machine's CPUs;
    none takes a limit away. Only in the terminal that runs the lab.
    """
    if not words:
        container = node.plan.container
        now = host_limits_text(node.plan.limits) if container is None else limits_text(container)
        raise UsageError(
            "no limit is given",
            where=f"{node.name} update",
            hint=f"now {now or 'it has none'}",
        )
    try:
        changes = assignments(words, dict.fromkeys(_WHOLE_NUMBERS, 0))
    except SettingsError as error:
        message = error.message
        raise UsageError(
            message, where=f"{node.name} update", hint="for example: cpus=0.5 memory=256m"
        ) from error
    node.update(**{name: None if text == "none" else text for name, text in changes.items()})
    return ""


@_command("ports", for_vnfs=False, for_containers=True)
def _ports(node: Node, words: Sequence[str]) -> str:
    """Show the published ports of a container.

    Which of its ports programs of the machine reach, and at what address.
    """
    if words:
        raise _usage(node, "ports", f"{words[0]} means nothing here")
    return "\n".join(published_ports(node)) or f"no port of {node.name} is published"


@_command("macs", "[--json]", for_vnfs=False, for_switches=True)
def _macs(node: Node, words: Sequence[str]) -> str:
    """Show which addresses a switch has learnt.

    With the VLAN, the port that each is behind, and how many seconds ago it was heard of last.
    """
    if list(words) not in ([], ["--json"]):
        raise _usage(node, "macs", f"{words[0]} means nothing here")
    found = node.macs()
    if words:
        return json.dumps([asdict(each) for each in found], indent=2)
    rows = [(each.mac, each.vlan, each.port, f"{each.age_s:.1f}") for each in found]
    heads = ("mac", "vlan", "port", "age_s")
    return shell_format.aligned([heads, *rows]) if rows else f"{node.name} knows nobody"


@_command("flush", "[PORT]", for_vnfs=False, for_switches=True)
def _flush(node: Node, words: Sequence[str]) -> str:
    """Have a switch forget what it has learnt.

    All of it, or only the addresses behind one port. What is for somebody whom it does not know
    goes to everybody.
    """
    if len(words) > 1:
        raise _usage(node, "flush", f"{words[1]} means nothing here")
    node.flush_macs(*words)
    return ""


@_command("counters", for_vnfs=False, for_switches=True)
def _counters(node: Node, words: Sequence[str]) -> str:
    """Show what each port of a switch has counted.

    A switch of the kind xdp also tells what became of the frames that came in by a port: flooded,
    steered, and of those that it dropped, why; and moved, those that came from an address which was
    behind another port until then.
    """
    if words:
        raise _usage(node, "counters", f"{words[0]} means nothing here")
    return shell_format.counters_text({node.name: node.counters()}, "switch")


def published_ports(node: Node) -> list[str]:
    """The ports of a node's container that the machine's programs reach, in words."""
    if node.plan.container is None or node.container is None:
        return []
    planned = node.plan.container.ports
    return [
        published(port, address, bound)
        for port, (address, bound, _) in zip(planned, node.container.ports, strict=False)
    ]


def _usage(node: Node, name: str, message: str) -> UsageError:
    usage = f"{node.name} {name} {VNF_COMMANDS[name].usage}".rstrip()
    return UsageError(message, where=f"{node.name} {name}", hint=f"usage: {usage}")
