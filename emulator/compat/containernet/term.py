"""Containernet's ``term``, which is Mininet's."""

from emulator.compat.mininet.term import *  # noqa: F403 - whatever Mininet's module has
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.term")
