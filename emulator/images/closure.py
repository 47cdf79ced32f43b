"""The files that a program of this machine needs to run in an image with nothing else in it."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.dataplane.borrowed import SHIM_IN_IMAGE, build_shim, find_program
from emulator.errors import MachineError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Manifest

# As the loader writes them: what is wanted, and where it is.
_FOUND = re.compile(r"^\s+(?P<soname>\S+) => (?P<path>/.+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(r"^\s+(?P<soname>\S+) => not found$", re.MULTILINE)
_C_LIBRARY = "libc.so.6"
# The C library loads it, when it needs it, to end a thread.
_UNWINDER = "libgcc_s.so.1"
_PT_INTERP = 3
_XDP_LIBRARY = "libxdp.so."
_XDP_PROGRAMS = ("xdp-dispatcher.o", "xsk_def_xdp_prog*.o")
_EAL = re.compile(r"librte_eal\.so\.(?P<abi>[\d.]+)")
# The drivers that need no hardware, and what they rest on.
_DRIVERS = (
    "bus_vdev",
    "bus_pci",
    "mempool_ring",
    "net_af_packet",
    "net_af_xdp",
    "net_memif",
    "net_null",
    "net_pcap",
    "net_ring",
    "net_tap",
    "net_virtio",
)


@dataclass(frozen=True)
class ImageFile:
    """A file in an image.

    Attributes:
        path: where it is there, absolute.
        content: its bytes, or the file of this machine that has them.
        link: given, it is a symbolic link to there and has no content.
    """

    path: str
    content: Path | bytes
    mode: int = 0o755
    link: str | None = None

    def read(self) -> bytes:
        """Its bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def program_files(
    manifest: Manifest, program: str, *, cached_only: bool = False
) -> tuple[str, tuple[ImageFile, ...]]:
    """Where a VNF's program is in its image, and all files that it needs there.

    Raises:
        MachineError: the program, or a library that it needs, is not installed.
        NotCompiledError: ``cached_only``, and something would have to be compiled.
    """
    found = find_program(program, manifest)
    path = f"/{found.name}" if "/" in program else str(found)
    shim = build_shim(cached_only=cached_only)
    files = [ImageFile(path, found), ImageFile(SHIM_IN_IMAGE, shim)]
    return path, (*files, *closure(found, [shim]))


def closure(program: Path, beside: Iterable[Path] = ()) -> tuple[ImageFile, ...]:
    """The loader, the libraries and DPDK's drivers that a program and libraries beside it need.

    All libraries lie beside the C library, where the loader looks without being told. A program
    that is linked statically needs nothing.

    Raises:
        UsageError: it is no program, or none for this machine.
        MachineError: a library is not installed.
    """
    loader = interpreter_of(program)
    if loader is None:
        return ()
    libraries: dict[str, Path] = {}
    for path in (program, *beside):
        libraries |= libraries_of(path, loader)
    plugins = _plugins(libraries)
    for path in plugins:
        libraries |= libraries_of(path, loader)
    if _C_LIBRARY not in libraries:
        raise _cannot_run(program)
    home = libraries[_C_LIBRARY].resolve().parent
    if (home / _UNWINDER).is_file():
        libraries.setdefault(_UNWINDER, home / _UNWINDER)
    files = [ImageFile(loader, Path(loader))]
    files += [ImageFile(f"{home}/{soname}", path) for soname, path in libraries.items()]
    for path in plugins:
        # DPDK loads what ends so, whatever its version. Those that others are linked to are there
        # already, and must not be loaded twice.
        link = f"{home}/{path.name}" if path.name in libraries else None
        files.append(ImageFile(str(path.with_suffix("")), path, link=link))
    files += [ImageFile(str(path), path) for path in _xdp_programs(libraries)]
    return tuple(files)


def libraries_of(path: Path, loader: str) -> dict[str, Path]:
    """The shared libraries that a program or a library needs: soname -> the file.

    Raises:
        UsageError: the loader does not run it.
        MachineError: a library is not installed.
    """
    # Only the loader knows where it looks, and this is how it tells.
    done = subprocess.run(
        [loader, "--list", path],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("LD_")},
        check=False,
    )
    missing = _MISSING.search(done.stdout)
    if missing:
        raise MachineError(f"the library {missing['soname']} is not installed", where=str(path))
    if done.returncode:
        raise _cannot_run(path)
    return {match["soname"]: Path(match["path"]) for match in _FOUND.finditer(done.stdout)}


def interpreter_of(path: Path) -> str | None:
    """The dynamic loader that a program asks for; None for one that is linked statically.

    Raises:
        UsageError: it is no program for a machine of 64 bits, but a script, for instance.
    """
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":
            raise _cannot_run(path)
        order = "<" if head[5] == 1 else ">"
        (offset,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        for number in range(count):
            file.seek(offset + number * size)
            kind, _, start, _, _, length = struct.unpack(f"{order}IIQQQQ", file.read(40))
            if kind == _PT_INTERP:
                file.seek(start)
                return str(file.read(length).rstrip(b"\0").decode())
    return None


def _cannot_run(path: Path) -> UsageError:
    return UsageError(
        "it is no program that an image can be made of without help",
        where=str(path),
        hint="give the VNF a Dockerfile",
    )


def _xdp_programs(libraries: Mapping[str, Path]) -> list[Path]:
    """What libxdp loads into the kernel for a program that opens XDP sockets."""
    return [
        found
        for soname, path in libraries.items()
        if soname.startswith(_XDP_LIBRARY)
        for pattern in _XDP_PROGRAMS
        for found in sorted((path.resolve().parent / "bpf").glob(pattern))
    ]


def _plugins(libraries: Mapping[str, Path]) -> list[Path]:
    """DPDK loads its drivers from a folder, beside those that it is linked to."""
    for soname, path in libraries.items():
        match = _EAL.fullmatch(soname)
        if match is not None:
            wanted = [f"librte_{name}.so.{match['abi']}" for name in _DRIVERS]
            folders = path.resolve().parent.glob("dpdk/pmds-*")
            found = [folder / name for folder in folders for name in wanted]
            return [plugin for plugin in found if plugin.is_file()]
    return []
