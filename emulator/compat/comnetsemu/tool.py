"""What ComNetsEmu's scripts imported before it had ``util``."""

from emulator.compat.comnetsemu.util import parsePing
from emulator.compat.unsupported import refuse_names

__all__ = ["parsePing"]

__getattr__ = refuse_names("comnetsemu.tool")
