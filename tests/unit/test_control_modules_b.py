"""What the parameters of firewall, router and nat become."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from emulator.catalog import Catalog
from emulator.control import ParameterError, TableContent, content_of
from emulator.match import parse_match
from emulator.trying.trial import example_ports


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
