"""What the control modules of VNFs make of their parameters."""

from __future__ import annotations

import struct
from collections import Counter

import pytest

from emulator.catalog import Catalog
from emulator.control import ParameterError, PortInfo, TableContent, content_of
from emulator.match import MATCH_BYTES, parse_match
from emulator.trying.dut import example_ports

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


VIP = "10.0.0.100"
SERVERS = tuple((f"10.0.0.{number}", 1) for number in range(1, 9))


def backends(servers: tuple[tuple[str, int], ...]) -> str:
    return "; ".join(f"{ip}@02:00:00:00:00:{n:02x} weight {w}" for n, (ip, w) in enumerate(servers))


def slots(servers: tuple[tuple[str, int], ...], **more: object) -> list[str]:
    """The address of the server that each slot leads to."""
    settings = content("loadbalancer", vip=VIP, backends=backends(servers), **more).settings
    entries = settings["backends"]
    assert [entry[:4] for entry in entries] == [packed_ip(ip) for ip, _ in servers]
    return [servers[number[0] - 1][0] for number in settings["slots"]]


def packed_ip(ip: str) -> bytes:
    return bytes(map(int, ip.split(".")))


def test_servers_share_the_slots_by_their_weight() -> None:
    shares = Counter(slots(SERVERS))
    assert set(shares) == {ip for ip, _ in SERVERS}
    assert max(shares.values()) - min(shares.values()) <= 1
    shares = Counter(slots((("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 5))))
    assert [round(shares[f"10.0.0.{n}"] / 4099 * 8, 1) for n in (1, 2, 3)] == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("gone", range(len(SERVERS)))
def test_a_server_that_goes_moves_hardly_any_connection_of_the_others(gone: int) -> None:
    left = SERVERS[:gone] + SERVERS[gone + 1 :]
    before, after = slots(SERVERS), slots(left)
    assert slots(SERVERS, down=SERVERS[gone][0]) == after
    others = [pair for pair in zip(before, after, strict=True) if pair[0] != SERVERS[gone][0]]
    moved = sum(now != then for then, now in others)
    assert moved / len(others) < 0.02
    freed = Counter(
        now for then, now in zip(before, after, strict=True) if then == SERVERS[gone][0]
    )
    assert set(freed) == {ip for ip, _ in left}


def test_the_order_in_which_servers_are_named_moves_nothing() -> None:
    assert slots(SERVERS) == slots(SERVERS[::-1])


def test_servers_that_are_all_down_leave_every_slot_empty() -> None:
    settings = content(
        "loadbalancer", vip=VIP, backends=backends(SERVERS[:2]), down="10.0.0.1, 10.0.0.2"
    ).settings
    assert settings["slots"] == []
    assert [entry[10] for entry in settings["backends"]] == [0, 0]


def test_a_server_s_entry_has_its_address_and_whether_it_is_up() -> None:
    given = "10.0.0.1@02:AA:00:00:00:01; 10.0.0.2@02:00:00:00:00:02"
    settings = content("loadbalancer", vip=VIP, backends=given, down="10.0.0.2").settings
    assert settings["backends"] == [
        bytes((10, 0, 0, 1, 2, 0xAA, 0, 0, 0, 1, 1, 0)),
        bytes((10, 0, 0, 2, 2, 0, 0, 0, 0, 2, 0, 0)),
    ]
    assert settings["own"] == [bytes.fromhex(port.mac.replace(":", "")) for port in PORTS]


MAC = "02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backends": "10.0.0.1"}, "a server is an IP address, @ and a MAC address"),
        ({"backends": f"10.0.0.1@{MAC} wait 2"}, "a server is an IP address, @ and a MAC address"),
        ({"backends": f"10.0.0.256@{MAC}"}, "10.0.0.256 is not an IPv4 address"),
        ({"backends": f"fd00::1@{MAC}"}, "fd00::1 is not an IPv4 address"),
        ({"backends": "10.0.0.1@02:00:00:00:00"}, "is not the MAC address of a server"),
        ({"backends": "10.0.0.1@ff:ff:ff:ff:ff:ff"}, "is not the MAC address of a server"),
        ({"backends": f"10.0.0.1@{MAC} weight 0"}, "0 is not a weight"),
        ({"backends": f"10.0.0.1@{MAC} weight 101"}, "101 is not a weight"),
        ({"backends": f"10.0.0.1@{MAC}; 10.0.0.1@{MAC}"}, "10.0.0.1 is there twice"),
        ({"backends": f"{VIP}@{MAC}"}, f"{VIP} is the VIP"),
        ({"backends": "; ".join(f"10.0.1.{n}@{MAC}" for n in range(65))}, "room for, 64"),
        ({"backends": f"10.0.0.1@{MAC}", "down": "10.0.0.2"}, "down: 10.0.0.2 is no server"),
        ({"backends": f"10.0.0.1@{MAC}", "services": "tpc"}, "services: in 'tpc'"),
        ({"backends": f"10.0.0.1@{MAC}", "services": "; ".join(["tcp"] * 17)}, "room for, 16"),
    ],
)
def test_what_the_load_balancer_refuses(given: dict[str, str], said: str) -> None:
    assert said in refused("loadbalancer", vip=VIP, **given)
