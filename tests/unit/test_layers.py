"""Imports only ever point down: what lies below knows nothing of what is built on it.

Imports inside functions count like the others; those for types alone do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[2] / "emulator"

_LAYERS = (
    # Of every layer, modules may import one another; the first one is the lowest.
    "amounts at_once closing errors forking idle invocation names warned",
    "native_parts parameters paths revision settings unavailable userfile wording",
    "kernel",
    "calling_place multigraph schedule",
    "written_chains written_externals written_graph written_schedule topo_graph topo foreign_topo",
    "catalog control match plan topofile",
    "runtime images dataplane",
    # The folders of labs, and what labs have left on the machine; the ways of packets.
    (
        "labs hosts link fabric bridges interfaces wire_hops switches switch_service chains wire"
        " readiness running_links"
    ),
    "node working_node lab reached owned_lab vnfs vnf_stats",
    "traffic terminals graph_picture rest",
    "network network_nodes watched_network linked_network growing_network",
    "doctor measure wire.certify wire.plane_matrix",
    "experiment trying",
    "cli.shell cli.outcome cli.output cli.container_format cli.host_format",
    "compat",
    "cli emulator __main__",
)

_UPWARDS = {
    # Commands of the shell that are commands of vnf, carried out on the lab that runs.
    ("cli.shell_measure", "cli.app"),
    ("cli.shell_measure", "cli.certify"),
    ("cli.shell_measure", "cli.top"),
    # A table for the documentation: which options of mn are options of vnf mn.
    ("compat.parity", "cli.mn"),
}
"""What may import from above, and why."""

_RANKS = {name: rank for rank, names in enumerate(_LAYERS) for name in names.split()}


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__").removeprefix("emulator.")


_FILES = {
    _module(path): path
    for path in sorted(_PACKAGE.rglob("*.py"))
    if path.relative_to(_PACKAGE).parts[0] != "share"
}


def _beginnings(name: str) -> tuple[str, ...]:
    # Beside cli.shell are cli.shell_links and others.
    return (f"{name}.", f"{name}_") if "." in name else (f"{name}.",)


def _rank(module: str) -> int:
    """The layer of a module: that of the longest name which is the beginning of its own."""
    known = [name for name in _RANKS if module == name or module.startswith(_beginnings(name))]
    assert known, f"{module} is in no layer: put it into _LAYERS"
    return _RANKS[max(known, key=len)]


def _imports(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that code imports, unless for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in node.names:
                deeper = f"{node.module}.{name.name}"
                yield deeper if deeper.removeprefix("emulator.") in _FILES else node.module
        yield from _imports(node)


@cache
def _ours(module: str) -> set[str]:
    found = _imports(ast.parse(_FILES[module].read_text()))
    return {name.removeprefix("emulator.") for name in found if name.startswith("emulator.")}


def test_imports_point_down() -> None:
    upwards = {
        (module, imported)
        for module in _FILES
        for imported in _ours(module)
        if _rank(imported) > _rank(module)
    }
    assert upwards == _UPWARDS


@pytest.mark.parametrize("pure", ["plan", "topo", "multigraph", "foreign_topo", "catalog"])
def test_what_compiles_topologies_knows_nothing_of_the_kernel(pure: str) -> None:
    """So that ``vnf plan`` works anywhere."""
    modules = [name for name in _FILES if name == pure or name.startswith(f"{pure}.")]
    assert modules
    for module in modules:
        known = {name.partition(".")[0] for name in _ours(module)}
        assert not known & {"kernel", "runtime", "wire", "dataplane"}, module
