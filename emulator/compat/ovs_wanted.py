"""Whether a script counts on its switches being Open vSwitch's, though it names no class of them.

Mininet's own default is Open vSwitch, so scripts call ``ovs-ofctl`` on switches of which they say
nothing. Those would find no bridge of that name, were the switches Linux bridges.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

_PROGRAMS = ("ovs-ofctl", "ovs-vsctl", "ovs-appctl", "ovs-dpctl")
_METHODS = ("dpctl", "vsctl")


def ovs_call_of_script() -> str:
    """The first thing of Open vSwitch's that the script or a module beside it calls, if any.

    Text in comments and in the descriptions of functions does not count.
    """
    for path in _files():
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):  # it is told when it is run
            continue
        found = _call_in(tree)
        if found:
            return found
    return ""


def _files() -> Iterator[Path]:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if main is None:
        return
    folder = Path(main).resolve().parent
    yield Path(main)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file != main and Path(file).parent == folder:
            yield Path(file)


def _call_in(tree: ast.AST) -> str:
    described = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _METHODS:
            return f".{node.attr}()"
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in described
        ):
            for program in _PROGRAMS:
                if program in node.value:
                    return program
    return ""
