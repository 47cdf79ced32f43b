"""What ``bursts`` makes of frames that come one at a time."""

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from emulator.trying.cases import Case, Step

DATAGRAM = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(dst="10.0.1.2") / UDP()

CASES = [
    Case(
        "a frame by itself is a burst of one",
        [
            Step(DATAGRAM, out={1: DATAGRAM}, counts={"bursts_1": 1, "bursts_2_3": 0}),
            Step(DATAGRAM, out={1: DATAGRAM}, counts={"bursts_1": 2, "bursts_2_3": 0}),
        ],
    ),
    Case(
        "each port counts for itself",
        [
            Step(DATAGRAM, out={1: DATAGRAM}, counts={"bursts_1": 1}),
            Step(DATAGRAM, port=1, out={0: DATAGRAM}, counts={"bursts_1": 1}),
        ],
    ),
]
