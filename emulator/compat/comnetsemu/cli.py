"""ComNetsEmu's command line, and terminals in its containers."""

from __future__ import annotations

from emulator.compat.mininet.cli import CLI as CLI
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("comnetsemu.cli")
