"""Which frames ``ratelimiter`` lets through, and when."""

from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw

from emulator.trying.cases import Case, Step

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="10.0.0.1", dst="10.0.0.2")
US = 1_000


def datagram(size: int, dport: int = 9999) -> bytes:
    head = ETHER / IP4 / UDP(sport=1000, dport=dport)
    return bytes(head / Raw(bytes(size - len(head))))


def passes(frame: object, port: int = 0, **more) -> Step:
    return Step(bytes(frame), port=port, out={1 - port: bytes(frame)}, **more)


def exceeds(frame: object, port: int = 0, **more) -> Step:
    return Step(bytes(frame), port=port, **more)


# At 8 Mbit/s, a byte comes every microsecond.
BYTE_PER_US = {"classes": "any: 8Mbit burst 3000B"}
K = datagram(1000)
RUNT = K[:14]
# 8000 bits at 3 Mbit/s: three frames in 8 ms, each after no whole number of nanoseconds.
THIRDS = (2_666_667, 2_666_667, 2_666_666)

CASES = [
    Case(
        "the burst passes at once, then frames as their bytes come in",
        [
            passes(K),
            passes(K),
            passes(K, counts={"conforming": 3, "exceeding": 0}),
            exceeds(K, counts={"conforming": 3, "exceeding": 1}),
            exceeds(K, after_ns=999 * US),
            passes(K, after_ns=1 * US),
            exceeds(K, after_ns=1000 * US - 1),
            passes(K, after_ns=1, counts={"conforming": 5, "exceeding": 3, "unlimited": 0}),
        ],
        parameters=BYTE_PER_US,
    ),
    Case(
        "small frames pass where a large one does not",
        [
            passes(datagram(1500)),
            passes(datagram(1400)),
            exceeds(datagram(101)),
            passes(datagram(60)),
            exceeds(datagram(60)),
            passes(datagram(60), after_ns=20 * US),
            exceeds(RUNT),
            passes(RUNT, after_ns=14 * US),
        ],
        parameters=BYTE_PER_US,
    ),
    Case(
        "a bucket never holds more than its burst",
        [
            *(passes(K) for _ in range(3)),
            exceeds(K),
            passes(K, after_ns=3_600_000_000 * US),
            *(passes(K) for _ in range(2)),
            exceeds(K),
        ],
        parameters=BYTE_PER_US,
    ),
    Case(
        "nothing is lost to rounding, however long it takes",
        [
            *(passes(K) for _ in range(2)),
            *(passes(K, after_ns=ns) for ns in THIRDS * 100),
            exceeds(K, after_ns=2_666_666),
            passes(K, after_ns=1),
        ],
        parameters={"classes": "udp: 3Mbit burst 2kB"},
    ),
    Case(
        "a rate of a few bits",
        [
            passes(datagram(1500)),
            exceeds(datagram(1500), after_ns=1_693_714_285_714),
            passes(datagram(1500), after_ns=1),
        ],
        # 12000 bits, of which 144 are there: 11856 / 7 seconds.
        parameters={"classes": "any: 7bit burst 1518B"},
    ),
    Case(
        "a high rate",
        [
            *(passes(datagram(1500)) for _ in range(2)),
            exceeds(datagram(1500)),
            exceeds(datagram(1500), after_ns=119),
            passes(datagram(1500), after_ns=1),
        ],
        parameters={"classes": "any: 100Gbit burst 3kB"},
    ),
    Case(
        "each direction has a bucket of its own",
        [
            *(passes(K) for _ in range(3)),
            exceeds(K),
            *(passes(K, port=1) for _ in range(3)),
            exceeds(K, port=1, counts={"conforming": 3, "exceeding": 1}),
        ],
        parameters=BYTE_PER_US,
    ),
    Case(
        "the first class that matches counts, and what matches none is not limited",
        [
            *(passes(datagram(1000, 5000)) for _ in range(2)),
            exceeds(datagram(1000, 5000)),
            *(passes(datagram(1000, 5001)) for _ in range(3)),
            exceeds(datagram(1000, 5001)),
            exceeds(ETHER / IP4 / TCP() / Raw(bytes(1500))),
            *(passes(ETHER / IPv6() / UDP() / Raw(bytes(1000))) for _ in range(4)),
            passes(ETHER / ARP()),
            passes(RUNT, counts={"conforming": 5, "exceeding": 3, "unlimited": 6}),
        ],
        parameters={"classes": "udp dport 5000: 8Mbit burst 2kB; ip: 8Mbit burst 3kB"},
    ),
    Case(
        "behind a VLAN tag, in a fragment, and of IPv6 by address",
        [
            passes(ETHER / Dot1Q(vlan=5) / IP4 / ICMP() / Raw(bytes(1400))),
            exceeds(ETHER / Dot1Q(vlan=5) / IP4 / ICMP() / Raw(bytes(1400))),
            passes(ETHER / IP(dst="10.0.0.9", frag=8, proto=17) / Raw(bytes(1400))),
            exceeds(ETHER / IP(dst="10.0.0.9", frag=8, proto=17) / Raw(bytes(1400))),
            passes(ETHER / IPv6(dst="fd00::1") / UDP() / Raw(bytes(1400))),
            exceeds(ETHER / IPv6(dst="fd00::1") / UDP() / Raw(bytes(1400))),
        ],
        parameters={
            "classes": "vlan 5: 1Mbit burst 1518B; ip daddr 10.0.0.9: 1Mbit burst 1518B;"
            "ip6 daddr fd00::1: 1Mbit burst 1518B"
        },
    ),
    Case(
        "headers that are cut off match no condition, but any",
        [passes(K[:30], counts={"unlimited": 1}), passes(K[:30], set={"classes": "any: 1bit"})],
        parameters={"classes": "ip: 1Mbit"},
    ),
    Case(
        "a frame may count for more than its length",
        [passes(K), passes(K), exceeds(K), exceeds(K, after_ns=71 * US), passes(K, after_ns=US)],
        parameters={"classes": "any: 8Mbit burst 3000B", "overhead": 24},
    ),
    Case(
        "no classes limit nothing",
        [*(passes(K) for _ in range(20)), passes(K, counts={"unlimited": 21, "conforming": 0})],
        parameters={"classes": ""},
    ),
    Case(
        "a rate that changes counts from the next frame on, a burst that shrinks at once",
        [
            *(passes(K) for _ in range(3)),
            exceeds(K),
            passes(K, after_ns=500 * US, set={"classes": "any: 16Mbit burst 3000B"}),
            exceeds(K, after_ns=499 * US),
            passes(K, after_ns=US),
            passes(datagram(1500), after_ns=4000 * US, set={"classes": "any: 16Mbit burst 2000B"}),
            exceeds(K),
            passes(K, after_ns=250 * US),
        ],
        parameters=BYTE_PER_US,
    ),
    Case(
        "all of a jumbo frame counts",
        [passes(datagram(9014)), exceeds(datagram(487)), passes(datagram(486))],
        parameters={"classes": "any: 8Mbit burst 9500B"},
    ),
    Case(
        "the default burst is 10 ms of the rate",
        [*(passes(K) for _ in range(12)), exceeds(K), passes(datagram(500)), exceeds(RUNT)],
        parameters={"classes": "any: 10Mbit"},
    ),
]
