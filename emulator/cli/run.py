"""``vnf run``: a topology becomes a live network with a shell."""

from __future__ import annotations

import contextlib
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.cli.options import (
    CommandOption,
    FileArgument,
    Ipv6Option,
    ScheduleOption,
    SetOption,
    TopoOption,
    load_catalog,
    load_target,
    parse_settings,
)
from emulator.cli.output import StepProgress, print_json_line
from emulator.cli.serve import describe_lab, is_interactive, serve_shell

if TYPE_CHECKING:
    from emulator.network import Network


class OnFailure(StrEnum):
    """What a node that does not start does to the lab."""

    stop = "stop"
    keep = "keep"


def run(
    file: FileArgument = None,
    topo: TopoOption = None,
    settings: SetOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            show_default=False,
            help="The id of the lab. [default: the topology's name and four characters]",
        ),
    ] = None,
    schedule: ScheduleOption = None,
    ipv6: Ipv6Option = False,
    on_failure: Annotated[
        OnFailure,
        typer.Option(
            "--on-failure",
            help="Whether a VNF or a container that does not start ends the lab (stop), or is "
            "marked as failed while the others go on (keep).",
        ),
    ] = OnFailure.stop,
    command: CommandOption = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the lab's id and nodes as one line of JSON once it is up."
        ),
    ] = False,
) -> None:
    """Start a topology and open a shell on it; leaving the shell stops the lab.

    With -c, or where stdin is no terminal, commands are taken from there: the lab lives until they
    end, and the exit code is 1 when one of them was not understood.

    \b
    Examples:
      vnf run topologies/chain.py --set dataplane=xdp
      vnf run --topo linear,4
      vnf run topologies/access.py --schedule evening.yaml
      vnf run topologies/chain.py --set runtime=docker --on-failure keep
      vnf run --topo minimal -c pingall -c "h1 ip addr"
      echo "h1 ping -c1 h2" | vnf run --topo minimal
    """
    topology = load_target(file, topo, parse_settings(settings))
    if schedule is not None:
        topology.addSchedule(schedule)
    catalog = load_catalog(file)

    from emulator.network import Network

    with contextlib.ExitStack() as stack:
        with StepProgress() as progress:
            net = stack.enter_context(
                Network(
                    topology,
                    name=name,
                    ipv6=ipv6,
                    catalog=catalog,
                    on_failure=on_failure.value,
                    progress=progress,
                )
            )
        if json:
            print_json_line(_summary(net))
        sys.stderr.write(f"*** Lab {net.id} is up: {describe_lab(net)}\n")
        for note in net.notes:
            sys.stderr.write(f"    {note}\n")
        if is_interactive() and not command:
            sys.stderr.write(
                f"    From another terminal: vnf attach {net.id}, vnf exec {net.id} NODE COMMAND\n"
                "    Type help for the commands; exit or Ctrl-D stops the lab.\n"
            )
        sys.stderr.flush()
        code = serve_shell(net, commands=command)
    if code:
        raise typer.Exit(code)


def _summary(net: Network) -> dict[str, Any]:
    return {
        "id": net.id,
        "topology": net.plan.name,
        "pid": os.getpid(),
        "nodes": [
            {
                "name": node.name,
                "kind": node.kind,
                "runtime": node.plan.runtime,
                "addresses": [intf.ipv4 for intf in node.intfs if intf.ipv4],
                "failure": node.failure,
            }
            for node in net.nodes
        ],
    }
