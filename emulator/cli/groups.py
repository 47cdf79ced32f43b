"""Commands that have commands of their own, such as ``vnf docker start``."""

from __future__ import annotations

import typer


def command_group(summary: str) -> typer.Typer:
    """An empty group of commands; named without one, it prints its help as ``vnf`` itself does."""
    group = typer.Typer(
        help=summary,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        invoke_without_command=True,
    )

    @group.callback()
    def _print_help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return group
