"""ComNetsEmu's helpers: what ping has printed, who listens, identifiers of switches."""

from __future__ import annotations

import re

import psutil

from emulator.compat.unsupported import refuse_names
from emulator.errors import UsageError

_PING = re.compile(r"(\d+) packets transmitted, (\d+) (?:packets )?received")
_DPID_DIGITS = 16


def parsePing(pingOutput: str) -> tuple[int, int]:
    """How many packets a ping has sent and received, by what it printed.

    ``(1, 0)`` when it printed no count, such as for want of a route.
    """
    counts = _PING.search(pingOutput)
    return (1, 0) if counts is None else (int(counts[1]), int(counts[2]))


def checkListeningOnPort(port: int, kind: str = "inet") -> bool:
    """Whether a program of the machine, outside the lab, listens on a port of any address."""
    return any(listening == port for _, listening in _listeners(kind))


def checkListeningOnIPPort(ip: str, port: int, kind: str = "inet") -> bool:
    """Whether a program of the machine, outside the lab, listens on a port of an address."""
    return (ip, port) in _listeners(kind)


def dpidToStr(id: int) -> str:
    """A switch's identifier as the 16 hexadecimal digits that OpenFlow writes.

    Raises:
        UsageError: it takes more than 16 of them, or is negative.
    """
    digits = f"{id:0{_DPID_DIGITS}x}"
    if id < 0 or len(digits) > _DPID_DIGITS:
        raise UsageError(f"a dpid has 64 bits, and {id} has not")
    return digits


def _listeners(kind: str) -> set[tuple[str, int]]:
    return {
        (each.laddr.ip, each.laddr.port)
        for each in psutil.net_connections(kind)
        if each.laddr and each.status == psutil.CONN_LISTEN
    }


__getattr__ = refuse_names("comnetsemu.util")
