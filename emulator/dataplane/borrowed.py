"""Programs that are used as they are: where one is, and the library that is loaded before it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.dataplane.build import library_dir
from emulator.errors import MachineError
from emulator.kernel.clang import compile_program

if TYPE_CHECKING:
    from emulator.catalog import Manifest

SHIM_IN_IMAGE = "/idle-shim.so"
_SHIM_FLAGS = ("-O3", "-shared", "-fPIC")


def find_program(program: str, manifest: Manifest) -> Path:
    """Where the program is that a manifest names: in its folder, or on the path.

    Raises:
        MachineError: it is not installed.
    """
    own = "/" in program
    found = shutil.which(manifest.folder / program if own else program)
    if found is None:
        hint = "install it, or put its folder into $PATH"
        if own:
            hint = f"the manifest names it: {manifest.folder / 'vnf.toml'}"
        elif program.startswith("dpdk-"):
            hint = "apt-get install dpdk"
        raise MachineError(f"there is no program {program}", where=manifest.name, hint=hint)
    return Path(found)


def build_shim(*, cached_only: bool = False) -> Path:
    """``vnfs/lib/idle_shim.c``, compiled: it has a DPDK program idle.

    Raises:
        MachineError: the compiler or DPDK's headers are missing.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    return compile_program(
        library_dir() / "idle_shim.c",
        flags=_SHIM_FLAGS,
        libraries=["libdpdk"],
        name="idle-shim",
        cached_only=cached_only,
    )
