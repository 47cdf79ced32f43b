"""The names that other emulators' scripts import, made to mean our own modules for a while.

``mininet.net`` becomes ``emulator.compat.mininet.net``, the same module object under both names,
ahead of a real package that may be installed; likewise ``containernet`` and ``comnetsemu``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from emulator.compat.unsupported import MODULES, refused_module, submodule

if TYPE_CHECKING:
    from importlib.abc import Loader

PACKAGES = ("mininet", "containernet", "comnetsemu")
_OURS = "emulator.compat."
_EXAMPLES = "mininet.examples."
_DEBIANS = "/usr/lib/python3/dist-packages"


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_alias(fullname):
            return None
        module = submodule(_OURS + fullname)
        if module is None:
            example = _example(fullname)
            if example is None:
                raise refused_module(fullname)
            return spec_from_file_location(fullname, example)
        spec = ModuleSpec(
            fullname, cast("Loader", _Loader(module)), is_package=hasattr(module, "__path__")
        )
        spec.origin = module.__file__
        return spec


def _example(fullname: str) -> Path | None:
    """The file of one of Mininet's examples: beside the script, or where Mininet is installed.

    They are scripts as others are, and find our modules when they are run.
    """
    if not fullname.startswith(_EXAMPLES) or fullname in MODULES:
        return None
    file = f"{fullname.removeprefix(_EXAMPLES)}.py"
    installed = (Path(place, "mininet", "examples") for place in (*sys.path, _DEBIANS))
    places = [Path(sys.path[0]), *installed]
    return next((place / file for place in places if (place / file).is_file()), None)


class _Loader:
    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just put the alias's own spec there.
        module.__spec__ = self._spec


@contextmanager
def install() -> Iterator[None]:
    """Have ``mininet``, ``containernet`` and ``comnetsemu`` mean our modules in this block."""
    finder = _Finder()
    aside = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_alias(name)}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_alias(name)]:
            del sys.modules[name]
        sys.modules.update(aside)


def _is_alias(fullname: str) -> bool:
    return fullname.partition(".")[0] in PACKAGES
