"""Frames for trying VNFs: well formed, odd, and broken in any way that a network can break them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

RUNT_BYTES = 14
"""The kernel tries no frame shorter than an Ethernet header."""
LONGEST_BYTES = 1514
JUMBO_BYTES = 9014

_SHOWN_BYTES = 80
_PORT_MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01")
_HOST_MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


@dataclass(frozen=True)
class Given:
    """A frame that comes in, and what happens before it.

    Attributes:
        frame: its bytes.
        port: where it comes in.
        after_ns: how much time passes before.
        changes: parameters that are changed before.
    """

    frame: bytes
    port: int
    after_ns: int
    changes: dict[str, object]

    def __repr__(self) -> str:
        text = self.frame[:_SHOWN_BYTES].hex()
        if len(self.frame) > _SHOWN_BYTES:
            text += f"… ({len(self.frame)} bytes)"
        return f"<{text} into {self.port} after {self.after_ns} ns, {self.changes}>"


@cache
def hand_picked() -> tuple[bytes, ...]:
    """At least one frame for every kind of thing that a handler could stumble over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(dict.fromkeys(bytes(frame) for frame in _frames()))


def _frames() -> Iterator[Any]:
    from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
    from scapy.layers.inet6 import (
        ICMPv6EchoRequest,
        ICMPv6ND_NS,
        ICMPv6TimeExceeded,
        IPv6,
        IPv6ExtHdrDestOpt,
        IPv6ExtHdrFragment,
        IPv6ExtHdrHopByHop,
        IPv6ExtHdrRouting,
    )
    from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
    from scapy.packet import Raw

    # What is left open scapy takes from the machine's own routes and interfaces.
    def ether(**fields: Any) -> Any:
        return Ether(**{"src": _HOST_MACS[0], "dst": _PORT_MACS[0], **fields})

    def ipv4(**fields: Any) -> Any:
        return IP(**{"src": "10.0.0.2", "dst": "10.0.1.2", **fields})

    def ipv6(**fields: Any) -> Any:
        return IPv6(**{"src": "fd00::2", "dst": "fd00:1::2", **fields})

    def arp(**fields: Any) -> Any:
        return ARP(**{"hwsrc": _HOST_MACS[0], "psrc": "10.0.0.2", **fields})

    eth, ip, ip6 = ether(), ipv4(), ipv6()
    udp, tcp = UDP(sport=5000, dport=9999), TCP(sport=5000, dport=80)
    data = Raw(bytes(range(1, 32)))

    # What every network carries.
    for network in (ip, ip6):
        yield eth / network / udp / data
        yield eth / network / udp / Raw(bytes(1400))
        yield eth / network / UDP(sport=9999, dport=53, chksum=0) / data
        yield from (eth / network / TCP(dport=80, flags=flags) / data for flags in ("S", "A", "FA"))
        yield eth / network / TCP(dport=80, flags="R")
    yield eth / ip / ICMP() / data
    yield eth / ip6 / ICMPv6EchoRequest(data=b"hello")
    yield eth / arp(op=1, pdst="10.0.0.1")
    yield ether(dst="ff:ff:ff:ff:ff:ff") / arp(op=1, pdst="10.0.0.1")
    yield eth / arp(op=2, psrc="10.0.1.2", pdst="10.0.1.1", hwsrc=_HOST_MACS[1])
    yield ether(dst="33:33:ff:00:00:01") / ip6 / ICMPv6ND_NS(tgt="fd00::1")
    yield eth / ipv4(src="10.0.1.2", dst="10.0.0.2") / UDP(sport=9999, dport=5000) / data
    yield eth / ipv4(src="10.0.0.2", dst="10.0.0.1") / ICMP()
    yield eth / ipv4(src="10.0.0.2", dst="192.0.2.1") / udp / data
    yield ether(dst="01:00:5e:00:00:01") / ipv4(dst="224.0.0.1") / udp / data

    # Tags, one after another.
    yield eth / Dot1Q(vlan=7) / ip / udp / data
    yield eth / Dot1AD(vlan=1) / Dot1Q(vlan=4095, prio=7) / ip6 / tcp / data
    yield eth / Dot1Q() / Dot1Q() / Dot1Q() / ip / udp
    yield bytes(eth / Dot1Q(vlan=7))[:16]

    # IPv4 that is lawful and rare.
    yield eth / ipv4(options=[IPOption_NOP()] * 40) / udp / data
    yield eth / ipv4(options=[IPOption_RR()]) / tcp
    yield eth / ipv4(flags="MF") / udp / data
    yield eth / ipv4(flags="MF", frag=3, proto=17) / data
    yield eth / ipv4(frag=8191, proto=6) / data
    yield from (eth / ipv4(ttl=ttl) / udp for ttl in (0, 1, 2, 255))
    yield eth / ipv4(tos=0xFF, flags="DF") / udp
    yield eth / ipv4(proto=47) / data
    yield eth / ip / ICMP(type=11) / ipv4(src="10.0.1.2", dst="10.0.0.2") / UDP()
    yield bytes(eth / ip / udp / data).ljust(100, b"\xff")

    # IPv4 that is not.
    yield eth / ipv4(chksum=0x1234) / UDP(chksum=0x5678) / data
    yield eth / ipv4(ihl=4) / udp
    yield eth / ipv4(ihl=15) / udp
    yield eth / ipv4(version=6) / udp
    yield eth / ipv4(len=9) / udp / data
    yield eth / ipv4(len=65535) / udp / data
    yield eth / ipv4(src="10.0.1.2", dst="10.0.1.2") / UDP(len=3) / data
    yield eth / ip / UDP(len=65535) / data
    yield eth / ip / TCP(dataofs=4)
    yield eth / ip / TCP(dataofs=15)

    # IPv6 and its extensions.
    yield eth / ip6 / IPv6ExtHdrHopByHop() / udp / data
    yield eth / ip6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / tcp
    yield (
        eth
        / ip6
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrDestOpt()
        / (IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / udp)
    )
    yield eth / ip6 / IPv6ExtHdrDestOpt(len=255) / udp
    yield eth / ip6 / IPv6ExtHdrFragment(offset=0, m=1, nh=17) / udp / data
    yield eth / ip6 / IPv6ExtHdrFragment(offset=9, nh=17) / data
    yield eth / ipv6(hlim=1) / udp
    yield eth / ipv6(hlim=0) / tcp
    yield eth / ipv6(plen=3) / udp / data
    yield eth / ipv6(nh=59)
    yield eth / ipv6(version=4) / udp
    yield eth / ip6 / ICMPv6TimeExceeded() / ipv6(src="fd00:1::2", dst="fd00::2") / UDP()

    # Neither.
    yield ether(type=0x88CC) / data
    yield ether(type=0x88B5) / Raw(bytes(46))
    yield ether(type=60) / Raw(bytes(60))
    yield ether(type=0x8847) / data
    yield ether(type=0x8100)
    yield ether(type=0x0800)
    yield bytes(RUNT_BYTES)
    yield b"\xff" * RUNT_BYTES
    yield (eth / ip / udp / Raw(bytes(LONGEST_BYTES))).build()[:LONGEST_BYTES]


@st.composite
def _mutated(draw: st.DrawFn, frames: Sequence[bytes], longest: int, shortest: int) -> bytes:
    frame = bytearray(draw(st.sampled_from(frames)))
    how = draw(st.sampled_from(["as it is", "as it is", "cut", "padded", "changed", "noise"]))
    if how == "cut":
        del frame[draw(st.integers(shortest, max(shortest, len(frame)))) :]
    elif how == "padded":
        frame.extend(bytes(draw(st.integers(1, max(1, longest - len(frame))))))
    elif how == "changed":
        for _ in range(draw(st.integers(1, 3))):
            frame[draw(st.integers(0, max(0, min(len(frame), 80) - 1)))] = draw(st.integers(0, 255))
    elif how == "noise":
        frame[:] = draw(st.binary(min_size=shortest, max_size=120))
    return bytes(frame[:longest]).ljust(shortest, b"\0")


def sequences(
    frames: Sequence[bytes],
    changes: Sequence[dict[str, object]],
    *,
    ports: int,
    longest: int = LONGEST_BYTES,
    shortest: int = RUNT_BYTES,
) -> st.SearchStrategy[list[Given]]:
    """Frames one after another, into any port, while time passes and parameters change.

    Args:
        frames: what the frames are made from.
        changes: what parameters may be changed to.
        ports: how many there are.
        longest: no frame is longer, in bytes.
        shortest: no frame is shorter, in bytes.
    """
    seldom = st.sampled_from(changes) if changes else st.just({})
    step = st.builds(
        Given,
        frame=_mutated(frames, longest, shortest),
        port=st.integers(0, ports - 1),
        after_ns=st.sampled_from([0, 0, 0, 1, 1_000, 1_000_000, 10**9, 90 * 10**9, 10**13]),
        changes=st.one_of(st.just({}), st.just({}), st.just({}), seldom),
    )
    return st.lists(step, min_size=1, max_size=25)


def jumbo(frames: Sequence[bytes]) -> list[bytes]:
    """The same frames as jumbo frames of several lengths, which may lie in several pieces."""
    lengths = (3500, 4096, 6000, JUMBO_BYTES)
    return [
        frame + bytes((at * 7) & 0xFF for at in range(length - len(frame)))
        for number, frame in enumerate(frames)
        for length in [lengths[number % len(lengths)]]
    ]
