"""``vnf certify``: measures impaired links against what was asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emulator.cli.options import (
    FileArgument,
    JsonOption,
    SetOption,
    TopoOption,
    load_catalog,
    load_target,
    parse_settings,
)
from emulator.cli.output import StepProgress, print_json, print_rich
from emulator.errors import UsageError
from emulator.names import choice_hint

if TYPE_CHECKING:
    from emulator.plan.model import Plan


def certify(
    file: FileArgument = None,
    topo: TopoOption = None,
    settings: SetOption = None,
    link: Annotated[
        list[str] | None,
        typer.Option(
            "--link",
            metavar="A-B",
            show_default=False,
            help="Only the links between these two nodes; repeat for more. [default: all]",
        ),
    ] = None,
    plane_matrix: Annotated[
        bool,
        typer.Option(
            "--plane-matrix",
            help="Measure each link with VNFs of every data plane at its ends. Without a topology: "
            "a link of 5 ms with jitter, loss and a rate.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure the impaired links of a topology, and say whether they are as specified.

    Each link is made anew between two empty nodes, with its specification and seed, and measured by
    frames of our own: delay, jitter, loss, rate, queue, order, and the fate of each single frame.
    The exit code is 1 when a link is not as it should be, or the machine is too slow to tell.

    \b
    Examples:
      vnf certify topologies/access.py
      vnf certify topologies/access.py --link home-s1 --json
      vnf certify --plane-matrix
    """
    chosen = parse_settings(settings)

    from emulator.kernel.netns import ensure_root
    from emulator.plan.compile import compile_plan
    from emulator.wire.certificate_report import render
    from emulator.wire.certify import certify as measure
    from emulator.wire.plane_matrix import certify_planes, example_plan

    if plane_matrix and file is None and topo is None:
        plan = example_plan()
    else:
        plan = compile_plan(load_target(file, topo, chosen), catalog=load_catalog(file))
    wanted = None if not link else {each for pair in link for each in links_between(plan, pair)}
    ensure_root("measuring")
    with StepProgress() as progress:
        run = certify_planes if plane_matrix else measure
        certificate = run(plan, links=wanted, progress=progress)
    if json:
        print_json(certificate.model_dump(mode="json"))
    else:
        print_rich(render(certificate))
    if certificate.verdict != "pass":
        raise typer.Exit(1)


def links_between(plan: Plan, pair: str) -> list[str]:
    """The ids of the links between two nodes, named as ``A-B``; names may have hyphens too.

    Raises:
        UsageError: there is none.
    """
    names = {node.name for node in plan.nodes}
    parts = pair.split("-")
    splits = [("-".join(parts[:i]), "-".join(parts[i:])) for i in range(1, len(parts))]
    found = [link.id for a, b in splits if {a, b} <= names for link in plan.links_between(a, b)]
    if not found:
        known = [f"{link.a.node}-{link.b.node}" for link in plan.links if link.mechanism != "none"]
        raise UsageError(
            f"there is no link {pair}",
            where="--link",
            hint=choice_hint(pair, known) if known else "no link is impaired",
        )
    return found
