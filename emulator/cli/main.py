"""The ``vnf`` command: wires the commands together and ends the process the right way.

Nothing heavy is imported here or by the modules imported here: ``vnf --help`` has to be instant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from emulator import __version__
from emulator.cli import (
    bench,
    certify,
    describe,
    doctor,
    graph,
    labs,
    mn,
    report,
    run,
    script,
    top,
    vnfs,
)
from emulator.cli.docker import docker_app
from emulator.cli.image import image_app
from emulator.cli.outcome import (
    EXIT_INTERRUPTED,
    OutcomeGroup,
    Stopped,
    finish_output,
    report_bug,
    report_error,
    say,
    stop_signals,
    supply_streams,
)
from emulator.errors import BuildVnfError

app = typer.Typer(
    name="vnf",
    cls=OutcomeGroup,
    help="Describe a topology, get a live network, measure it honestly.",
    epilog="vnf COMMAND --help explains a command and shows examples.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    # Plain help: the framework's rich formatting alone would take half of the time allowed.
    rich_markup_mode=None,
    invoke_without_command=True,
)

_REST_IS_THE_COMMAND = {"ignore_unknown_options": True, "allow_interspersed_args": False}

for _name, _function, _summary in (
    ("run", run.run, "Start a topology and open a shell on it."),
    ("script", script.script, "Run a Mininet, Containernet or ComNetsEmu script as it is."),
    ("mn", mn.mn, "Do what Mininet's mn does, by its options."),
    ("bench", bench.bench, "Measure latency, throughput and CPU cost."),
    ("report", report.report, "Write the report of a bundle: one HTML page."),
    ("compare", report.compare, "Say what changed between two bundles."),
    ("results", report.results, "List the bundles of a folder."),
    ("replay", report.replay, "Measure what a bundle holds once more."),
    ("certify", certify.certify, "Measure impaired links against what was asked of them."),
    ("plan", describe.plan, "Check a topology and print its plan; needs no root."),
    ("graph", graph.graph, "Draw a topology; needs no root and no display."),
    ("list", describe.list_, "List the VNFs and the built-in topologies."),
    ("show", vnfs.show, "Show a VNF: where it runs, what it takes and counts."),
    ("new", vnfs.new, "Write the folder of a new VNF."),
    ("build", vnfs.build, "Compile VNFs for each of their data planes."),
    ("test", vnfs.run_tests, "Run the cases of VNFs, without a network."),
    ("ps", labs.ps, "List the labs that run on this machine."),
    ("top", top.top, "Show what the nodes of a running lab do, live."),
    ("exec", labs.exec_, "Run a command on a node of a running lab."),
    ("logs", labs.logs, "Show what a container or a VNF has printed."),
    ("attach", labs.attach, "Open a shell on a lab that runs elsewhere."),
    ("clean", labs.clean, "Remove what labs left that did not end well."),
    ("doctor", doctor.doctor, "Say what works on this machine, and how to fix the rest."),
):
    app.command(
        _name,
        # Its options are another program's, of which one may do without its value.
        cls=mn.MnCommand if _name == "mn" else None,
        short_help=_summary,
        context_settings=_REST_IS_THE_COMMAND if _name in ("exec", "script") else None,
    )(_function)

app.add_typer(image_app, name="image")
app.add_typer(docker_app, name="docker")


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of errors, as VNF_DEBUG=1 does.")
    ] = False,
) -> None:
    if debug:
        os.environ["VNF_DEBUG"] = "1"
    if version:
        typer.echo(f"vnf {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of this process; returns the exit code."""
    try:
        with stop_signals():
            code = app(args=arguments, prog_name="vnf", standalone_mode=False)
    except BuildVnfError as error:
        code = report_error(error)
    except typer.TyperException as error:
        say(_sentence(error.format_message()), hint=_usage_hint(error))
        code = error.exit_code
    except Stopped as stop:
        if str(stop):
            say(str(stop))
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        code = EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can turn a bug into a report
        code = report_bug(error)
    output = finish_output()
    return code if isinstance(code, int) and code else output


def main() -> None:
    """The entry point of the ``vnf`` program."""
    supply_streams()
    raise SystemExit(execute())


def _sentence(message: str) -> str:
    """A message of the framework in the form of ours: lower case, no full stop."""
    message = message.strip().rstrip(".").replace(": Value error, ", ": ")
    return message[:1].lower() + message[1:]


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else ""
