"""``vnf script``: an unmodified script for Mininet, Containernet or ComNetsEmu, on our engine."""

from __future__ import annotations

from typing import Annotated

import typer

from emulator.cli.run import OnFailure


def script(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The script.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="What the script gets.")
    ] = None,
    on_failure: Annotated[
        OnFailure,
        typer.Option(
            "--on-failure",
            help="Whether a node that does not start, or a controller that is not reached, ends "
            "the lab (stop), or the others go on (keep).",
        ),
    ] = OnFailure.stop,
) -> None:
    """Run a script written for Mininet, Containernet or ComNetsEmu, as it is.

    What it imports of these is ours, whether or not they are installed; none of them has to be.
    When the script ends, in whatever way, so do its labs.

    \b
    The exit code is the script's own; 1 after an error in it, 2 when it asks for something that
    is not supported, 3 when the machine lacks something.

    \b
    Examples:
      vnf script lab.py
      vnf script linear_bandwidth.py --switches 10
      vnf script topology.py < commands.txt
    """
    from emulator.compat.running import run_script

    code = run_script(file, arguments or [], on_failure=on_failure.value)
    if code:
        raise typer.Exit(code)
