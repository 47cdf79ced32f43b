"""What ``xor`` makes of payloads."""

from itertools import cycle

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

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="10.0.0.1", dst="10.0.0.2")
OPTIONS = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 12)
IP6 = IPv6(src="fd00::1", dst="fd00::2")
PORTS = UDP(sport=1000, dport=9999)
KEY = 0x0123456789ABCDEF


def text(length: int) -> bytes:
    return bytes(number * 37 % 251 for number in range(length))


def changed(payload: bytes, key: int = KEY, offset: int = 0) -> bytes:
    rest = zip(payload[offset:], cycle(key.to_bytes(8, "big")), strict=False)
    return payload[:offset] + bytes(byte ^ key_byte for byte, key_byte in rest)


def there_and_back(
    name: str, head: object, length: int, *, key: int = KEY, offset: int = 0, padding: bytes = b""
) -> Case:
    """A case of a datagram that is changed, and by a second time is what it was."""
    before = bytes(head / Raw(text(length))) + padding
    after = bytes(head / Raw(changed(text(length), key, offset))) + padding
    steps = [
        Step(before, out={1: after}, counts={"changed": 1, "untouched": 0}),
        Step(after, port=1, out={0: before}, counts={"changed": 1, "untouched": 0}),
    ]
    return Case(name, steps, parameters={"key": key, "offset": offset})


def untouched(name: str, frame: object, **parameters: int) -> Case:
    frame = bytes(frame)
    counts = {"changed": 0, "untouched": 1}
    return Case(name, [Step(frame, out={1: frame}, counts=counts)], parameters=parameters)


NO_CHECKSUM = UDP(sport=1000, dport=9999, chksum=0)
WHOLE = ETHER / IP4 / PORTS / Raw(text(20))

CASES = [
    *(
        there_and_back(f"a payload of {length} bytes", ETHER / IP4 / PORTS, length)
        for length in (1, 2, 3, 7, 8, 9, 15, 18, 31, 32, 33, 63, 64, 100, 1471, 1472)
    ),
    *(
        there_and_back(f"from byte {offset} on", ETHER / IP4 / PORTS, 77, offset=offset)
        for offset in (1, 2, 7, 8, 13, 32, 75, 76)
    ),
    there_and_back("behind IPv4 options", ETHER / OPTIONS / PORTS, 77),
    there_and_back("on IPv6", ETHER / IP6 / PORTS, 77),
    there_and_back("on IPv6, from an odd byte on", ETHER / IP6 / PORTS, 78, offset=3),
    there_and_back("behind an IPv6 extension", ETHER / IP6 / IPv6ExtHdrDestOpt() / PORTS, 77),
    there_and_back("behind a VLAN tag", ETHER / Dot1Q(vlan=5) / IP4 / PORTS, 77),
    there_and_back("no checksum stays none", ETHER / IP4 / NO_CHECKSUM, 77),
    there_and_back("padding stays", ETHER / IP4 / PORTS, 5, padding=b"pad of 13 by."),
    there_and_back("a key of one bit", ETHER / IP4 / PORTS, 77, key=1),
    there_and_back("a key of all bits", ETHER / IP4 / PORTS, 77, key=2**64 - 1),
    there_and_back("a key of none", ETHER / IP4 / PORTS, 77, key=0),
    there_and_back("a key whose last bytes are not reached", ETHER / IP4 / PORTS, 5, key=0xFFFFFF),
    *(
        there_and_back(f"a jumbo payload of {length} bytes", ETHER / IP4 / PORTS, length)
        for length in (3000, 4096, 4097, 5001, 8972)
    ),
    there_and_back("a jumbo frame from a late byte on", ETHER / IP6 / PORTS, 8952, offset=4099),
    there_and_back("a jumbo frame, its end alone", ETHER / IP4 / PORTS, 8972, offset=8970),
    untouched("an empty payload", ETHER / IP4 / PORTS),
    untouched("a payload as short as the offset", ETHER / IP4 / PORTS / Raw(text(20)), offset=20),
    untouched("TCP", ETHER / IP4 / TCP() / Raw(text(20))),
    untouched("ping", ETHER / IP4 / ICMP() / Raw(text(20))),
    untouched("a first fragment", ETHER / IP(flags="MF", dst="10.0.0.2") / PORTS / Raw(text(16))),
    untouched("a later fragment", ETHER / IP(frag=8, proto=17, dst="10.0.0.2") / Raw(text(16))),
    untouched(
        "a first fragment of IPv6", ETHER / IP6 / IPv6ExtHdrFragment(m=1) / PORTS / Raw(text(8))
    ),
    untouched("a datagram shorter than its header says", bytes(WHOLE)[:-1]),
    untouched("UDP and IP do not agree", ETHER / IP4 / UDP(len=15) / Raw(text(20))),
    untouched("a cut UDP header", bytes(WHOLE)[:41]),
    untouched("nothing but an Ethernet header", bytes(WHOLE)[:14]),
    Case(
        "a wrong checksum is wrong again when it comes back",
        [
            Step(
                bytes(ETHER / IP4 / UDP(chksum=0xFFFF) / Raw(b"same")),
                out={1: bytes(ETHER / IP4 / UDP(chksum=0x4682) / Raw(changed(b"same")))},
            ),
            Step(
                bytes(ETHER / IP4 / UDP(chksum=0x4682) / Raw(changed(b"same"))),
                out={0: bytes(ETHER / IP4 / UDP(chksum=0xFFFF) / Raw(b"same"))},
                port=1,
            ),
        ],
        parameters={"key": KEY},
    ),
]
