"""``vnf ps``, ``exec``, ``attach`` and ``clean``: labs that run, or ran, in other terminals."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.cli.options import JsonOption, LabArgument, complete_node
from emulator.cli.output import format_age, print_json, print_table
from emulator.cli.serve import describe_lab, is_interactive, serve_shell
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.labs import LabRecord


def ps(json: JsonOption = False) -> None:
    """List the labs that run on this machine.

    \b
    Examples:
      vnf ps
      vnf ps --json
    """
    from emulator.labs import list_labs

    labs = list_labs()
    if json:
        print_json([_facts(lab) for lab in labs])
    elif labs:
        print_table(
            ("lab", "topology", "nodes", "pid", "age"),
            [(lab.id, lab.name, len(lab.nodes), lab.pid, format_age(_age_s(lab))) for lab in labs],
            right=("nodes", "pid"),
        )
    else:
        sys.stderr.write("no lab is running; start one with vnf run\n")


def exec_(
    lab: LabArgument,
    node: Annotated[
        str,
        typer.Argument(
            metavar="NODE", autocompletion=complete_node, help="The node to run the command on."
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", show_default=False, help="The program and its arguments; or bash."
        ),
    ] = None,
) -> None:
    """Run a command on a node of a running lab, with this terminal's input and output.

    The exit code is that of the command. Without a command, bash starts there.

    \b
    Examples:
      vnf exec chain client ip addr
      vnf exec chain-3f2a client sh -c 'ping -c1 10.0.0.2 | tail -1'
    """
    from emulator.network import Network

    from emulator.cli.shell import interrupts_left_to_child

    found = find_lab(lab)
    with Network.attach(found.id) as net, interrupts_left_to_child():
        process = net[node].popen(command or ["bash"])
        code = process.wait()
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)


def attach(lab: LabArgument) -> None:
    """Open a shell on a lab that runs in another terminal; leaving it leaves the lab running.

    \b
    Examples:
      vnf attach chain-3f2a
      echo pingall | vnf attach chain
    """
    from emulator.network import Network

    found = find_lab(lab)
    with Network.attach(found.id) as net:
        sys.stderr.write(f"*** Attached to lab {net.id}: {describe_lab(net)}\n")
        if is_interactive():
            sys.stderr.write("    Type help for the commands; exit or Ctrl-D leaves it running.\n")
        sys.stderr.flush()
        code = serve_shell(net)
    if code:
        raise typer.Exit(code)


def clean(json: JsonOption = False) -> None:
    """Remove what labs left behind that did not end well; labs that run are never touched.

    \b
    Examples:
      vnf clean
    """
    from emulator.labs import clean as reap

    reaped = reap()
    if json:
        print_json(reaped)
    elif reaped:
        for what in reaped:
            print(f"removed {what}")
    else:
        print("nothing to clean")


def find_lab(text: str) -> LabRecord:
    """The running lab with that id, or the only one whose id begins so.

    Raises:
        UsageError: none does, or several do.
    """
    from emulator.labs import list_labs

    labs = list_labs()
    exact = [lab for lab in labs if lab.id == text]
    found = exact or [lab for lab in labs if lab.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{len(found)} running labs begin with {text!r}",
            hint="write more of the id: " + ", ".join(lab.id for lab in found),
        )
    running = ", ".join(lab.id for lab in labs)
    raise UsageError(
        f"no running lab is called {text!r}",
        hint=f"running: {running}" if running else "no lab is running; start one with vnf run",
    )


def _age_s(lab: LabRecord) -> float:
    return time.time() - lab.started_at


def _facts(lab: LabRecord) -> dict[str, object]:
    return {
        "id": lab.id,
        "topology": lab.name,
        "nodes": list(lab.nodes),
        "pid": lab.pid,
        "started_at": lab.started_at,
        "age_s": round(_age_s(lab), 3),
    }
