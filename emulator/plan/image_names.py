"""What the images of VNFs are called."""

from __future__ import annotations

import hashlib
import re

REPOSITORY = "build-vnf"

BASE_IMAGE = f"{REPOSITORY}/base:latest"
"""What a host in a container runs when no image is given; ``vnf image base`` makes it."""

# What Docker takes as one part of a name.
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*")
_LONGEST = 100


def image_name(vnf: str, plane: str) -> str:
    """What the image of a VNF is called: ``build-vnf/firewall:packet``.

    Docker takes fewer names than we do: what is not one of its own is spelt in small letters, with
    something behind it that tells it from others.
    """
    if _PART.fullmatch(vnf) and len(vnf) <= _LONGEST:
        return f"{REPOSITORY}/{vnf}:{plane}"
    words = re.findall(r"[a-z0-9]+", vnf.lower())
    spelt = "-".join(words)[:_LONGEST].rstrip("-")
    mark = hashlib.sha256(vnf.encode()).hexdigest()[:8]
    return f"{REPOSITORY}/{'-'.join(filter(None, (spelt, mark)))}:{plane}"
