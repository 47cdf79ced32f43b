"""The commands of ``vnf`` in the framework that reads their options and prints their help.

Nothing heavy is imported here or by the modules imported here: ``vnf --help`` has to be instant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import CompletionItem, TyperCommand, TyperGroup  # type: ignore[attr-defined]

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
from emulator.cli.outcome import reasons_kept, say

_ASKED = "emulator.cli.mn"
"""Where the context of ``mn`` has its options."""


class OutcomeGroup(TyperGroup):
    """A command group that keeps the reason for a stop, which the framework would reduce to a
    bare exit code."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with reasons_kept():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with reasons_kept():
            return super().invoke(ctx)


class MnCommand(TyperCommand):
    """The command ``mn``, whose options :mod:`emulator.cli.mn` reads and explains."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_ASKED] = mn.read(args)
        return []

    def get_help(self, ctx: Any) -> str:
        return mn.parser().format_help().rstrip()

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=said)
            for name, said in mn.HELP.items()
            if name.startswith(incomplete or "-")
        ]


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


def _mn(context: typer.Context) -> None:
    code = mn.mn(context.meta[_ASKED])
    if code:
        raise typer.Exit(code)


_REST_IS_THE_COMMAND = {"ignore_unknown_options": True, "allow_interspersed_args": False}

for _name, _function, _summary in (
    ("run", run.run, "Start a topology and open a shell on it."),
    ("script", script.script, "Run a Mininet, Containernet or ComNetsEmu script as it is."),
    ("mn", _mn, "Do what Mininet's mn does, by its options."),
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
        cls=MnCommand if _name == "mn" else None,
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


def carry_out(words: Sequence[str]) -> int:
    """Carries out the command that words ask for; returns the exit code.

    Raises:
        BuildVnfError, Stopped, KeyboardInterrupt: as the command does.
    """
    try:
        code = app(args=words, prog_name="vnf", standalone_mode=False)
    except typer.TyperException as error:
        _reword(error)
        say(_sentence(error.format_message()), hint=_usage_hint(error))
        return int(error.exit_code)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else 0


def _reword(error: typer.TyperException) -> None:
    """Say in our words what a value is not, where the framework says it in pydantic's."""
    found = getattr(error.__cause__, "errors", None)
    if callable(found):
        from emulator.wording import what_is_wrong

        error.message = what_is_wrong(found()[0])


def _sentence(message: str) -> str:
    """A message of the framework in the form of ours: lower case, no full stop."""
    message = message.strip().rstrip(".").replace(": Value error, ", ": ")
    return message[:1].lower() + message[1:]


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else ""
