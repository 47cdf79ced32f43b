"""Serving a shell on a running lab, to a person at a terminal or to a script in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.network import Network


def serve_shell(
    net: Network,
    check: Callable[[], None] | None = None,
    *,
    commands: Sequence[str] | None = None,
) -> int:
    """Read lines from stdin and carry them out until they end; returns the exit code.

    Args:
        net: the running network.
        check: called before each line; what it raises ends the shell.
        commands: lines to carry out instead of those from stdin, as a script's.
    """
    from emulator.cli.shell import Shell
    from emulator.cli.shell_prompt import read_prompt, read_script
    from emulator.warned import tell_by

    interactive = is_interactive() and not commands
    shell = Shell(net, interactive=interactive)
    tell_by(shell.tell)
    given = [line for text in commands or () for line in text.splitlines()]

    def lines() -> Iterator[str]:
        for line in given or (read_prompt(shell) if interactive else read_script()):
            if check is not None:
                check()
            yield line

    return shell.run(lines())


def is_interactive() -> bool:
    """Whether a person types: stdin and stdout are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _count(number: int, noun: str) -> str:
    """``1 host``, ``2 hosts``, ``3 switches``."""
    if number != 1:
        noun += "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}"


def describe_lab(net: Network) -> str:
    """What a lab consists of: ``2 hosts, 1 VNF, 2 links``, and ``3 nodes in containers``."""
    plan = net.plan
    parts = [
        (len(plan.hosts()), "host"),
        (len(plan.switches()), "switch"),
        (len(plan.routers()), "router"),
        (len(plan.vnfs()), "VNF"),
        (sum(node.kind == "app" for node in plan.nodes), "app container"),
    ]
    words = [_count(number, noun) for number, noun in parts if number]
    links = _count(len(plan.links), "link")
    impaired = sum(link.mechanism != "none" for link in plan.links)
    words.append(f"{links} ({impaired} impaired)" if impaired else links)
    enclosed = sum(node.container is not None for node in plan.nodes)
    if enclosed:
        words.append(
            f"{_count(enclosed, 'node')} in {'a container' if enclosed == 1 else 'containers'}"
        )
    return ", ".join(words)
