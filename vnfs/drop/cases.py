"""Which frames ``drop`` loses."""

from scapy.all import UDP, Ether, IPv6, Raw

from emulator.trying.cases import Case, Step


def frame(number: int) -> bytes:
    packet = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / Raw(b"%04d" % number)
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


def steps(kept: str, port: int = 0) -> list[Step]:
    """A frame for each character, "." for one that is lost."""
    return [
        Step(frame(number), port=port, out={} if mark == "." else {1 - port: frame(number)})
        for number, mark in enumerate(kept)
    ]


RUNT = frame(0)[:14]

CASES = [
    Case("drops everything unless told otherwise", [*steps("..."), Step(RUNT)]),
    Case("drops each third frame", steps("xx.xx.xx.xx"), parameters={"every": 3}),
    Case(
        "counts each port's frames apart",
        [*steps("xx.x"), *steps("xx.xx", port=1), *steps("x.xx")],
        parameters={"every": 3},
    ),
    Case(
        "goes on counting when its parameter changes",
        [
            *steps("xxx"),
            Step(frame(4), set={"every": 2}),
            Step(frame(5), out={1: frame(5)}),
            Step(frame(6)),
        ],
        parameters={"every": 1000},
    ),
    Case("never drops without a chance", steps("x" * 20), parameters={"chance_ppm": 0}),
    Case(
        "draws the same losses from the same seed",
        [
            *steps("xxxx.x..xxx.x..x..xxxx.x..xxxx.xxxx.x.xx"),
            *steps("xx.x.xxx.xxxxxx.xx.xxx", port=1),
        ],
        parameters={"chance_ppm": 300_000},
        seed=7,
    ),
    Case(
        "draws only for frames that may be dropped",
        steps("xxxxxxxxx.xxx.x.xxxx"),
        parameters={"every": 2, "chance_ppm": 300_000},
        seed=7,
    ),
]
