"""What the control modules of VNFs make of their parameters."""

from __future__ import annotations

import struct

import pytest

from emulator.catalog import Catalog
from emulator.control import ParameterError, PortInfo, TableContent, content_of
from emulator.match import MATCH_BYTES, parse_match
from emulator.trying.trial import example_ports

PORTS = example_ports(2)
JUMBO = tuple(PortInfo(port.name, port.mac, mtu=9000) for port in PORTS)


def content(vnf: str, ports: tuple[PortInfo, ...] = PORTS, **given: object) -> TableContent:
    manifest = Catalog.load()[vnf]
    values, problems = manifest.check_parameters(given)
    assert not problems
    return content_of(manifest, values, ports)


def refused(vnf: str, **given: object) -> str:
    with pytest.raises(ParameterError) as error:
        content(vnf, **given)
    assert error.value.hint
    return f"{error.value.parameter}: {error.value}"


@pytest.mark.parametrize("vnf", ["timestamp", "telemetry"])
def test_packets_become_no_longer_than_the_links_carry(vnf: str) -> None:
    mixed = (JUMBO[0], PORTS[1])
    for ports, mtu, longest in (
        (PORTS, 0, 1500),
        (JUMBO, 0, 9000),
        (mixed, 0, 1500),
        (PORTS, 70, 70),
    ):
        assert content(vnf, ports, mtu=mtu).settings == {"limits": [struct.pack("=I", longest)]}


def classes(text: str, **more: object) -> list[tuple[bytes, int, int]]:
    """Match, rate in bit/s and burst in bytes of each class."""
    found = []
    for entry in content("ratelimiter", classes=text, **more).settings["classes"]:
        rate, burst, fill_ns = struct.unpack("=QQQ", entry[MATCH_BYTES:])
        assert (fill_ns - 1) * rate < burst <= fill_ns * rate
        found.append((entry[:MATCH_BYTES], rate, burst // (8 * 10**9)))
    return found


def match(text: str) -> bytes:
    return parse_match(text, parameter="").pack()


def test_classes_have_a_match_a_rate_and_a_burst() -> None:
    assert classes("udp dport 5000: 10Mbit burst 15kB; ip: 1.5Gbit") == [
        (match("udp dport 5000"), 10_000_000, 15_000),
        (match("ip"), 1_500_000_000, 1_875_000),
    ]
    assert classes("ip6 daddr fd00::/8:8kbit burst 2MB\nany: 7bit") == [
        (match("ip6 daddr fd00::/8"), 8_000, 2_000_000),
        (match("any"), 7, 3036),
    ]
    assert classes("any: 7bit", overhead=24)[0][2] == 2 * (1518 + 24)
    assert classes("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("udp", "a class is a match, a colon and a rate"),
        ("udp 10Mbit", "a class is a match, a colon and a rate"),
        ("udp: fast", "fast is not a rate"),
        ("udp: 10mbit", "10mbit is not a rate"),
        ("udp: 10", "10 is not a rate"),
        ("udp: -1Mbit", "-1Mbit is not a rate"),
        ("udp: 0bit", "the rate must be from 1bit"),
        ("udp: 1001Gbit", "the rate must be from 1bit"),
        ("udp: 1Mbit burst 15", "15 is not a burst"),
        ("udp: 1Mbit burst 1517B", "the longest frame would never pass a burst of 1517 bytes"),
        ("udp: 1Mbit burst 1001MB", "a bucket holds at most 1000MB"),
        ("udp: 1Mbit bursts 15kB", "a class is a match, a colon and a rate"),
        ("upd: 1Mbit", "no match has the word upd"),
        ("; ".join(["udp: 1Mbit"] * 17), "17 classes are more than there is room for, 16"),
    ],
)
def test_what_is_no_class(text: str, said: str) -> None:
    assert said in refused("ratelimiter", classes=text)
