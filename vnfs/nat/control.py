"""What the NAT is called outside."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from emulator.control import ParameterError, PortInfo, TableContent


def control(parameters: dict[str, Any], ports: tuple[PortInfo, ...]) -> TableContent:
    """The address given, or that of the outside port, and the MAC address it is found at."""
    outside = ports[1 - parameters["inside"]]
    address = ipaddress.IPv4Address(parameters["address"])
    if address.is_unspecified and outside.ipv4 is not None:
        address = ipaddress.IPv4Interface(outside.ipv4).ip
    if address.is_unspecified:
        raise ParameterError(
            "address",
            f"{outside.name}, the port outside, has no address to show",
            'give one that is free there: address="10.0.0.99"',
        )
    if address.is_multicast or address.is_loopback or int(address) == 0xFFFFFFFF:
        raise ParameterError("address", f"{address} is not an address of one host")
    if parameters["first_port"] > parameters["last_port"]:
        raise ParameterError(
            "first_port",
            f"{parameters['first_port']} is above last_port, {parameters['last_port']}",
            "the ports outside are those from first_port to last_port",
        )
    mac = bytes.fromhex(outside.mac.replace(":", ""))
    return TableContent(settings={"owns": [struct.pack("=4s6s2x", address.packed, mac)]})
