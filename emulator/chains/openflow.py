"""How many frames flows of an Open vSwitch bridge have taken, asked in OpenFlow by its socket.

The few messages that takes are packed here: the programs of Open vSwitch would answer in text.
Layouts: OpenFlow 1.3, sections 7.1, 7.3.5.3 and 7.5.1; those of 1.4 and 1.5 are the same.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emulator.chains.steering import Count
from emulator.errors import LabError

VERSIONS = {"OpenFlow13": 4, "OpenFlow14": 5}
"""Versions that tell flows apart by cookies and take several changes at once."""

_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY, _REQUEST, _REPLY = 0, 1, 2, 3, 18, 19
_AGGREGATE, _ALL_TABLES, _ANY = 2, 0xFF, 0xFFFFFFFF
_HEADER = struct.Struct("!BBHI")
_MULTIPART = struct.Struct("!HH4x")
_ASKED = struct.Struct("!B3xII4xQQHH4x")
_TOLD = struct.Struct("!QQI4x")
_TIMEOUT_S = 10.0


def count_flows(path: str, version: int, cookies: Iterable[int]) -> dict[int, Count]:
    """What the flows of each of some cookies have taken so far.

    Args:
        path: the bridge's socket for management.
        version: one of those of ``VERSIONS`` that the bridge speaks.

    Raises:
        LabError: the bridge does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as bridge:
            bridge.settimeout(_TIMEOUT_S)
            bridge.connect(path)
            bridge.sendall(_HEADER.pack(version, _HELLO, _HEADER.size, 0))
            return {cookie: _ask(bridge, version, cookie) for cookie in cookies}
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabError(f"its Open vSwitch does not say what it counts: {reason}") from error


def _ask(bridge: socket.socket, version: int, cookie: int) -> Count:
    asked = _ASKED.pack(_ALL_TABLES, _ANY, _ANY, cookie, 0xFFFFFFFFFFFFFFFF, 1, 4)
    body = _MULTIPART.pack(_AGGREGATE, 0) + asked
    number = cookie & 0xFFFFFFFF
    bridge.sendall(_HEADER.pack(version, _REQUEST, _HEADER.size + len(body), number) + body)
    while True:
        _, kind, length, xid = _HEADER.unpack(_received(bridge, _HEADER.size))
        told = _received(bridge, length - _HEADER.size)
        if kind == _ECHO_REQUEST:
            answer = _HEADER.pack(version, _ECHO_REPLY, _HEADER.size + len(told), xid)
            bridge.sendall(answer + told)
        elif kind == _ERROR:
            raise LabError("its Open vSwitch refuses to say what it counts")
        elif kind == _REPLY and xid == number:
            packets, size, _ = _TOLD.unpack_from(told, _MULTIPART.size)
            return Count(packets, size)


def _received(bridge: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = bridge.recv(count - len(found))
        if not more:
            raise LabError("its Open vSwitch ends the conversation about what it counts")
        found += more
    return found


def settle(folder: Path) -> None:
    """Have Open vSwitch add to its flows what its datapath has counted for them; it is some late.

    Args:
        folder: that of its sockets.

    Raises:
        LabError: it does not answer.
    """
    request = {"id": 0, "method": "revalidator/wait", "params": []}
    try:
        number = int((folder / "ovs-vswitchd.pid").read_text())
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_TIMEOUT_S)
            control.connect(str(folder / f"ovs-vswitchd.{number}.ctl"))
            control.sendall(json.dumps(request).encode())
            control.recv(4096)
    except (OSError, ValueError) as error:
        raise LabError("its Open vSwitch does not say what it counts") from error


def read_bridges(described: Mapping[str, Any]) -> dict[str, Count]:
    """By the labels of legs, what the bridges of a lab that another process runs have counted.

    Raises:
        LabError: one of them does not answer.
    """
    found: dict[str, Count] = {}
    if described["bridges"]:
        settle(Path(described["folder"]))
    for bridge in described["bridges"]:
        counts = count_flows(bridge["path"], bridge["version"], bridge["cookies"].values())
        found |= {label: counts[cookie] for label, cookie in bridge["cookies"].items()}
    return found
