"""The router's tables: the networks of its ports, and the routes given."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import Any

from emulator.control import ParameterError, PortInfo, TableContent
from emulator.match import split_items

_VIA, _CONNECTED, _LOCAL, _BROADCAST = range(4)
_MOST = 1024
_FORM = "write routes as 10.0.9.0/24 via 10.0.1.2; fd00:9::/64 via fd00:1::2; default via 10.0.0.1"
_WITHOUT = 'give links addresses: addLink(host, router, params2={"ip": "10.0.1.1/24"})'

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Table = dict[Network, bytes]


def control(parameters: dict[str, Any], ports: tuple[PortInfo, ...]) -> TableContent:
    """Of each port its addresses; of each network the port and the next hop."""
    own = [(n, _interfaces(port)) for n, port in enumerate(ports)]
    on_link = [(n, each) for n, interfaces in own for each in interfaces]
    if not on_link:
        raise ParameterError("routes", "no port of the router has an address", _WITHOUT)
    table = _connected(on_link, ports)
    for item in split_items(parameters["routes"]):
        network, via = _read(item)
        if network in table:
            raise ParameterError("routes", f"in {item!r}: {network} is routed already", _FORM)
        table[network] = _route(_VIA, _port_of(via, on_link, item), via)
    for version in (4, 6):
        if sum(network.version == version for network in table) > _MOST:
            raise ParameterError("routes", f"there is room for {_MOST} routes of IPv{version}")
    return TableContent(
        settings={"own_ports": [_own_port(port) for port in ports]},
        tables={
            f"routes{version}": {
                struct.pack("=I", network.prefixlen) + network.network_address.packed: route
                for network, route in table.items()
                if network.version == version
            }
            for version in (4, 6)
        },
    )


def _interfaces(port: PortInfo) -> list[Interface]:
    return [ipaddress.ip_interface(text) for text in (port.ipv4, port.ipv6) if text]


def _connected(on_link: Sequence[tuple[int, Interface]], ports: Sequence[PortInfo]) -> Table:
    table: Table = {}
    owners: dict[Network, int] = {}
    for n, interface in on_link:
        network = interface.network
        other = next((o for known, o in owners.items() if known.overlaps(network)), None)
        if other is not None:
            names = f"{ports[other].name} and {ports[n].name}"
            raise ParameterError("routes", f"ports {names} are both in {network}", _WITHOUT)
        owners[network] = n
        table[network] = _route(_CONNECTED, n)
        if network.version == 4 and network.prefixlen < 31:
            for special in (network.network_address, network.broadcast_address):
                table[ipaddress.ip_network(special)] = _route(_BROADCAST, n)
        table[ipaddress.ip_network(interface.ip)] = _route(_LOCAL, n)
    return table


def _read(item: str) -> tuple[Network, Address]:
    words = item.split()
    if len(words) != 3 or words[1] != "via":
        raise ParameterError("routes", f"in {item!r}: this is no route", _FORM)
    try:
        via = ipaddress.ip_address(words[2])
    except ValueError:
        raise ParameterError(
            "routes", f"in {item!r}: {words[2]} is not an address", _FORM
        ) from None
    everything = "0.0.0.0/0" if via.version == 4 else "::/0"
    try:
        network = ipaddress.ip_network(everything if words[0] == "default" else words[0])
    except ValueError as error:
        raise ParameterError("routes", f"in {item!r}: {error}", _FORM) from None
    if network.version != via.version:
        raise ParameterError(
            "routes", f"in {item!r}: IPv{network.version} does not go via IPv{via.version}", _FORM
        )
    return network, via


def _port_of(via: Address, on_link: Sequence[tuple[int, Interface]], item: str) -> int:
    for n, interface in on_link:
        if via == interface.ip:
            raise ParameterError("routes", f"in {item!r}: {via} is the router itself", _FORM)
        if via in interface.network:
            return n
    networks = ", ".join(str(interface.network) for _, interface in on_link)
    raise ParameterError(
        "routes", f"in {item!r}: no port is in a network with {via}", f"its networks: {networks}"
    )


def _route(kind: int, port: int, via: Address | None = None) -> bytes:
    """``struct route``."""
    packed = b"" if via is None else via.packed
    return struct.pack("=16sII", packed, port, kind)


def _own_port(port: PortInfo) -> bytes:
    """``struct own_port``."""
    ipv4 = ipaddress.ip_interface(port.ipv4).ip.packed if port.ipv4 else b""
    ipv6 = ipaddress.ip_interface(port.ipv6).ip.packed if port.ipv6 else b""
    mac = bytes.fromhex(port.mac.replace(":", ""))
    return struct.pack("=6sH4s4x16s", mac, port.mtu, ipv4, ipv6)
