"""Mininet's look at the machine: which programs and kernel modules there are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from emulator.compat.unsupported import refuse_names
from emulator.errors import MachineError

OVS_KMOD = "openvswitch"
TUN = "tun"


def lsmod() -> str:
    """The kernel modules that are loaded, one a line."""
    modules = Path("/proc/modules")
    return modules.read_text() if modules.exists() else ""


def pathCheck(*args: str, **kwargs: Any) -> None:
    """Whether programs are installed.

    Args:
        args: their names.
        kwargs: ``moduleName``: what needs them, for the message.

    Raises:
        MachineError: one is not.
    """
    needed_by = kwargs.get("moduleName", "the script")
    for name in args:
        if shutil.which(name) is None:
            raise MachineError(f"{needed_by} needs {name}, which is not installed")


__getattr__ = refuse_names("mininet.moduledeps")
