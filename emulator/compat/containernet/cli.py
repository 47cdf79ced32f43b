"""Containernet's command line, which is Mininet's."""

from emulator.compat.mininet.cli import CLI as CLI
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.cli")
