"""Mininet's links and interfaces."""

from emulator.compat.interfaces import Intf as Intf
from emulator.compat.interfaces import OVSIntf as OVSIntf
from emulator.compat.interfaces import TCIntf as TCIntf
from emulator.compat.links import Link as Link
from emulator.compat.links import OVSLink as OVSLink
from emulator.compat.links import TCLink as TCLink
from emulator.compat.links import TCULink as TCULink
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("mininet.link")
