"""Frames of the tests' own between the nodes of a lab, numbered and stamped."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from emulator.node import Node

ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802)."""
_ETH_P_ALL = 3
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_AUXDATA = struct.Struct("=IIIHHHH")
_TAG_IS_THERE = 1 << 4
_BODY = struct.Struct("=QQ")
_HEADER_BYTES = 14
_BUFFER_BYTES = 64 << 20


@dataclass(frozen=True)
class Seen:
    """A frame that arrived: its number, and when it was sent and received."""

    number: int
    sent_ns: int
    received_ns: int
    data: bytes


class RawPort:
    """A packet socket on the first interface of a node."""

    def __init__(self, node: Node, *, protocol: int = ETHERTYPE) -> None:
        interface = node.plan.interfaces[0]
        self.mac = bytes.fromhex(interface.mac.replace(":", ""))
        self._socket = node.netns.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((interface.kernel_name, protocol))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(
        self, to: RawPort, numbers: Sequence[int], *, size: int = 60, gap_s: float = 0
    ) -> None:
        """Send frames of ``size`` bytes, FCS not counted."""
        head = to.mac + self.mac + ETHERTYPE.to_bytes(2)
        padding = bytes(size - _HEADER_BYTES - _BODY.size)
        for number in numbers:
            self._socket.send(head + _BODY.pack(number, time.monotonic_ns()) + padding)
            if gap_s:
                time.sleep(gap_s)

    def send_bytes(self, frame: bytes) -> None:
        """Send a frame as it is."""
        self._socket.send(frame)

    def receive(self, *, quiet_s: float = 0.5) -> list[Seen]:
        """What arrives until nothing has for a while; what comes back from us is left out."""
        seen = []
        self._socket.settimeout(quiet_s)
        while True:
            try:
                data, (_, _, kind, *_) = self._socket.recvfrom(65536)
            except TimeoutError:
                return seen
            if kind != socket.PACKET_OUTGOING:
                number, sent_ns = _BODY.unpack_from(data, _HEADER_BYTES)
                seen.append(Seen(number, sent_ns, time.monotonic_ns(), data))

    def receive_tagged(self) -> tuple[bytes, int | None]:
        """A frame, and the VLAN tag that the kernel has taken out of it."""
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.settimeout(5)
        while True:
            data, ancillary, _, (_, _, kind, *_) = self._socket.recvmsg(65536, 256)
            if kind == socket.PACKET_OUTGOING or not ancillary:
                continue
            status, _, _, _, _, tag, _ = _AUXDATA.unpack(ancillary[0][2][: _AUXDATA.size])
            return data, tag if status & _TAG_IS_THERE else None


def ports(first: Node, second: Node, stack: ExitStack) -> tuple[RawPort, RawPort]:
    """A port on each of two nodes."""
    return stack.enter_context(RawPort(first)), stack.enter_context(RawPort(second))


def any_frame(node: Node) -> RawPort:
    """A port that takes frames of every kind."""
    return RawPort(node, protocol=_ETH_P_ALL)
