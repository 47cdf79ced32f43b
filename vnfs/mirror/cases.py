"""Which frames ``mirror`` copies, and where to."""

from scapy.all import IP, UDP, Ether, Raw

from emulator.trying.cases import Case, Step


def frame(number: int, size: int = 60) -> bytes:
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"%04d" % number)
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet).ljust(
        size, b"\0"
    )


def steps(copied: str, port: int = 0) -> list[Step]:
    """A frame for each character, "m" for one that a monitor gets, too."""
    return [
        Step(frame(n), port=port, out={1 - port: frame(n)} | ({2: frame(n)} if mark == "m" else {}))
        for n, mark in enumerate(copied)
    ]


RUNT = frame(0)[:14]

CASES = [
    Case("copies both directions", [*steps("mm"), *steps("mm", port=1)]),
    Case(
        "lets nothing in by a monitor's port",
        [
            Step(frame(0), port=2, counts={"refused": 1, "copied": 0}),
            Step(frame(1), out={1: frame(1), 2: frame(1)}, counts={"refused": 0, "copied": 1}),
            Step(frame(2), port=2, counts={"refused": 2}),
        ],
    ),
    Case(
        "copies to every monitor",
        [
            Step(frame(0), out={1: frame(0), 2: frame(0), 3: frame(0)}),
            Step(frame(1), port=1, out={0: frame(1), 2: frame(1), 3: frame(1)}),
            Step(frame(2), port=3, counts={"refused": 1}),
        ],
        ports=4,
    ),
    Case(
        "copies each third frame of each port",
        [*steps("--m--m-"), *steps("--m-", port=1), *steps("-m--m")],
        parameters={"every": 3},
    ),
    Case("copies nothing", [*steps("--"), *steps("-", port=1)], parameters={"every": 0}),
    Case(
        "copies the first port's frames alone",
        [*steps("mm"), *steps("--", port=1)],
        parameters={"from_second": False},
    ),
    Case(
        "copies the second port's frames alone, each other one",
        [*steps("--"), *steps("-m-m", port=1)],
        parameters={"from_first": False, "every": 2},
    ),
    Case(
        "begins and ends while it runs",
        [
            *steps("-"),
            Step(frame(1), out={1: frame(1), 2: frame(1)}, set={"every": 1}),
            Step(frame(2), out={1: frame(2)}, set={"every": 0}),
        ],
        parameters={"every": 0},
    ),
    Case(
        "takes any frame",
        [
            Step(RUNT, out={1: RUNT, 2: RUNT}),
            Step(frame(1, 1514), out={1: frame(1, 1514), 2: frame(1, 1514)}),
            Step(frame(2, 3000), out={1: frame(2, 3000), 2: frame(2, 3000)}),
        ],
    ),
]
