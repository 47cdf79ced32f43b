"""Containernet's links, which are Mininet's."""

from emulator.compat.mininet.link import *  # noqa: F403 - whatever Mininet's module has
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.link")
