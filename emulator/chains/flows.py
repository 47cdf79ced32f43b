"""Matches as Open vSwitch takes them: the part of a flow that says which frames it is about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from emulator.match import HAS_ARP, HAS_IPV4, HAS_IPV6, HAS_PORTS, HAS_VLAN, Match

_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_TCP, _UDP = 6, 17
_PORTS, _VLANS = 16, 12
"""How many bits there are."""
_VLAN_PRESENT = 0x1000


def flow_matches(match: Match) -> list[str]:
    """The matches of flows which together mean what a match means: ``dl_type=0x0800,nw_proto=17``.

    An empty one means every frame. How long the payload is, OpenFlow does not look at.
    """
    found = []
    for family, protocol in product(_families(match), _protocols(match)):
        if protocol is not None and family is None:
            continue
        lists = [
            _ranges("tp_src", match.source_ports, _PORTS) if match.needs & HAS_PORTS else [""],
            _ranges("tp_dst", match.destination_ports, _PORTS) if match.needs & HAS_PORTS else [""],
            list(_vlans(match)),
        ]
        fixed = [
            f"dl_src={match.source_mac}" if match.source_mac else "",
            f"dl_dst={match.destination_mac}" if match.destination_mac else "",
            f"dl_type={family:#06x}" if family is not None else "",
            *_addresses(match, family),
            f"nw_proto={protocol}" if protocol is not None else "",
        ]
        found += [",".join(word for word in (*fixed, *words) if word) for words in product(*lists)]
    return found


def _families(match: Match) -> list[int | None]:
    for flag, family in ((HAS_IPV4, _IPV4), (HAS_IPV6, _IPV6), (HAS_ARP, _ARP)):
        if match.needs & flag:
            return [family]
    return [_IPV4, _IPV6] if match.protocol is not None or match.needs & HAS_PORTS else [None]


def _protocols(match: Match) -> list[int | None]:
    if match.protocol is None and match.needs & HAS_PORTS:
        return [_TCP, _UDP]
    return [match.protocol]


def _addresses(match: Match, family: int | None) -> Iterator[str]:
    prefix = "ipv6" if family == _IPV6 else "nw"
    if match.source is not None:
        yield f"{prefix}_src={match.source}"
    if match.destination is not None:
        yield f"{prefix}_dst={match.destination}"


def _vlans(match: Match) -> Iterator[str]:
    if not match.needs & HAS_VLAN:
        yield ""
        return
    for value, mask in masks(*match.vlan, _VLANS):
        yield f"vlan_tci={value | _VLAN_PRESENT:#06x}/{mask | _VLAN_PRESENT:#06x}"


def _ranges(name: str, numbers: tuple[int, int], bits: int) -> list[str]:
    everything = numbers == (0, (1 << bits) - 1)
    return [""] if everything else [f"{name}={v:#x}/{m:#x}" for v, m in masks(*numbers, bits)]


def masks(first: int, last: int, bits: int) -> Iterator[tuple[int, int]]:
    """The numbers of a range as few values with masks.

    Args:
        bits: how many a number has.
    """
    highest = (1 << bits) - 1
    last = min(last, highest)
    while first <= last:
        size = first & -first or 1 << bits
        while first + size - 1 > last:
            size >>= 1
        yield first, highest & ~(size - 1)
        first += size
