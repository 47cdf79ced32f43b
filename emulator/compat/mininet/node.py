"""Mininet's kinds of nodes: hosts, switches and controllers."""

from emulator.compat.controllers import Controller as Controller
from emulator.compat.controllers import DefaultController as DefaultController
from emulator.compat.controllers import DefaultControllers as DefaultControllers
from emulator.compat.controllers import NullController as NullController
from emulator.compat.controllers import OVSController as OVSController
from emulator.compat.controllers import RemoteController as RemoteController
from emulator.compat.controllers import Ryu as Ryu
from emulator.compat.controllers import findController as findController
from emulator.compat.controllers import isController as isController
from emulator.compat.nodes import CPULimitedHost as CPULimitedHost
from emulator.compat.nodes import Host as Host
from emulator.compat.nodes import Node as Node
from emulator.compat.switches import OVSBridge as OVSBridge
from emulator.compat.switches import OVSKernelSwitch as OVSKernelSwitch
from emulator.compat.switches import OVSSwitch as OVSSwitch
from emulator.compat.switches import Switch as Switch
from emulator.compat.switches import UserSwitch as UserSwitch
from emulator.compat.unsupported import refuse_names

defaultControllers = DefaultControllers

__getattr__ = refuse_names("mininet.node")
