"""Images of Docker for nodes: those of the VNFs, which we make, and those that users name."""

from emulator.images.info import ImageInfo, image_name
from emulator.images.store import build_image, ensure_image

__all__ = ["ImageInfo", "build_image", "ensure_image", "image_name"]
