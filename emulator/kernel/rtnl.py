"""Route netlink for the hot path of starting and stopping a lab.

A lab of a thousand hosts takes several thousand requests. pyroute2's encoder spends about 0.8 ms
of Python on each, which alone would be longer than the whole start; here a request is a few
``struct.pack`` calls, many are sent at once, and the answers are matched by sequence number.
Anything that is asked seldom (routes, neighbours, offloads) goes through pyroute2 instead.

Interfaces are created with the index the plan decides, so no lookup ever follows a creation.
Layouts: linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/veth.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Self

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.kernel.netns import CLONE_NEWNET, Netns, setns

_BATCH = 64
_RECEIVE_BUFFER_BYTES = 4 << 20

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_NEWROUTE = 20, 24
_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_NDA_DST, _NUD_NOARP, _NUD_PERMANENT = 1, 0x40, 0x80
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_IFF_UP = 0x1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_OPERSTATE = 1, 3, 4, 10, 16
_OPERSTATE_UP = b"\x06"
_IFLA_LINKINFO, _IFLA_STATS64, _IFLA_GROUP, _IFLA_NET_NS_FD = 18, 23, 27, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP_STATE, _BR_MCAST_SNOOPING = 1, 5, 23
_BRPORT_STATE = 1
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_NLMSGERR_ATTR_MSG = 1
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_SO_RCVBUFFORCE, _SOL_NETLINK = 33, 270
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST, _RTA_GATEWAY = 254, 3, 1, 5
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 0x02
_SLAVE_KIND, _SLAVE_DATA = 4, 5
_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BBHiII")
_IFADDR = struct.Struct("=BBBBi")
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")

LOOPBACK_INDEX = 1
BLOCKING, FORWARDING = 4, 3
"""States of a bridge port that last (linux/if_bridge.h); the others are on the way to one."""


@dataclass(frozen=True)
class LinkState:
    """One interface as the kernel reports it.

    ``up`` is what was asked for, ``operational`` what the kernel has brought about; ``rx_*`` and
    ``tx_*`` count from the creation of the interface; ``bridge_port_state`` is the state of a
    bridge port as in linux/if_bridge.h, None for other interfaces; ``group`` is a number for us to
    give.
    """

    index: int
    name: str
    up: bool
    operational: bool
    mtu: int
    mac: str
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    bridge_port_state: int | None
    group: int = 0


class Rtnl(Closing):
    """A route netlink socket; it stays in the namespace it was opened in.

    Requests are collected by the methods named after what they do and carried out by ``commit``.
    ``where`` names the thing in the plan, for the error message.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._pending: list[tuple[bytes, str]] = []
        self._sequence = 0

    @classmethod
    def inside(cls, netns: Netns) -> Self:
        """A socket opened inside ``netns``, to be used from anywhere."""
        return netns.run(cls)

    @classmethod
    def inside_each(cls, namespaces: Sequence[Netns]) -> list[Self]:
        """A socket inside each of some namespaces, to be used from anywhere.

        One thread opens them all: with hundreds, starting a thread for each takes longer than
        everything else.
        """
        opened: list[Self] = []

        def open_all() -> None:
            for netns in namespaces:
                setns(netns.fd, CLONE_NEWNET)
                opened.append(cls())

        if namespaces:
            try:
                namespaces[0].run(open_all)
            except BaseException:
                for rtnl in opened:
                    rtnl.close()
                raise
        return opened

    def close(self) -> None:
        """Closes the socket; closing twice is allowed."""
        self._socket.close()

    def add_bridge(self, name: str, index: int, mac: str, *, stp: bool, where: str) -> None:
        """A bridge, up, without multicast snooping; it forwards at once unless ``stp`` is on."""
        data = b"".join(
            (
                _u32(_BR_FORWARD_DELAY, 200 if stp else 0),
                _u32(_BR_STP_STATE, int(stp)),
                _attribute(_BR_MCAST_SNOOPING, b"\0"),
            )
        )
        body = _ifinfo(index, up=True) + _name(name) + _mac(mac) + _linkinfo("bridge", data)
        self._create(_RTM_NEWLINK, body, where)

    def add_veth(self, near: End, far: End, *, where: str) -> None:
        """A pair of interfaces, each end in its own namespace, under its own name and index."""
        peer = _ifinfo(far.index) + far.attributes()
        data = _attribute(_VETH_PEER, peer)
        up = near.up or near.master is not None
        body = _ifinfo(near.index, up=up) + near.attributes() + _linkinfo("veth", data)
        self._create(_RTM_NEWLINK, body, where)

    def set_up(self, index: int, up: bool = True, *, where: str) -> None:
        """Raises or lowers an interface."""
        self._add(_RTM_NEWLINK, _REQUEST | _ACK, _ifinfo(index, up=up, change=True), where)

    def set_master(self, index: int, master: int, *, where: str) -> None:
        """Makes an interface a port of a bridge."""
        body = _ifinfo(index) + _u32(_IFLA_MASTER, master)
        self._add(_RTM_NEWLINK, _REQUEST | _ACK, body, where)

    def set_group(self, index: int, group: int, *, where: str) -> None:
        """Gives an interface a number by which it can be told later."""
        body = _ifinfo(index) + _u32(_IFLA_GROUP, group)
        self._add(_RTM_NEWLINK, _REQUEST | _ACK, body, where)

    def move(self, index: int, netns: Netns, *, where: str) -> None:
        """Move an interface to another namespace, where it keeps its number but no address."""
        body = _ifinfo(index) + _u32(_IFLA_NET_NS_FD, netns.fd)
        self._add(_RTM_NEWLINK, _REQUEST | _ACK, body, where)

    def add_address(self, index: int, address: str, *, where: str) -> None:
        """Gives an interface an address such as ``10.0.0.1/8``, unless it has it."""
        interface = ip_interface(address)
        family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
        packed = interface.packed
        nodad = _IFA_F_NODAD if interface.version == 6 else 0
        body = _IFADDR.pack(family, interface.network.prefixlen, nodad, 0, index)
        body += _attribute(_IFA_ADDRESS, packed) + _attribute(_IFA_LOCAL, packed)
        self._add(_RTM_NEWADDR, _REQUEST | _ACK | _CREATE | _REPLACE, body, where)

    def add_default_route(self, gateway: str, *, where: str) -> None:
        """A default route through ``gateway``, an IPv4 or IPv6 address, in place of any other."""
        address = ip_address(gateway)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, 0, _RTN_UNICAST, 0)
        body += _attribute(_RTA_GATEWAY, address.packed)
        self._add(_RTM_NEWROUTE, _REQUEST | _ACK | _CREATE | _REPLACE, body, where)

    def delete_link(self, index: int, *, where: str) -> None:
        """Removes an interface, and with a veth its peer."""
        self._add(_RTM_DELLINK, _REQUEST | _ACK, _ifinfo(index), where)

    def commit(self) -> None:
        """Carries out what was collected, in order.

        Raises:
            LabError: on the first request the kernel refuses; later ones may have been done.
        """
        pending, self._pending = self._pending, []
        for start in range(0, len(pending), _BATCH):
            self._exchange(pending[start : start + _BATCH])

    def links(self) -> list[LinkState]:
        """Every interface of the namespace, with its counters."""
        self._sequence += 1
        message = _message(_RTM_GETLINK, _REQUEST | _DUMP, _ifinfo(0), self._sequence)
        self._socket.send(message)
        return [_link_state(payload) for payload in self._dumped(_RTM_NEWLINK, self._sequence)]

    def has_link(self, index: int) -> bool:
        """Whether the namespace has an interface of that number."""
        self._sequence += 1
        self._socket.send(_message(_RTM_GETLINK, _REQUEST, _ifinfo(index), self._sequence))
        while True:
            for kind, _, sequence, _ in _messages(self._socket.recv(1 << 18)):
                if sequence == self._sequence:
                    return kind == _RTM_NEWLINK

    def forget_neighbours(self) -> None:
        """Drops every neighbour that was learnt, so that it is asked for again.

        Raises:
            LabError: when the kernel refuses.
        """
        self._sequence += 1
        request = _NDMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0)
        self._socket.send(_message(_RTM_GETNEIGH, _REQUEST | _DUMP, request, self._sequence))
        for payload in list(self._dumped(_RTM_NEWNEIGH, self._sequence)):
            family, _, _, index, state, _, _ = _NDMSG.unpack_from(payload)
            if state & (_NUD_PERMANENT | _NUD_NOARP):
                continue
            address = _attributes(payload[_NDMSG.size :]).get(_NDA_DST, b"")
            body = _NDMSG.pack(family, 0, 0, index, 0, 0, 0) + _attribute(_NDA_DST, address)
            self._add(_RTM_DELNEIGH, _REQUEST | _ACK, body, "neighbour")
        self.commit()

    def _create(self, kind: int, body: bytes, where: str) -> None:
        self._add(kind, _REQUEST | _ACK | _CREATE | _EXCL, body, where)

    def _add(self, kind: int, flags: int, body: bytes, where: str) -> None:
        self._sequence += 1
        self._pending.append((_message(kind, flags, body, self._sequence), where))

    def _exchange(self, requests: list[tuple[bytes, str]]) -> None:
        places = {_HEADER.unpack_from(request)[3]: where for request, where in requests}
        self._socket.send(b"".join(request for request, _ in requests))
        first: tuple[int, str, str] | None = None
        while places:
            for kind, flags, sequence, payload in _messages(self._socket.recv(1 << 18)):
                if kind != _NLMSG_ERROR or sequence not in places:
                    continue
                where = places.pop(sequence)
                number = -struct.unpack_from("=i", payload)[0]
                if number and first is None:
                    first = (number, where, _extended_message(flags, payload))
        if first is not None:
            number, where, detail = first
            text = f"the kernel refused it: {os.strerror(number)}"
            raise LabError(f"{text}: {detail}" if detail else text, where=where)

    def _dumped(self, wanted: int, sequence: int) -> Iterator[bytes]:
        while True:
            for kind, _, number, payload in _messages(self._socket.recv(1 << 18)):
                if number != sequence:
                    continue
                if kind == _NLMSG_DONE:
                    return
                if kind == wanted:
                    yield payload


@dataclass(frozen=True)
class End:
    """One end of a veth pair to be: where it lives and what it is called there."""

    name: str
    index: int
    netns: Netns
    mac: str
    mtu: int = 1500
    master: int | None = None
    """The bridge that it is to be a port of; it is up then."""
    up: bool = False
    """Whether it is up at once, if it is the near end."""

    def attributes(self) -> bytes:
        parts = [_name(self.name), _mac(self.mac), _u32(_IFLA_MTU, self.mtu)]
        parts.append(_u32(_IFLA_NET_NS_FD, self.netns.fd))
        if self.master is not None:
            parts.append(_u32(_IFLA_MASTER, self.master))
        return b"".join(parts)


def link_states(netns: Netns) -> dict[str, LinkState]:
    """Every interface of a namespace by name, with its counters."""
    with Rtnl.inside(netns) as rtnl:
        return {state.name: state for state in rtnl.links()}


def forget_neighbours(namespaces: Iterable[Netns]) -> None:
    """Drops the neighbours that were learnt in each of some namespaces."""
    for netns in namespaces:
        with Rtnl.inside(netns) as rtnl:
            rtnl.forget_neighbours()


def _message(kind: int, flags: int, body: bytes, sequence: int) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def _u32(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _name(name: str) -> bytes:
    return _attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _mac(mac: str) -> bytes:
    return _attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _ifinfo(index: int, *, up: bool = False, change: bool = False) -> bytes:
    flags = _IFF_UP if up else 0
    return _IFINFO.pack(socket.AF_UNSPEC, 0, 0, index, flags, _IFF_UP if up or change else 0)


def _linkinfo(kind: str, data: bytes) -> bytes:
    info = _attribute(_INFO_KIND, kind.encode() + b"\0")
    return _attribute(_IFLA_LINKINFO, info + _attribute(_INFO_DATA, data))


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _extended_message(flags: int, payload: bytes) -> str:
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    skip = 4 + _HEADER.size
    if not flags & _NLM_F_CAPPED:
        skip += struct.unpack_from("=I", payload, 4)[0] - _HEADER.size
    text = _attributes(payload[skip:]).get(_NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode(errors="replace")


def _link_state(payload: bytes) -> LinkState:
    _, _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    attributes = _attributes(payload[_IFINFO.size :])
    statistics = struct.unpack_from("=8Q", attributes.get(_IFLA_STATS64, bytes(64)))
    rx_packets, tx_packets, rx_bytes, tx_bytes, _, _, rx_dropped, tx_dropped = statistics
    info = _attributes(attributes.get(_IFLA_LINKINFO, b""))
    port = None
    if info.get(_SLAVE_KIND, b"").rstrip(b"\0") == b"bridge":
        state = _attributes(info.get(_SLAVE_DATA, b"")).get(_BRPORT_STATE)
        port = state[0] if state else None
    return LinkState(
        index=index,
        name=attributes[_IFLA_IFNAME].rstrip(b"\0").decode(),
        up=bool(flags & _IFF_UP),
        operational=attributes.get(_IFLA_OPERSTATE, b"")[:1] == _OPERSTATE_UP,
        mtu=struct.unpack("=I", attributes[_IFLA_MTU])[0],
        mac=attributes.get(_IFLA_ADDRESS, b"").hex(":"),
        rx_packets=rx_packets,
        tx_packets=tx_packets,
        rx_bytes=rx_bytes,
        tx_bytes=tx_bytes,
        rx_dropped=rx_dropped,
        tx_dropped=tx_dropped,
        bridge_port_state=port,
        group=struct.unpack("=I", attributes.get(_IFLA_GROUP, bytes(4)))[0],
    )
