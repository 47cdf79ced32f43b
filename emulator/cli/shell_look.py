"""Commands that tell what a lab consists of, and how it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli import shell_format
from emulator.cli.container_format import CONTAINER_COLUMNS, container_cells
from emulator.cli.shell_complete import FILES
from emulator.cli.shell_links import impaired_text
from emulator.cli.shell_registry import LOOK, command, read_words
from emulator.cli.shell_vnf import is_for_vnf, published_ports, run_for_vnf
from emulator.errors import LabError, UsageError
from emulator.names import kind_word
from emulator.wire.words import link_text

if TYPE_CHECKING:
    from emulator.cli.shell import Shell


@command("nodes", group=LOOK)
def _nodes(shell: Shell, text: str) -> None:
    """List the names of all nodes.

    And below them, of those in containers, and of those that have failed.
    """
    read_words("nodes", text, 0)
    shell.print(shell_format.nodes_text(shell.net.plan, list(shell.failures())))


@command("net", group=LOOK)
def _net(shell: Shell, text: str) -> None:
    """Show what is connected to what.

    Each interface of a node, with the one at the other end of its link; below them the links that
    are impaired, and how. An app container has the interfaces of its host.
    """
    read_words("net", text, 0)
    shell.print(shell_format.net_text(shell.net.plan))
    impaired = impaired_text(shell.net.links)
    if impaired:
        shell.print(impaired)


@command("links", group=LOOK)
def _links(shell: Shell, text: str) -> None:
    """List the links and whether their ends are up.

    OK stands for an end that carries packets, DOWN for one that does not. What impairs a link
    stands behind it.
    """
    read_words("links", text, 0)
    up = shell.ends_up()
    shell.print(shell_format.links_text(shell.net.plan, up))


@command("ports", group=LOOK)
def _ports(shell: Shell, text: str) -> None:
    """List the port numbers of switches and VNFs."""
    read_words("ports", text, 0)
    shell.print(shell_format.ports_text(shell.net.plan))


@command("intfs", group=LOOK)
def _intfs(shell: Shell, text: str) -> None:
    """List the interfaces of each node."""
    read_words("intfs", text, 0)
    shell.print(shell_format.interfaces_text(shell.net.plan))


@command("dump", group=LOOK)
def _dump(shell: Shell, text: str) -> None:
    """Show each node: kind, VNF, container, address.

    Of a VNF also its parameters in force and its data plane, of a container its image, and of both
    whether they have failed. Below them the links that are impaired, and how.
    """
    read_words("dump", text, 0)
    net = shell.net
    parameters = {node.name: node.parameters for node in net.nodes if node.kind == "vnf"}
    shell.print(shell_format.dump_text(net.plan, parameters, shell.failures()))
    for link in net.links:
        if link.mechanism != "none":
            shell.print(f"<Link {link.id}: {link_text(link)}>")


@command("counters", "[VNF...]", "vnf...", group=LOOK)
def _counters(shell: Shell, text: str) -> None:
    """Show what went through the ports of VNFs.

    Of all VNFs, or of those named. VNF stats shows everything of one.
    """
    names = read_words("counters", text, *range(100))
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


@command("containers", group=LOOK)
def _containers(shell: Shell, text: str) -> None:
    """Show each container and what it uses.

    Its image, whether it runs, its CPU time, memory and processes with their limits, and its
    published ports. The use of the CPUs is that of the same quarter of a second for all. NODE stats
    shows everything of one.
    """
    from emulator.runtime.usage import measure_each, names_of

    read_words("containers", text, 0)
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


@command("vnfs", group=LOOK)
def _vnfs(shell: Shell, text: str) -> None:
    """List the VNFs and how they run: vnfs

    What each is, on which data plane, whether it runs, and its parameters in force.
    """
    read_words("vnfs", text, 0)
    nodes = shell.net.vnfs
    if not nodes:
        shell.print("no VNF in this lab")
        return
    failures = shell.failures()
    rows: list[Sequence[object]] = [("node", "VNF", "data plane", "status", "parameters")]
    for node in nodes:
        assert node.plan.vnf is not None
        status = "failed" if node.name in failures else "running"
        values = {**node.plan.vnf.parameters, **node.parameters}
        parameters = shell_format.parameters_text(values) or "-"
        rows.append((node.name, node.plan.vnf.vnf, node.plan.vnf.dataplane, status, parameters))
    shell.print(shell_format.aligned(rows))


@command("stats", "[NODE...]", "counting...", group=LOOK)
def _stats(shell: Shell, text: str) -> None:
    """Show what VNFs count, and containers use: stats fw

    Of all VNFs and containers, or of those named; the same as NODE stats.
    """
    names = read_words("stats", text, *range(100))
    nodes = [shell.node(name, "stats") for name in names]
    if not names:
        nodes = [each for each in shell.net.nodes if is_for_vnf(each, ["stats"])]
    if not nodes:
        shell.print("no VNF and no container in this lab")
    for number, node in enumerate(nodes):
        if not is_for_vnf(node, ["stats"]):
            what = f"{node.name} is a {kind_word(node.kind)} without a container"
            raise UsageError(what, where="stats", hint="top shows what it sends and receives")
        shell.print(("\n" if number else "") + run_for_vnf(node, ["stats"]))


@command("appcontainers", group=LOOK)
def _appcontainers(shell: Shell, text: str) -> None:
    """List app containers and their hosts: appcontainers

    App containers live in the network namespace of the node that is their host.
    """
    read_words("appcontainers", text, 0)
    apps = shell.net.plan.apps()
    if not apps:
        shell.print("no app container in this lab")
        return
    failures = shell.failures()
    rows: list[Sequence[object]] = [("app container", "host", "image", "status")]
    for app in apps:
        assert app.container is not None
        status = "failed" if app.name in failures else "running"
        rows.append((app.name, app.host, app.container.image, status))
    shell.print(shell_format.aligned(rows))


@command("graph", "[FILE]", FILES, group=LOOK)
def _graph(shell: Shell, text: str) -> None:
    """Draw the lab: graph lab.png

    Nodes, links, what impairs these, and which nodes have failed; in a file that ends in .png,
    .svg or .pdf, and has the name of the topology unless told otherwise. No display is needed.
    """
    words = read_words("graph", text, 0, 1)
    path = Path(words[0] if words else f"{shell.net.plan.name}.png").expanduser()
    shell.net.draw(path)
    shell.print(f"{path}")
