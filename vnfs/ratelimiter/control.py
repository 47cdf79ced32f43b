"""The rate limiter's classes: text in, entries of the setting ``classes`` out."""

from __future__ import annotations

import re
import struct
from decimal import Decimal

from emulator.control import ParameterError, PortInfo, TableContent
from emulator.match import parse_match, split_items

_MOST = 16
_BILLIONTHS_PER_BYTE = 8_000_000_000
_LAYOUT = struct.Struct("=QQQ")
# 14 bytes of Ethernet header and a VLAN tag.
_HEADER_BYTES = 18
_DEFAULT_BURST_S = Decimal("0.01")

# IPv6 addresses have colons, too; the last one ends the match.
_CLASS = re.compile(r"(?P<match>.*):\s*(?P<rate>\S+)(?:\s+burst\s+(?P<burst>\S+))?", re.DOTALL)
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]+)", re.ASCII)
_RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6}
_HIGHEST_BPS = 10**12
_LARGEST_BURST_BYTES = 10**9
_HINT = "as in: udp dport 5000: 10Mbit burst 15kB; ip: 100Mbit"


def control(parameters: dict, ports: tuple[PortInfo, ...]) -> TableContent:
    items = split_items(parameters["classes"])
    if len(items) > _MOST:
        raise _error(f"{len(items)} classes are more than there is room for, {_MOST}", _HINT)
    longest = max(port.mtu for port in ports) + _HEADER_BYTES + parameters["overhead"]
    return TableContent(settings={"classes": [_class(item, longest) for item in items]})


def _class(text: str, longest: int) -> bytes:
    found = _CLASS.fullmatch(text)
    if found is None:
        raise _error(f"in {text!r}: a class is a match, a colon and a rate", _HINT)
    match = parse_match(found["match"], parameter="classes")
    rate = _quantity(text, found["rate"], _RATES, "rate")
    if not 1 <= rate <= _HIGHEST_BPS:
        raise _error(f"in {text!r}: the rate must be from 1bit up to 1000Gbit", _HINT)
    burst = min(max(int(rate / 8 * _DEFAULT_BURST_S), 2 * longest), _LARGEST_BURST_BYTES)
    if found["burst"] is not None:
        burst = int(_quantity(text, found["burst"], _SIZES, "burst"))
        if burst < longest:
            raise _error(
                f"in {text!r}: the longest frame would never pass a burst of {burst} bytes",
                f"write burst {longest}B, or more",
            )
        if burst > _LARGEST_BURST_BYTES:
            raise _error(f"in {text!r}: a bucket holds at most 1000MB", "write a smaller burst")
    billionths = burst * _BILLIONTHS_PER_BYTE
    return match.pack() + _LAYOUT.pack(int(rate), billionths, -(-billionths // int(rate)))


def _quantity(text: str, word: str, units: dict[str, int], what: str) -> Decimal:
    found = _QUANTITY.fullmatch(word)
    if found is None or found[2] not in units:
        raise _error(
            f"in {text!r}: {word} is not a {what}", f"its unit is one of {', '.join(units)}"
        )
    return Decimal(found[1]) * units[found[2]]


def _error(message: str, hint: str) -> ParameterError:
    return ParameterError("classes", message, hint)
