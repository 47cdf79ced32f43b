"""What ``forward`` makes of frames."""

from scapy.all import IP, UDP, Dot1Q, Ether, Raw

from emulator.trying.cases import Case, Step

HERE, THERE, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"
UNTOUCHED = "00:00:00:00:00:00"


def datagram(source: str = HERE, destination: str = THERE, size: int = 22) -> bytes:
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=9999) / Raw(bytes(size))
    return bytes(Ether(src=source, dst=destination) / packet)


def tagged(source: str = HERE, destination: str = THERE) -> bytes:
    return bytes(Ether(src=source, dst=destination) / Dot1Q(vlan=5) / Raw(b"anything"))


RUNT = datagram()[:14]

CASES = [
    Case(
        "leaves every byte as it is",
        [
            Step(datagram(), out={1: datagram()}),
            Step(datagram(), port=1, out={0: datagram()}),
            Step(tagged(), out={1: tagged()}),
            Step(RUNT, out={1: RUNT}),
            Step(datagram(size=1472), out={1: datagram(size=1472)}),
        ],
    ),
    Case(
        "rewrites both MAC addresses, whatever follows them",
        [
            Step(datagram(), out={1: datagram("02:00:00:00:00:07", OTHER)}),
            Step(tagged(), port=1, out={0: tagged("02:00:00:00:00:07", OTHER)}),
            Step(RUNT, out={1: datagram("02:00:00:00:00:07", OTHER)[:14]}),
        ],
        parameters={"source_mac": "02:00:00:00:00:07", "destination_mac": OTHER},
    ),
    Case(
        "rewrites one address and leaves the other",
        [
            Step(datagram(), out={1: datagram(destination=OTHER)}),
            Step(
                datagram(),
                out={1: datagram(source=OTHER)},
                set={"source_mac": OTHER, "destination_mac": UNTOUCHED},
            ),
            Step(datagram(), out={1: datagram()}, set={"source_mac": UNTOUCHED}),
        ],
        parameters={"destination_mac": OTHER},
    ),
    Case(
        "takes an address apart from zero by any of its bytes",
        [
            Step(datagram(), out={1: datagram(destination="00:00:00:00:00:01")}),
            Step(
                datagram(),
                out={1: datagram(destination="02:00:00:00:00:00")},
                set={"destination_mac": "02:00:00:00:00:00"},
            ),
        ],
        parameters={"destination_mac": "00:00:00:00:00:01"},
    ),
    Case(
        "carries a jumbo frame",
        [Step(datagram(size=8972), out={1: datagram(HERE, OTHER, size=8972)})],
        parameters={"destination_mac": OTHER},
    ),
]
