"""ComNetsEmu's exceptions."""

from __future__ import annotations

from emulator.compat.unsupported import refuse_names
from emulator.errors import TopologyError


class InvalidDockerArgs(TopologyError, ValueError):
    """What ``docker_args`` asks for cannot be had."""


__getattr__ = refuse_names("comnetsemu.exceptions")
