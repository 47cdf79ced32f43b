"""What ``timestamp`` appends to which frames."""

from scapy.all import (
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    Raw,
)
from scapy.layers.inet import IPOption_NOP

from emulator.trying.cases import Case, Step
from emulator.trying.dut import START_NS

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="10.0.0.1", dst="10.0.0.2")
OPTIONS = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 12)
IP6 = IPv6(src="fd00::1", dst="fd00::2")
PORTS = UDP(sport=1000, dport=9999)
STAMP = START_NS.to_bytes(8, "big")
TAGGED = ETHER / Dot1Q(vlan=5)


def stamped(
    name: str, head: object, payload: bytes, padding: int = 0, left: int = 0, **more
) -> Case:
    """A case of one datagram; ``left`` bytes of its padding are left behind the stamp."""
    frame = bytes(head / Raw(payload)) + bytes(padding)
    result = bytes(head / Raw(payload + STAMP)) + bytes(left)
    counts = {"stamped": 1, "too_long": 0, "untouched": 0}
    return Case(name, [Step(frame, out={1: result}, counts=counts)], **more)


def untouched(name: str, frame: object, counter: str = "untouched", **more) -> Case:
    frame = bytes(frame)
    return Case(name, [Step(frame, out={1: frame}, counts={counter: 1, "stamped": 0})], **more)


def unsummed(head: object) -> object:
    """The same without a UDP checksum."""
    head = head.copy()
    head[UDP].chksum = 0
    return head


ODD, EVEN = bytes(range(65, 78)), bytes(range(65, 77))
WRONG_LENGTH = UDP(sport=1000, dport=9999, len=15)

CASES = [
    stamped("an even payload on IPv4", ETHER / IP4 / PORTS, EVEN),
    stamped("an odd payload on IPv4", ETHER / IP4 / PORTS, ODD),
    stamped("an empty payload", ETHER / IP4 / PORTS, b""),
    stamped("behind IPv4 options", ETHER / OPTIONS / PORTS, ODD),
    stamped("an even payload on IPv6", ETHER / IP6 / PORTS, EVEN),
    stamped("an odd payload on IPv6", ETHER / IP6 / PORTS, ODD),
    stamped("behind an IPv6 extension", ETHER / IP6 / IPv6ExtHdrDestOpt() / PORTS, ODD),
    stamped("behind a VLAN tag", TAGGED / IP4 / PORTS, EVEN),
    stamped("no checksum stays none", unsummed(ETHER / IP4 / PORTS), ODD),
    stamped(
        "the stamp takes the place of padding", ETHER / IP4 / PORTS, b"x" * 4, padding=14, left=6
    ),
    stamped("padding that is exactly enough", ETHER / IP4 / PORTS, b"x" * 10, padding=8),
    stamped("padding that is not enough", ETHER / IP4 / PORTS, b"x" * 15, padding=3),
    stamped("the longest that fits", ETHER / IP4 / PORTS, bytes(1464)),
    stamped("the longest of IPv6 that fits", ETHER / IP6 / PORTS, bytes(1444)),
    stamped(
        "a jumbo frame in one piece", ETHER / IP4 / PORTS, bytes(3000), parameters={"mtu": 9000}
    ),
    stamped("a jumbo frame in several", ETHER / IP4 / PORTS, ODD * 600, parameters={"mtu": 9000}),
    untouched("one byte too many", ETHER / IP4 / PORTS / Raw(bytes(1465)), "too_long"),
    untouched(
        "a smaller MTU", ETHER / IP4 / PORTS / Raw(bytes(65)), "too_long", parameters={"mtu": 100}
    ),
    stamped(
        "what just fits a smaller MTU", ETHER / IP4 / PORTS, bytes(64), parameters={"mtu": 100}
    ),
    untouched("TCP", ETHER / IP4 / TCP() / Raw(ODD)),
    untouched("ping", ETHER / IP4 / ICMP() / Raw(ODD)),
    untouched("a first fragment", ETHER / IP(flags="MF", dst="10.0.0.2") / PORTS / Raw(EVEN)),
    untouched("a later fragment", ETHER / IP(frag=8, proto=17, dst="10.0.0.2") / Raw(EVEN)),
    untouched(
        "a first fragment of IPv6", ETHER / IP6 / IPv6ExtHdrFragment(m=1) / PORTS / Raw(EVEN)
    ),
    untouched(
        "a datagram shorter than its header says", bytes(ETHER / IP4 / PORTS / Raw(EVEN))[:-1]
    ),
    untouched(
        "bytes between the datagram's end and the packet's", ETHER / IP4 / WRONG_LENGTH / Raw(EVEN)
    ),
    untouched("a length shorter than the header", ETHER / IP4 / UDP(len=7)),
    untouched("a cut UDP header", bytes(ETHER / IP4 / PORTS)[:41]),
    untouched("nothing but an Ethernet header", bytes(ETHER / IP4)[:14]),
    Case(
        "stamps add up on their way, each with the time it was made",
        [
            Step(
                bytes(ETHER / IP4 / PORTS / Raw(ODD)),
                port=1,
                after_ns=234_567_890,
                out={
                    0: bytes(
                        ETHER / IP4 / PORTS / Raw(ODD + (START_NS + 234_567_890).to_bytes(8, "big"))
                    )
                },
            ),
            Step(
                bytes(ETHER / IP4 / PORTS / Raw(ODD + STAMP)),
                out={
                    1: bytes(
                        ETHER
                        / IP4
                        / PORTS
                        / Raw(ODD + STAMP + (START_NS + 234_567_890).to_bytes(8, "big"))
                    )
                },
            ),
        ],
    ),
    Case(
        "a wrong checksum stays wrong by as much",
        [
            Step(
                bytes(ETHER / IP4 / UDP(chksum=0x1234) / Raw(bytes(8))),
                out={1: bytes(ETHER / IP4 / UDP(chksum=0x0C89) / Raw(bytes(8) + STAMP))},
            )
        ],
    ),
]
