"""Images made by a Dockerfile, on the engine's own builder, which needs nothing beside it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from emulator.errors import BuildVnfError, LabError, MachineError, UsageError
from emulator.images.closure import ImageFile
from emulator.plan.image_names import BASE_IMAGE, REPOSITORY
from emulator.runtime.engine import told

if TYPE_CHECKING:
    from docker import DockerClient

_STEP = re.compile(r"Step (?P<number>\d+)/(?P<count>\d+) : (?P<text>.*)")
_FROM = re.compile(r" : FROM (?:--\S+ )*(?P<image>\S+)", re.IGNORECASE)
_LAST_LINES = 12
# What the builder says of its own work, which nobody looks for in an error.
_CHATTER = (" ---> ", "Removing intermediate container")
_NO_REGISTRY = re.compile(
    r"no such host|i/o timeout|connection refused|network is unreachable|Client\.Timeout|"
    r"TLS handshake|context deadline exceeded|server misbehaving|EOF|no route to host|"
    r"proxyconnect|connection reset|name resolution|unexpected status code 5\d\d",
    re.IGNORECASE,
)
_NO_IMAGE = re.compile(
    r"pull access denied|manifest unknown|not found|repository does not exist", re.IGNORECASE
)
_BUILDKIT = re.compile(r"requires BuildKit|requires buildkit|unknown flag: |unknown instruction: <")


@dataclass(frozen=True)
class Recipe:
    """A folder with a Dockerfile.

    Attributes:
        folder: the folder.
        arguments: what its ``ARG`` get.
        added: files beside its own; their paths are in the folder.
    """

    folder: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    added: tuple[ImageFile, ...] = ()

    def digest(self, labels: Mapping[str, str]) -> str:
        """What tells what is made of it, with these labels, from another."""
        told = hashlib.sha256(json.dumps([dict(self.arguments), sorted(labels.items())]).encode())
        for name, path in self._files():
            told.update(f"\0{name}\0{path.lstat().st_mode}\0".encode())
            if path.is_symlink():
                told.update(os.readlink(path).encode())
            elif path.is_file():
                told.update(hashlib.sha256(path.read_bytes()).digest())
        for file in self.added:
            told.update(f"\0{file.path}\0{file.mode}\0".encode())
            told.update(hashlib.sha256(file.read()).digest())
        return told.hexdigest()

    def build(
        self,
        client: DockerClient,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        where: str,
    ) -> None:
        """Have the engine make the image and call it ``name``.

        Raises:
            UsageError: there is no Dockerfile, or a step of it fails; the message has the step
                and its last lines.
            MachineError: an image that it starts from is not here and no registry answers, or
                the engine does not answer.
        """
        if not (self.folder / "Dockerfile").is_file():
            raise UsageError(f"there is no file {self.folder / 'Dockerfile'}", where=where)
        with tempfile.TemporaryFile() as context, told(where):
            self._write_context(context)
            context.seek(0)
            events = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=name,
                buildargs=dict(self.arguments),
                labels=dict(labels or {}),
                rm=True,
                forcerm=True,
                decode=True,
                network_mode=_network_of(client),
            )
            self._follow(events, name, progress, where)

    def _follow(
        self,
        events: Iterator[dict[str, Any]],
        name: str,
        progress: Callable[[str, int, int], None] | None,
        where: str,
    ) -> None:
        step, lines, count, error = "", deque[str](maxlen=_LAST_LINES), 0, ""
        # To the end, also of one that fails: what is not read would keep a connection.
        for event in events:
            error = str(event.get("error", error))
            for line in str(event.get("stream", "")).splitlines():
                match = _STEP.fullmatch(line)
                if match is None:
                    if not line.startswith(_CHATTER):
                        lines.append(line)
                    continue
                step, count = line, int(match["count"])
                lines.clear()
                if progress is not None:
                    progress(f"building {name}", int(match["number"]) - 1, count)
        if error:
            self._fail(error, step, lines, where)
        if progress is not None:
            progress(f"building {name}", count, count)

    def _fail(self, error: str, step: str, lines: deque[str], where: str) -> NoReturn:
        error = error.strip().rstrip(".")
        source = _FROM.search(step)
        if source is not None and (_NO_REGISTRY.search(error) or _NO_IMAGE.search(error)):
            raise not_here(source["image"], error, where)
        said = "".join(f"\n    {line}" for line in (step, *lines) if line.strip())
        hint = f"the file: {self.folder / 'Dockerfile'}"
        if _BUILDKIT.search(error):
            hint = "this builder is the engine's own, without BuildKit: build the image with docker"
        raise UsageError(f"the image cannot be built: {error}{said}", where=where, hint=hint)

    def _write_context(self, stream: IO[bytes]) -> None:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, path in self._files():
                entry = archive.gettarinfo(path, arcname=name)
                # Who it belongs to here, and when it was written, would only spoil the cache.
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                if entry.isreg():
                    with path.open("rb") as file:
                        archive.addfile(entry, file)
                else:
                    archive.addfile(entry)
            for added in self.added:
                content = added.read()
                entry = tarfile.TarInfo(added.path)
                entry.mode, entry.size = added.mode, len(content)
                archive.addfile(entry, io.BytesIO(content))

    def _files(self) -> list[tuple[str, Path]]:
        """What the engine gets of the folder, in order: name and file."""
        from docker.utils.build import exclude_paths

        ignored = self.folder / ".dockerignore"
        patterns = ignored.read_text().splitlines() if ignored.is_file() else []
        patterns = [line.strip() for line in patterns if line.strip() and line[0] != "#"]
        own = exclude_paths(
            str(self.folder), [*patterns, "**/__pycache__"], dockerfile="Dockerfile"
        )
        files = {name: self.folder / name for name in own if name}
        # Sockets and the like cannot be given away.
        return sorted(
            (name, path)
            for name, path in files.items()
            if path.is_symlink() or path.is_file() or path.is_dir()
        )


def not_here(image: str, error: str, where: str) -> BuildVnfError:
    """The error for an image that is not on this machine and did not come from a registry.

    Args:
        error: what the engine says.
    """
    hint = hint_for(image)
    if _NO_REGISTRY.search(error):
        return MachineError(
            f"image {image} is not on this machine and no registry answers",
            where=where,
            hint=hint or "docker load reads one from a file, and vnf image base makes a small one",
        )
    if _NO_IMAGE.search(error):
        return UsageError(
            f"image {image} is neither on this machine nor, for everybody, in its registry",
            where=where,
            hint=hint or "check its name; docker pull gets what takes a docker login",
        )
    return LabError(f"image {image} cannot be had: {error.strip().rstrip('.')}", where=where)


def hint_for(image: str) -> str:
    """How to get an image of ours, which no registry has; empty for any other."""
    if BASE_IMAGE in (image, f"{image}:latest"):
        return "vnf image base makes it"
    if image.startswith(f"{REPOSITORY}/"):
        return "vnf image build makes it"
    return ""


def _network_of(client: DockerClient) -> str | None:
    """Steps that fetch something need a network, and an engine may have been started without."""
    bridges = client.api.networks(filters={"driver": "bridge", "type": "builtin"})
    return None if bridges else "host"
