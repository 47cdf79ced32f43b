"""The options that several commands share, and the reading of their values."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.errors import BuildVnfError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.labs import LabRecord
    from emulator.topo import Topo


def _complete_builtin(incomplete: str) -> list[str]:
    from emulator.topofile import list_builtin

    return [name for name in list_builtin() if name.startswith(incomplete)]


def _labs_or_none() -> list[LabRecord]:
    from emulator.labs import list_labs

    # Who may not read the records gets no completion, rather than an error at the prompt.
    with contextlib.suppress(OSError, BuildVnfError):
        return list_labs()
    return []


def _complete_lab(incomplete: str) -> list[str]:
    return [lab.id for lab in _labs_or_none() if lab.id.startswith(incomplete)]


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the nodes of the lab named before the cursor."""
    wanted = context.params.get("lab") or ""
    return [
        node
        for lab in _labs_or_none()
        if lab.id.startswith(wanted)
        for node in lab.node_names
        if node.startswith(incomplete)
    ]


FileArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE[:NAME]",
        show_default=False,
        help="A Python file with a topology; NAME picks one where the file has several.",
    ),
]
TopoOption = Annotated[
    str | None,
    typer.Option(
        "--topo",
        metavar="SPEC",
        autocompletion=_complete_builtin,
        help="A built-in topology with its arguments, such as linear,4 or tree,2,3.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Give build() of the topology this parameter; repeat for more.",
    ),
]
ScheduleOption = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        metavar="FILE",
        show_default=False,
        help="A YAML file that says how links change over time, from when the lab is up.",
    ),
]
Ipv6Option = Annotated[bool, typer.Option("--ipv6", help="Give the interfaces IPv6 addresses too.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
CommandOption = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--command",
        metavar="LINE",
        help="Carry out this line of the shell instead of opening it; repeat for more.",
    ),
]
LabArgument = Annotated[
    str,
    typer.Argument(
        metavar="LAB",
        autocompletion=_complete_lab,
        help="The id of a running lab, or its first letters; see vnf ps.",
    ),
]


def target_of(file: str | None, spec: str | None) -> str:
    """The topology named by exactly one of FILE and ``--topo``.

    Raises:
        UsageError: none or both were given.
    """
    if file is not None and spec is not None:
        raise UsageError(f"two topologies are given: {file} and --topo {spec}", hint="drop one")
    target = file or spec
    if not target:
        raise UsageError(
            "no topology is given",
            hint="name a file, such as topologies/chain.py, or --topo linear,4",
        )
    return target


def load_target(file: str | None, spec: str | None, settings: dict[str, str]) -> Topo:
    """The topology named by exactly one of FILE and ``--topo``, built with ``settings``.

    Raises:
        UsageError: none or both were given, or the topology cannot be loaded.
    """
    target = target_of(file, spec)

    from emulator.topofile import builtin_topology, load_topology

    return builtin_topology(target, settings) if spec else load_topology(target, settings)


def load_catalog(file: str | None) -> Catalog:
    """The VNFs the product ships and those in a ``vnfs`` folder beside the topology file.

    Without a file it is the one in the working folder.
    """
    from pathlib import Path

    from emulator.catalog import Catalog

    beside = Path("." if file is None else file.partition(":")[0]).parent / "vnfs"
    return Catalog.load([beside])


def parse_settings(given: list[str] | None) -> dict[str, str]:
    """``KEY=VALUE`` words as a dictionary.

    Raises:
        UsageError: a word has no ``=`` or a key comes twice.
    """
    settings: dict[str, str] = {}
    for word in given or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(
                f"{word!r} is not KEY=VALUE", where="--set", hint="write --set dataplane=xdp"
            )
        if key in settings:
            raise UsageError(
                f"{key} is given twice", where="--set", hint="vnf bench varies it with --vary"
            )
        settings[key] = value
    return settings
