"""What the firewall has to make of single frames."""

from __future__ import annotations

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from emulator.trying.cases import Case, Step

CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
CLIENT, SERVER, OTHER = "10.0.0.1", "10.0.0.2", "10.0.0.5"
CLIENT6, SERVER6 = "fd00::1", "fd00::2"
SECOND_NS = 1_000_000_000

L2 = Ether(src=CLIENT_MAC, dst=SERVER_MAC)
L2_BACK = Ether(src=SERVER_MAC, dst=CLIENT_MAC)
THERE = L2 / IP(src=CLIENT, dst=SERVER)
BACK = L2_BACK / IP(src=SERVER, dst=CLIENT)
THERE6 = L2 / IPv6(src=CLIENT6, dst=SERVER6)
BACK6 = L2_BACK / IPv6(src=SERVER6, dst=CLIENT6)

QUESTION = THERE / UDP(sport=1000, dport=9999) / Raw(b"question")
ANSWER = BACK / UDP(sport=9999, dport=1000) / Raw(b"answer")
WHO_HAS = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
    hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=SERVER
)


def passes(frame: object, port: int = 0, **more: object) -> Step:
    """A frame that leaves by the other port unchanged."""
    return Step(frame, port=port, out={1 - port: frame}, **more)


def stops(frame: object, port: int = 0, **more: object) -> Step:
    """A frame that is dropped."""
    return Step(frame, port=port, **more)


def segment(flags: str, *, back: bool = False) -> Ether:
    """A TCP segment from client to server, or from server to client."""
    if back:
        return BACK / TCP(sport=80, dport=1000, flags=flags, seq=5, ack=7)
    return THERE / TCP(sport=1000, dport=80, flags=flags, seq=7, ack=5)


def solicitation(hop_limit: int = 255) -> Ether:
    """Neighbour solicitation."""
    head = IPv6(src=CLIENT6, dst="ff02::1:ff00:2", hlim=hop_limit)
    return Ether(src=CLIENT_MAC, dst="33:33:ff:00:00:02") / head / ICMPv6ND_NS(tgt=SERVER6)


RULES = [
    Case(
        "without rules nothing passes but what finds neighbours",
        [
            stops(QUESTION, counts={"denied": 1, "denied_by_policy": 1}),
            passes(WHO_HAS, counts={"allowed": 1, "neighbours": 1}),
            passes(L2_BACK / ARP(op=2, hwsrc=SERVER_MAC, psrc=SERVER, hwdst=CLIENT_MAC), port=1),
            passes(solicitation()),
            passes(BACK6 / ICMPv6ND_NA(tgt=SERVER6), port=1),
            passes(L2 / Dot1Q(vlan=5) / WHO_HAS[ARP], counts={"neighbours": 3}),
            stops(solicitation(hop_limit=254)),
            stops(Raw(bytes(WHO_HAS)[:-1])),
            stops(THERE6 / ICMPv6EchoRequest()),
            stops(L2 / Raw(bytes(46))),
        ],
    ),
    Case(
        "finding neighbours can be left to the rules",
        [stops(WHO_HAS), stops(solicitation()), passes(WHO_HAS, set={"allow": "arp"})],
        parameters={"neighbours": False},
    ),
    Case(
        "allow names what passes, in both directions",
        [
            passes(QUESTION, counts={"allowed": 1, "denied": 0}),
            passes(QUESTION, port=1),
            stops(ANSWER, port=1, counts={"allowed": 1, "denied": 1, "established": 0}),
            stops(THERE / UDP(sport=9999, dport=9998)),
            stops(THERE / TCP(dport=9999)),
            passes(THERE6 / UDP(dport=9999)),
            passes(THERE6 / IPv6ExtHdrHopByHop() / UDP(dport=9999)),
            passes(L2 / Dot1Q(vlan=5) / Dot1Q(vlan=6) / QUESTION[IP]),
        ],
        parameters={"allow": "udp dport 9999"},
    ),
    Case(
        "deny is asked before allow",
        [
            passes(QUESTION),
            stops(
                L2 / IP(src=OTHER, dst=SERVER) / UDP(dport=9999),
                counts={"denied_by_rule": 1, "denied_by_policy": 0},
            ),
        ],
        parameters={"allow": "udp", "deny": f"saddr {OTHER}"},
    ),
    Case(
        "of several rules the first that matches decides",
        [
            passes(QUESTION),
            stops(THERE / UDP(dport=53), counts={"denied_by_rule": 1}),
            passes(THERE / TCP(dport=53)),
            stops(THERE / ICMP(), counts={"denied_by_policy": 1}),
            stops(QUESTION, set={"rules": "deny udp; allow udp dport 9999"}),
        ],
        parameters={"rules": "allow udp dport 9999; deny udp\nallow tcp"},
    ),
    Case(
        "the policy can be to allow",
        [
            passes(QUESTION),
            passes(L2 / Raw(bytes(46))),
            stops(THERE / ICMP(), counts={"allowed": 2, "denied_by_rule": 1}),
            stops(QUESTION, set={"policy": "deny"}),
        ],
        parameters={"policy": "allow", "deny": "icmp"},
    ),
    Case(
        "rules change while it runs",
        [
            stops(QUESTION),
            passes(QUESTION, set={"allow": "udp"}),
            stops(QUESTION, set={"deny": f"ip saddr {CLIENT}"}),
            passes(QUESTION, set={"deny": ""}, counts={"allowed": 2, "denied": 2}),
        ],
    ),
    Case(
        "the last of as many rules as there is room for counts",
        [
            passes(THERE / TCP(dport=1062)),
            stops(THERE / TCP(dport=1063)),
            passes(THERE / UDP(dport=7)),
        ],
        parameters={
            "rules": ";".join(f"allow tcp dport {port}" for port in range(1000, 1063)),
            "allow": "udp",
        },
    ),
    Case(
        "the length is that of the payload",
        [
            passes(THERE / UDP() / Raw(bytes(100))),
            stops(THERE / UDP() / Raw(bytes(99))),
            stops(THERE / UDP() / Raw(bytes(10)) / Raw(bytes(91))),
            stops(Raw(bytes(THERE / UDP() / Raw(bytes(10))) + bytes(90))),
        ],
        parameters={"allow": "udp length 100"},
    ),
]

BROKEN = [
    Case(
        "what is cut off or wrong is judged by what is whole",
        [
            stops(Raw(bytes(QUESTION)[:41])),
            stops(Raw(bytes(QUESTION)[:33])),
            stops(Raw(bytes(QUESTION)[:14])),
            stops(Raw(bytes(THERE6 / UDP(dport=9999))[:61])),
            stops(L2 / Dot1Q(vlan=5, type=0x8100)),
            stops(L2 / IP(src=CLIENT, dst=SERVER, ihl=4) / UDP(dport=9999)),
            stops(L2 / IP(src=CLIENT, dst=SERVER, ihl=15) / UDP(dport=9999)),
            stops(L2 / IP(src=CLIENT, dst=SERVER, version=6) / UDP(dport=9999)),
            passes(THERE / UDP(dport=9999, chksum=0x1234)),
            passes(L2 / IP(src=CLIENT, dst=SERVER, chksum=1) / UDP(dport=9999)),
            passes(L2 / IP(src=CLIENT, dst=SERVER, options=[IPOption_NOP()] * 8) / UDP(dport=9999)),
        ],
        parameters={"allow": "udp dport 9999"},
    ),
    Case(
        "a policy to allow lets broken frames pass",
        [
            passes(Raw(bytes(QUESTION)[:33])),
            stops(Raw(bytes(QUESTION)[:41])),
            passes(THERE / TCP(dataofs=3)),
        ],
        parameters={"policy": "allow", "deny": "udp"},
    ),
    Case(
        "later fragments are judged by addresses and protocol",
        [
            passes(L2 / IP(src=CLIENT, dst=SERVER, flags="MF") / UDP(dport=9999) / Raw(bytes(8))),
            stops(L2 / IP(src=CLIENT, dst=SERVER, frag=2, proto=17) / UDP(dport=9999)),
            stops(THERE6 / IPv6ExtHdrFragment(offset=2, nh=17) / UDP(dport=9999)),
            passes(
                L2 / IP(src=CLIENT, dst=SERVER, frag=2, proto=17) / UDP(dport=9999),
                set={"allow": "udp"},
            ),
            passes(THERE6 / IPv6ExtHdrFragment(offset=2, nh=17) / UDP(dport=9999)),
            passes(THERE6 / IPv6ExtHdrFragment(offset=0, m=1, nh=17) / UDP(dport=9999)),
        ],
        parameters={"allow": "udp dport 9999"},
    ),
    Case(
        "a jumbo frame is judged by its headers",
        [
            passes(THERE / UDP(dport=9999) / Raw(bytes(8000)), counts={"allowed": 1}),
            stops(THERE / UDP(dport=9998) / Raw(bytes(8000))),
        ],
        parameters={"allow": "udp dport 9999 length 8000"},
    ),
]

UNREACHABLE = BACK / ICMP(type=3, code=3) / bytes(QUESTION[IP])[:28]
STATEFUL = {"stateful": True, "allow": f"ip saddr {CLIENT}; ip6 saddr {CLIENT6}"}

CONNECTIONS = [
    Case(
        "an answer passes once there was a question",
        [
            stops(ANSWER, port=1),
            passes(QUESTION, counts={"connections": 1, "established": 0}),
            passes(ANSWER, port=1, counts={"established": 1, "connections": 0}),
            passes(QUESTION, counts={"connections": 1, "established": 1}),
            stops(BACK / UDP(sport=9998, dport=1000), port=1),
            stops(BACK / UDP(sport=9999, dport=1001), port=1),
            stops(BACK / TCP(sport=9999, dport=1000, flags="A"), port=1),
            stops(L2_BACK / IP(src=OTHER, dst=CLIENT) / UDP(sport=9999, dport=1000), port=1),
            stops(L2_BACK / Dot1Q(vlan=5) / ANSWER[IP], port=1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "the same for IPv6",
        [
            stops(BACK6 / UDP(sport=9999, dport=1000), port=1),
            passes(THERE6 / UDP(sport=1000, dport=9999)),
            passes(BACK6 / UDP(sport=9999, dport=1000), port=1, counts={"established": 1}),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "a connection outlives the rule that allowed it, and ends by the clock",
        [
            passes(QUESTION),
            passes(ANSWER, port=1, after_ns=120 * SECOND_NS, set={"allow": ""}),
            passes(QUESTION, after_ns=120 * SECOND_NS),
            stops(ANSWER, port=1, after_ns=120 * SECOND_NS + 1),
            stops(QUESTION),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "a TCP connection is opened by its first segment only",
        [
            passes(segment("A"), counts={"connections": 0}),
            stops(segment("A", back=True), port=1),
            passes(segment("S"), counts={"connections": 1}),
            stops(segment("S", back=True), port=1),
            passes(segment("SA", back=True), port=1),
            passes(segment("A"), counts={"established": 1}),
            passes(segment("A", back=True), port=1, after_ns=7440 * SECOND_NS),
            stops(segment("A", back=True), port=1, after_ns=7440 * SECOND_NS + 1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "a TCP connection that nobody answers is forgotten sooner",
        [
            passes(segment("S")),
            stops(segment("SA", back=True), port=1, after_ns=240 * SECOND_NS + 1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "so is one that is closing",
        [
            passes(segment("S")),
            passes(segment("SA", back=True), port=1),
            passes(segment("FA")),
            passes(segment("A", back=True), port=1, after_ns=240 * SECOND_NS),
            stops(segment("FA", back=True), port=1, after_ns=240 * SECOND_NS + 1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "a reset closes too",
        [
            passes(segment("S")),
            passes(segment("RA", back=True), port=1),
            stops(segment("A", back=True), port=1, after_ns=240 * SECOND_NS + 1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "a ping comes back",
        [
            stops(BACK / ICMP(type=0, id=7), port=1),
            passes(THERE / ICMP(type=8, id=7)),
            passes(BACK / ICMP(type=0, id=7), port=1, counts={"established": 1}),
            stops(BACK / ICMP(type=8, id=7), port=1),
            stops(BACK / ICMP(type=0, id=8), port=1),
            stops(BACK / ICMP(type=0, id=7), port=1, after_ns=60 * SECOND_NS + 1),
            passes(THERE6 / ICMPv6EchoRequest(id=7)),
            passes(BACK6 / ICMPv6EchoReply(id=7), port=1),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "an error about a connection reaches who sent the packet",
        [
            stops(UNREACHABLE, port=1),
            passes(QUESTION),
            passes(UNREACHABLE, port=1, counts={"established": 1}),
            stops(L2_BACK / IP(src=OTHER, dst=OTHER) / UNREACHABLE[ICMP], port=1),
            stops(Raw(bytes(UNREACHABLE)[:-1]), port=1),
            stops(BACK / ICMP(type=3) / IP(src=CLIENT, dst=SERVER) / UDP(dport=5), port=1),
            stops(BACK / ICMP(type=3) / IP(src=CLIENT, dst=SERVER) / GRE(), port=1),
            stops(BACK / ICMP(type=5) / bytes(QUESTION[IP])[:28], port=1),
            passes(THERE6 / UDP(sport=1000, dport=9999)),
            passes(
                BACK6
                / ICMPv6DestUnreach(code=4)
                / IPv6(src=CLIENT6, dst=SERVER6)
                / UDP(sport=1000, dport=9999),
                port=1,
            ),
        ],
        parameters=STATEFUL,
    ),
    Case(
        "later fragments belong to no connection",
        [
            passes(QUESTION),
            stops(L2_BACK / IP(src=SERVER, dst=CLIENT, frag=2, proto=17) / Raw(bytes(8)), port=1),
        ],
        parameters=STATEFUL,
    ),
]

CASES = [*RULES, *BROKEN, *CONNECTIONS]
