"""How long a packet may become: what the VNF's links carry, unless the user says otherwise."""

from __future__ import annotations

import struct

from emulator.control import PortInfo, TableContent


def control(parameters: dict, ports: tuple[PortInfo, ...]) -> TableContent:
    longest = parameters["mtu"] or min(port.mtu for port in ports)
    return TableContent(settings={"limits": [struct.pack("=I", longest)]})
