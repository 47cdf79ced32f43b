"""``vnf ps``, ``exec``, ``attach`` and ``clean``: labs that run, or ran, in other terminals."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.cli.options import CommandOption, JsonOption, LabArgument, complete_node
from emulator.cli.outcome import interrupts_go_to, report_error, stops_held
from emulator.cli.output import format_age, print_json, print_table
from emulator.cli.serve import describe_lab, is_interactive, serve_shell
from emulator.cli.shell_vnf import is_for_vnf, run_for_vnf
from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from emulator.labs import LabRecord
    from emulator.node import Node

_STATUS_OF: dict[type[BaseException | None], int] = {FileNotFoundError: 127, PermissionError: 126}
"""Why a program could not be started -> the exit status by which shells tell it."""


def ps(json: JsonOption = False) -> None:
    """List the labs that run on this machine, and what has failed in them: nodes, or the wires.

    \b
    Examples:
      vnf ps
      vnf ps --json
    """
    from emulator.kernel.netns import ensure_root
    from emulator.labs import list_labs

    ensure_root("listing the labs")
    labs = list_labs()
    failed = {lab.id: _failed(lab) for lab in labs}
    any_failed = any(failed.values())
    if json:
        print_json([_facts(lab) for lab in labs])
    elif labs:
        print_table(
            (
                *("lab", "topology", "nodes", "containers", "pid", "age"),
                *(("failed",) if any_failed else ()),
            ),
            [
                (
                    lab.id,
                    lab.name,
                    len(lab.node_names),
                    len(lab.containers),
                    lab.pid,
                    format_age(_age_s(lab)),
                    *((" ".join(failed[lab.id]) or None,) if any_failed else ()),
                )
                for lab in labs
            ],
            right=("nodes", "containers", "pid"),
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

    The exit code is that of the command: 127 when there is no such program, 126 when it cannot be
    run. Without a command, bash starts there, in a container too. Words such as stats, logs and
    set are what they are in the lab's shell: see its help.

    \b
    Examples:
      vnf exec chain client ip addr
      vnf exec chain client
      vnf exec chain vnf1 stats --json
      vnf exec chain vnf1 set every=3
      vnf exec chain-3f2a client sh -c 'ping -c1 10.0.0.2 | tail -1'
    """
    from emulator.kernel.netns import ensure_root
    from emulator.network import Network

    ensure_root("reaching a running lab")
    words = command or []
    # Options of the command need no -- before it, but who writes one means the same.
    if words[:1] == ["--"]:
        words = words[1:]
    with Network.attach(lab) as net:
        chosen = net[node]
        for each in net.nodes:
            failure = each.failure
            if failure is not None:
                sys.stderr.write(f"*** {each.name} failed: {failure}\n")
        sys.stderr.flush()
        if is_for_vnf(chosen, words):
            answer = run_for_vnf(chosen, words)
            code = 0
            if answer:
                print(answer)
        else:
            code = _run_on(chosen, words or _shell_of(chosen))
    if code:
        raise typer.Exit(code)


def logs(
    lab: LabArgument,
    node: Annotated[
        str,
        typer.Argument(metavar="NODE", autocompletion=complete_node, help="A container, or a VNF."),
    ],
    lines: Annotated[
        int | None,
        typer.Option(
            "-n", "--lines", metavar="N", min=0, show_default=False, help="Only the last N lines."
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with what it prints, until Ctrl-C."),
    ] = False,
) -> None:
    """Show what the program of a container, or a VNF, has printed, both streams together.

    Following goes on when the node is restarted, and ends with the lab.

    \b
    Examples:
      vnf logs chain vnf1
      vnf logs chain-3f2a web -f -n 10
    """
    from emulator.kernel.netns import ensure_root
    from emulator.network import Network
    from emulator.runtime.following import follow as pieces_of

    ensure_root("reaching a running lab")
    with Network.attach(lab) as net:
        chosen = net[node]
        if not follow:
            sys.stdout.write(chosen.logs(lines))
            return
        find = functools.partial(_log_of, chosen)
        find()
        # The lab's end is the end of the log, and no mistake.
        with contextlib.suppress(LabError):
            for piece in pieces_of(find, lines=lines):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()


def attach(lab: LabArgument, command: CommandOption = None) -> None:
    """Open a shell on a lab that runs in another terminal; leaving it leaves the lab running.

    \b
    Examples:
      vnf attach chain-3f2a
      vnf attach chain -c pingall -c links
    """
    from emulator.kernel.netns import ensure_root
    from emulator.network import Network

    ensure_root("reaching a running lab")
    with Network.attach(lab) as net:
        sys.stderr.write(f"*** Attached to lab {net.id}: {describe_lab(net)}\n")
        if is_interactive() and not command:
            sys.stderr.write("    Type help for the commands; exit or Ctrl-D leaves it running.\n")
        sys.stderr.flush()
        check = functools.partial(_check_running, net.id)
        code = serve_shell(net, check, commands=command)
    if code:
        raise typer.Exit(code)


def clean(json: JsonOption = False) -> None:
    """Remove what labs left behind that did not end well; labs that run are never touched.

    \b
    Examples:
      vnf clean
    """
    from emulator.kernel.netns import ensure_root
    from emulator.labs import clean as clean_folders
    from emulator.runtime.containers import clean as clean_containers

    ensure_root("cleaning up after labs")
    reaped = sorted({*clean_folders(), *clean_containers()})
    if json:
        print_json({"removed": reaped})
    else:
        for lab in reaped:
            print(f"removed what lab {lab} left behind")
        if not reaped:
            print("nothing to clean")


def _log_of(node: Node) -> Path:
    return node.log


def _shell_of(node: Node) -> list[str]:
    """The bash that is there: the node's own, or ours where its image has none."""
    if node.container is None:
        return ["bash"]
    return [node.container.bash, "-c", 'exec "$(type -P bash || echo "$BASH")"']


def _run_on(node: Node, command: list[str]) -> int:
    """Run a program on a node with our input and output; its exit code as a shell would tell it."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if node.kind != "switch" and all(stream.isatty() for stream in streams):
        return node.interact(shlex.join(command))
    process: subprocess.Popen[Any] | None = None
    # A process of ours in the terminal's session gets Ctrl-C from there when only its output is
    # piped. One in a container is in no session of ours, and is told by us.
    enclosed = node.container is not None

    def interrupt(signum: int) -> None:
        if enclosed and process is not None:
            _signal_group(process, signum)

    try:
        with stops_held():
            process = node.popen(command, start_new_session=enclosed)
        with interrupts_go_to(interrupt):
            code = process.wait()
    except KeyboardInterrupt:
        if process is not None:
            if enclosed:
                _signal_group(process, signal.SIGTERM)
            else:
                process.terminate()
            process.wait()
        raise
    except UsageError as error:
        status = _STATUS_OF.get(type(error.__cause__))
        if status is None:
            raise
        report_error(error)
        return status
    return code if code >= 0 else 128 - code


def _signal_group(process: subprocess.Popen[Any], signum: int) -> None:
    """Signal a process that leads a group, with all of those."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)


def _check_running(lab: str) -> None:
    from emulator.labs import list_labs

    if all(record.id != lab for record in list_labs()):
        raise LabError("the lab has ended", where=lab)


def _failed(lab: LabRecord) -> list[str]:
    return [*lab.failed_nodes, *(["wires"] if lab.wires_failed else [])]


def _age_s(lab: LabRecord) -> float:
    return time.time() - lab.started_at


def _facts(lab: LabRecord) -> dict[str, object]:
    return {
        "id": lab.id,
        "topology": lab.name,
        "nodes": lab.node_names,
        "containers": [name for name in lab.node_names if name in lab.containers],
        "pid": lab.pid,
        "started_at": lab.started_at,
        "age_s": round(_age_s(lab), 3),
        "failed": _failed(lab),
    }
