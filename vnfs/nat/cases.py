"""What the NAT has to make of single frames. Its ports are those of a VNF under test: port 1, which
is outside, has the MAC address 02:00:00:00:01:01 and the address 10.0.1.1/24."""

from __future__ import annotations

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from emulator.trying.cases import Case, Step

SECOND_NS = 1_000_000_000
CLIENT_MAC, SECOND_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:03", "02:00:00:00:00:02"
NAT_MAC, ALL = "02:00:00:00:01:01", "ff:ff:ff:ff:ff:ff"
CLIENT, SECOND, SERVER, OTHER = "192.168.0.2", "192.168.0.3", "10.0.1.9", "10.0.1.8"
ADDRESS = "10.0.1.1"
_64_BITS = (1 << 64) - 1

OUT_IN, OUT = Ether(src=CLIENT_MAC, dst=SERVER_MAC), Ether(src=NAT_MAC, dst=SERVER_MAC)
IN_IN, IN = Ether(src=SERVER_MAC, dst=NAT_MAC), Ether(src=SERVER_MAC, dst=CLIENT_MAC)


def mix64(value: int) -> int:
    """vnf_mix64() of vnf.h."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _64_BITS
    return value ^ (value >> 31)


def given(port: int, protocol: int = 17, address: str = CLIENT, first: int = 1024) -> int:
    """The port outside that a port inside gets when it is free."""
    number = int.from_bytes(bytes(int(part) for part in address.split(".")), "big")
    return first + mix64(number << 32 | port << 8 | protocol) % (65536 - first)


def goes_out(before: object, after: object, **more: object) -> Step:
    """A packet of the client, as it comes in and as it leaves."""
    return Step(OUT_IN / before, out={1: OUT / after}, **more)


def comes_in(before: object, after: object, **more: object) -> Step:
    """A packet for the client, as it comes in and as it leaves."""
    return Step(IN_IN / before, port=1, out={0: IN / after}, **more)


def lost_in(packet: object, **more: object) -> Step:
    """A packet from outside that is dropped."""
    return Step(IN_IN / packet, port=1, **more)


def lost_out(packet: object, **more: object) -> Step:
    """A packet from inside that is dropped."""
    return Step(OUT_IN / packet, **more)


def passes(frame: object, port: int = 0, **more: object) -> Step:
    """A frame that leaves by the other port unchanged."""
    return Step(frame, port=port, out={1 - port: frame}, **more)


UDP_PORT, TCP_PORT, PING_ID = given(5000), given(5000, 6), given(7, 1)
SENT = IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53) / Raw(b"question")
SENT_OUT = IP(src=ADDRESS, dst=SERVER) / UDP(sport=UDP_PORT, dport=53) / Raw(b"question")
GOT = IP(src=SERVER, dst=ADDRESS) / UDP(sport=53, dport=UDP_PORT) / Raw(b"answer")
GOT_IN = IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=5000) / Raw(b"answer")
THERE, BACK = goes_out(SENT, SENT_OUT), comes_in(GOT, GOT_IN)


def segment(flags: str, seq: int = 1) -> Step:
    """A TCP segment of the client."""
    tcp = TCP(sport=5000, dport=80, flags=flags, seq=seq)
    after = TCP(sport=TCP_PORT, dport=80, flags=flags, seq=seq)
    return goes_out(IP(src=CLIENT, dst=SERVER) / tcp, IP(src=ADDRESS, dst=SERVER) / after)


def answer(flags: str, after_ns: int = 0) -> Step:
    """A TCP segment for the client."""
    tcp = TCP(sport=80, dport=TCP_PORT, flags=flags)
    after = TCP(sport=80, dport=5000, flags=flags)
    return comes_in(
        IP(src=SERVER, dst=ADDRESS) / tcp, IP(src=SERVER, dst=CLIENT) / after, after_ns=after_ns
    )


def no_answer(flags: str, after_ns: int = 0) -> Step:
    """One that comes too late."""
    tcp = TCP(sport=80, dport=TCP_PORT, flags=flags)
    return lost_in(IP(src=SERVER, dst=ADDRESS) / tcp, after_ns=after_ns)


TRANSLATING = [
    Case(
        "a datagram goes out and its answer comes in",
        [
            lost_in(GOT, counts={"untracked": 1}),
            goes_out(SENT, SENT_OUT, counts={"translated": 1, "bound": 1}),
            comes_in(GOT, GOT_IN, counts={"translated": 1, "bound": 0}),
            goes_out(SENT, SENT_OUT, counts={"translated": 2, "bound": 1}),
            goes_out(
                IP(src=CLIENT, dst=OTHER) / UDP(sport=5000, dport=9),
                IP(src=ADDRESS, dst=OTHER) / UDP(sport=UDP_PORT, dport=9),
                counts={"bound": 1},
            ),
            lost_in(IP(src=SERVER, dst=ADDRESS) / UDP(sport=53, dport=UDP_PORT + 1)),
            lost_in(IP(src=SERVER, dst=ADDRESS) / TCP(sport=53, dport=UDP_PORT)),
            lost_in(IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=5000)),
        ],
    ),
    Case(
        "hosts inside are told apart, also by their MAC addresses",
        [
            THERE,
            Step(
                Ether(src=SECOND_MAC, dst=SERVER_MAC)
                / IP(src=SECOND, dst=SERVER)
                / UDP(sport=5000, dport=53),
                out={
                    1: OUT
                    / IP(src=ADDRESS, dst=SERVER)
                    / UDP(sport=given(5000, address=SECOND), dport=53)
                },
            ),
            BACK,
            Step(
                IN_IN
                / IP(src=SERVER, dst=ADDRESS)
                / UDP(sport=53, dport=given(5000, address=SECOND)),
                port=1,
                out={
                    0: Ether(src=SERVER_MAC, dst=SECOND_MAC)
                    / IP(src=SERVER, dst=SECOND)
                    / UDP(sport=53, dport=5000)
                },
            ),
        ],
    ),
    Case(
        "TCP, and pings by their identifier",
        [
            segment("S"),
            answer("SA"),
            segment("A"),
            goes_out(
                IP(src=CLIENT, dst=SERVER) / ICMP(id=7, seq=1) / Raw(b"ping"),
                IP(src=ADDRESS, dst=SERVER) / ICMP(id=PING_ID, seq=1) / Raw(b"ping"),
            ),
            comes_in(
                IP(src=SERVER, dst=ADDRESS) / ICMP(type=0, id=PING_ID, seq=1) / Raw(b"ping"),
                IP(src=SERVER, dst=CLIENT) / ICMP(type=0, id=7, seq=1) / Raw(b"ping"),
            ),
            lost_in(IP(src=SERVER, dst=ADDRESS) / ICMP(type=8, id=PING_ID)),
        ],
    ),
    Case(
        "headers of every kind are found and kept",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER, tos=8, ttl=3, options=[IPOption_NOP()] * 4)
                / UDP(sport=5000, dport=53),
                IP(src=ADDRESS, dst=SERVER, tos=8, ttl=3, options=[IPOption_NOP()] * 4)
                / UDP(sport=UDP_PORT, dport=53),
            ),
            Step(
                OUT_IN / Dot1Q(vlan=5) / Dot1Q(vlan=6) / SENT,
                out={1: OUT / Dot1Q(vlan=5) / Dot1Q(vlan=6) / SENT_OUT},
            ),
            Step(IN_IN / Dot1Q(vlan=5) / GOT, port=1, out={0: IN / Dot1Q(vlan=5) / GOT_IN}),
            Step(
                Raw(bytes(OUT_IN / SENT) + bytes(10)),
                out={1: Raw(bytes(OUT / SENT_OUT) + bytes(10))},
            ),
            goes_out(SENT / Raw(bytes(8000)), SENT_OUT / Raw(bytes(8000))),
        ],
    ),
    Case(
        "a UDP datagram without a checksum keeps none",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=53, chksum=0),
                IP(src=ADDRESS, dst=SERVER) / UDP(sport=UDP_PORT, dport=53, chksum=0),
            )
        ],
    ),
    Case(
        "which port is inside, and the address outside, can be chosen",
        [
            Step(OUT_IN / SENT, out={}),
            Step(
                Ether(src=CLIENT_MAC, dst=SERVER_MAC) / SENT,
                port=1,
                out={
                    0: Ether(src="02:00:00:00:01:00", dst=SERVER_MAC)
                    / IP(src="203.0.113.5", dst=SERVER)
                    / UDP(sport=UDP_PORT, dport=53)
                    / Raw(b"question")
                },
            ),
            Step(
                Ether(src=CLIENT_MAC, dst=SERVER_MAC) / SENT,
                port=1,
                out={0: Ether(src="02:00:00:00:01:00", dst=SERVER_MAC) / SENT_OUT},
                set={"address": ADDRESS},
            ),
        ],
        parameters={"inside": 1, "address": "203.0.113.5"},
    ),
]


def wrong(packet: IP, by: int = 1) -> Raw:
    """A packet whose checksums are wrong by as much: IP's and UDP's."""
    raw = bytearray(bytes(packet))
    for at in (10, 26):
        raw[at : at + 2] = ((int.from_bytes(raw[at : at + 2], "big") + by) % 0xFFFF).to_bytes(
            2, "big"
        )
    return Raw(bytes(raw))


def cut(packet: IP, size: int) -> Raw:
    """The first bytes of a packet."""
    return Raw(bytes(packet)[:size])


BROKEN = [
    Case(
        "wrong checksums stay wrong",
        [
            Step(
                Raw(bytes(OUT_IN / SENT)[:14] + bytes(wrong(SENT))),
                out={1: Raw(bytes(OUT / SENT_OUT)[:14] + bytes(wrong(SENT_OUT)))},
            )
        ],
    ),
    Case(
        "what is cut off or cannot be translated is dropped",
        [
            *(
                Step(Raw(bytes(OUT_IN / SENT)[:size]), counts={"unsupported": number})
                for number, size in enumerate((15, 33, 41), 1)
            ),
            lost_out(IP(src=CLIENT, dst=SERVER) / GRE()),
            lost_out(IP(src=CLIENT, dst=SERVER) / ICMP(type=13)),
            lost_out(IP(src=CLIENT, dst=SERVER) / ICMP(type=0)),
            lost_out(IP(src=CLIENT, dst="224.0.0.5") / UDP()),
            lost_out(IP(src=CLIENT, dst="255.255.255.255") / UDP()),
            lost_out(IP(src=CLIENT, dst=ADDRESS) / UDP()),
            lost_out(IP(src=CLIENT, dst=SERVER, ihl=4) / UDP()),
            lost_out(IP(src=CLIENT, dst=SERVER) / TCP(dataofs=4), counts={"unsupported": 11}),
            *(
                Step(Raw(bytes(IN_IN / GOT)[:size]), port=1, counts={"untracked": number})
                for number, size in enumerate((15, 33, 41), 1)
            ),
        ],
    ),
    Case(
        "what is not IPv4 passes as it is",
        [
            passes(OUT_IN / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest()),
            passes(OUT_IN / Raw(bytes(46))),
            passes(Raw(bytes(OUT_IN)[:14])),
            passes(OUT_IN / ARP(hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=SERVER)),
            passes(IN_IN / ARP(op=2, hwsrc=SERVER_MAC, psrc=SERVER, pdst=CLIENT), port=1),
            passes(OUT_IN / ARP(hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=ADDRESS)),
            passes(
                Raw(bytes(IN_IN / ARP(psrc=SERVER, hwsrc=SERVER_MAC, pdst=ADDRESS))[:-1]), port=1
            ),
        ],
    ),
    Case(
        "who asks outside for its address is answered",
        [
            Step(
                Ether(src=SERVER_MAC, dst=ALL) / ARP(hwsrc=SERVER_MAC, psrc=SERVER, pdst=ADDRESS),
                port=1,
                out={
                    1: Ether(src=NAT_MAC, dst=SERVER_MAC)
                    / ARP(op=2, hwsrc=NAT_MAC, psrc=ADDRESS, hwdst=SERVER_MAC, pdst=SERVER)
                },
                counts={"arp_replies": 1, "passed": 0},
            )
        ],
    ),
]

ONE_PORT = {"first_port": 7000, "last_port": 7000}
TO_7000 = IP(src=ADDRESS, dst=SERVER) / UDP(sport=7000, dport=53) / Raw(b"question")
SECOND_SENT = IP(src=SECOND, dst=SERVER) / UDP(sport=5000, dport=53)
SECOND_OUT = IP(src=ADDRESS, dst=SERVER) / UDP(sport=7000, dport=53)

CLOCK = [
    Case(
        "a port outside is kept while something passes, in either direction",
        [
            THERE,
            comes_in(GOT, GOT_IN, after_ns=120 * SECOND_NS),
            goes_out(SENT, SENT_OUT, after_ns=120 * SECOND_NS),
            lost_in(GOT, after_ns=120 * SECOND_NS + 1),
            goes_out(SENT, SENT_OUT, counts={"bound": 1, "expired": 1}),
            BACK,
        ],
    ),
    Case(
        "when all ports are taken, one whose time is over is given away",
        [
            goes_out(SENT, TO_7000),
            lost_out(SECOND_SENT, counts={"no_port": 1}),
            goes_out(SENT, TO_7000, after_ns=60 * SECOND_NS),
            lost_out(SECOND_SENT, after_ns=120 * SECOND_NS),
            goes_out(SECOND_SENT, SECOND_OUT, after_ns=1, counts={"expired": 1, "bound": 2}),
            lost_out(SENT, counts={"no_port": 3}),
            goes_out(
                IP(src=CLIENT, dst=SERVER) / TCP(sport=5000, dport=53),
                IP(src=ADDRESS, dst=SERVER) / TCP(sport=7000, dport=53),
            ),
        ],
        parameters=ONE_PORT,
    ),
    Case(
        "a taken port is passed over",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER) / UDP(sport=1),
                IP(src=ADDRESS, dst=SERVER) / UDP(sport=7000 + mix64(0xC0A80002 << 32 | 0x111) % 2),
            ),
            goes_out(
                IP(src=CLIENT, dst=SERVER) / UDP(sport=2),
                IP(src=ADDRESS, dst=SERVER) / UDP(sport=7001 - mix64(0xC0A80002 << 32 | 0x111) % 2),
            ),
            lost_out(IP(src=CLIENT, dst=SERVER) / UDP(sport=3), counts={"no_port": 1, "bound": 2}),
        ],
        parameters={"first_port": 7000, "last_port": 7001},
    ),
    Case(
        "an open TCP connection keeps its port for long",
        [
            segment("S"),
            answer("SA"),
            segment("A"),
            answer("A", after_ns=7440 * SECOND_NS),
            no_answer("A", after_ns=7440 * SECOND_NS + 1),
        ],
    ),
    Case(
        "one that is opening does not",
        [segment("S"), no_answer("SA", after_ns=240 * SECOND_NS + 1)],
    ),
    Case(
        "nor one that is closing, until it is opened anew",
        [
            segment("S"),
            answer("SA"),
            segment("FA"),
            answer("A", after_ns=240 * SECOND_NS),
            segment("S", seq=9),
            answer("SA", after_ns=240 * SECOND_NS),
            answer("A", after_ns=7440 * SECOND_NS),
            answer("R"),
            no_answer("A", after_ns=240 * SECOND_NS + 1),
        ],
    ),
    Case(
        "the identifier of a ping is free after a minute",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER) / ICMP(id=7),
                IP(src=ADDRESS, dst=SERVER) / ICMP(id=PING_ID),
            ),
            lost_in(
                IP(src=SERVER, dst=ADDRESS) / ICMP(type=0, id=PING_ID), after_ns=60 * SECOND_NS + 1
            ),
        ],
    ),
]


def quotes(packet: IP, of: IP) -> Raw:
    """The 28 bytes quoted of a packet, the checksum of its UDP header left as in another one."""
    return Raw(bytes(packet)[:26] + bytes(of)[26:28])


ERRORS = [
    Case(
        "an error about a packet that went out reaches who sent it",
        [
            lost_in(IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / quotes(SENT_OUT, SENT_OUT)),
            THERE,
            comes_in(
                IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / quotes(SENT_OUT, SENT_OUT),
                IP(src=OTHER, dst=CLIENT) / ICMP(type=11) / quotes(SENT, SENT_OUT),
                counts={"translated": 1},
            ),
            lost_in(IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / cut(SENT_OUT, 27)),
            lost_in(IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / cut(SENT, 28)),
            lost_in(IP(src=OTHER, dst=ADDRESS) / ICMP(type=5) / cut(SENT_OUT, 28)),
            lost_in(
                IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / IP(src=ADDRESS, dst=SERVER) / GRE()
            ),
            lost_in(
                IP(src=OTHER, dst=ADDRESS) / ICMP(type=11) / quotes(SENT_OUT, SENT_OUT),
                after_ns=120 * SECOND_NS + 1,
            ),
        ],
    ),
    Case(
        "so does one about a ping",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER) / ICMP(id=7),
                IP(src=ADDRESS, dst=SERVER) / ICMP(id=PING_ID),
            ),
            comes_in(
                IP(src=OTHER, dst=ADDRESS)
                / ICMP(type=3, code=4, nexthopmtu=1400)
                / IP(src=ADDRESS, dst=SERVER)
                / ICMP(id=PING_ID, chksum=5),
                IP(src=OTHER, dst=CLIENT)
                / ICMP(type=3, code=4, nexthopmtu=1400)
                / IP(src=CLIENT, dst=SERVER)
                / ICMP(id=7, chksum=5),
            ),
        ],
    ),
    Case(
        "an error from inside shows the address outside only",
        [
            THERE,
            BACK,
            goes_out(
                IP(src=CLIENT, dst=SERVER) / ICMP(type=3, code=3) / quotes(GOT_IN, GOT_IN),
                IP(src=ADDRESS, dst=SERVER) / ICMP(type=3, code=3) / quotes(GOT, GOT_IN),
            ),
            goes_out(
                IP(src=SECOND, dst=SERVER) / ICMP(type=11) / quotes(GOT_IN, GOT_IN),
                IP(src=ADDRESS, dst=SERVER) / ICMP(type=11) / quotes(GOT, GOT_IN),
            ),
            lost_out(IP(src=CLIENT, dst=SERVER) / ICMP(type=3) / cut(GOT, 28)),
            lost_out(IP(src=CLIENT, dst=SERVER) / ICMP(type=3) / cut(GOT_IN, 20)),
        ],
    ),
]

LATER = {"frag": 100, "id": 77, "proto": 17}

FRAGMENTS = [
    Case(
        "fragments go out",
        [
            goes_out(
                IP(src=CLIENT, dst=SERVER, flags="MF", id=77)
                / UDP(sport=5000, dport=53, len=900, chksum=0),
                IP(src=ADDRESS, dst=SERVER, flags="MF", id=77)
                / UDP(sport=UDP_PORT, dport=53, len=900, chksum=0),
            ),
            goes_out(
                IP(src=CLIENT, dst=SERVER, **LATER) / Raw(bytes(100)),
                IP(src=ADDRESS, dst=SERVER, **LATER) / Raw(bytes(100)),
            ),
            lost_out(IP(src=CLIENT, dst=SERVER, frag=100, proto=47) / Raw(bytes(100))),
        ],
    ),
    Case(
        "fragments come in, in order and within a minute",
        [
            THERE,
            lost_in(IP(src=SERVER, dst=ADDRESS, **LATER) / Raw(bytes(100))),
            comes_in(
                IP(src=SERVER, dst=ADDRESS, flags="MF", id=77)
                / UDP(sport=53, dport=UDP_PORT, len=900, chksum=0),
                IP(src=SERVER, dst=CLIENT, flags="MF", id=77)
                / UDP(sport=53, dport=5000, len=900, chksum=0),
            ),
            comes_in(
                IP(src=SERVER, dst=ADDRESS, **LATER) / Raw(bytes(100)),
                IP(src=SERVER, dst=CLIENT, **LATER) / Raw(bytes(100)),
            ),
            lost_in(IP(src=OTHER, dst=ADDRESS, **LATER) / Raw(bytes(100))),
            lost_in(
                IP(src=SERVER, dst=ADDRESS, **LATER) / Raw(bytes(100)), after_ns=60 * SECOND_NS + 1
            ),
        ],
    ),
]

CASES = [*TRANSLATING, *BROKEN, *CLOCK, *ERRORS, *FRAGMENTS]
