"""``vnf graph``: a picture of a topology."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emulator.cli.options import (
    FileArgument,
    SetOption,
    TopoOption,
    load_catalog,
    load_target,
    parse_settings,
)


def graph(
    file: FileArgument = None,
    topo: TopoOption = None,
    settings: SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PICTURE",
            show_default=False,
            help="A file that ends in .png, .svg or .pdf. [default: the topology's name, .png]",
        ),
    ] = None,
) -> None:
    """Draw a topology: its nodes and links, and what impairs these. Needs no root, no display.

    \b
    Examples:
      vnf graph topologies/chain.py --set length=3
      vnf graph --topo tree,2,3 -o tree.svg
    """
    topology = load_target(file, topo, parse_settings(settings))

    from emulator.graph_picture import draw_plan
    from emulator.plan.compile import compile_plan

    plan = compile_plan(topology, catalog=load_catalog(file))
    path = output or Path(f"{plan.name}.png")
    draw_plan(plan, path)
    print(path)
