"""What images are called, and what an engine says of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.plan import image_names

if TYPE_CHECKING:
    from emulator.catalog import Manifest

VNF_LABEL = "build-vnf.vnf"
"""On each image of a VNF: its name."""
PLANES_LABEL = "build-vnf.planes"
"""On each image of a VNF: the data plane it is for."""
DIGEST_LABEL = "build-vnf.digest"
"""On each image of a VNF: what it was made from, so that one can see whether that has changed."""
TITLE_LABEL = "org.opencontainers.image.title"
VERSION_LABEL = "org.opencontainers.image.version"
REVISION_LABEL = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class ImageInfo:
    """An image as the engine has it.

    Attributes:
        name: how it was asked for, or its first name; empty when it has lost its name.
        id: ``sha256:…``.
        size_bytes: of all its layers.
        created: date and time, as the engine writes it.
        vnf: the VNF it is of, if any; so are ``plane``, ``version``, ``revision`` and ``digest``
            from labels, None without them.
        entrypoint: what runs in it, together with ``command``.
        healthcheck: as the engine has it: ``Test``, ``Interval`` in ns and so on.
    """

    name: str
    id: str
    size_bytes: int
    created: str
    vnf: str | None
    plane: str | None
    version: str | None
    revision: str | None
    digest: str | None
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    workdir: str
    user: str
    healthcheck: dict[str, Any] | None

    @classmethod
    def of(cls, inspected: Mapping[str, Any], name: str = "") -> ImageInfo:
        """What ``docker image inspect`` tells of an image, in our words."""
        # Engines leave out what an image does not set, or write null.
        config = inspected.get("Config") or {}
        labels = config.get("Labels") or {}
        variables = (entry.partition("=") for entry in config.get("Env") or ())
        return cls(
            name=name or next(iter(inspected.get("RepoTags") or ()), ""),
            id=inspected["Id"],
            size_bytes=inspected["Size"],
            created=inspected.get("Created") or "",
            vnf=labels.get(VNF_LABEL),
            plane=labels.get(PLANES_LABEL),
            version=labels.get(VERSION_LABEL),
            revision=labels.get(REVISION_LABEL),
            digest=labels.get(DIGEST_LABEL),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            environment={key: value for key, _, value in variables},
            workdir=config.get("WorkingDir") or "",
            user=config.get("User") or "",
            healthcheck=config.get("Healthcheck"),
        )

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def image_name(vnf: Manifest | str, plane: str) -> str:
    """What the image of a VNF is called: as its plan says it."""
    return image_names.image_name(vnf if isinstance(vnf, str) else vnf.name, plane)
