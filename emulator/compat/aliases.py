"""The names that other emulators' scripts import, made to mean our own modules for a while.

``mininet.net`` becomes ``emulator.compat.mininet.net``, the same module object under both names,
ahead of a real package that may be installed; likewise ``containernet`` and ``comnetsemu``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from emulator.compat.unsupported import refused_module, submodule

PACKAGES = ("mininet", "containernet", "comnetsemu")
_OURS = "emulator.compat."


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_alias(fullname):
            return None
        module = submodule(_OURS + fullname)
        if module is None:
            raise refused_module(fullname)
        spec = ModuleSpec(fullname, _Loader(module), is_package=hasattr(module, "__path__"))
        spec.origin = module.__file__
        return spec


class _Loader(Loader):
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
