"""What is in the image of a VNF: a few files, and what runs in it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from emulator.dataplane.afxdp import LIBRARIES as AFXDP_LIBRARIES
from emulator.dataplane.build import build_program, build_xdp
from emulator.errors import UsageError
from emulator.images.closure import ImageFile, program_files

if TYPE_CHECKING:
    from emulator.catalog import Manifest

PROGRAM = "/vnf"
"""The program in an image of a VNF that is a process."""
XDP_OBJECT = "/vnf.bpf.o"
"""The BPF object in an image for the ``xdp`` data plane."""
DOCKERFILE = "Dockerfile"

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "afxdp": AFXDP_LIBRARIES,
    "dpdk": ("libdpdk",),
    "packet": (),
}
# Rights count for root alone where none may be gained; nothing runs in the others.
_ROOT, _NOBODY = "0:0", "65534:65534"
# Whatever was made in another way is made anew.
_EDITION = "1"


@dataclass(frozen=True)
class Content:
    """All of an image but its labels.

    Attributes:
        files: in any order; folders come by themselves.
        user: in numbers: an image of ours knows no names.
    """

    files: tuple[ImageFile, ...]
    entrypoint: tuple[str, ...] = ()
    user: str = _ROOT

    def digest(self, labels: Mapping[str, str]) -> str:
        """What tells it, with these labels, from another."""
        told: list[object] = [_EDITION, self.entrypoint, self.user, sorted(labels.items())]
        for file in sorted(self.files, key=lambda each: each.path):
            content = hashlib.sha256(file.read()).hexdigest() if file.link is None else None
            told.append([file.path, file.mode, file.link, content])
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def write_tar(self, stream: IO[bytes]) -> None:
        """Write the files as a tar archive that hangs on nothing but them."""
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for folder in sorted(self._folders()):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            for file in sorted(self.files, key=lambda each: each.path):
                entry = tarfile.TarInfo(file.path.lstrip("/"))
                entry.mode = file.mode
                if file.link is not None:
                    entry.type, entry.linkname = tarfile.SYMTYPE, file.link
                    archive.addfile(entry)
                    continue
                content = file.read()
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

    def _folders(self) -> Iterator[str]:
        found: set[str] = set()
        for file in self.files:
            found.update(str(parent).lstrip("/") for parent in PurePosixPath(file.path).parents)
        yield from found - {""}


def content_of(manifest: Manifest, plane: str, *, cached_only: bool = False) -> Content:
    """What belongs into the image of a VNF that has no Dockerfile; compiles it if need be.

    Args:
        cached_only: do not compile.

    Raises:
        UsageError: the VNF does not run on the data plane, or has no image there, or does not
            compile.
        MachineError: the compiler, a library or the VNF's program is not installed.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    check_plane(manifest, plane)
    support = manifest.dataplanes[plane]
    if support.program is not None:
        path, files = program_files(manifest, support.program, cached_only=cached_only)
        return Content(files, (path,))
    if manifest.source(plane) is None:
        # An archive without a file is no image.
        text = f"VNF {manifest.name}: the kernel of the machine does it.\n"
        return Content((ImageFile("/vnf.txt", text.encode(), 0o644),), user=_NOBODY)
    if plane == "xdp":
        compiled = build_xdp(manifest, cached_only=cached_only)
        return Content((ImageFile(XDP_OBJECT, compiled, 0o644),), user=_NOBODY)
    compiled = build_program(
        manifest, plane, libraries=_LIBRARIES[plane], static=True, cached_only=cached_only
    )
    return Content((ImageFile(PROGRAM, compiled),), (PROGRAM,))


def check_plane(manifest: Manifest, plane: str) -> None:
    """Raise UsageError when a VNF has no image for a data plane."""
    if plane not in manifest.dataplanes:
        raise UsageError(
            f"VNF {manifest.name} does not run on {plane}",
            where="--dataplane",
            hint=f"it runs on: {', '.join(manifest.dataplanes)}",
        )
    if plane == "python":
        raise UsageError(
            "the python data plane has no image",
            where=manifest.name,
            hint='such a VNF lives in a namespace: leave runtime="docker" out',
        )
