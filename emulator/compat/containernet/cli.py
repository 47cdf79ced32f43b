"""Containernet's ``cli``, which is Mininet's."""

from emulator.compat.mininet.cli import *  # noqa: F403 - whatever Mininet's module has
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.cli")
