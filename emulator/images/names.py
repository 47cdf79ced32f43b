"""What the images of VNFs are called: as their plan says it."""

from emulator.plan.image_names import BASE_IMAGE, image_name

__all__ = ["BASE_IMAGE", "image_name"]
