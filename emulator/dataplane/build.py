"""From a VNF's manifest and its C source to an object a data plane can run."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.kernel.clang import compile_bpf, put_file
from emulator.paths import cache_dir, share_dir

if TYPE_CHECKING:
    from emulator.catalog import Manifest

MAX_PORTS = 8
"""VNF_MAX_PORTS in vnfs/lib/vnf.h."""

_FORMATS = {"__u8": "B", "__s32": "i", "__u32": "I", "__s64": "q", "__u64": "Q"}


def library_dir() -> Path:
    """The folder of ``vnf.h`` and of the run loops of the data planes."""
    return share_dir() / "vnfs" / "lib"


def build_xdp(manifest: Manifest, *, fragments: bool = False) -> Path:
    """Compile a VNF for the ``xdp`` data plane; what is in the cache already is not compiled again.

    Args:
        fragments: whether frames may be larger than a page.

    Raises:
        UsageError: the source is missing or does not compile.
        MachineError: the compiler or its headers are missing.
    """
    source = manifest.source("xdp")
    if source is None:
        raise UsageError(
            f"VNF {manifest.name} has no source for xdp", where=str(manifest.folder / "vnf.toml")
        )
    defines = {"VNF_SOURCE": f'"{source.absolute()}"'}
    if fragments:
        defines["VNF_FRAGMENTS"] = "1"
    return compile_bpf(
        library_dir() / "xdp.bpf.c",
        includes=[library_dir(), _write_header(manifest), source.absolute().parent],
        defines=defines,
        name=f"{manifest.name}-xdp",
    )


def config_header(manifest: Manifest) -> str:
    """``vnf_config.h``: the manifest's parameters and counters as C structures.

    Text and fractions have no field: BPF knows neither.
    """
    parameters = [
        f"    {parameter.c_type} {name};"
        for name, parameter in manifest.parameters.items()
        if parameter.c_type
    ]
    counters = [f"    __u64 {name};" for name in manifest.counters]
    return "\n".join(
        [
            f"/* Generated from vnf.toml of {manifest.name}. */",
            "struct vnf_config {",
            # The run loop takes the structure's address, so it must not be empty.
            *(parameters or ["    __u8 unused;"]),
            "};",
            "struct vnf_counters {",
            *counters,
            "};",
            "",
        ]
    )


def pack_config(manifest: Manifest, values: Mapping[str, object]) -> bytes:
    """The parameters' values as ``struct vnf_config`` lies in memory."""
    fields = [
        (_FORMATS[parameter.c_type], values[name])
        for name, parameter in manifest.parameters.items()
        if parameter.c_type
    ]
    letters = "".join(letter for letter, _ in fields)
    packed = struct.pack(f"@{letters}", *(value for _, value in fields))
    widest = max((struct.calcsize(letter) for letter in letters), default=1)
    return packed + bytes(-len(packed) % widest)


def _write_header(manifest: Manifest) -> Path:
    """Put the header into a folder of its own, named after its content, and return the folder."""
    text = config_header(manifest)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = cache_dir() / "headers" / f"{manifest.name}-{digest}"
    path = folder / "vnf_config.h"
    if not path.is_file():
        put_file(path, text.encode())
    return folder
