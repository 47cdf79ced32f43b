"""Single frames into a switch and out of it, until it is certain that no more come out."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from emulator.network import Network
from emulator.node import Node

BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802)."""

_MARK = b"the switch is done with it"
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_OUTGOING = 263, 8, 4
_AUXDATA = struct.Struct("=IIIHHHH")
_TAG_IS_THERE = 1 << 4
_DEADLINE_S = 30.0


def frame(
    target: str, source: str, *, tag: int | None = None, body: bytes = b"", size: int = 60
) -> bytes:
    """A frame without check sequence.

    Args:
        tag: what is in its VLAN tag: the VLAN and, in the upper bits, its priority.
        body: what its payload begins with.
    """
    head = _packed(target) + _packed(source)
    if tag is not None:
        head += b"\x81\x00" + tag.to_bytes(2)
    return (head + ETHERTYPE.to_bytes(2) + body).ljust(size, b"\x5a")


class Bench:
    """Packet sockets on the first interfaces of the hosts around switches.

    Args:
        vlans: for each host, the VLANs that its port is in, and the tag of each; None: no tag.
    """

    def __init__(self, net: Network, vlans: Mapping[str, Mapping[int, int | None]]) -> None:
        self._vlans = vlans
        self._sockets = {name: _socket(net[name]) for name in vlans}
        self._marks = 0

    def send(self, host: str, data: bytes) -> dict[str, list[bytes]]:
        """What every host receives because one of them sends a frame."""
        found: dict[str, list[bytes]] = {name: [] for name in self._sockets}
        self._sockets[host].send(data)
        # Behind the frame goes a mark for everybody whom it may reach, and when that has come, the
        # switch is done with the frame. What it sent elsewhere arrives before the others' marks.
        self._collect([host], found)
        self._collect(list(self._sockets), found)
        return {name: frames for name, frames in found.items() if frames}

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()

    def _collect(self, senders: Sequence[str], found: dict[str, list[bytes]]) -> None:
        awaited: dict[str, set[bytes]] = {name: set() for name in self._sockets}
        for sender in senders:
            source = f"02:fe:00:00:00:{list(self._sockets).index(sender):02x}"
            for vlan, tag in self._vlans[sender].items():
                self._marks += 1
                mark = self._marks.to_bytes(4)
                for name, theirs in self._vlans.items():
                    if name != sender and vlan in theirs:
                        awaited[name].add(mark)
                self._sockets[sender].send(frame(BROADCAST, source, tag=tag, body=_MARK + mark))
        for name, marks in awaited.items():
            while marks:
                data = _receive(self._sockets[name])
                at = data.find(_MARK)
                if at < 0:
                    found[name].append(data)
                else:
                    marks.discard(data[at + len(_MARK) :][:4])


@contextmanager
def bench(
    net: Network, vlans: Mapping[str, Mapping[int, int | None]] | Sequence[str]
) -> Iterator[Bench]:
    """A bench around some hosts of a network, which need not be in any VLAN."""
    if not isinstance(vlans, Mapping):
        vlans = {host: {0: None} for host in vlans}
    found = Bench(net, vlans)
    try:
        yield found
    finally:
        found.close()


def _socket(node: Node) -> socket.socket:
    interface = node.plan.interfaces[0]
    made = node.netns.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    made.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    made.settimeout(_DEADLINE_S)
    made.bind((interface.kernel_name, _ETH_P_ALL))
    return made


def _receive(port: socket.socket) -> bytes:
    """The next frame that comes in, with the tag that the kernel has taken out of it."""
    while True:
        data, ancillary, _, (_, _, kind, *_) = port.recvmsg(65536, 256)
        if kind == _PACKET_OUTGOING:
            continue
        status, _, _, _, _, tag, protocol = _AUXDATA.unpack(ancillary[0][2][: _AUXDATA.size])
        if status & _TAG_IS_THERE:
            data = data[:12] + (protocol or 0x8100).to_bytes(2) + tag.to_bytes(2) + data[12:]
        return data


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
