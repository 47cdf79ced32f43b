"""What ``loadbalancer`` makes of packets to its address, and of all others."""

from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw
from scapy.layers.inet import IPOption_NOP

from emulator.trying.cases import Case, Step

CLIENT, CLIENT_MAC = "10.0.0.1", "02:00:00:00:00:01"
VIP = "10.0.0.100"
# The VNF's own, see example_ports.
OWN = ("02:00:00:00:01:00", "02:00:00:00:01:01")
A, A_MAC = "10.0.0.11", "02:00:00:00:00:0b"
B, B_MAC = "10.0.0.12", "02:00:00:00:00:0c"
C, C_MAC = "10.0.0.13", "02:00:00:00:00:0d"
ONE = {"vip": VIP, "backends": f"{A}@{A_MAC}"}
TWO = {"vip": VIP, "backends": f"{A}@{A_MAC}; {B}@{B_MAC}"}
REWRITE = {**ONE, "rewrite": True}

SYN, DATA = TCP(sport=1000, dport=80, flags="S"), TCP(sport=1000, dport=80, flags="PA")
QUERY = UDP(sport=1000, dport=53)


def ask(
    transport: object, ip: str = VIP, mac: str = OWN[0], payload: bytes = b"question", **more
) -> bytes:
    return bytes(
        Ether(src=CLIENT_MAC, dst=mac) / IP(src=CLIENT, dst=ip, **more) / transport / Raw(payload)
    )


def answer(transport: object, ip: str, mac: str = A_MAC, payload: bytes = b"an answer") -> bytes:
    return bytes(Ether(src=mac, dst=CLIENT_MAC) / IP(src=ip, dst=CLIENT) / transport / Raw(payload))


def passes(frame: object, port: int = 0, **more) -> Step:
    return Step(bytes(frame), port=port, out={1 - port: bytes(frame)}, **more)


def goes_to(mac: str, transport: object, **more) -> Step:
    """A packet to the VIP that is sent to a server, as it is but for the MAC address."""
    return Step(ask(transport), out={1: ask(transport, mac=mac)}, **more)


def udp(sport: int) -> UDP:
    return UDP(sport=sport, dport=53)


TAGGED = Ether(src=CLIENT_MAC, dst=OWN[0]) / Dot1Q(vlan=5)
OPTIONS = [IPOption_NOP()] * 12
ARP_FOR_VIP = ARP(op=1, hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=VIP)
BROADCAST = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")


def arp_answer(mac: str, psrc: str = CLIENT) -> object:
    return Ether(src=mac, dst=CLIENT_MAC) / ARP(
        op=2, hwsrc=mac, psrc=VIP, hwdst=CLIENT_MAC, pdst=psrc
    )


PROBE = BROADCAST / ARP(op=1, hwsrc=CLIENT_MAC, psrc="0.0.0.0", pdst=VIP)
PING = ICMP(id=7, seq=1)
NO_CHECKSUM = UDP(sport=1000, dport=53, chksum=0)
# Which of eight connections the table gives to which server.
SPREAD = [(port, B_MAC if port in (5, 6) else A_MAC) for port in range(1, 9)]
FIRST = IP(src=CLIENT, dst=VIP, flags="MF", proto=17)
LATER = IP(src=CLIENT, dst=VIP, frag=8, proto=17)

CASES = [
    Case(
        "direct return changes the MAC address alone",
        [
            goes_to(A_MAC, SYN, counts={"balanced": 1, "connections": 1}),
            goes_to(A_MAC, DATA, counts={"balanced": 2, "connections": 1}),
            goes_to(A_MAC, QUERY, counts={"balanced": 3, "connections": 2}),
            passes(answer(TCP(sport=80, dport=1000), VIP), port=1, counts={"returned": 0}),
            passes(answer(TCP(sport=80, dport=1000), A), port=1, counts={"returned": 0}),
        ],
        parameters=ONE,
    ),
    Case(
        "rewriting changes the address on the way there and back",
        [
            Step(ask(SYN), out={1: ask(SYN, A, A_MAC)}),
            Step(
                answer(TCP(sport=80, dport=1000, flags="SA"), A),
                port=1,
                out={0: answer(TCP(sport=80, dport=1000, flags="SA"), VIP)},
                counts={"returned": 1},
            ),
            Step(ask(QUERY), out={1: ask(QUERY, A, A_MAC)}, counts={"balanced": 2}),
            Step(
                answer(UDP(sport=53, dport=1000), A),
                port=1,
                out={0: answer(UDP(sport=53, dport=1000), VIP)},
                counts={"returned": 2},
            ),
            Step(ask(NO_CHECKSUM), out={1: ask(NO_CHECKSUM, A, A_MAC)}),
        ],
        parameters=REWRITE,
    ),
    Case(
        "rewriting behind options and a VLAN tag",
        [
            Step(ask(QUERY, options=OPTIONS), out={1: ask(QUERY, A, A_MAC, options=OPTIONS)}),
            Step(
                bytes(TAGGED / IP(src=CLIENT, dst=VIP) / QUERY / Raw(b"odd")),
                out={
                    1: bytes(
                        Ether(src=CLIENT_MAC, dst=A_MAC)
                        / Dot1Q(vlan=5)
                        / IP(src=CLIENT, dst=A)
                        / QUERY
                        / Raw(b"odd")
                    )
                },
            ),
        ],
        parameters=REWRITE,
    ),
    Case(
        "what a server sends on its own account keeps its address",
        [
            passes(answer(UDP(sport=53, dport=1000), A), port=1),
            Step(ask(QUERY), out={1: ask(QUERY, A, A_MAC)}),
            passes(answer(UDP(sport=54, dport=1000), A), port=1),
            passes(answer(UDP(sport=53, dport=1001), A), port=1),
            passes(answer(TCP(sport=53, dport=1000), A), port=1),
            passes(answer(UDP(sport=53, dport=1000), B), port=1),
            passes(answer(ICMP(type=0), A), port=1, counts={"returned": 0}),
        ],
        parameters=REWRITE,
    ),
    Case(
        "ARP for the VIP is answered on both sides, other ARP passes",
        [
            Step(
                bytes(BROADCAST / ARP_FOR_VIP),
                out={0: bytes(arp_answer(OWN[0]))},
                counts={"answered": 1},
            ),
            Step(bytes(BROADCAST / ARP_FOR_VIP), port=1, out={1: bytes(arp_answer(OWN[1]))}),
            Step(bytes(PROBE), out={0: bytes(arp_answer(OWN[0], "0.0.0.0"))}),
            Step(
                bytes(BROADCAST / ARP_FOR_VIP).ljust(60, b"\0"),
                out={0: bytes(arp_answer(OWN[0])).ljust(60, b"\0")},
            ),
            passes(BROADCAST / ARP(op=1, psrc=CLIENT, pdst=A)),
            passes(arp_answer(CLIENT_MAC), port=1),
            passes(bytes(BROADCAST / ARP_FOR_VIP)[:41]),
            passes(BROADCAST / ARP(op=1, hwtype=6, psrc=CLIENT, pdst=VIP), counts={"answered": 3}),
        ],
        parameters=ONE,
    ),
    Case(
        "a ping of the VIP is answered",
        [
            Step(
                ask(PING),
                out={
                    0: bytes(
                        Ether(src=OWN[0], dst=CLIENT_MAC)
                        / IP(src=VIP, dst=CLIENT)
                        / ICMP(type=0, id=7, seq=1)
                        / Raw(b"question")
                    )
                },
                counts={"answered": 1},
            ),
            passes(ask(PING, A, A_MAC)),
            Step(ask(ICMP(type=3)), counts={"no_service": 1}),
        ],
        parameters=ONE,
    ),
    Case(
        "what is not for the VIP passes",
        [
            passes(ask(DATA, A, A_MAC)),
            passes(Ether(src=CLIENT_MAC, dst=A_MAC) / IPv6() / TCP()),
            passes(Ether(src=CLIENT_MAC, dst=A_MAC, type=0x88B5) / Raw(bytes(46))),
            passes(ask(SYN)[:14]),
            passes(ask(SYN)[:33], counts={"balanced": 0}),
        ],
        parameters=ONE,
    ),
    Case(
        "what cannot be balanced is dropped",
        [
            Step(ask(QUERY)[:41], counts={"no_service": 1}),
            Step(ask(SYN)[:53], counts={"no_service": 2}),
            Step(ask(Raw(b""), proto=47), counts={"no_service": 3}),
            Step(bytes(Ether(dst=OWN[0]) / FIRST / QUERY), counts={"fragments": 1}),
            Step(bytes(Ether(dst=OWN[0]) / LATER / Raw(bytes(16))), counts={"fragments": 2}),
        ],
        parameters=ONE,
    ),
    Case(
        "only services are balanced",
        [
            Step(ask(SYN), counts={"no_service": 1}),
            goes_to(A_MAC, TCP(sport=1000, dport=8080, flags="S")),
            goes_to(A_MAC, QUERY),
            Step(ask(UDP(sport=1, dport=54)), counts={"no_service": 2, "balanced": 2}),
        ],
        parameters={**ONE, "services": "tcp dport 8000-8100; udp dport 53"},
    ),
    Case(
        "connections are spread, and a packet goes where those before it went",
        [
            *(goes_to(mac, udp(port)) for port, mac in SPREAD),
            *(goes_to(mac, udp(port)) for port, mac in SPREAD),
            goes_to(A_MAC, SYN, counts={"connections": 9, "balanced": 17}),
        ],
        parameters=TWO,
    ),
    Case(
        "a connection stays when a server comes, and moves when its own goes",
        [
            goes_to(A_MAC, QUERY, counts={"connections": 1, "moved": 0}),
            goes_to(A_MAC, QUERY, set={"down": ""}),
            goes_to(B_MAC, QUERY, set={"down": A}, counts={"moved": 1, "connections": 1}),
            goes_to(B_MAC, QUERY, set={"down": ""}, counts={"moved": 1}),
            goes_to(B_MAC, QUERY, set={"backends": f"{B}@{B_MAC}"}),
            goes_to(B_MAC, QUERY, set={"backends": f"{C}@{C_MAC}; {A}@{A_MAC}; {B}@{B_MAC}"}),
            Step(ask(QUERY), set={"down": f"{A}; {B}; {C}"}, counts={"no_backend": 1}),
            goes_to(C_MAC, QUERY, set={"down": f"{A}; {B}"}, counts={"moved": 2}),
        ],
        parameters={**TWO, "down": B},
    ),
    Case(
        "opening a connection means a new one",
        [
            goes_to(B_MAC, SYN, counts={"connections": 1}),
            goes_to(B_MAC, DATA, set={"down": ""}, counts={"connections": 1}),
            goes_to(A_MAC, SYN, counts={"connections": 2, "moved": 0}),
            goes_to(A_MAC, DATA, counts={"connections": 2, "balanced": 4}),
        ],
        parameters={**TWO, "down": A},
    ),
    Case(
        "a connection goes on when its service does not take new ones",
        [
            goes_to(A_MAC, SYN),
            goes_to(A_MAC, DATA, set={"services": "udp"}),
            Step(ask(SYN), counts={"no_service": 1}),
        ],
        parameters=ONE,
    ),
    Case(
        "a server's weight and MAC address can change",
        [
            goes_to(A_MAC, QUERY),
            goes_to(C_MAC, QUERY, set={"backends": f"{A}@{C_MAC} weight 3; {B}@{B_MAC}"}),
        ],
        parameters=ONE,
    ),
    Case(
        "without a server there is only the VIP",
        [
            Step(ask(SYN), counts={"no_backend": 1}),
            passes(ask(DATA, A, A_MAC)),
            Step(bytes(BROADCAST / ARP_FOR_VIP), out={0: bytes(arp_answer(OWN[0]))}),
            goes_to(A_MAC, SYN, set={"backends": ONE["backends"]}),
        ],
    ),
    Case(
        "a jumbo packet",
        [
            Step(
                ask(QUERY, payload=bytes(8972)),
                out={1: ask(QUERY, A, A_MAC, payload=bytes(8972))},
            )
        ],
        parameters=REWRITE,
    ),
]
