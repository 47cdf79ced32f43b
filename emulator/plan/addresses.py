"""Addresses: reading those a user wrote, and handing out the others.

Addresses are given out as Mininet does. Hosts and routers, in natural order of their names, have
one place each in the base network, also those whose address was written by hand, so that the
number in a host's name tends to be the number in its address: h3 is 10.0.0.3. A host whose place
is taken by an address written by hand gets one after all places, so that nobody else moves.
"""

from __future__ import annotations

import ipaddress
import re
from hashlib import blake2b

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ALL_ONES = 0xFFFFFFFF
_LAN_PREFIX = 0xFD00 << 112


class AddressMistake(ValueError):
    """A text is not an address that an interface can have; carries a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BaseNetwork:
    """The network that addresses are handed out from."""

    def __init__(self, text: str) -> None:
        """Read ``10.0.0.0/8``; with host bits, handing out starts at that address.

        Raises:
            AddressMistake: the text is not an IPv4 network.
        """
        try:
            interface = ipaddress.IPv4Interface(text)
        except ValueError:
            raise AddressMistake(
                f"{text!r} is not an IPv4 network", 'write it as "10.0.0.0/8"'
            ) from None
        if "/" not in text or interface.network.prefixlen > 30:
            raise AddressMistake(
                f"{text!r} has no room for hosts", "give a prefix length from 0 to 30"
            )
        self.prefixlen = interface.network.prefixlen
        self._network = int(interface.network.network_address)
        self._broadcast = int(interface.network.broadcast_address)
        # As in Mininet: 10.0.0.0/8 starts at 10.0.0.1, and 10.0.3.7/8 at 10.0.3.7.
        self._next = int(interface) + (int(interface) == self._network)

    def __str__(self) -> str:
        return f"{dotted(self._network)}/{self.prefixlen}"

    def written(self, number: int) -> str:
        """An address of this network as ``a.b.c.d/n``."""
        return f"{dotted(number)}/{self.prefixlen}"

    def place(self) -> int | None:
        """The next place, as a number; None when the network is full."""
        if self._next >= self._broadcast:
            return None
        self._next += 1
        return self._next - 1

    def ipv6_of(self, ipv4: str) -> str:
        """The IPv6 address that goes with an IPv4 address; both with their prefix length.

        A /64 stands for each IPv4 network (``fd00::/64`` for this one, ``fd00:c0a8:100:18::/64``
        for 192.168.1.0/24), and the number of the host is the same in both.
        """
        number, prefixlen = split(ipv4)
        network = number & _mask(prefixlen)
        host = number - network + (prefixlen > 30)
        if (network, prefixlen) == (self._network, self.prefixlen):
            return f"{ipaddress.IPv6Address(_LAN_PREFIX + host)}/64"
        subnet = (network << 16) + prefixlen
        return f"{ipaddress.IPv6Address(_LAN_PREFIX + (subnet << 64) + host)}/64"


def read_ipv4(text: object, default_prefixlen: int) -> str | None:
    """An IPv4 address as a user writes it, as ``a.b.c.d/n``; None for none at all.

    None, an empty text and 0.0.0.0 mean that the interface is to have no address.

    Raises:
        AddressMistake: no interface can have that address.
    """
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise AddressMistake(f"{text!r} is not an IPv4 address", 'write it as "10.0.0.9/8"')
    try:
        interface = ipaddress.IPv4Interface(text if "/" in text else f"{text}/{default_prefixlen}")
    except ValueError:
        raise AddressMistake(
            f"{text!r} is not an IPv4 address", 'write it as "10.0.0.9/8"'
        ) from None
    if interface.ip.is_unspecified:
        return None
    if interface.ip.is_multicast or interface.ip.is_loopback or int(interface.ip) == _ALL_ONES:
        raise AddressMistake(f"{text} is not an address of one host")
    network = interface.network
    if network.prefixlen < 31:
        special = {
            network.network_address: f"the address of the network {network} itself",
            network.broadcast_address: f"the broadcast address of {network}",
        }
        if interface.ip in special:
            raise AddressMistake(
                f"{text} is {special[interface.ip]}",
                f"the first that a host can have is {network.network_address + 1}",
            )
    return str(interface)


def read_ipv6(text: object) -> str | None:
    """An IPv6 address as a user writes it, as ``address/n``; None for none at all.

    Raises:
        AddressMistake: no interface can have that address.
    """
    if text is None or text == "":
        return None
    try:
        if not isinstance(text, str):
            raise TypeError(text)
        interface = ipaddress.IPv6Interface(text if "/" in text else f"{text}/64")
    except (TypeError, ValueError):
        raise AddressMistake(
            f"{text!r} is not an IPv6 address", 'write it as "fd00::9/64"'
        ) from None
    if interface.ip.is_multicast or interface.ip.is_loopback or interface.ip.is_unspecified:
        raise AddressMistake(f"{text} is not an address of one host")
    return str(interface)


def read_mac(text: object) -> str:
    """A MAC address as a user writes it, in lower case with colons.

    Raises:
        AddressMistake: no interface can have that address.
    """
    mac = text.lower().replace("-", ":") if isinstance(text, str) else ""
    if not _MAC.fullmatch(mac):
        raise AddressMistake(f"{text!r} is not a MAC address", 'write it as "02:00:00:00:00:01"')
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise AddressMistake(
            f"{mac} is not the MAC address of one interface", "the first byte must be even"
        )
    return mac


def read_gateway(route: object) -> str:
    """The address in a default route: ``via 10.0.0.254``, or just ``10.0.0.254``.

    Raises:
        AddressMistake: there is no IPv4 address in it.
    """
    words = route.split() if isinstance(route, str) else []
    words = [word for word in words if word not in ("default", "via")]
    try:
        return str(ipaddress.IPv4Address(words[0]))
    except (IndexError, ValueError):
        raise AddressMistake(
            f"{route!r} names no IPv4 gateway", 'write it as "via 10.0.0.254"'
        ) from None


def same_network(address: str, interface: str) -> bool:
    """Whether an address without prefix lies in the network of one with a prefix."""
    number, prefixlen = split(interface)
    return (number ^ split(f"{address}/32")[0]) & _mask(prefixlen) == 0


def free_mac(ipv4: str | None, owner: str, taken: set[str]) -> str:
    """A MAC address that hangs on nothing but an interface, put into ``taken``.

    ``02:00`` and the bytes of the IPv4 address, or ``02:01`` and a hash of the owner's name for
    an interface without one (or whose address is in use twice, in separate networks).
    """
    if ipv4 is not None:
        mac = f"02:00:{split(ipv4)[0].to_bytes(4).hex(':')}"
        if mac not in taken:
            taken.add(mac)
            return mac
    attempt = 0
    while True:
        text = f"{owner} {attempt}" if attempt else owner
        mac = f"02:01:{blake2b(text.encode(), digest_size=4).digest().hex(':')}"
        if mac not in taken:
            taken.add(mac)
            return mac
        attempt += 1


def split(ipv4: str) -> tuple[int, int]:
    """An address with prefix length as two numbers."""
    address, _, prefixlen = ipv4.partition("/")
    a, b, c, d = address.split(".")
    return (int(a) << 24) + (int(b) << 16) + (int(c) << 8) + int(d), int(prefixlen)


def dotted(number: int) -> str:
    """A number as an IPv4 address."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _mask(prefixlen: int) -> int:
    return _ALL_ONES ^ (_ALL_ONES >> prefixlen)
