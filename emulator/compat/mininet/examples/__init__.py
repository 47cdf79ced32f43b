"""Mininet's examples are programs; what of them is a library would be here, and is refused."""

from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("mininet.examples", package=True)
