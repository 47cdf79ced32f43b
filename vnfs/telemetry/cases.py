"""What ``telemetry`` writes into which datagrams."""

import struct

from scapy.all import ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, IPv6ExtHdrFragment, Raw
from scapy.layers.inet import IPOption_NOP

from emulator.trying.cases import Case, Step
from emulator.trying.dut import START_NS

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="10.0.0.1", dst="10.0.0.2")
OPTIONS = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 12)
IP6 = IPv6(src="fd00::1", dst="fd00::2")
PORTS = UDP(sport=1000, dport=9999)
DATAGRAM = ETHER / IP4 / PORTS
ODD = b"thirteen byte"


def record(hops: int = 1, hop: int = 0, port: int = 0, at_ns: int = START_NS) -> bytes:
    """What a hop writes; time stands still while a frame is tried."""
    return struct.pack(">4sBBHQQ", b"vhop", hops, port, hop, at_ns, at_ns)


def written(name: str, head: object, payload: bytes, extra: bytes = b"", **parameters: int) -> Case:
    frame = bytes(head / Raw(payload))
    result = bytes(head / Raw(payload + (extra or record())))
    counts = {"stamped": 1, "full": 0, "too_long": 0, "untouched": 0}
    return Case(name, [Step(frame, out={1: result}, counts=counts)], parameters=parameters)


def untouched(name: str, frame: object, counter: str = "untouched", **parameters: int) -> Case:
    frame = bytes(frame)
    step = Step(frame, out={1: frame}, counts={counter: 1, "stamped": 0})
    return Case(name, [step], parameters=parameters)


def way(*records: bytes) -> bytes:
    return bytes(DATAGRAM / Raw(ODD + b"".join(records)))


SECOND = record(2, hop=7, port=1, at_ns=START_NS + 5_000)
THIRD = record(3, hop=7, at_ns=START_NS + 5_000)

CASES = [
    written("on IPv4", DATAGRAM, b"payload."),
    written("behind an odd payload", DATAGRAM, ODD),
    written("an empty payload", DATAGRAM, b""),
    written("behind IPv4 options", ETHER / OPTIONS / PORTS, ODD),
    written("on IPv6", ETHER / IP6 / PORTS, ODD),
    written("behind a VLAN tag", ETHER / Dot1Q(vlan=5) / IP4 / PORTS, ODD),
    written("no checksum stays none", ETHER / IP4 / UDP(dport=9999, chksum=0), ODD),
    written("the port asked for", DATAGRAM, ODD, dport=9999),
    written("its own number", DATAGRAM, ODD, record(hop=65535), hop=65535),
    written("the longest that fits", DATAGRAM, bytes(1448)),
    written("a jumbo frame in several pieces", DATAGRAM, ODD * 600, mtu=9000),
    # Inside the kernel, this one fills its memory so that it can only grow at its front.
    written("no room behind the frame", DATAGRAM, (ODD * 300)[:3458], mtu=9000),
    untouched("one byte too many", DATAGRAM / Raw(bytes(1449)), "too_long"),
    untouched("another port", DATAGRAM / Raw(ODD), dport=9998),
    untouched("TCP", ETHER / IP4 / TCP() / Raw(ODD)),
    untouched("ping", ETHER / IP4 / ICMP() / Raw(ODD)),
    untouched("a first fragment", ETHER / IP(flags="MF", dst="10.0.0.2") / PORTS / Raw(bytes(16))),
    untouched("a later fragment", ETHER / IP(frag=8, proto=17, dst="10.0.0.2") / Raw(ODD)),
    untouched("a first fragment of IPv6", ETHER / IP6 / IPv6ExtHdrFragment(m=1) / PORTS / Raw(ODD)),
    untouched("a datagram shorter than its header says", bytes(DATAGRAM / Raw(ODD))[:-1]),
    untouched("a cut UDP header", bytes(DATAGRAM)[:41]),
    untouched("nothing but an Ethernet header", bytes(DATAGRAM)[:14]),
    Case(
        "hops write one behind another",
        [
            Step(way(), out={1: way(record(hop=7))}),
            Step(way(record()), port=1, after_ns=5_000, out={0: way(record(), SECOND)}),
            Step(way(record(), SECOND), out={1: way(record(), SECOND, THIRD)}),
        ],
        parameters={"hop": 7},
    ),
    Case(
        "the last of the most hops",
        [
            Step(way(record()), out={1: way(record(), record(2))}, counts={"full": 0}),
            Step(
                way(record(), record(2)),
                out={1: way(record(), record(2))},
                counts={"full": 1, "stamped": 1},
            ),
        ],
        parameters={"max_hops": 2},
    ),
    Case(
        "what only looks like a record is payload",
        [
            Step(way(bad), out={1: way(bad, record())}, counts={"stamped": number})
            for number, bad in enumerate(
                [record(9), record(0), record()[1:], b"vhoq" + record()[4:]], start=1
            )
        ],
    ),
]
