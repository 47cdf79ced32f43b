"""The commands of the shell. The docstring of each is its help text."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli import shell_format
from emulator.cli.container_format import CONTAINER_COLUMNS, container_cells
from emulator.cli.shell_complete import FILES, LINE
from emulator.cli.shell_links import (
    LINK_WORDS,
    impaired_text,
    link_settings,
    schedules_text,
    wires_table,
)
from emulator.cli.shell_vnf import SHADOWED, VNF_COMMANDS, published_ports
from emulator.errors import LabError, UsageError
from emulator.names import suggestion
from emulator.wire.words import link_text

if TYPE_CHECKING:
    from emulator.cli.shell import Shell


@dataclass(frozen=True)
class Command:
    """A command of the shell.

    Attributes:
        name: its first word.
        usage: the words after the name, as shown to the user.
        run: carries it out; takes the shell and the text after the name.
        arguments: the kind of each argument, for completion.
    """

    name: str
    usage: str
    run: Callable[[Shell, str], None]
    arguments: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]

    @property
    def help(self) -> str:
        """What the command does, from the docstring of its function."""
        import inspect

        return inspect.getdoc(self.run) or ""


COMMANDS: dict[str, Command] = {}

_PING_HEADER = "*** Ping: testing ping reachability"


def _command(
    name: str, usage: str = "", *arguments: str
) -> Callable[[Callable[[Shell, str], None]], Callable[[Shell, str], None]]:
    def register(run: Callable[[Shell, str], None]) -> Callable[[Shell, str], None]:
        COMMANDS[name] = Command(name, usage, run, arguments)
        return run

    return register


def _words(name: str, text: str, *counts: int) -> list[str]:
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
            f"{len(words)} arguments given" if words else "arguments are missing",
            where=name,
            hint=f"usage: {name} {COMMANDS[name].usage}".rstrip(),
        )
    return words


@_command("help", "[COMMAND]", "command")
def _help(shell: Shell, text: str) -> None:
    """List the commands, or explain one."""
    words = _words("help", text, 0, 1)
    if words:
        shell.print(_explained(shell, words[0]))
        return
    rows = [(f"{command.name} {command.usage}", command.summary) for command in COMMANDS.values()]
    rows.append(("NODE COMMAND...", "Run a command on a node: h1 ping -c1 h2"))
    rows += [(each.full_usage, each.summary) for each in VNF_COMMANDS.values()]
    shell.print(shell_format.aligned(rows))
    shell.print(
        "\nNames of nodes in a node's command stand for their addresses. Ctrl-C stops"
        "\nthe command that runs, not the lab; exit or Ctrl-D leaves."
    )


def _explained(shell: Shell, name: str) -> str:
    command = COMMANDS.get(name)
    if command is not None:
        usage, text = f"{name} {command.usage}".rstrip(), command.help
    elif name in VNF_COMMANDS:
        usage = VNF_COMMANDS[name].full_usage
        text = f"{VNF_COMMANDS[name].help}\n\n{SHADOWED}"
    else:
        raise UsageError(f"no command {name!r}", where="help", hint=shell.suggest(name))
    return "\n".join([usage, *(f"  {line}".rstrip() for line in text.split("\n"))])


@_command("nodes")
def _nodes(shell: Shell, text: str) -> None:
    """List the names of all nodes.

    And below them, of those in containers, and of those that have failed.
    """
    _words("nodes", text, 0)
    shell.print(shell_format.nodes_text(shell.net.plan, list(shell.failures())))


@_command("net")
def _net(shell: Shell, text: str) -> None:
    """Show what is connected to what.

    Each interface of a node, with the one at the other end of its link; below them the links that
    are impaired, and how. An app container has the interfaces of its host.
    """
    _words("net", text, 0)
    shell.print(shell_format.net_text(shell.net.plan))
    impaired = impaired_text(shell.net.links)
    if impaired:
        shell.print(impaired)


@_command("links")
def _links(shell: Shell, text: str) -> None:
    """List the links and whether their ends are up.

    OK stands for an end that carries packets, DOWN for one that does not. What impairs a link
    stands behind it.
    """
    _words("links", text, 0)
    up = shell.ends_up()
    shell.print(shell_format.links_text(shell.net.plan, up))


@_command("ports")
def _ports(shell: Shell, text: str) -> None:
    """List the port numbers of switches and VNFs."""
    _words("ports", text, 0)
    shell.print(shell_format.ports_text(shell.net.plan))


@_command("intfs")
def _intfs(shell: Shell, text: str) -> None:
    """List the interfaces of each node."""
    _words("intfs", text, 0)
    shell.print(shell_format.interfaces_text(shell.net.plan))


@_command("dump")
def _dump(shell: Shell, text: str) -> None:
    """Show each node: kind, VNF, container, address.

    Of a VNF also its parameters in force and its data plane, of a container its image, and of both
    whether they have failed. Below them the links that are impaired, and how.
    """
    _words("dump", text, 0)
    net = shell.net
    parameters = {node.name: node.parameters for node in net.nodes if node.kind == "vnf"}
    shell.print(shell_format.dump_text(net.plan, parameters, shell.failures()))
    for link in net.links:
        if link.mechanism != "none":
            shell.print(f"<Link {link.id}: {link_text(link)}>")


@_command("counters", "[VNF...]", "vnf...")
def _counters(shell: Shell, text: str) -> None:
    """Show what went through the ports of VNFs.

    Of all VNFs, or of those named. VNF stats shows everything of one.
    """
    names = _words("counters", text, *range(100))
    if not names:
        names = [node.name for node in shell.net.plan.vnfs()]
    if not names:
        shell.print("no VNF in this lab")
        return
    counters = {}
    for name in names:
        node = shell.node(name, "counters")
        if node.kind != "vnf":
            raise UsageError(f"{name} is a {node.kind}, not a VNF", where="counters")
        counters[name] = node.vnf_stats().ports
    shell.print(shell_format.counters_text(counters))
    failed = [name for name in shell.failures() if name in names]
    if failed:
        shell.print(f"failed: {' '.join(failed)}")


@_command("containers")
def _containers(shell: Shell, text: str) -> None:
    """Show each container and what it uses.

    Its image, whether it runs, its CPU time, memory and processes with their limits, and its
    published ports. The use of the CPUs is that of the same quarter of a second for all. NODE stats
    shows everything of one.
    """
    from emulator.runtime.usage import measure_each, names_of

    _words("containers", text, 0)
    failures = shell.failures()
    nodes = [node for node in shell.net.nodes if node.plan.container is not None]
    places = {}
    for node in nodes:
        if node.container is not None and node.container.alive:
            with suppress(LabError):  # it ends just now
                places[node.name] = (node.container.cgroup, node.netns, names_of(node.plan))
    stats = measure_each(places) if places else {}
    if not nodes:
        shell.print("no container in this lab")
        return
    rows: list[Sequence[object]] = [CONTAINER_COLUMNS]
    for node in nodes:
        assert node.plan.container is not None
        if node.name in failures:
            status = "failed"
        elif node.container is not None and node.container.program_status == 0:
            status = "program ended"
        else:
            status = "running"
        image = node.plan.container.image
        usage = stats.get(node.name)
        rows.append(container_cells(node.name, image, status, usage, published_ports(node)))
    shell.print(shell_format.aligned(rows))


@_command("pingall", "[TIMEOUT]")
def _pingall(shell: Shell, text: str) -> None:
    """Ping from every host to every other.

    TIMEOUT is how many seconds to wait for an answer, 1 by default.
    """
    words = _words("pingall", text, 0, 1)
    timeout_s = _positive(words[0], "pingall") if words else 1.0
    shell.print(_PING_HEADER)
    shell.flush()
    shell.print(shell_format.ping_text(shell.net.ping(timeout_s=timeout_s)))


@_command("pingpair")
def _pingpair(shell: Shell, text: str) -> None:
    """Ping between the first two hosts, both ways."""
    _words("pingpair", text, 0)
    hosts = shell.hosts("pingpair")[:2]
    shell.print(_PING_HEADER)
    shell.flush()
    shell.print(shell_format.ping_text(shell.net.ping(hosts)))


@_command("iperf", "[NODE1 NODE2 [SECONDS]]", "host", "host")
def _iperf(shell: Shell, text: str) -> None:
    """Measure TCP throughput between two hosts.

    With iperf3; between the first and the last host and for 5 seconds unless told otherwise. The
    results are the rates at the receiver and at the sender.
    """
    words = _words("iperf", text, 0, 2, 3)
    seconds = _whole(words[2], "iperf") if len(words) == 3 else 5
    if words:
        ends = [shell.node(name, "iperf") for name in words[:2]]
    else:
        hosts = shell.hosts("iperf")
        ends = [hosts[0], hosts[-1]]
    shell.print(f"*** Iperf: testing TCP bandwidth between {ends[0].name} and {ends[1].name}")
    shell.flush()
    shell.print(shell_format.iperf_text(shell.net.iperf(ends, seconds=seconds)))


@_command("link", "NODE NODE up|down|show|set", "node", "neighbour", "link", "setting...")
def _link(shell: Shell, text: str) -> None:
    """Take a link down or up, show or change it.

    link h1 s1 show prints what happens to frames in each direction, by what mechanism, and what
    became of them. link h1 s1 set delay=20ms loss=1% changes what is named, while frames pass, and
    keeps the rest; up.loss=1% and down.loss=1% are for one direction, delay=none takes the delay
    away. All links between the two nodes, where there are several.
    """
    words = _words("link", text, *range(3, 100))
    first, second, what = words[:3]
    if what not in LINK_WORDS:
        hint = suggestion(what, LINK_WORDS) or f"one of {', '.join(LINK_WORDS)}"
        text = f"a link goes up or down, or is shown or set, not {what!r}"
        raise UsageError(text, where="link", hint=hint)
    if (what == "set") != (len(words) > 3):
        hint = "for example: link h1 s1 set delay=20ms loss=1%"
        text = "no setting is given" if what == "set" else f"{words[3]} means nothing here"
        raise UsageError(text, where="link", hint=hint)
    for name in (first, second):
        shell.node(name, "link")
    if what in ("up", "down"):
        shell.net.configLinkStatus(first, second, what)
        return
    links = shell.net.linksBetween(first, second)
    if what == "show":
        shell.print("\n\n".join(link.show() for link in links))
        return
    plain = [link for link in links if link.mechanism == "none"]
    shell.net.setLinks(links, **link_settings(words[3:]))
    for link in plain:
        shell.print(f"{link.id} was made anew, as a wire")


@_command("wires", "[restart]", "wires")
def _wires(shell: Shell, text: str) -> None:
    """List impaired links, or start them anew.

    With what became of their frames. wires restart starts what impairs them anew, after it has
    died; what was under way is lost.
    """
    words = _words("wires", text, 0, 1)
    if words and words[0] != "restart":
        hint = "usage: wires [restart]"
        raise UsageError(f"{words[0]} means nothing here", where="wires", hint=hint)
    if words:
        shell.net.restart_wires()
        return
    links = [shell.net.link(link.id) for link in shell.net.links if link.mechanism != "none"]
    if not links:
        shell.print("no link of this lab is impaired")
        return
    counters, failures = {}, {}
    for link in links:
        try:
            counters[link.id] = link.counters()
        except LabError as error:
            failures[error.message] = link.id
    shell.print(wires_table([link.plan for link in links], counters))
    for failure in failures:
        shell.print(f"no counters: {failure}")


@_command("schedules")
def _schedules(shell: Shell, text: str) -> None:
    """Tell how far the schedules of links are.

    Those of the topology, and those begun by vnf run --schedule or net.run_schedule.
    """
    _words("schedules", text, 0)
    shell.print(schedules_text(shell.net.schedules))


@_command("time", "COMMAND", LINE)
def _time(shell: Shell, text: str) -> None:
    """Run any line of this shell and time it."""
    if not text:
        raise UsageError("a command is missing", where="time", hint="for example: time pingall")
    started_s = time.monotonic()
    shell.dispatch(text)
    shell.print(f"*** Elapsed time: {time.monotonic() - started_s:.6f} secs")


@_command("sh", "COMMAND")
def _sh(shell: Shell, text: str) -> None:
    """Run a shell command on this machine.

    Outside the lab, with the rights of this shell.
    """
    if not text:
        raise UsageError("a command is missing", where="sh", hint="for example: sh ls")
    shell.host_command(text)


@_command("py", "EXPRESSION")
def _py(shell: Shell, text: str) -> None:
    """Evaluate a Python expression: py h1.IP()

    net is the network, and the nodes are names of their own.
    """
    shell.evaluate(text, "eval")


@_command("px", "STATEMENT")
def _px(shell: Shell, text: str) -> None:
    """Execute a Python statement: px gw = h1.IP()

    net is the network, and the nodes are names of their own. What it defines stays for later.
    """
    shell.evaluate(text, "exec")


@_command("source", "FILE", FILES)
def _source(shell: Shell, text: str) -> None:
    """Read commands from a file, one per line."""
    (name,) = _words("source", text, 1)
    shell.source(Path(name))


@_command("exit")
def _exit(shell: Shell, text: str) -> None:
    """Leave the shell.

    The lab stops, unless it runs in another terminal.
    """
    shell.finished = True


@_command("quit")
def _quit(shell: Shell, text: str) -> None:
    """Leave the shell, as exit does."""
    shell.finished = True


@_command("EOF")
def _eof(shell: Shell, text: str) -> None:
    """Leave the shell, as Ctrl-D does."""
    shell.finished = True


def argument_kinds() -> dict[str, tuple[str, ...]]:
    """The kinds of the arguments of every command, as completion wants them."""
    return {command.name: command.arguments for command in COMMANDS.values()}


def _positive(word: str, name: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise UsageError(f"{word!r} is not a number of seconds above 0", where=name)
    return value


def _whole(word: str, name: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise UsageError(f"{word!r} is not a whole number of seconds above 0", where=name)
    return int(word)
