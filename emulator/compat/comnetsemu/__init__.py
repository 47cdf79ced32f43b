"""ComNetsEmu's names on our engine; scripts import them as ``comnetsemu`` under ``vnf script``."""

from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("comnetsemu", package=True)
