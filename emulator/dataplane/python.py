"""The ``python`` data plane: the VNF is a process whose handler is written in Python.

The loop around the handler is C, that of another data plane, compiled as a library: see
``vnfs/lib/python.c`` and ``vnfs/lib/python_loop.py``. Which one is the node's ``driver``.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.dataplane import afxdp, packet
from emulator.dataplane.build import FAST, library_dir
from emulator.errors import UsageError
from emulator.kernel.clang import compile_program

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.process import ProcessVnf, Site
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

MAX_COUNTERS = 64
"""VNF_OWN_NUMBERS in vnfs/lib/python/vnf_config.h."""

STARTS = {"packet": packet.start_command, "afxdp": afxdp.start_command}
"""Driver -> what starts a process that has its loop; the default first."""

_FLAGS = (*FAST, "-shared", "-fPIC")
_LIBRARIES = {"afxdp": afxdp.LIBRARIES}
_ARGUMENTS = {
    "handle": ("ctx", "packet", "port"),
    "handle_burst": ("ctx", "burst", "port"),
    "handle_idle": ("ctx", "port"),
    "configure": ("parameters",),
}
_HINT = "define handle(ctx, packet, port) or handle_burst(ctx, burst, port)"


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Start the VNF of a node; see ``start_vnf``."""
    assert node.vnf is not None
    driver = node.vnf.driver or next(iter(STARTS))
    note = "handled in bursts" if check_source(manifest) else "handled one by one"
    command = _command(manifest, driver)
    return STARTS[driver](node, netns, manifest, site, command, notes=(note,))


def memory_command(manifest: Manifest) -> list[str]:
    """The command of a VNF that takes frames on its standard input, as ``vnfs/lib/memory.c``.

    Raises:
        UsageError: the source is missing or has mistakes.
        MachineError: the compiler is missing.
    """
    check_source(manifest)
    return _command(manifest, "memory")


def check_source(manifest: Manifest) -> bool:
    """Look at a VNF's Python source without running it; returns whether it takes bursts.

    Raises:
        UsageError: it is missing, is not Python, or lacks the functions a VNF has.
    """
    path = _source(manifest)
    try:
        tree = ast.parse(path.read_bytes(), path)
    except SyntaxError as error:
        line = f"\n    {error.text.rstrip()}" if error.text else ""
        raise UsageError(f"{error.msg}{line}", where=f"{path}:{error.lineno}") from error
    except ValueError as error:
        raise UsageError(f"is not Python: {error}", where=str(path)) from error
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in _ARGUMENTS:
            _check_arguments(statement, path)
    names = set(_names(tree))
    if not names & {"handle", "handle_burst"}:
        message = "there is no function handle or handle_burst"
        raise UsageError(message, where=f"{path}:1", hint=_HINT)
    return "handle_burst" in names


def _check_arguments(function: ast.FunctionDef, path: Path) -> None:
    given = function.args
    wanted = _ARGUMENTS[function.name]
    most = len(given.posonlyargs) + len(given.args)
    fits = most - len(given.defaults) <= len(wanted) and (most >= len(wanted) or given.vararg)
    required_keywords = len(given.kwonlyargs) - sum(each is not None for each in given.kw_defaults)
    if not fits or required_keywords:
        raise UsageError(
            f"{function.name} is called with {len(wanted)} arguments, which it does not take",
            where=f"{path}:{function.lineno}",
            hint=f"write def {function.name}({', '.join(wanted)})",
        )


def _names(tree: ast.Module) -> list[str]:
    """The names that a module binds, as far as can be seen without running it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.alias):
            found.append(node.asname or node.name)
    return found


def _source(manifest: Manifest) -> Path:
    where = str(manifest.folder / "vnf.toml")
    if "python" not in manifest.dataplanes:
        raise UsageError(f"VNF {manifest.name} does not run on python", where=where)
    source = manifest.source("python")
    assert source is not None
    if not source.is_file():
        raise UsageError("there is no such source file", where=str(source))
    if len(manifest.counters) > MAX_COUNTERS:
        message = f"{len(manifest.counters)} counters are more than a VNF in Python has"
        raise UsageError(message, where=where, hint=f"{MAX_COUNTERS} at most")
    return source


def _command(manifest: Manifest, driver: str) -> list[str]:
    description = {
        "source": str(_source(manifest).absolute()),
        "types": {name: parameter.type for name, parameter in manifest.parameters.items()},
        "counters": list(manifest.counters),
        "stdout_is_taken": driver == "memory",
    }
    # -B: the emulator leaves no files beside a VNF's source. -u: what it prints is seen at once.
    program = [sys.executable, "-B", "-u", "-X", "faulthandler"]
    return [
        *program,
        str(library_dir() / "python_loop.py"),
        str(build_library(driver)),
        json.dumps(description),
    ]


def build_library(driver: str) -> Path:
    """Compile the loop around a handler in Python, unless that was done before; all VNFs share it.

    Raises:
        MachineError: the compiler or a library is missing.
    """
    folder = library_dir()
    return compile_program(
        folder / f"{driver}.c",
        includes=[folder, folder / "python"],
        defines={"VNF_SOURCE": f'"{folder.absolute() / "python.c"}"', "main": "plane_main"},
        flags=_FLAGS,
        libraries=_LIBRARIES.get(driver, ()),
        name=f"python-{driver}",
    )
