"""What the shell offers for the word under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emulator.cli.shell_chains import chain_options
from emulator.cli.shell_links import LINK_WORDS, setting_words
from emulator.cli.shell_vnf import VNF_COMMANDS, names_for
from emulator.names import natural
from emulator.runtime.limits import CHANGEABLE

if TYPE_CHECKING:
    from emulator.plan.model import Plan

LINE = "line"
"""The kind of an argument that is itself a whole line of the shell, as that of ``time``."""
FILES = "file"
"""The kind of an argument that is the path of a file; completed by the caller."""


def candidates(
    text: str, plan: Plan, commands: Mapping[str, tuple[str, ...]]
) -> tuple[str, list[str]]:
    """The words that could stand where the cursor is.

    Args:
        text: the line up to the cursor.
        plan: the plan of the lab, for the names in it.
        commands: for each command of the shell, the kinds of its arguments; the last kind
            stands for all further ones when it ends in ``...``.

    Returns:
        The beginning of the word under the cursor, and the words that continue it.
    """
    words = text.split()
    word = "" if not words or text[-1:].isspace() else words.pop()
    return word, [option for option in _options(words, plan, commands) if option.startswith(word)]


def argument_kind(text: str, commands: Mapping[str, tuple[str, ...]]) -> str:
    """The kind of the argument under the cursor; empty where the line has no place for one."""
    words = text.split()
    if words and not text[-1:].isspace():
        words.pop()
    while words and commands.get(words[0], ())[:1] == (LINE,):
        words = words[1:]
    return _kind(commands[words[0]], len(words) - 1) if words and words[0] in commands else ""


def _options(
    words: Sequence[str], plan: Plan, commands: Mapping[str, tuple[str, ...]]
) -> list[str]:
    nodes = [node.name for node in plan.nodes]
    if not words:
        return [*sorted(commands), *(name for name in nodes if name not in commands)]
    if words[0] not in commands:
        return _node_command_options(words, nodes, plan) if words[0] in nodes else []
    kinds = commands[words[0]]
    if kinds[:1] == (LINE,):
        return _options(words[1:], plan, commands)
    kind = _kind(kinds, len(words) - 1)
    named: dict[str, Callable[[], Iterable[str]]] = {
        "command": lambda: sorted({*commands, *VNF_COMMANDS}),
        "node": lambda: nodes,
        "host": lambda: [node.name for node in (*plan.hosts(),)],
        "vnf": lambda: [node.name for node in plan.vnfs()],
        "neighbour": lambda: _neighbours(words[1], plan),
        "link": lambda: LINK_WORDS,
        "setting": lambda: setting_words() if words[3:4] == ["set"] else (),
        "wires": lambda: ("restart",),
        "switch": lambda: [node.name for node in plan.switches()],
        "service": lambda: ("start", "stop"),
        "parameter": lambda: _parameters(words[1], words[2:], plan),
        "counting": lambda: [node.name for node in plan.nodes if "stats" in names_for(node)],
        "top": lambda: ("once",),
        "pair": lambda: [
            f"{link.a.node}-{link.b.node}" for link in plan.links if link.mechanism != "none"
        ],
        "measurement": _measurements,
        "chain": lambda: chain_options("chain", words, plan),
        "chained": lambda: chain_options("chained", words, plan),
        "chaining": lambda: chain_options("chaining", words, plan),
        "port": lambda: ["stop", *nodes, *_interfaces(plan)],
    }
    return list(named[kind]()) if kind in named else []


def _kind(kinds: tuple[str, ...], index: int) -> str:
    if index < len(kinds):
        return kinds[index].removesuffix("...")
    if kinds and kinds[-1].endswith("..."):
        return kinds[-1].removesuffix("...")
    return ""


def _neighbours(name: str, plan: Plan) -> list[str]:
    found = set()
    for link in plan.links:
        ends = (link.a.node, link.b.node)
        if name in ends:
            found.add(ends[1] if ends[0] == name else ends[0])
    return sorted(found, key=natural)


def _node_command_options(words: Sequence[str], nodes: list[str], plan: Plan) -> list[str]:
    node = plan.node(words[0])
    common = [*nodes, *(interface.name for interface in node.interfaces)]
    ours = names_for(node)
    if len(words) == 1:
        return [*ours, *common]
    if words[1] not in ours:
        return common
    if words[1] in ("stats", "macs"):
        return ["--json"] if len(words) == 2 else []
    if words[1] == "flush":
        return [interface.name for interface in node.interfaces] if len(words) == 2 else []
    if words[1] == "update":
        named = {word.partition("=")[0] for word in words[2:]}
        limits = HOST_LIMITS if node.container is None else CHANGEABLE
        return [f"{name}=" for name in limits if name not in named]
    return _parameters(node.name, words[2:], plan) if words[1] == "set" else []


HOST_LIMITS = ("cpu", "cpus", "cpuset", "memory", "pids")
"""What a node without a container can be limited by."""


def _measurements() -> Sequence[str]:
    from emulator.experiment.spec import MEASUREMENTS

    return (*MEASUREMENTS, "--from", "--to", "--rate", "--size", "--duration", "--help")


def _interfaces(plan: Plan) -> list[str]:
    return [each.name for node in plan.nodes for each in node.interfaces]


def _parameters(name: str, words: Sequence[str], plan: Plan) -> list[str]:
    """The beginnings of settings of a VNF's parameters that are not given yet."""
    vnf = next((node.vnf for node in plan.nodes if node.name == name), None)
    given = {word.partition("=")[0] for word in words}
    return [
        option
        for parameter, value in ({} if vnf is None else vnf.parameters).items()
        if parameter not in given
        for option in _assignable(parameter, value)
    ]


def _assignable(name: str, value: object) -> list[str]:
    return [f"{name}=true", f"{name}=false"] if isinstance(value, bool) else [f"{name}="]
