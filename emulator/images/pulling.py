"""The images that users name: there already, built from a folder, or pulled from a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, UsageError
from emulator.images.dockerfile import Recipe, hint_for, not_here
from emulator.images.info import ImageInfo
from emulator.images.store import inspect_image
from emulator.runtime.engine import told

if TYPE_CHECKING:
    from docker import DockerClient

    from emulator.plan.model import ContainerPlan

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many of its parts are done, and how many there are."""


def ensure_pulled(
    client: DockerClient,
    plan: ContainerPlan,
    *,
    progress: Progress | None = None,
    where: str,
) -> ImageInfo:
    """The image of a container: as it is here, or built, or pulled, as its plan says.

    Args:
        where: the node, for errors.

    Raises:
        UsageError: it is not here and no registry has it, or it cannot be built.
        MachineError: it is not here and no registry answers, or the engine does not.
        LabError: the engine refuses it.
    """
    if plan.build is not None:
        recipe = Recipe(Path(plan.build), plan.build_arguments)
        recipe.build(client, plan.image, progress=progress, where=where)
    elif plan.pull != "always":
        known = inspect_image(client, plan.image, where=where)
        if known is not None:
            return known
        if plan.pull == "never":
            raise UsageError(
                f"image {plan.image} is not on this machine",
                where=where,
                hint=hint_for(plan.image) or 'pull="missing" asks a registry for it',
            )
    if plan.build is None:
        return pull_image(client, plan.image, progress=progress, where=where)
    built = inspect_image(client, plan.image, where=where)
    if built is None:
        raise LabError(f"image {plan.image} is gone as soon as it was built", where=where)
    return built


def pull_image(
    client: DockerClient, name: str, *, progress: Progress | None = None, where: str
) -> ImageInfo:
    """Get an image from a registry, whether or not one of that name is here.

    Raises:
        UsageError: the name is none, or no registry has it.
        MachineError: no registry answers, or the engine does not.
        LabError: the engine refuses it.
    """
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    layers, failure = _Layers(f"pulling {name}, KiB", progress), ""
    with told(where):
        try:
            # Without a tag the engine would get all that there are.
            for event in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                failure = str(event.get("error", failure))
                layers.saw(event)
        except APIError as error:
            if error.status_code == 400:
                raise UsageError(
                    f"{name!r} is no name of an image", where=where, hint="write REPOSITORY:TAG"
                ) from error
            raise not_here(name, str(error.explanation), where) from error
    if failure:
        raise not_here(name, failure, where)
    pulled = inspect_image(client, name)
    if pulled is None:
        raise LabError(f"image {name} is gone as soon as it was pulled", where=where)
    return pulled


class _Layers:
    """How far the layers of an image have come, in KiB of those that are known."""

    def __init__(self, step: str, progress: Progress | None) -> None:
        self._step = step
        self._progress = progress
        self._sizes: dict[str, tuple[int, int]] = {}

    def saw(self, event: dict[str, Any]) -> None:
        """Take note of what the engine says of a layer."""
        layer, detail = event.get("id"), event.get("progressDetail") or {}
        if self._progress is None or layer is None:
            return
        if event.get("status") == "Downloading" and detail.get("total"):
            self._sizes[layer] = (detail["current"], detail["total"])
        elif event.get("status") in ("Download complete", "Pull complete") and layer in self._sizes:
            total = self._sizes[layer][1]
            self._sizes[layer] = (total, total)
        if self._sizes:
            done, total = map(sum, zip(*self._sizes.values(), strict=True))
            self._progress(self._step, done >> 10, total >> 10)
