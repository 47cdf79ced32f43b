"""Matches: the words in which users say which frames a rule is about.

A match is a few conditions, in any order, all of which must hold: ``udp dport 9999`` or ``tcp saddr
10.0.0.0/8 sport 1000-2000``. The words are those of nftables. ``vnfs/lib/vnf_match.h`` compares
frames with them; ``docs/reference/matches.md`` lists them. A VNF's control module reads the text::

    def control(parameters, ports):
        matches = parse_matches(parameters["only"], parameter="only")
        return TableContent(settings={"only": [match.pack() for match in matches]})
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from emulator.control import ParameterError
from emulator.names import closest

__all__ = ["EXAMPLES", "MATCH_BYTES", "Match", "parse_match", "parse_matches", "split_items"]

EXAMPLES = "udp dport 9999; tcp saddr 10.0.0.0/8 sport 1000-2000; icmp; vlan 5; any"
"""For hints: what matches look like."""

HAS_IPV4, HAS_IPV6, HAS_ARP, HAS_VLAN, HAS_PORTS, HAS_LENGTH = (1 << bit for bit in range(6))
"""What a match needs of a frame: ``VNF_HAS_…`` in vnf_match.h."""

_LAYOUT = struct.Struct("=16s16s16s16s8s8s8s8s8HBBHI")
MATCH_BYTES = _LAYOUT.size
"""The size of ``struct vnf_match``, a multiple of 8 and of its alignment."""

_Range = tuple[int, int]
_ANY_NUMBER: _Range = (0, 0xFFFF)
# Protocol numbers: RFC 768, RFC 9293, RFC 792, RFC 4443.
_PROTOCOLS = {
    "tcp": (6, 0),
    "udp": (17, 0),
    "icmp": (1, HAS_IPV4),
    "icmp6": (58, HAS_IPV6),
    "icmpv6": (58, HAS_IPV6),
}
_FAMILIES = {"ip": HAS_IPV4, "ip6": HAS_IPV6, "arp": HAS_ARP}
_ADDRESSES = ("saddr", "daddr")
_MACS = ("smac", "dmac")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NUMBER_HINTS = {
    "sport": "write a port or a range, as sport 9999 or sport 1000-2000",
    "dport": "write a port or a range, as dport 9999 or dport 1000-2000",
    "length": "write bytes of payload, as length 100 or length 100-200",
    "vlan": "write the number of a VLAN, as vlan 5",
    "proto": "write the number of an IP protocol, as proto 47",
}
_HIGHEST = {"sport": 0xFFFF, "dport": 0xFFFF, "length": 0xFFFF, "vlan": 4095, "proto": 255}
_WORDS = ("any", *_FAMILIES, *_PROTOCOLS, *_ADDRESSES, *_MACS, *_HIGHEST)
_FULL_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


@dataclass(frozen=True)
class Match:
    """One match; what is left at its default asks for nothing.

    Attributes:
        source, destination: a network that the address must lie in.
        source_mac, destination_mac: the hardware address: lower case, colon separated.
        source_ports, destination_ports: the first and the last port, of TCP or UDP.
        length: the least and the greatest number of payload bytes.
        vlan: the first and the last number of a VLAN.
        protocol: the number of the IP protocol.
        needs: what the frame must have, a sum of ``HAS_…``.
    """

    source: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    source_mac: str | None = None
    destination_mac: str | None = None
    source_ports: _Range = _ANY_NUMBER
    destination_ports: _Range = _ANY_NUMBER
    length: _Range = _ANY_NUMBER
    vlan: _Range = _ANY_NUMBER
    protocol: int | None = None
    needs: int = 0

    def pack(self) -> bytes:
        """The match as ``struct vnf_match`` lies in memory."""
        return _LAYOUT.pack(
            *_packed_network(self.source),
            *_packed_network(self.destination),
            *_packed_mac(self.source_mac),
            *_packed_mac(self.destination_mac),
            *self.source_ports,
            *self.destination_ports,
            *self.length,
            *self.vlan,
            self.protocol or 0,
            0 if self.protocol is None else 0xFF,
            self.needs,
            1,
        )


def split_items(text: str) -> list[str]:
    """The parts of a list that ``;``, ``,`` or line ends separate; empty ones are left out."""
    return [item.strip() for item in re.split(r"[;,\n]", text) if item.strip()]


def parse_matches(text: str, *, parameter: str) -> list[Match]:
    """The matches of a list; an empty text is an empty list.

    Args:
        parameter: the name of the parameter whose value the text is.

    Raises:
        ParameterError: a match is wrong; the message names the word.
    """
    return [parse_match(item, parameter=parameter) for item in split_items(text)]


def parse_match(text: str, *, parameter: str) -> Match:
    """One match.

    Args:
        parameter: the name of the parameter whose value the text is part of.

    Raises:
        ParameterError: it is wrong; the message names the word.
    """
    return _Reader(text, parameter).read()


class _Reader:
    """Reads one match word by word."""

    def __init__(self, text: str, parameter: str) -> None:
        self._text = text.strip()
        self._parameter = parameter
        self._seen: list[str] = []
        self._families: dict[int, str] = {}
        """Of each family that a word asks for, the first such word."""

    def read(self) -> Match:
        words = self._text.split()
        if not words:
            raise self._error("there is no word", f"as in: {EXAMPLES}")
        match, rest = Match(), iter(words)
        for word in rest:
            if word in self._seen:
                raise self._error(f"{word} is there twice", "give each condition once")
            match = self._add(match, word, rest)
            self._seen.append(word)
        if "any" in self._seen and len(words) > 1:
            raise self._error("any stands alone", "leave it out beside other conditions")
        self._check(match)
        needs = match.needs
        for family in self._families:
            needs |= family
        return replace(match, needs=needs)

    def _add(self, match: Match, word: str, rest: Iterator[str]) -> Match:
        if word == "any":
            return match
        if word in _FAMILIES:
            self._families.setdefault(_FAMILIES[word], word)
            return match
        if word in _PROTOCOLS:
            return self._with_protocol(match, word, *_PROTOCOLS[word])
        if word in _ADDRESSES:
            network = self._network(word, next(rest, ""))
            family = HAS_IPV4 if network.version == 4 else HAS_IPV6
            self._families.setdefault(family, f"{word} {network}")
            if word == "saddr":
                return replace(match, source=network)
            return replace(match, destination=network)
        if word in _MACS:
            mac = self._mac(word, next(rest, ""))
            if word == "smac":
                return replace(match, source_mac=mac)
            return replace(match, destination_mac=mac)
        if word not in _HIGHEST:
            raise self._unknown(word)
        first, last = self._range(word, next(rest, ""))
        if word == "sport":
            return replace(match, needs=match.needs | HAS_PORTS, source_ports=(first, last))
        if word == "dport":
            return replace(match, needs=match.needs | HAS_PORTS, destination_ports=(first, last))
        if word == "length":
            return replace(match, needs=match.needs | HAS_LENGTH, length=(first, last))
        if word == "vlan":
            return replace(match, needs=match.needs | HAS_VLAN, vlan=(first, last))
        if first != last:
            raise self._error(f"proto {first}-{last} is a range", _NUMBER_HINTS["proto"])
        return self._with_protocol(match, word, first, 0)

    def _with_protocol(self, match: Match, word: str, number: int, family: int) -> Match:
        if match.protocol is not None:
            other = next(seen for seen in self._seen if seen in (*_PROTOCOLS, "proto"))
            raise self._error(
                f"a frame is not both {other} and {word}", "write two matches, separated by ;"
            )
        if family:
            self._families.setdefault(family, word)
        return replace(match, protocol=number)

    def _network(self, word: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        hint = f"write {word} 10.0.0.1, {word} 10.0.0.0/8 or {word} fd00::/64"
        if not text:
            raise self._error(f"behind {word} an address is missing", hint)
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            pass
        try:
            around = ipaddress.ip_interface(text).network
        except ValueError:
            raise self._error(f"{text} is not an address", hint) from None
        raise self._error(f"{text} is an address in a network", f"the network is {around}")

    def _mac(self, word: str, text: str) -> str:
        hint = f"write {word} 00:00:00:00:00:01"
        if not text:
            raise self._error(f"behind {word} a hardware address is missing", hint)
        if not _MAC.fullmatch(text.lower()):
            raise self._error(f"{text} is not a hardware address", hint)
        return text.lower()

    def _range(self, word: str, text: str) -> _Range:
        hint, highest = _NUMBER_HINTS[word], _HIGHEST[word]
        if not text:
            raise self._error(f"behind {word} a number is missing", hint)
        found = _FULL_RANGE.fullmatch(text)
        if found is None:
            raise self._error(f"{text} is not a number", hint)
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last:
            raise self._error(f"the range {text} is empty", "the smaller number stands first")
        if last > highest:
            raise self._error(f"{word} {text} is above {highest}, the highest there is", hint)
        return first, last

    def _check(self, match: Match) -> None:
        words = list(self._families.values())
        if len(words) > 1:
            raise self._error(
                f"a frame is not both {words[0]} and {words[1]}",
                "write two matches, separated by ;",
            )
        if HAS_ARP in self._families and (match.protocol is not None or match.needs & HAS_PORTS):
            raise self._error("ARP has neither protocols nor ports", "write arp alone")
        if match.needs & HAS_PORTS and match.protocol not in (None, 6, 17):
            other = next(seen for seen in self._seen if seen in (*_PROTOCOLS, "proto"))
            raise self._error(f"{other} has no ports", "ports are those of tcp or udp")

    def _unknown(self, word: str) -> ParameterError:
        close = closest(word, _WORDS)
        hint = f"did you mean {close}? as in: {EXAMPLES}" if close else f"as in: {EXAMPLES}"
        return self._error(f"no match has the word {word}", hint)

    def _error(self, message: str, hint: str) -> ParameterError:
        text = f"in {self._text!r}: {message}" if self._text else message
        return ParameterError(self._parameter, text, hint)


def _packed_network(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None,
) -> Sequence[bytes]:
    if network is None:
        return bytes(16), bytes(16)
    return (
        network.network_address.packed.ljust(16, b"\0"),
        network.netmask.packed.ljust(16, b"\0"),
    )


def _packed_mac(mac: str | None) -> Sequence[bytes]:
    if mac is None:
        return bytes(8), bytes(8)
    return bytes.fromhex(mac.replace(":", "")).ljust(8, b"\0"), bytes([255] * 6).ljust(8, b"\0")
