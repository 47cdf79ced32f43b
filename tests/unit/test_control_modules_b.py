"""What the parameters of firewall, router and nat become."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import replace
from typing import Any

import pytest

from emulator.catalog import Catalog
from emulator.control import ParameterError, PortInfo, TableContent, content_of
from emulator.match import parse_match
from emulator.trying.dut import example_ports


def content(vnf: str, ports: int = 2, **given: Any) -> TableContent:
    manifest = Catalog.load()[vnf]
    values, problems = manifest.check_parameters(given)
    assert not problems
    return content_of(manifest, values, example_ports(ports))


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)


def firewall_entry(text: str, says: int) -> bytes:
    return parse_match(text, parameter="rules").pack() + struct.pack("=Q", says)


def test_the_firewall_asks_rules_then_deny_then_allow_then_its_policy() -> None:
    made = content(
        "firewall", rules="deny arp; allow icmp", deny="tcp", allow="udp", policy="allow"
    )
    assert made.settings["rules"] == [
        firewall_entry("arp", 0),
        firewall_entry("icmp", 1),
        firewall_entry("tcp", 0),
        firewall_entry("udp", 1),
        firewall_entry("any", 1 | 2),
    ]
    assert not made.tables


def test_the_firewall_denies_by_default() -> None:
    assert content("firewall").settings["rules"] == [firewall_entry("any", 2)]


@pytest.mark.parametrize(
    ("given", "parameter", "message"),
    [
        ({"rules": "accept udp"}, "rules", "in 'accept udp': accept is no verdict"),
        ({"rules": "allow"}, "rules", "there is no word"),
        ({"rules": "allow udp; deny tpc"}, "rules", "in 'tpc': no match has the word tpc"),
        ({"allow": "allow udp"}, "allow", "no match has the word allow"),
        ({"deny": "udp dport"}, "deny", "behind dport a number is missing"),
        ({"allow": "udp;" * 65}, "allow", "65 rules and matches are more"),
    ],
)
def test_the_firewall_refuses_what_is_no_rule(
    given: dict[str, str], parameter: str, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        content("firewall", **given)
    assert message in str(caught.value)
    assert caught.value.parameter == parameter
    assert caught.value.hint


def route(prefix: str, kind: int, port: int, via: str = "::") -> tuple[bytes, bytes]:
    network, next_hop = ipaddress.ip_network(prefix), ipaddress.ip_address(via)
    packed = next_hop.packed if via != "::" else b""
    key = struct.pack("=I", network.prefixlen) + network.network_address.packed
    return key, struct.pack("=16sII", packed, port, kind)


def test_the_router_knows_the_networks_of_its_ports() -> None:
    made = content("router")
    assert made.tables["routes4"] == dict(
        [
            route("10.0.0.0/24", 1, 0),
            route("10.0.0.0/32", 3, 0),
            route("10.0.0.255/32", 3, 0),
            route("10.0.0.1/32", 2, 0),
            route("10.0.1.0/24", 1, 1),
            route("10.0.1.0/32", 3, 1),
            route("10.0.1.255/32", 3, 1),
            route("10.0.1.1/32", 2, 1),
        ]
    )
    assert made.tables["routes6"] == dict(
        [
            route("fd00::/64", 1, 0),
            route("fd00::1/128", 2, 0),
            route("fd00:1::/64", 1, 1),
            route("fd00:1::1/128", 2, 1),
        ]
    )


def test_the_router_finds_the_port_of_a_next_hop() -> None:
    made = content("router", routes="10.9.0.0/16 via 10.0.1.7; default via fd00:1::7")
    for table, prefix, via in (
        ("routes4", "10.9.0.0/16", "10.0.1.7"),
        ("routes6", "::/0", "fd00:1::7"),
    ):
        key, value = route(prefix, 0, 1, via)
        assert made.tables[table][key] == value


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ("10.9.0.0/16", "in '10.9.0.0/16': this is no route"),
        ("10.9.0.0/16 dev eth0", "this is no route"),
        ("10.9.0.0/16 via r2", "r2 is not an address"),
        ("10.9.0.1/16 via 10.0.1.7", "has host bits set"),
        ("everything via 10.0.1.7", "'everything' does not appear to be"),
        ("fd00:9::/64 via 10.0.1.7", "IPv6 does not go via IPv4"),
        ("10.9.0.0/16 via 10.7.0.1", "no port is in a network with 10.7.0.1"),
        ("10.9.0.0/16 via 10.0.1.1", "10.0.1.1 is the router itself"),
        ("10.0.1.0/24 via 10.0.0.7", "10.0.1.0/24 is routed already"),
        ("default via 10.0.0.7; 0.0.0.0/0 via 10.0.1.7", "0.0.0.0/0 is routed already"),
        (
            ";".join(f"10.{n // 256}.{n % 256}.0/24 via 10.0.1.7" for n in range(256, 1280)),
            "there is room for 1024 routes of IPv4",
        ),
    ],
)
def test_the_router_refuses_what_is_no_route(routes: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        content("router", routes=routes)
    assert message in str(caught.value)
    assert caught.value.parameter == "routes"


def test_a_router_needs_addresses_in_different_networks() -> None:
    manifest = Catalog.load()["router"]
    values, _ = manifest.check_parameters({})
    plain = [PortInfo(f"port{n}", f"02:00:00:00:01:0{n}") for n in range(2)]
    with pytest.raises(ParameterError, match="no port of the router has an address") as caught:
        content_of(manifest, values, tuple(plain))
    assert "addLink" in caught.value.hint
    both = [replace(port, ipv4=f"10.0.0.{n + 1}/8") for n, port in enumerate(plain)]
    with pytest.raises(ParameterError, match="port0 and port1 are both in 10.0.0.0/8"):
        content_of(manifest, values, tuple(both))


def test_the_nat_shows_the_address_given_or_that_of_its_outside_port() -> None:
    mac = bytes.fromhex("020000000101")
    assert content("nat").settings["owns"] == [bytes([10, 0, 1, 1]) + mac + bytes(2)]
    given = content("nat", address="203.0.113.9", inside=1).settings["owns"]
    assert given == [bytes([203, 0, 113, 9]) + mac[:5] + bytes([0, 0, 0])]


@pytest.mark.parametrize(
    ("given", "parameter", "message"),
    [
        ({"address": "224.0.0.1"}, "address", "224.0.0.1 is not an address of one host"),
        ({"address": "255.255.255.255"}, "address", "is not an address of one host"),
        ({"address": "127.0.0.1"}, "address", "is not an address of one host"),
        ({"first_port": 9, "last_port": 8}, "first_port", "9 is above last_port, 8"),
    ],
)
def test_the_nat_refuses_what_nobody_can_show(
    given: dict[str, Any], parameter: str, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        content("nat", **given)
    assert message in str(caught.value)
    assert caught.value.parameter == parameter


def test_a_nat_needs_an_address() -> None:
    manifest = Catalog.load()["nat"]
    values, _ = manifest.check_parameters({})
    plain = tuple(PortInfo(f"port{n}", f"02:00:00:00:01:0{n}") for n in range(2))
    with pytest.raises(ParameterError, match="port1, the port outside, has no address") as caught:
        content_of(manifest, values, plain)
    assert "address=" in caught.value.hint
