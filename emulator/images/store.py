"""The images of VNFs in an engine: making them, and seeing whether they are what they should be."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from emulator import __version__
from emulator.errors import LabError, UsageError
from emulator.images.content import (
    DOCKERFILE,
    Content,
    check_plane,
    content_of,
)
from emulator.images.info import (
    DIGEST_LABEL,
    PLANES_LABEL,
    REVISION_LABEL,
    TITLE_LABEL,
    VERSION_LABEL,
    VNF_LABEL,
    ImageInfo,
    image_name,
)
from emulator.kernel.clang import NotCompiledError
from emulator.paths import share_dir
from emulator.revision import source_revision
from emulator.runtime.engine import told

if TYPE_CHECKING:
    from docker import DockerClient

    from emulator.catalog import Manifest
    from emulator.images.closure import ImageFile
    from emulator.images.dockerfile import Recipe

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many of its parts are done, and how many there are."""

_ADDED = ".build-vnf"
"""The folder in which a VNF's Dockerfile finds what would be in the image without it."""

_one_at_a_time = threading.Lock()
_making: dict[str, threading.Lock] = {}


def ensure_image(
    client: DockerClient, manifest: Manifest, plane: str, *, progress: Progress | None = None
) -> ImageInfo:
    """The image of a VNF for a data plane, made if it is missing or its sources have changed.

    Raises:
        UsageError: the VNF has no image for the data plane, or does not compile.
        MachineError: the engine does not answer, or what it takes to compile is not installed.
        LabError: the engine refuses the image.
    """
    name = image_name(manifest, plane)
    with _alone(name):
        making = _prepare(manifest, plane)
        known = inspect_image(client, name)
        if known is None or known.digest != making.digest:
            known = _make(client, making, known, progress)
    _check_entrypoint(manifest, known)
    return known


def build_image(
    client: DockerClient, manifest: Manifest, plane: str, *, progress: Progress | None = None
) -> ImageInfo:
    """Make the image of a VNF for a data plane anew; see ``ensure_image``."""
    name = image_name(manifest, plane)
    with _alone(name):
        making = _prepare(manifest, plane)
        made = _make(client, making, inspect_image(client, name), progress)
    _check_entrypoint(manifest, made)
    return made


def is_current(manifest: Manifest, image: ImageInfo) -> bool:
    """Whether an image is what ``ensure_image`` would make of the VNF now; compiles nothing."""
    try:
        return image.digest == _prepare(manifest, image.plane or "", cached_only=True).digest
    except NotCompiledError:
        return False


def inspect_image(client: DockerClient, name: str, *, where: str = "") -> ImageInfo | None:
    """An image that the engine has, by its name or id; None when it has none such.

    Args:
        where: for errors; the name by default.

    Raises:
        UsageError: the name is none that an image can have.
        MachineError: the engine does not answer.
    """
    from docker.errors import ImageNotFound

    with told(where or name):
        try:
            return ImageInfo.of(client.images.get(name).attrs, name)
        except ImageNotFound:
            return None


def list_images(client: DockerClient) -> list[ImageInfo]:
    """The images of VNFs that the engine has, those that have lost their names at the end."""
    with told("image"):
        found = client.images.list(filters={"label": VNF_LABEL})
        images = [ImageInfo.of(each.attrs) for each in found]
    return sorted(images, key=lambda image: (not image.name, image.name, image.id))


def remove_image(client: DockerClient, name: str) -> None:
    """Take an image away.

    Raises:
        UsageError: there is none such, or a container uses it.
    """
    with told(name):
        client.api.remove_image(name)


class _Making:
    """An image to make: either of files alone, or by a Dockerfile."""

    def __init__(self, manifest: Manifest, plane: str, source: Content | Recipe) -> None:
        self.manifest = manifest
        self.name = image_name(manifest, plane)
        self.source = source
        self.labels = {
            TITLE_LABEL: manifest.name,
            VERSION_LABEL: __version__,
            VNF_LABEL: manifest.name,
            PLANES_LABEL: plane,
        }
        self.digest = source.digest(self.labels)

    def all_labels(self) -> dict[str, str]:
        """Those that the digest covers, and the others."""
        labels = {**self.labels, DIGEST_LABEL: self.digest}
        revision = _revision_of(self.manifest)
        if revision is not None:
            labels[REVISION_LABEL] = revision
        return labels


def _prepare(manifest: Manifest, plane: str, *, cached_only: bool = False) -> _Making:
    if not (manifest.folder / DOCKERFILE).is_file():
        return _Making(manifest, plane, content_of(manifest, plane, cached_only=cached_only))
    from emulator.images.dockerfile import Recipe

    check_plane(manifest, plane)
    added: tuple[ImageFile, ...] = ()
    if manifest.dataplanes[plane].program is None:
        files = content_of(manifest, plane, cached_only=cached_only).files
        added = tuple(replace(file, path=f"{_ADDED}{file.path}") for file in files)
    return _Making(manifest, plane, Recipe(manifest.folder, {"PLANE": plane}, added))


def import_files(
    client: DockerClient,
    name: str,
    archive: IO[bytes],
    labels: Mapping[str, str],
    changes: Sequence[str],
    before: ImageInfo | None,
) -> ImageInfo:
    """Make an image of the files in a tar archive, in place of the one of that name before.

    Args:
        changes: lines of a Dockerfile beside the labels.

    Raises:
        MachineError: the engine does not answer.
        LabError: the engine refuses it.
    """
    repository, _, tag = name.rpartition(":")
    lines = [f"LABEL {_quoted(key)}={_quoted(value)}" for key, value in labels.items()]
    with told(name):
        client.api.import_image_from_data(
            archive, repository=repository, tag=tag, changes=[*lines, *changes]
        )
    return _made(client, name, before)


def _make(
    client: DockerClient, making: _Making, before: ImageInfo | None, progress: Progress | None
) -> ImageInfo:
    name, source, labels = making.name, making.source, making.all_labels()
    if not isinstance(source, Content):
        source.build(client, name, labels=labels, progress=progress, where=name)
        return _made(client, name, before)
    changes = [f"USER {source.user}"]
    if source.entrypoint:
        changes.append(f"ENTRYPOINT {json.dumps(source.entrypoint)}")
    with tempfile.TemporaryFile() as archive:
        source.write_tar(archive)
        archive.seek(0)
        return import_files(client, name, archive, labels, changes, before)


def _made(client: DockerClient, name: str, before: ImageInfo | None) -> ImageInfo:
    made = inspect_image(client, name)
    if made is None:
        raise LabError("the image is gone as soon as it was made", where=name)
    if before is not None and before.id != made.id:
        # What it was before has lost its name, and goes unless another name or a container has it.
        with suppress(UsageError):
            remove_image(client, before.id)
    return made


def _check_entrypoint(manifest: Manifest, image: ImageInfo) -> None:
    process = manifest.dataplanes[image.plane or ""].mechanism == "process"
    if process and not image.entrypoint:
        raise UsageError(
            f"it does not say what runs on {image.plane}",
            where=str(manifest.folder / DOCKERFILE),
            hint='write ENTRYPOINT ["/vnf"] with the path of the program',
        )


def _quoted(text: str) -> str:
    r"""A word of a Dockerfile: ``a "b" $c`` as ``"a \"b\" \$c"``."""
    return '"' + "".join(f"\\{letter}" if letter in '"\\$' else letter for letter in text) + '"'


def _revision_of(manifest: Manifest) -> str | None:
    ours = share_dir()
    if manifest.folder.is_relative_to(ours):
        return source_revision(ours)
    folder = manifest.folder.absolute()
    checkout = next((each for each in folder.parents if (each / ".git").exists()), None)
    return None if checkout is None else source_revision(checkout)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Several nodes of a lab want the same image at once: one makes it, the others find it."""
    with _one_at_a_time:
        lock = _making.setdefault(name, threading.Lock())
    with lock:
        yield
