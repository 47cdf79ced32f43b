"""Addresses, neighbours and routes of interfaces that are there already, over route netlink.

Layouts: linux/rtnetlink.h, linux/neighbour.h, linux/if_addr.h.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Self

from emulator.kernel import rtnl as netlink
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import Rtnl

_RTM_DELADDR, _RTM_GETADDR, _RTM_NEWADDR = 21, 22, 20
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_RTM_NEWNEIGH = 28
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_RT_TABLE_MAIN, _RT_SCOPE_LINK, _RT_SCOPE_UNIVERSE = 254, 253, 0
_RTPROT_KERNEL, _RTPROT_BOOT, _RTN_UNICAST = 2, 3, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_PERMANENT = 0x80
_IFLA_MTU, _IFLA_NEW_IFINDEX = 4, 49
_IFF_PROMISC = 0x100


@dataclass(frozen=True)
class Route:
    """A route of the main table: where to (``default`` or a network), and how."""

    to: str
    gateway: str | None = None
    index: int | None = None
    """The number of the interface it leaves by."""
    metric: int | None = None
    by_kernel: bool = False
    """Whether the kernel made it, when an interface was given an address."""


@dataclass(frozen=True)
class Neighbour:
    """An address and the MAC address behind it, as the kernel is told of them.

    Made once and told to many: with hundreds of hosts there are tens of thousands of pairs.
    """

    family: int
    attributes: bytes

    @classmethod
    def of(cls, address: str, mac: str) -> Self:
        found = ip_address(address)
        family = socket.AF_INET if found.version == 4 else socket.AF_INET6
        attributes = netlink._attribute(_NDA_DST, found.packed)
        attributes += netlink._attribute(_NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))
        return cls(family, attributes)


class Addressing(Rtnl):
    """A route netlink socket for what interfaces that are there already are to have."""

    def delete_address(self, index: int, address: str, *, where: str) -> None:
        """Takes an address such as ``10.0.0.1/8`` from an interface."""
        interface = ip_interface(address)
        body = netlink._IFADDR.pack(_family(interface), interface.network.prefixlen, 0, 0, index)
        packed = interface.packed
        body += netlink._attribute(_IFA_LOCAL, packed) + netlink._attribute(_IFA_ADDRESS, packed)
        self._add(_RTM_DELADDR, netlink._REQUEST | netlink._ACK, body, where)

    def set_mac(self, index: int, mac: str, *, where: str) -> None:
        """Gives an interface another MAC address."""
        body = netlink._ifinfo(index) + netlink._mac(mac)
        self._add(netlink._RTM_NEWLINK, netlink._REQUEST | netlink._ACK, body, where)

    def set_mtu(self, index: int, mtu: int, *, where: str) -> None:
        """Gives an interface another MTU."""
        body = netlink._ifinfo(index) + netlink._u32(_IFLA_MTU, mtu)
        self._add(netlink._RTM_NEWLINK, netlink._REQUEST | netlink._ACK, body, where)

    def move_as(self, index: int, netns: Netns, name: str, new: int | None, *, where: str) -> None:
        """Moves an interface to another namespace, under another name.

        Args:
            new: the number that it is to have there; None leaves it to the kernel.
        """
        body = netlink._ifinfo(index) + netlink._u32(netlink._IFLA_NET_NS_FD, netns.fd)
        body += netlink._name(name)
        if new is not None:
            body += netlink._u32(_IFLA_NEW_IFINDEX, new)
        self._add(netlink._RTM_NEWLINK, netlink._REQUEST | netlink._ACK, body, where)

    def rename(self, index: int, name: str, *, where: str) -> None:
        """Gives an interface that is down another name."""
        body = netlink._ifinfo(index) + netlink._name(name)
        self._add(netlink._RTM_NEWLINK, netlink._REQUEST | netlink._ACK, body, where)

    def is_promiscuous(self, index: int) -> bool:
        """Whether an interface was told to take frames for others too."""
        payloads = self._dump(netlink._RTM_GETLINK, netlink._RTM_NEWLINK, netlink._ifinfo(0))
        heads = [netlink._IFINFO.unpack_from(payload) for payload in payloads]
        return any(head[3] == index and head[4] & _IFF_PROMISC for head in heads)

    def set_promiscuous(self, index: int, wanted: bool, *, where: str) -> None:
        """Tells an interface to take frames for others too, or not."""
        flags = _IFF_PROMISC if wanted else 0
        body = netlink._IFINFO.pack(socket.AF_UNSPEC, 0, 0, index, flags, _IFF_PROMISC)
        self._add(netlink._RTM_NEWLINK, netlink._REQUEST | netlink._ACK, body, where)

    def add_neighbour(self, index: int, address: str, mac: str, *, where: str) -> None:
        """Has an interface know a neighbour's MAC address for good."""
        self.add_neighbours(index, [Neighbour.of(address, mac)], where=where)

    def add_neighbours(self, index: int, neighbours: Iterable[Neighbour], *, where: str) -> None:
        """Has an interface know several neighbours for good."""
        flags = netlink._REQUEST | netlink._ACK | netlink._CREATE | netlink._REPLACE
        for each in neighbours:
            head = netlink._NDMSG.pack(each.family, 0, 0, index, _NUD_PERMANENT, 0, 0)
            self._add(_RTM_NEWNEIGH, flags, head + each.attributes, where)

    def add_route(self, route: Route, *, where: str) -> None:
        """A route, in place of one with the same destination and metric."""
        flags = netlink._REQUEST | netlink._ACK | netlink._CREATE | netlink._REPLACE
        self._add(_RTM_NEWROUTE, flags, _route_body(route), where)

    def delete_route(self, route: Route, *, where: str) -> None:
        """Takes a route away."""
        self._add(
            _RTM_DELROUTE, netlink._REQUEST | netlink._ACK, _route_body(route, gone=True), where
        )

    def addresses(self, index: int) -> list[str]:
        """The addresses of an interface that last, with prefix lengths; not link-local ones."""
        found = []
        for payload in self._dump(_RTM_GETADDR, _RTM_NEWADDR, netlink._IFADDR.pack(0, 0, 0, 0, 0)):
            family, prefixlen, flags, scope, number = netlink._IFADDR.unpack_from(payload)
            if number != index or scope == _RT_SCOPE_LINK or not flags & _IFA_F_PERMANENT:
                continue
            attributes = netlink._attributes(payload[netlink._IFADDR.size :])
            packed = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
            found.append(f"{socket.inet_ntop(family, packed)}/{prefixlen}")
        return found

    def routes(self) -> list[Route]:
        """The unicast routes of the main table, of both kinds of addresses."""
        request = netlink._RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        found = []
        for payload in self._dump(_RTM_GETROUTE, _RTM_NEWROUTE, request):
            family, length, _, _, table, protocol, _, kind, _ = netlink._RTMSG.unpack_from(payload)
            if table != _RT_TABLE_MAIN or kind != _RTN_UNICAST:
                continue
            attributes = netlink._attributes(payload[netlink._RTMSG.size :])
            gateway = attributes.get(_RTA_GATEWAY)
            to = "default"
            if length:
                to = f"{socket.inet_ntop(family, attributes[_RTA_DST])}/{length}"
            elif family == socket.AF_INET6:
                to = "::/0"
            found.append(
                Route(
                    to,
                    None if gateway is None else socket.inet_ntop(family, gateway),
                    _number(attributes.get(_RTA_OIF)),
                    _number(attributes.get(_RTA_PRIORITY)),
                    by_kernel=protocol == _RTPROT_KERNEL,
                )
            )
        return found

    def _dump(self, request: int, answer: int, body: bytes) -> list[bytes]:
        self._sequence += 1
        flags = netlink._REQUEST | netlink._DUMP
        self._socket.send(netlink._message(request, flags, body, self._sequence))
        return list(self._dumped(answer, self._sequence))


def _route_body(route: Route, *, gone: bool = False) -> bytes:
    gateway = None if route.gateway is None else ip_address(route.gateway)
    if route.to == "default":
        family = socket.AF_INET6 if gateway is not None and gateway.version == 6 else socket.AF_INET
        length, attributes = 0, b""
    else:
        network = ip_network(route.to)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        length = network.prefixlen
        attributes = netlink._attribute(_RTA_DST, network.network_address.packed) if length else b""
    scope = _RT_SCOPE_LINK if gateway is None and family == socket.AF_INET else _RT_SCOPE_UNIVERSE
    protocol, kind = (0, 0) if gone else (_RTPROT_BOOT, _RTN_UNICAST)
    if gateway is not None:
        attributes += netlink._attribute(_RTA_GATEWAY, gateway.packed)
    if route.index is not None:
        attributes += netlink._u32(_RTA_OIF, route.index)
    if route.metric is not None:
        attributes += netlink._u32(_RTA_PRIORITY, route.metric)
    head = netlink._RTMSG.pack(family, length, 0, 0, _RT_TABLE_MAIN, protocol, scope, kind, 0)
    return head + attributes


def _family(interface: IPv4Interface | IPv6Interface) -> int:
    return socket.AF_INET if interface.version == 4 else socket.AF_INET6


def _number(packed: bytes | None) -> int | None:
    return None if packed is None else int.from_bytes(packed, "little")
