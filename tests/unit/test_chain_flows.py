"""Matches as Open vSwitch takes them, and the order of its flows."""

from __future__ import annotations

import pytest

from emulator.chains.flows import flow_matches, masks
from emulator.chains.ovs import _ordered
from emulator.match import parse_match
from emulator.plan.model import EndPlan
from emulator.plan.steering_rules import LegKey, SteeringRule


@pytest.mark.parametrize(
    ("text", "flows"),
    [
        ("any", [""]),
        ("arp", ["dl_type=0x0806"]),
        ("icmp", ["dl_type=0x0800,nw_proto=1"]),
        ("udp", ["dl_type=0x0800,nw_proto=17", "dl_type=0x86dd,nw_proto=17"]),
        (
            "ip udp dport 9999",
            ["dl_type=0x0800,nw_proto=17,tp_dst=0x270f/0xffff"],
        ),
        (
            "saddr 10.0.0.0/8 dport 80",
            [
                "dl_type=0x0800,nw_src=10.0.0.0/8,nw_proto=6,tp_dst=0x50/0xffff",
                "dl_type=0x0800,nw_src=10.0.0.0/8,nw_proto=17,tp_dst=0x50/0xffff",
            ],
        ),
        ("daddr fd00::/64", ["dl_type=0x86dd,ipv6_dst=fd00::/64"]),
        ("vlan 5", ["vlan_tci=0x1005/0x1fff"]),
        ("vlan 4-7", ["vlan_tci=0x1004/0x1ffc"]),
        (
            "smac 02:00:00:00:00:01 dmac 02:00:00:00:00:02",
            ["dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"],
        ),
    ],
)
def test_a_match_becomes_flows(text: str, flows: list[str]) -> None:
    assert flow_matches(parse_match(text, parameter="match")) == flows


@pytest.mark.parametrize("numbers", [(0, 65535), (1000, 2000), (1, 1), (0, 0), (3, 65534)])
def test_values_with_masks_are_the_numbers_of_the_range(numbers: tuple[int, int]) -> None:
    found = list(masks(*numbers, 16))
    assert len(found) <= 30
    held = {
        number for number in range(0x10000) if any(number & mask == value for value, mask in found)
    }
    assert held == set(range(numbers[0], numbers[1] + 1))


def rule(number: int) -> SteeringRule:
    ends = (EndPlan(node=name, interface=f"{name}-eth0") for name in ("h1", "h2"))
    key = LegKey(f"c{number}", "forward", 0, *ends)
    return SteeringRule("s1", "s1-eth1", "s1-eth2", parse_match("any", parameter=""), key, True)


def test_flows_keep_their_priorities_when_others_come_and_go() -> None:
    a, b, c, d = map(rule, range(4))
    first = _ordered([a, b, c], {})
    assert first[a] > first[b] > first[c]
    assert _ordered([b, c], first) == {b: first[b], c: first[c]}
    between = _ordered([a, d, b, c], first)
    assert {each: between[each] for each in first} == first
    assert first[a] > between[d] > first[b]
    turned = _ordered([c, b, a], first)
    assert turned[c] > turned[b] > turned[a]
