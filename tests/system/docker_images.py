"""Small images for tests of containers, made of this machine's own programs."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence

import pytest

from emulator.runtime.engine import client_of

BUSYBOX, EMPTY = "test/busybox:latest", "test/empty:latest"


def import_image(
    url: str,
    name: str,
    files: Mapping[str, bytes] | None = None,
    *,
    links: Mapping[str, str] | None = None,
    changes: Sequence[str] = (),
) -> None:
    """Make an image of files, which anybody may run, and instructions of a Dockerfile.

    Args:
        url: the engine's.
        links: path -> what it leads to.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        for path, content in (files or {}).items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o755, len(content)
            tar.addfile(entry, io.BytesIO(content))
        for path, target in (links or {}).items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    repository, _, tag = name.partition(":")
    client = client_of(url)
    try:
        client.api.import_image_from_data(
            archive.getvalue(), repository=repository, tag=tag, changes=list(changes)
        )
    finally:
        client.close()


def import_busybox(url: str, name: str = BUSYBOX, changes: Sequence[str] = ()) -> None:
    """An image with the usual commands, which runs a shell."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox-static")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    links = {
        f"bin/{each}": "busybox" for each in applets.stdout.split() if each not in ("busybox",)
    }
    with open(busybox, "rb") as file:
        files = {
            "bin/busybox": file.read(),
            "etc/passwd": b"root:x:0:0::/:/bin/sh\nme:x:1000:1000::/tmp:/bin/sh\n",
            "etc/group": b"root:x:0:\nme:x:1000:\n",
        }
    usual = ["ENV PATH=/bin", 'CMD ["sh"]']
    import_image(url, name, files, links=links, changes=[*usual, *changes])
