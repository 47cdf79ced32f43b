"""Images of Docker for nodes: those of the VNFs, which we make, and those that users name."""

from emulator.images.info import ImageInfo, image_name
from emulator.images.pulling import ensure_pulled, pull_image
from emulator.images.store import build_image, ensure_image, inspect_image

__all__ = [
    "ImageInfo",
    "build_image",
    "ensure_image",
    "ensure_pulled",
    "image_name",
    "inspect_image",
    "pull_image",
]
