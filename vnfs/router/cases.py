"""What the router has to make of single frames. Its ports are those of a VNF under test: port N
has the MAC address 02:00:00:00:01:0N and the addresses 10.0.N.1/24 and fd00:N::1/64."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from emulator.trying.cases import Case, Step

SECOND_NS = 1_000_000_000
LEFT_MAC, RIGHT_MAC, THIRD_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
PORT_MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01", "02:00:00:00:01:02")
ALL = "ff:ff:ff:ff:ff:ff"
LEFT, RIGHT, GATEWAY = "10.0.0.2", "10.0.1.2", "10.0.1.9"
LEFT6, RIGHT6, GATEWAY6 = "fd00:0::2", "fd00:1::2", "fd00:1::9"
FAR, FAR6 = "192.0.2.7", "2001:db8::7"
ROUTES = f"192.0.2.0/24 via {GATEWAY}; 2001:db8::/32 via {GATEWAY6}"

IN = Ether(src=LEFT_MAC, dst=PORT_MACS[0])
BACK = Ether(src=PORT_MACS[0], dst=LEFT_MAC)


def out(mac: str = RIGHT_MAC, port: int = 1) -> Ether:
    """The Ethernet header of a frame that the router sends on."""
    return Ether(src=PORT_MACS[port], dst=mac)


def asks(address: str, port: int = 1) -> Ether:
    """The router's ARP request."""
    arp = ARP(hwsrc=PORT_MACS[port], psrc=f"10.0.{port}.1", hwdst="00:00:00:00:00:00", pdst=address)
    return Ether(src=PORT_MACS[port], dst=ALL) / arp


def told(address: str, mac: str, port: int = 1) -> Step:
    """A neighbour that answers it."""
    arp = ARP(op=2, hwsrc=mac, psrc=address, hwdst=PORT_MACS[port], pdst=f"10.0.{port}.1")
    return Step(Ether(src=mac, dst=PORT_MACS[port]) / arp, port=port)


def asks6(address: str, group: str, mac: str, port: int = 1) -> Ether:
    """The router's neighbour solicitation."""
    return (
        Ether(src=PORT_MACS[port], dst=mac)
        / IPv6(src=f"fd00:{port}::1", dst=group, hlim=255)
        / ICMPv6ND_NS(tgt=address)
        / ICMPv6NDOptSrcLLAddr(lladdr=PORT_MACS[port])
    )


def told6(address: str, mac: str, port: int = 1, **wrong: int) -> Step:
    """A neighbour that answers it."""
    head = IPv6(src=address, dst=f"fd00:{port}::1", hlim=wrong.get("hlim", 255))
    message = ICMPv6ND_NA(tgt=address, R=0, S=1, O=1, code=wrong.get("code", 0))
    if "cksum" in wrong:
        message.cksum = wrong["cksum"]
    option = ICMPv6NDOptDstLLAddr(lladdr=mac)
    return Step(Ether(src=mac, dst=PORT_MACS[port]) / head / message / option, port=port)


def error(code_of: ICMP, about: Ether) -> Ether:
    """The error that the router sends back to the left host."""
    head = IP(src="10.0.0.1", dst=LEFT, tos=0xC0, id=0, flags="DF", ttl=64)
    return BACK / head / code_of / Raw(bytes(about[IP])[:128])


def error6(code_of: object, about: Ether) -> Ether:
    """The same for IPv6."""
    return BACK / IPv6(src="fd00::1", dst=LEFT6, hlim=64) / code_of / Raw(bytes(about[IPv6])[:128])


def datagram(to: str = RIGHT, *, ttl: int = 10, size: int = 20, **fields: object) -> IP:
    """A datagram of the left host."""
    return IP(src=LEFT, dst=to, ttl=ttl, **fields) / UDP(sport=1, dport=2) / Raw(bytes(size))


def datagram6(to: str = RIGHT6, *, hlim: int = 10, size: int = 20) -> IPv6:
    """The same for IPv6."""
    return IPv6(src=LEFT6, dst=to, hlim=hlim) / UDP(sport=1, dport=2) / Raw(bytes(size))


ASK_RIGHT = Step(IN / datagram(), out={1: asks(RIGHT)}, counts={"neighbour_requests": 1})
KNOWN = [ASK_RIGHT, told(RIGHT, RIGHT_MAC)]
GROUP6, GROUP6_MAC = "ff02::1:ff00:2", "33:33:ff:00:00:02"
ASK_RIGHT6 = Step(IN / datagram6(), out={1: asks6(RIGHT6, GROUP6, GROUP6_MAC)})
KNOWN6 = [ASK_RIGHT6, told6(RIGHT6, RIGHT_MAC)]

FORWARDING = [
    Case(
        "a packet goes on with new MAC addresses and one hop less to live",
        [
            *KNOWN,
            Step(IN / datagram(), out={1: out() / datagram(ttl=9)}, counts={"forwarded": 1}),
            Step(IN / datagram(tos=4, id=7), out={1: out() / datagram(ttl=9, tos=4, id=7)}),
            Step(
                IN / datagram(options=[IPOption_NOP()] * 4),
                out={1: out() / datagram(ttl=9, options=[IPOption_NOP()] * 4)},
            ),
            Step(IN / datagram(ttl=2), out={1: out() / datagram(ttl=1)}),
            Step(
                IN / datagram(frag=3, flags="MF"),
                out={1: out() / datagram(ttl=9, frag=3, flags="MF")},
            ),
            Step(
                Raw(bytes(IN / datagram(size=1)) + bytes(17)),
                out={1: Raw(bytes(out() / datagram(ttl=9, size=1)) + bytes(17))},
            ),
        ],
    ),
    Case(
        "the same for IPv6",
        [
            *KNOWN6,
            Step(IN / datagram6(), out={1: out() / datagram6(hlim=9)}, counts={"forwarded": 1}),
            Step(
                IN / IPv6(src=LEFT6, dst=RIGHT6, tc=9, fl=8) / IPv6ExtHdrHopByHop() / UDP(),
                out={
                    1: out()
                    / IPv6(src=LEFT6, dst=RIGHT6, tc=9, fl=8, hlim=63)
                    / IPv6ExtHdrHopByHop()
                    / UDP()
                },
            ),
        ],
    ),
    Case(
        "the longest prefix decides, and the next hop gets the packet",
        [
            Step(IN / datagram(FAR), out={1: asks(GATEWAY)}),
            told(GATEWAY, THIRD_MAC),
            Step(IN / datagram(FAR), out={1: out(THIRD_MAC) / datagram(FAR, ttl=9)}),
            Step(
                IN / datagram("192.0.2.129"),
                out={2: asks("10.0.2.9", port=2)},
                set={"routes": f"{ROUTES}; 192.0.2.128/25 via 10.0.2.9"},
            ),
            Step(IN / datagram(FAR), out={1: out(THIRD_MAC) / datagram(FAR, ttl=9)}),
            Step(
                IN / datagram("198.51.100.1"),
                out={1: out(THIRD_MAC) / datagram("198.51.100.1", ttl=9)},
                set={"routes": f"default via {GATEWAY}"},
            ),
            Step(
                IN / datagram6(FAR6),
                out={0: error6(ICMPv6DestUnreach(code=0), IN / datagram6(FAR6))},
            ),
        ],
        parameters={"routes": ROUTES},
        ports=3,
    ),
    Case(
        "routes of IPv6",
        [
            Step(
                IN / datagram6(FAR6),
                out={1: asks6(GATEWAY6, "ff02::1:ff00:9", "33:33:ff:00:00:09")},
            ),
            told6(GATEWAY6, THIRD_MAC),
            Step(IN / datagram6(FAR6), out={1: out(THIRD_MAC) / datagram6(FAR6, hlim=9)}),
        ],
        parameters={"routes": ROUTES},
    ),
    Case(
        "a packet may leave by the port it came by",
        [
            Step(IN / datagram("10.0.0.7"), out={0: asks("10.0.0.7", port=0)}),
            told("10.0.0.7", THIRD_MAC, port=0),
            Step(
                IN / datagram("10.0.0.7"), out={0: out(THIRD_MAC, 0) / datagram("10.0.0.7", ttl=9)}
            ),
        ],
    ),
    Case(
        "a jumbo frame goes on when the link takes it, else an error comes back",
        [
            *KNOWN,
            Step(
                IN / datagram(size=5000),
                out={0: error(ICMP(type=3, code=4, nexthopmtu=1500), IN / datagram(size=5000))},
                counts={"too_big": 1},
            ),
            Step(
                IN / datagram(size=1473, flags="DF"),
                out={
                    0: error(
                        ICMP(type=3, code=4, nexthopmtu=1500), IN / datagram(size=1473, flags="DF")
                    )
                },
            ),
            Step(IN / datagram(size=1472), out={1: out() / datagram(size=1472, ttl=9)}),
            Step(
                IN / datagram6(size=1453),
                out={0: error6(ICMPv6PacketTooBig(mtu=1500), IN / datagram6(size=1453))},
            ),
        ],
    ),
]

NEIGHBOURS = [
    Case(
        "a neighbour is asked for once a second, and until it answers packets are lost",
        [
            ASK_RIGHT,
            Step(IN / datagram(), counts={"unresolved": 1}),
            Step(IN / datagram(), out={1: asks(RIGHT)}, after_ns=SECOND_NS),
            told(RIGHT, RIGHT_MAC),
            Step(IN / datagram(), out={1: out() / datagram(ttl=9)}),
        ],
    ),
    Case(
        "a neighbour not heard of for long is asked for anew",
        [
            *KNOWN,
            Step(IN / datagram(), out={1: out() / datagram(ttl=9)}, after_ns=1200 * SECOND_NS),
            Step(IN / datagram(), out={1: asks(RIGHT)}, after_ns=1),
            told(RIGHT, THIRD_MAC),
            Step(IN / datagram(), out={1: out(THIRD_MAC) / datagram(ttl=9)}),
        ],
    ),
    Case(
        "large packets and runts become questions of the right length",
        [
            Step(IN / datagram(size=1400), out={1: asks(RIGHT)}),
            Step(
                IN / IP(src=LEFT, dst="10.0.1.3", proto=255),
                out={1: asks("10.0.1.3")},
            ),
            Step(
                IN / IPv6(src=LEFT6, dst=RIGHT6, nh=59),
                out={1: asks6(RIGHT6, GROUP6, GROUP6_MAC)},
            ),
        ],
    ),
    Case(
        "who asks for the router is answered, and known from then on",
        [
            Step(
                Ether(src=LEFT_MAC, dst=ALL) / ARP(hwsrc=LEFT_MAC, psrc=LEFT, pdst="10.0.0.1"),
                out={
                    0: BACK
                    / ARP(op=2, hwsrc=PORT_MACS[0], psrc="10.0.0.1", hwdst=LEFT_MAC, pdst=LEFT)
                },
                counts={"neighbour_replies": 1},
            ),
            Step(
                Ether(src=RIGHT_MAC, dst=PORT_MACS[1]) / IP(src=RIGHT, dst=LEFT, ttl=5) / UDP(),
                port=1,
                out={0: out(LEFT_MAC, 0) / IP(src=RIGHT, dst=LEFT, ttl=4) / UDP()},
            ),
            Step(Ether(src=LEFT_MAC, dst=ALL) / ARP(hwsrc=LEFT_MAC, psrc=LEFT, pdst="10.0.0.3")),
            Step(
                Ether(src=LEFT_MAC, dst=ALL) / ARP(hwsrc=LEFT_MAC, psrc="0.0.0.0", pdst="10.0.0.1"),
                out={
                    0: BACK
                    / ARP(op=2, hwsrc=PORT_MACS[0], psrc="10.0.0.1", hwdst=LEFT_MAC, pdst="0.0.0.0")
                },
            ),
        ],
    ),
    Case(
        "an answer nobody waits for teaches nothing",
        [
            Step(
                Ether(src=THIRD_MAC, dst=ALL)
                / ARP(op=2, hwsrc=THIRD_MAC, psrc=RIGHT, hwdst=ALL, pdst=RIGHT),
                port=1,
            ),
            told6(RIGHT6, THIRD_MAC),
            ASK_RIGHT,
            ASK_RIGHT6,
        ],
    ),
    Case(
        "who solicits the router is answered, and known from then on",
        [
            Step(
                Ether(src=LEFT_MAC, dst="33:33:ff:00:00:01")
                / IPv6(src=LEFT6, dst="ff02::1:ff00:1", hlim=255)
                / ICMPv6ND_NS(tgt="fd00::1")
                / ICMPv6NDOptSrcLLAddr(lladdr=LEFT_MAC),
                out={
                    0: BACK
                    / IPv6(src="fd00::1", dst=LEFT6, hlim=255)
                    / ICMPv6ND_NA(tgt="fd00::1", R=1, S=1, O=1)
                    / ICMPv6NDOptDstLLAddr(lladdr=PORT_MACS[0])
                },
                counts={"neighbour_replies": 1},
            ),
            Step(
                Ether(src=RIGHT_MAC, dst=PORT_MACS[1]) / IPv6(src=RIGHT6, dst=LEFT6) / UDP(),
                port=1,
                out={0: out(LEFT_MAC, 0) / IPv6(src=RIGHT6, dst=LEFT6, hlim=63) / UDP()},
            ),
            Step(
                IN / IPv6(src=LEFT6, dst="fd00::1", hlim=255) / ICMPv6ND_NS(tgt="fd00::1"),
                out={
                    0: BACK
                    / IPv6(src="fd00::1", dst=LEFT6, hlim=255)
                    / ICMPv6ND_NA(tgt="fd00::1", R=1, S=1, O=1)
                    / ICMPv6NDOptDstLLAddr(lladdr=PORT_MACS[0])
                },
            ),
            Step(IN / IPv6(src=LEFT6, dst="fd00::1", hlim=255) / ICMPv6ND_NS(tgt="fd00::3")),
            Step(IN / IPv6(src="::", dst="fd00::1", hlim=255) / ICMPv6ND_NS(tgt="fd00::1")),
        ],
    ),
    Case(
        "an advertisement that is not sound is refused",
        [
            ASK_RIGHT6,
            told6(RIGHT6, THIRD_MAC, hlim=254),
            told6(RIGHT6, THIRD_MAC, code=1),
            told6(RIGHT6, THIRD_MAC, cksum=1),
            Step(Raw(bytes(told6(RIGHT6, THIRD_MAC).frame)[:-1]), port=1, counts={"refused": 4}),
            Step(IN / datagram6(), counts={"unresolved": 1}),
        ],
    ),
]

PING = IN / IP(src=LEFT, dst="10.0.0.1", ttl=3) / ICMP(id=1, seq=2) / Raw(b"abc")
PING6 = IN / IPv6(src=LEFT6, dst="fd00:1::1", hlim=3) / ICMPv6EchoRequest(id=1, seq=2, data=b"abc")

OWN = [
    Case(
        "it answers pings to each of its addresses",
        [
            Step(
                PING,
                out={
                    0: BACK
                    / IP(src="10.0.0.1", dst=LEFT, ttl=64)
                    / ICMP(type=0, id=1, seq=2)
                    / Raw(b"abc")
                },
                counts={"echo_replies": 1},
            ),
            Step(
                PING6,
                out={
                    0: BACK
                    / IPv6(src="fd00:1::1", dst=LEFT6, hlim=64)
                    / ICMPv6EchoReply(id=1, seq=2, data=b"abc")
                },
            ),
            Step(
                IN / IP(src=LEFT, dst="10.0.1.1") / ICMP(id=1) / Raw(bytes(8000)),
                out={
                    0: BACK / IP(src="10.0.1.1", dst=LEFT) / ICMP(type=0, id=1) / Raw(bytes(8000))
                },
            ),
            Step(IN / IP(src=LEFT, dst="10.0.0.1", flags="MF") / ICMP() / Raw(bytes(8))),
            Step(IN / IP(src=LEFT, dst="10.0.0.1") / ICMP(type=13)),
            Step(IN / IP(src=LEFT, dst="10.0.0.1") / TCP()),
            Step(IN / IP(src=LEFT, dst="10.0.0.255") / ICMP(), counts={"refused": 1}),
        ],
    ),
    Case(
        "a wrong checksum of a ping stays wrong",
        [
            Step(
                IN / IP(src=LEFT, dst="10.0.0.1") / ICMP(chksum=0x1234),
                out={0: BACK / IP(src="10.0.0.1", dst=LEFT) / ICMP(type=0, chksum=0x1A34)},
            )
        ],
    ),
    Case(
        "none of its ports is open",
        [
            Step(
                IN / datagram("10.0.1.1"),
                out={0: error(ICMP(type=3, code=3), IN / datagram("10.0.1.1"))},
                counts={"unreachable": 1},
            ),
            Step(
                IN / datagram6("fd00:1::1"),
                out={0: error6(ICMPv6DestUnreach(code=4), IN / datagram6("fd00:1::1"))},
            ),
        ],
    ),
]

EXPIRED, EXPIRED6 = IN / datagram(ttl=1), IN / datagram6(hlim=1)

ERRORS = [
    Case(
        "a packet whose time to live ends is reported",
        [
            Step(EXPIRED, out={0: error(ICMP(type=11), EXPIRED)}, counts={"time_exceeded": 1}),
            Step(IN / datagram(ttl=0), out={0: error(ICMP(type=11), IN / datagram(ttl=0))}),
            Step(
                IN / datagram(ttl=1, size=1471),
                out={0: error(ICMP(type=11), IN / datagram(ttl=1, size=1471))},
            ),
            Step(
                IN / IP(src=LEFT, dst=RIGHT, ttl=1, proto=255) / Raw(b"odd"),
                out={
                    0: BACK
                    / IP(src="10.0.0.1", dst=LEFT, tos=0xC0, id=0, flags="DF", ttl=64)
                    / ICMP(type=11)
                    / Raw(bytes(IP(src=LEFT, dst=RIGHT, ttl=1, proto=255) / Raw(b"odd"))[:22])
                },
            ),
            Step(EXPIRED6, out={0: error6(ICMPv6TimeExceeded(), EXPIRED6)}),
            Step(
                IN / datagram(ttl=1, size=8000),
                out={0: error(ICMP(type=11), IN / datagram(ttl=1, size=8000))},
            ),
            Step(
                IN / datagram6(hlim=1, size=8000),
                out={0: error6(ICMPv6TimeExceeded(), IN / datagram6(hlim=1, size=8000))},
            ),
        ],
    ),
    Case(
        "so is one without a route",
        [
            Step(
                IN / datagram(FAR),
                out={0: error(ICMP(type=3, code=0), IN / datagram(FAR))},
                counts={"unreachable": 1},
            ),
            Step(
                IN / datagram6(FAR6),
                out={0: error6(ICMPv6DestUnreach(code=0), IN / datagram6(FAR6))},
            ),
        ],
    ),
    Case(
        "errors and later fragments are not reported",
        [
            Step(IN / IP(src=LEFT, dst=FAR) / ICMP(type=3) / Raw(bytes(28))),
            Step(IN / IP(src=LEFT, dst=FAR, proto=1)),
            Step(IN / datagram(FAR, frag=1)),
            Step(IN / IPv6(src=LEFT6, dst=FAR6) / ICMPv6TimeExceeded() / Raw(bytes(48))),
            Step(IN / IPv6(src=LEFT6, dst=FAR6) / IPv6ExtHdrHopByHop() / ICMPv6TimeExceeded()),
            Step(
                IN / IP(src=LEFT, dst=FAR) / ICMP(),
                out={0: error(ICMP(type=3), IN / IP(src=LEFT, dst=FAR) / ICMP())},
                counts={"unreachable": 6},
            ),
        ],
    ),
]

BROKEN = [
    Case(
        "what is broken is refused",
        [
            Step(IN / datagram(chksum=1), counts={"refused": 1}),
            Step(IN / datagram(chksum=1, options=[IPOption_NOP()] * 4)),
            Step(Raw(bytes(IN / datagram())[:33])),
            Step(Raw(bytes(IN / datagram())[:-1])),
            Step(Raw(bytes(IN / datagram(options=[IPOption_NOP()] * 4))[:36])),
            Step(IN / datagram(ihl=4)),
            Step(IN / datagram(version=6)),
            Step(IN / datagram(len=19)),
            Step(Raw(bytes(IN / datagram6())[:53])),
            Step(Raw(bytes(IN / datagram6())[:-1])),
            Step(IN / IPv6(src=LEFT6, dst=RIGHT6, version=4)),
            Step(Raw(bytes(IN)[:14])),
            Step(IN / ARP(hwlen=5, psrc=LEFT, hwsrc=LEFT_MAC)),
            Step(Raw(bytes(asks(LEFT, 0))[:-1]), counts={"refused": 13, "ignored": 1}),
        ],
    ),
    Case(
        "addresses that are not one host's are refused",
        [
            *(
                Step(IN / IP(src=source, dst=to) / UDP(), counts={"refused": number})
                for number, (source, to) in enumerate(
                    [
                        (LEFT, "224.0.0.1"),
                        (LEFT, "255.255.255.255"),
                        (LEFT, "127.0.0.1"),
                        (LEFT, "10.0.1.255"),
                        (LEFT, "10.0.1.0"),
                        ("224.0.0.1", RIGHT),
                        ("127.0.0.1", RIGHT),
                        ("0.0.0.0", RIGHT),
                    ],
                    1,
                )
            ),
            *(
                Step(IN / IPv6(src=source, dst=to) / UDP(), counts={"refused": number})
                for number, (source, to) in enumerate(
                    [
                        (LEFT6, "ff0e::1"),
                        (LEFT6, "fe80::1"),
                        (LEFT6, "::1"),
                        (LEFT6, "::"),
                        ("fe80::1", RIGHT6),
                        ("::", RIGHT6),
                    ],
                    9,
                )
            ),
        ],
    ),
    Case(
        "what is not for a router is left alone",
        [
            Step(Ether(src=LEFT_MAC, dst=THIRD_MAC) / datagram(), counts={"ignored": 1}),
            Step(Ether(src=LEFT_MAC, dst=ALL) / datagram()),
            Step(Ether(src=LEFT_MAC, dst=THIRD_MAC) / datagram6()),
            Step(Ether(src=LEFT_MAC, dst="33:33:00:00:00:01") / datagram6()),
            Step(IN / Dot1Q(vlan=5) / datagram()),
            Step(IN / Raw(bytes(46)), counts={"ignored": 6}),
        ],
    ),
]

CASES = [*FORWARDING, *NEIGHBOURS, *OWN, *ERRORS, *BROKEN]
