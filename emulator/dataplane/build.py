"""From a VNF's manifest and its C source to an object a data plane can run."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.kernel.archives import Archives, find_archives, find_dpdk_archives
from emulator.kernel.clang import compile_bpf, compile_program, put_file
from emulator.paths import cache_dir, share_dir

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

MAX_PORTS = 8
"""VNF_MAX_PORTS in vnfs/lib/vnf.h."""

FAST = ("-O3", "-march=native")
SANITIZED = (
    "-O1",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover",
    # Headers lie where the frame puts them, and every processor we run on takes that.
    "-fno-sanitize=alignment",
)
"""Flags for a program that stops at the first access out of bounds."""

_BESIDE_DPDK = ("xdp", "bpf", "elf", "z", "zstd", "numa", "bsd", "md", "atomic", "pcap")
# The drivers that need no hardware: cards are for VNFs that are not in an image.
_DPDK_DRIVERS = (
    "bus_vdev",
    "bus_pci",
    "mempool_ring",
    "net_af_packet",
    "net_af_xdp",
    "net_memif",
    "net_null",
    "net_pcap?",
    "net_ring?",
    "net_tap?",
    "net_virtio?",
)

_NOT_IN_AN_INCLUDE = frozenset('"\\\n')


def library_dir() -> Path:
    """The folder of ``vnf.h`` and of the run loops of the data planes."""
    return share_dir() / "vnfs" / "lib"


def build_xdp(
    manifest: Manifest,
    *,
    fragments: bool = False,
    tapped: bool = False,
    cached_only: bool = False,
) -> Path:
    """Compile a VNF for the ``xdp`` data plane; what is in the cache already is not compiled again.

    Args:
        fragments: whether frames may be larger than a page.
        tapped: whether it notes when packets pass; see ``vnfs/lib/tap.h``.
        cached_only: look it up, and do not compile.

    Raises:
        UsageError: the source is missing or does not compile.
        MachineError: the compiler or its headers are missing.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    source = _source(manifest, "xdp")
    defines = {"VNF_SOURCE": f'"{source.absolute()}"'}
    if fragments:
        defines["VNF_FRAGMENTS"] = "1"
    if tapped:
        defines["VNF_TAP"] = "1"
    return compile_bpf(
        library_dir() / "xdp.bpf.c",
        includes=[library_dir(), _write_header(manifest), source.absolute().parent],
        defines=defines,
        name=f"{manifest.name}-xdp",
        subject=source,
        cached_only=cached_only,
    )


def build_program(
    manifest: Manifest,
    dataplane: str,
    *,
    run_loop: str | None = None,
    flags: Sequence[str] = FAST,
    libraries: Sequence[str] = (),
    compiler: Path | None = None,
    static: bool = False,
    cached_only: bool = False,
) -> Path:
    """Compile a VNF as a program for a data plane in user space, unless that was done before.

    Args:
        run_loop: the file in the library that has the program's ``main``, without ``.c``; that
            of the data plane by default.
        flags: ``FAST``, or ``SANITIZED`` for tests.
        libraries: what pkg-config calls the libraries of the run loop.
        compiler: the usual one by default.
        static: whether it is to run where there are no libraries, as in an image.
        cached_only: look it up, and do not compile.

    Raises:
        UsageError: the source is missing or does not compile.
        MachineError: the compiler or a library is missing.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    source = _source(manifest, dataplane)
    loop = run_loop or dataplane
    return compile_program(
        library_dir() / f"{loop}.c",
        includes=[library_dir(), _write_header(manifest), source.absolute().parent],
        defines={"VNF_SOURCE": f'"{source.absolute()}"'},
        flags=flags,
        libraries=libraries,
        archives=_archives(dataplane) if static else None,
        compiler=compiler,
        name=f"{manifest.name}-{loop}",
        subject=source,
        cached_only=cached_only,
    )


def _archives(dataplane: str) -> Archives:
    if dataplane == "dpdk":
        return find_dpdk_archives(_DPDK_DRIVERS, _BESIDE_DPDK)
    return find_archives(*(("libxdp", "libbpf", "libelf") if dataplane == "afxdp" else ()))


def _source(manifest: Manifest, dataplane: str) -> Path:
    where = str(manifest.folder / "vnf.toml")
    if dataplane not in manifest.dataplanes:
        raise UsageError(f"VNF {manifest.name} does not run on {dataplane}", where=where)
    source = manifest.source(dataplane)
    if source is None:
        raise UsageError(f"VNF {manifest.name} has no source for {dataplane}", where=where)
    if set(str(source.absolute())) & _NOT_IN_AN_INCLUDE:
        message = "the path has a quotation mark, a backslash or a line's end in it"
        raise UsageError(message, where=str(source), hint="rename the folder: C cannot include it")
    return source


def config_header(manifest: Manifest) -> str:
    """``vnf_config.h``: the manifest's parameters and counters as C structures.

    Text and fractions have no field: BPF knows neither. See ``emulator.control`` for them.
    """
    parameters = [
        f"    {parameter.c_field.format(name)}"
        for name, parameter in manifest.parameters.items()
        if parameter.c_field
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


def pack_config(manifest: Manifest, values: Mapping[str, Value]) -> bytes:
    """The parameters' values as ``struct vnf_config`` lies in memory."""
    packed, widest = b"", 1
    for name, parameter in manifest.parameters.items():
        if parameter.c_field is None:
            continue
        field, alignment = parameter.pack(values[name])
        packed += bytes(-len(packed) % alignment) + field
        widest = max(widest, alignment)
    packed = packed or bytes(1)
    return packed + bytes(-len(packed) % widest)


def pack_text(values: Mapping[str, Value], size_bytes: int) -> bytes:
    """The parameters' values as a VNF in Python has them: see ``vnfs/lib/python/vnf_config.h``.

    Raises:
        UsageError: there is no room for them.
    """
    text = json.dumps(values).encode()
    head = struct.pack("=II", len(text), zlib.crc32(text))
    if len(head) + len(text) > size_bytes:
        raise UsageError(f"the parameters are longer than {size_bytes - len(head)} bytes of JSON")
    return (head + text).ljust(size_bytes, b"\0")


def _write_header(manifest: Manifest) -> Path:
    """Put the header into a folder of its own, named after its content, and return the folder."""
    text = config_header(manifest)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = cache_dir() / "headers" / f"{manifest.name}-{digest}"
    path = folder / "vnf_config.h"
    if not path.is_file():
        put_file(path, text.encode())
    return folder
