"""What NAME has to make of single frames: run by ``vnf test``."""

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from emulator.trying.cases import Case, Step

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
WATCHED = ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5000, dport=9999) / b"hello"
OTHER = ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5000, dport=53) / b"hello"

CASES = [
    Case(
        "forwards in both directions and counts what it watches",
        [
            Step(WATCHED, out={1: WATCHED}, counts={"watched": 1}),
            Step(OTHER, out={1: OTHER}, counts={"watched": 1}),
            Step(WATCHED, port=1, out={0: WATCHED}, counts={"watched": 1}),
        ],
    ),
    Case(
        "watches another port from the moment it is told to",
        [
            Step(OTHER, out={1: OTHER}, counts={"watched": 0}),
            Step(OTHER, out={1: OTHER}, counts={"watched": 1}, set={"watched_port": 53}),
        ],
    ),
]
