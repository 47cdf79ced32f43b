"""A Docker daemon of the benchmarks' own, with a small image in it."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.errors import MachineError
from emulator.runtime.daemon import start_daemon, stop_daemon
from emulator.runtime.daemon_places import FOLDER_VARIABLE
from emulator.runtime.engine import client_of, told

IMAGE = "build-vnf-bench/host:latest"
"""A shell and the commands that Mininet's way of making a network calls in each host."""

_PROGRAMS = {"busybox": Path("/bin/busybox"), "bash": Path("/bin/bash-static")}
_COMMANDS = ("env", "ifconfig", "ip", "printf", "route", "sh", "sleep", "stty", "true")


@contextmanager
def own_engine() -> Iterator[str]:
    """The address of a private daemon, which ``$DOCKER_HOST`` names within; it has ``IMAGE``.

    Raises:
        MachineError: Docker, or what the image is made of, is not installed.
    """
    names = ("DOCKER_HOST", FOLDER_VARIABLE)
    before = {name: os.environ.get(name) for name in names}
    folder = Path(tempfile.mkdtemp(prefix="build-vnf-bench-", dir="/var/tmp"))
    try:
        os.environ.pop("DOCKER_HOST", None)
        os.environ[FOLDER_VARIABLE] = str(folder / "docker")
        try:
            url = os.environ["DOCKER_HOST"] = start_daemon().url
            _make_image(url)
            yield url
        finally:
            stop_daemon(force=True, purge=True)
    finally:
        for name, text in before.items():
            os.environ.pop(name, None)
            if text is not None:
                os.environ[name] = text
        shutil.rmtree(folder)


def _make_image(url: str) -> None:
    missing = [path for path in _PROGRAMS.values() if not path.is_file()]
    if missing:
        raise MachineError(
            "a static shell for containers is not installed",
            where=str(missing[0]),
            hint="apt-get install busybox-static bash-static",
        )
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, path in _PROGRAMS.items():
                archive.add(path.resolve(), f"bin/{name}")
            for name in _COMMANDS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        file.seek(0)
        repository, _, tag = IMAGE.partition(":")
        client = client_of(url)
        try:
            with told(IMAGE):
                client.api.import_image_from_data(
                    file, repository=repository, tag=tag, changes=['CMD ["sleep", "1000000"]']
                )
        finally:
            client.close()
