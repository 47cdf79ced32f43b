"""Matches: what users write, and which frames the C code then finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.all import (
    ARP,
    GRE,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    Raw,
)

from emulator.catalog import read_manifest
from emulator.control import ParameterError
from emulator.match import MATCH_BYTES, Match, parse_match, parse_matches, split_items
from emulator.trying.dut import Dut, open_dut

MANIFEST = """
name = "sieve"
summary = "sends back what a match holds for, and forwards the rest"
ports = 2
control = "control.py"
[dataplanes.packet]
[parameters.only]
type = "str"
default = ""
summary = "matches"
[parameters.entry_bytes]
type = "int"
default = 0
summary = "what sizeof says has to be this, else everything is dropped"
"""
SOURCE = """
#include "vnf_match.h"
VNF_SETTINGS(only, struct vnf_match, 8);
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers headers;
    struct vnf_key key;
    if (sizeof(struct vnf_match) != ctx->config->entry_bytes || vnf_parse(data, end, &headers))
        return VNF_DROP;
    vnf_key_of(ctx, &headers, &key);
    for (__u32 at = 0; at < 8; at++) {
        const struct vnf_match *match = vnf_setting(ctx, only, at);
        if (!match || !match->used)
            break;
        if (vnf_matches(&key, match))
            return VNF_BACK;
    }
    return VNF_FORWARD(vnf_peer(port));
}
"""
CONTROL = """
from emulator.control import TableContent
from emulator.match import parse_matches

def control(parameters, ports):
    matches = parse_matches(parameters["only"], parameter="only")
    return TableContent(settings={"only": [match.pack() for match in matches]})
"""


@pytest.fixture(scope="module")
def sieve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dut]:
    base = tmp_path_factory.mktemp("match")
    folder = base / "sieve"
    folder.mkdir()
    for name, text in (("vnf.toml", MANIFEST), ("vnf.c", SOURCE), ("control.py", CONTROL)):
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        manifest = read_manifest(folder / "vnf.toml")
        with open_dut(manifest, "packet", {"entry_bytes": MATCH_BYTES}) as dut:
            yield dut


MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
# With both addresses given, scapy asks nobody for them.
L2 = Ether(dst=MACS[0], src=MACS[1])
V4 = IP(src="10.1.2.3", dst="10.0.0.5")
V6 = IPv6(src="fd00::1:3", dst="fd00:0:0:1::5")
DATAGRAM = L2 / V4 / UDP(sport=1000, dport=9999) / Raw(bytes(100))
SEGMENT = L2 / V4 / TCP(sport=1000, dport=80, options=[("MSS", 1460)]) / Raw(bytes(10))
DATAGRAM6 = L2 / V6 / UDP(sport=5, dport=6) / Raw(bytes(3))

HOLDS = [
    ("any", Ether(dst=MACS[0], src=MACS[1], type=0x88B5) / Raw(bytes(46))),
    ("any", Raw(bytes(14))),
    ("ip", DATAGRAM),
    ("udp", DATAGRAM),
    ("udp", DATAGRAM6),
    ("ip udp dport 9999", DATAGRAM),
    ("udp sport 900-1000", DATAGRAM),
    ("udp sport 1000-1100 dport 0-65535", DATAGRAM),
    ("ip saddr 10.0.0.0/8", DATAGRAM),
    ("saddr 10.1.2.3 daddr 10.0.0.5", DATAGRAM),
    ("saddr 0.0.0.0/0", DATAGRAM),
    ("daddr 10.0.0.4/31", DATAGRAM),
    ("dport 80", SEGMENT),
    ("tcp", SEGMENT),
    ("tcp length 10", SEGMENT),
    ("length 100", DATAGRAM),
    ("length 90-110", L2 / DATAGRAM[IP] / Raw(bytes(7))),
    ("length 0", L2 / V4 / UDP() / Raw(bytes(0))),
    ("length 100-65535", L2 / V4 / UDP() / Raw(bytes(1000))),
    ("ip6 daddr fd00:0:0:1::/64", DATAGRAM6),
    ("ip6 saddr fd00::1:3", DATAGRAM6),
    ("ip6 length 3 udp", DATAGRAM6),
    ("ip6 udp dport 6", L2 / V6 / IPv6ExtHdrHopByHop() / UDP(dport=6)),
    ("icmp", L2 / V4 / ICMP()),
    ("icmp6", L2 / V6 / ICMPv6EchoRequest()),
    ("icmpv6", L2 / V6 / ICMPv6EchoRequest()),
    ("arp", L2 / ARP(psrc="10.0.0.1", hwsrc=MACS[1])),
    ("arp vlan 5", L2 / Dot1Q(vlan=5) / ARP(psrc="10.0.0.1", hwsrc=MACS[1])),
    ("vlan 5", L2 / Dot1Q(vlan=5, prio=7) / V4),
    ("vlan 5", L2 / Dot1Q(vlan=9) / Dot1Q(vlan=5) / V4),
    ("vlan 0", L2 / Dot1Q(vlan=0) / V4),
    ("proto 47", L2 / V4 / GRE()),
    (
        "udp saddr 10.1.2.3",
        L2 / IP(src="10.1.2.3", dst="10.0.0.5", frag=100, proto=17) / Raw(bytes(20)),
    ),
    ("icmp; udp dport 9999", DATAGRAM),
    (f"smac {MACS[1]}", Ether(dst=MACS[0], src=MACS[1], type=0x88B5) / Raw(bytes(46))),
    (f"udp dmac {MACS[0].upper()} smac {MACS[1]}", DATAGRAM),
]
HOLDS_NOT = [
    ("ip6", DATAGRAM),
    ("tcp", DATAGRAM),
    ("tcp dport 9999", DATAGRAM),
    ("udp dport 9998", DATAGRAM),
    ("udp dport 10000-65535", DATAGRAM),
    ("udp dport 0-9998", DATAGRAM),
    ("saddr 10.0.0.0/16", DATAGRAM),
    ("saddr 10.1.2.3 daddr 10.0.0.6", DATAGRAM),
    ("ip6 saddr ::/0", DATAGRAM),
    ("saddr 0.0.0.0/0", DATAGRAM6),
    ("daddr fd00::/64", DATAGRAM6),
    ("length 101-65535", DATAGRAM),
    ("length 0-99", DATAGRAM),
    ("dport 0", L2 / V4 / ICMP()),
    ("dport 0", L2 / IP(src="10.1.2.3", dst="10.0.0.5", frag=100, proto=17) / Raw(bytes(20))),
    (
        "udp length 0-65535",
        L2 / IP(src="10.1.2.3", dst="10.0.0.5", frag=100, proto=17) / Raw(bytes(20)),
    ),
    ("dport 0-65535", L2 / V6 / IPv6ExtHdrFragment(offset=9, nh=17) / Raw(bytes(20))),
    ("dport 0-65535", Raw(bytes(L2 / V4 / UDP())[:-1])),
    ("length 0-65535", Raw(bytes(L2 / V4 / UDP())[:-1])),
    ("ip", Raw(bytes(L2 / V4)[:-1])),
    ("icmp", L2 / V6 / ICMPv6EchoRequest()),
    ("icmp", L2 / IPv6(src="fd00::1", dst="fd00::2", nh=1) / Raw(bytes(8))),
    ("arp", DATAGRAM),
    ("vlan 0", DATAGRAM),
    ("vlan 5", L2 / Dot1Q(vlan=4) / V4),
    ("ip", Ether(dst=MACS[0], src=MACS[1], type=0x88B5) / Raw(bytes(46))),
    (f"dmac {MACS[1]}", DATAGRAM),
    (f"smac {MACS[1][:-2]}ff", DATAGRAM),
    (f"smac ff{MACS[1][2:]}", DATAGRAM),
    ("", DATAGRAM),
]


@pytest.mark.parametrize(("text", "frame"), HOLDS)
def test_a_match_finds_the_frames_it_means(sieve: Dut, text: str, frame: Ether) -> None:
    sieve.set(only=text)
    assert sieve.handle(0, bytes(frame)).sent == {0: bytes(frame)}


@pytest.mark.parametrize(("text", "frame"), HOLDS_NOT)
def test_a_match_leaves_other_frames_alone(sieve: Dut, text: str, frame: Ether) -> None:
    sieve.set(only=text)
    assert sieve.handle(0, bytes(frame)).sent == {1: bytes(frame)}


def test_a_list_is_split_at_each_kind_of_separator() -> None:
    assert split_items(" icmp ;arp,\n udp dport 5\ntcp;; ") == ["icmp", "arp", "udp dport 5", "tcp"]
    assert parse_matches("", parameter="only") == []


def test_the_order_of_conditions_does_not_matter() -> None:
    one = parse_match("udp saddr 10.0.0.0/8 dport 5", parameter="only")
    assert one == parse_match("dport 5 saddr 10.0.0.0/8 udp", parameter="only")
    assert one != Match()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "there is no word", "udp dport 9999"),
        ("udp dprt 9999", "in 'udp dprt 9999': no match has the word dprt", "did you mean dport?"),
        ("tcp 80", "no match has the word 80", "as in: udp dport 9999"),
        ("udp dport", "behind dport a number is missing", "dport 1000-2000"),
        ("udp dport http", "http is not a number", "dport 1000-2000"),
        ("udp dport 10-", "10- is not a number", "dport 1000-2000"),
        ("udp dport ٣", "٣ is not a number", "dport 1000-2000"),
        ("udp dport 20-10", "the range 20-10 is empty", "smaller number"),
        ("udp dport 65536", "dport 65536 is above 65535", "write a port"),
        ("vlan 4096", "vlan 4096 is above 4095", "vlan 5"),
        ("vlan -1", "-1 is not a number", "vlan 5"),
        ("proto 256", "proto 256 is above 255", "proto 47"),
        ("proto 5-6", "proto 5-6 is a range", "proto 47"),
        ("ip saddr", "behind saddr an address is missing", "10.0.0.0/8"),
        ("ip saddr 10.0.0", "10.0.0 is not an address", "10.0.0.0/8"),
        ("ip saddr 10.0.0.1/8", "10.0.0.1/8 is an address in a net", "the network is 10.0.0.0/8"),
        ("ip saddr fd00::/64", "not both ip and saddr fd00::/64", "two matches"),
        ("saddr 10.0.0.1 daddr fd00::1", "not both saddr 10.0.0.1/32 and daddr", "two matches"),
        ("ip6 icmp", "not both ip6 and icmp", "two matches"),
        ("tcp udp", "not both tcp and udp", "two matches"),
        ("udp proto 17", "not both udp and proto", "two matches"),
        ("arp ip", "not both arp and ip", "two matches"),
        ("smac", "behind smac a hardware address is missing", "smac 00:00:00:00:00:01"),
        ("dmac h2", "h2 is not a hardware address", "dmac 00:00:00:00:00:01"),
        ("arp dport 5", "ARP has neither protocols nor ports", "arp alone"),
        ("icmp dport 5", "icmp has no ports", "tcp or udp"),
        ("udp udp", "udp is there twice", "once"),
        ("udp dport 5 dport 6", "dport is there twice", "once"),
        ("any udp", "any stands alone", "leave it out"),
    ],
)
def test_a_wrong_match_is_refused_by_name(text: str, message: str, hint: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_match(text, parameter="only")
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.parameter == "only"


def test_a_structure_is_as_large_as_python_packs_it(sieve: Dut) -> None:
    assert len(parse_match("any", parameter="only").pack()) == MATCH_BYTES
    assert MATCH_BYTES % 8 == 0
    sieve.set(only="any", entry_bytes=MATCH_BYTES + 8)
    assert sieve.handle(0, bytes(DATAGRAM)).sent == {}
    sieve.set(entry_bytes=MATCH_BYTES)
    assert sieve.handle(0, bytes(DATAGRAM)).sent == {0: bytes(DATAGRAM)}
