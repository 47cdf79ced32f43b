"""ComNetsEmu's log, which is Mininet's."""

from emulator.compat.mininet.log import (
    debug,
    error,
    info,
    lg,
    output,
    setLogLevel,
    warn,
    warning,
)
from emulator.compat.unsupported import refuse_names

__all__ = ["debug", "error", "info", "lg", "output", "setLogLevel", "warn", "warning"]

__getattr__ = refuse_names("comnetsemu.log")
