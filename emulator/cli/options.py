"""The options that several commands share, and the reading of their values."""

from __future__ import annotations

import contextlib
import math
import re
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.errors import BuildVnfError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.labs import LabRecord
    from emulator.topo import Topo

_SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_DURATIONS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+"


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


def parse_rate(text: str) -> float:
    """A packet rate in packets per second: ``1000``, ``10k``, ``1.5M``, ``10kpps``.

    Raises:
        UsageError: the text is no rate, or not a positive one.
    """
    match = re.fullmatch(rf"({_NUMBER})\s*([kKMG]?)(?:pps)?", text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is not a packet rate",
            where="--rate",
            hint="write packets per second: 1000, 10k, 1.5M or 10kpps",
        )
    rate_pps = float(match[1]) * _SCALES[match[2]]
    if not 0 < rate_pps < math.inf:
        raise UsageError(f"the rate must be above 0, not {text}", where="--rate")
    return rate_pps


def parse_duration(text: str, *, where: str) -> float:
    """A duration in seconds: ``2``, ``2s``, ``500ms``, ``1min``.

    Args:
        text: what the user wrote.
        where: the option it was given to.

    Raises:
        UsageError: the text is no duration, or not a positive one.
    """
    match = re.fullmatch(rf"({_NUMBER})\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _DURATIONS_S:
        raise UsageError(
            f"{text!r} is not a duration",
            where=where,
            hint="write seconds, or a unit with the number: 2, 500ms, 1min",
        )
    duration_s = float(match[1]) * _DURATIONS_S[match[2]]
    if not 0 < duration_s < math.inf:
        raise UsageError(f"the duration must be above 0, not {text}", where=where)
    return duration_s
