"""Containernet's names on our engine; scripts import them as ``containernet``."""

from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet", package=True)
