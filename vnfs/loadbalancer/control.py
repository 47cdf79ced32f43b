"""The load balancer's settings: which servers there are, and which connection goes to which.

The table of slots is that of Maglev (Eisenbud et al., NSDI 2016, section 3.4). Every server has
its own order of preference among the slots, made of its address alone; they take turns, as many
at a time as their weight, and take the slot they like best of those that are free. So slots are
shared by weight, and when a server comes or goes most of the others' slots stay theirs.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from emulator.control import ParameterError, PortInfo, TableContent
from emulator.match import parse_matches, split_items

SLOTS = 4099
"""A prime, so that every step through the slots visits all of them; some 100 times the servers that
labs have, and quick to fill."""

_MOST_SERVICES = 16
_MOST_BACKENDS = 64
_HIGHEST_WEIGHT = 100
_BACKEND = re.compile(r"(?P<ip>[^@\s]+)@(?P<mac>\S+)(?:\s+weight\s+(?P<weight>\S+))?")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HINT = "as in: 10.0.0.11@02:00:00:00:00:0b weight 2; 10.0.0.12@02:00:00:00:00:0c"


@dataclass(frozen=True)
class Backend:
    """A server."""

    ip: ipaddress.IPv4Address
    mac: str
    weight: int = 1


def control(parameters: dict, ports: tuple[PortInfo, ...]) -> TableContent:
    services = parse_matches(parameters["services"], parameter="services")
    if len(services) > _MOST_SERVICES:
        text = f"{len(services)} services are more than there is room for, {_MOST_SERVICES}"
        raise ParameterError("services", text, "write ranges of ports")
    backends = _backends(parameters["backends"], parameters["vip"])
    down = _down(parameters["down"], backends)
    up = tuple((str(each.ip), each.weight) for each in backends if each.ip not in down)
    numbers = {str(each.ip): number for number, each in enumerate(backends, start=1)}
    slots = [numbers[ip] for ip in maglev(up)] if up else []
    return TableContent(
        settings={
            "services": [each.pack() for each in services],
            "backends": [
                each.ip.packed + _packed_mac(each.mac) + bytes([each.ip not in down, 0])
                for each in backends
            ],
            "slots": [struct.pack("=B", number) for number in slots],
            "own": [_packed_mac(port.mac) for port in ports],
        }
    )


@lru_cache(maxsize=8)
def maglev(servers: tuple[tuple[str, int], ...], size: int = SLOTS) -> tuple[str, ...]:
    """The server of each slot.

    Args:
        servers: at least one name with its weight; their order does not matter.
        size: how many slots, a prime.
    """
    slots: list[str | None] = [None] * size
    turns = [(name, weight, _preferences(name, size)) for name, weight in sorted(servers)]
    left = size
    while True:
        for name, weight, preferences in turns:
            for _ in range(weight):
                slot = next(preferences)
                while slots[slot] is not None:
                    slot = next(preferences)
                slots[slot] = name
                left -= 1
                if not left:
                    return tuple(name for name in slots if name is not None)


def _preferences(name: str, size: int) -> Iterator[int]:
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    offset = int.from_bytes(digest[:8], "big") % size
    skip = int.from_bytes(digest[8:], "big") % (size - 1) + 1
    return iter((offset + step * skip) % size for step in range(size))


def _backends(text: str, vip: str) -> list[Backend]:
    backends: list[Backend] = []
    for item in split_items(text):
        backend = _backend(item)
        if str(backend.ip) == vip:
            raise _error(f"in {item!r}: {vip} is the VIP", "give the server an address of its own")
        if any(backend.ip == other.ip for other in backends):
            raise _error(f"{backend.ip} is there twice", "give it a weight of 2 instead")
        backends.append(backend)
    if len(backends) > _MOST_BACKENDS:
        text = f"{len(backends)} servers are more than there is room for, {_MOST_BACKENDS}"
        raise _error(text, "put a second load balancer behind the first")
    return backends


def _backend(item: str) -> Backend:
    found = _BACKEND.fullmatch(item)
    if found is None:
        raise _error(f"in {item!r}: a server is an IP address, @ and a MAC address", _HINT)
    try:
        ip = ipaddress.IPv4Address(found["ip"])
    except ValueError:
        raise _error(f"in {item!r}: {found['ip']} is not an IPv4 address", _HINT) from None
    mac = found["mac"].lower()
    if _MAC.fullmatch(mac) is None or int(mac[:2], 16) & 1:
        raise _error(f"in {item!r}: {found['mac']} is not the MAC address of a server", _HINT)
    weight = found["weight"] or "1"
    if not (weight.isascii() and weight.isdecimal() and 1 <= int(weight) <= _HIGHEST_WEIGHT):
        hint = f"a weight is a number from 1 to {_HIGHEST_WEIGHT}; name idle servers in down"
        raise _error(f"in {item!r}: {weight} is not a weight", hint)
    return Backend(ip, mac, int(weight))


def _down(text: str, backends: Sequence[Backend]) -> set[ipaddress.IPv4Address]:
    known = {str(backend.ip): backend.ip for backend in backends}
    for item in split_items(text):
        if item not in known:
            hint = f"the servers are {', '.join(known)}"
            raise ParameterError("down", f"{item} is no server", hint)
    return {known[item] for item in split_items(text)}


def _packed_mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _error(message: str, hint: str) -> ParameterError:
    return ParameterError("backends", message, hint)
