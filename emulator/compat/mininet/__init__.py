"""Mininet's names on our engine; scripts import them as ``mininet`` under ``vnf script``."""

from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("mininet", package=True)
