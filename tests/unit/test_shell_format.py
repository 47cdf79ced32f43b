"""The texts of the shell: what a user of Mininet expects to read."""

from __future__ import annotations

import shlex

import pytest

from emulator.cli import shell_format
from emulator.traffic.ping import PingMatrix
from tests.unit.fake_lab import FakeNetwork, make_plan


def test_full_pings_have_their_round_trip_times():
    times_ns = [100_000, 200_000, 600_000]
    matrix = PingMatrix(["h1", "h2"], 3, {("h1", "h2"): times_ns, ("h2", "h1"): []})
    assert shell_format.ping_full_text(matrix).splitlines() == [
        "*** Results:",
        " h1->h2: 3/3, rtt min/avg/max/mdev 0.100/0.300/0.600/0.216 ms",
        " h2->h1: 0/3",
        "*** Results: 50% dropped (3/6 received)",
    ]


def test_net_names_both_ends_of_every_link():
    assert shell_format.net_text(make_plan()).splitlines() == [
        "fw fw-eth0:s1-eth3 fw-eth1:h3-eth0",
        "h1 h1-eth0:s1-eth1",
        "h2 h2-eth0:s1-eth2",
        "h3 h3-eth0:fw-eth1",
        "s1 s1-eth1:h1-eth0 s1-eth2:h2-eth0 s1-eth3:fw-eth0",
    ]


def test_nodes_are_on_one_line():
    assert shell_format.nodes_text(make_plan()) == "available nodes are:\nfw h1 h2 h3 s1"


def test_links_tell_the_state_of_each_end():
    plan = make_plan()
    up = {end for link in plan.links for end in (link.a, link.b) if end.interface != "s1-eth2"}
    assert shell_format.links_text(plan, up).splitlines()[:2] == [
        "h1-eth0<->s1-eth1 (OK OK)",
        "h2-eth0<->s1-eth2 (OK DOWN)",
    ]


def test_ports_are_those_of_switches_and_vnfs():
    assert shell_format.ports_text(make_plan()).splitlines() == [
        "fw fw-eth0:0 fw-eth1:1",
        "s1 s1-eth1:1 s1-eth2:2 s1-eth3:3",
    ]


def test_dump_shows_addresses_and_what_a_vnf_runs():
    lines = shell_format.dump_text(make_plan()).splitlines()
    assert "<Host h1: h1-eth0:10.0.0.1>" in lines
    given = "every=3,allow=any,quiet=False"
    assert f"<VNF fw: drop({given}) on xdp fw-eth0:None,fw-eth1:None>" in lines


def test_dump_shows_parameters_in_force_and_who_has_failed():
    text = shell_format.dump_text(make_plan(), {"fw": {"every": 5}}, ["fw"])
    assert "<VNF fw: drop(every=5,allow=any,quiet=False) on xdp FAILED fw-eth0" in text


def test_failed_vnfs_stand_below_the_nodes():
    text = shell_format.nodes_text(make_plan(), ["fw"])
    assert text == "available nodes are:\nfw h1 h2 h3 s1\nfailed: fw"


def test_parameters_are_written_so_that_they_can_be_set_again():
    values = {"every": 3, "quiet": True, "allow": "udp dport 9999", "empty": ""}
    text = shell_format.parameters_text(values)
    assert text == 'every=3 quiet=true allow="udp dport 9999" empty=""'
    assert shlex.split(text)[2] == "allow=udp dport 9999"


def test_stats_tell_everything_of_a_vnf():
    fw = FakeNetwork()["fw"]
    text = shell_format.stats_text(fw.stats())
    assert text.splitlines()[:4] == [
        "fw: drop on packet, AF_PACKET ring",
        "status      running",
        "parameters  every=3 allow=any quiet=false",
        "process     4711, idle spin:20us,wait, cores 1",
    ]
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[6:]}
    assert rows["rx_packets"] == ["7", "0"]
    assert rows["forwarded_packets"] == ["5", "0"]
    assert rows["odd"] == ["3", "0"]


def test_stats_of_a_vnf_that_has_failed_say_why():
    fw = FakeNetwork()["fw"]
    fw.failure = "it fell over"
    text = shell_format.stats_text(fw.stats())
    assert "status      failed" in text
    assert text.endswith("failed: it fell over")


def test_interfaces_are_listed_per_node():
    assert "s1: s1-eth1,s1-eth2,s1-eth3" in shell_format.interfaces_text(make_plan()).splitlines()


def matrix(names: list[str], lost: set[tuple[str, str]]) -> PingMatrix:
    pairs = [(a, b) for a in names for b in names if a != b]
    return PingMatrix(names, 1, {pair: [] if pair in lost else [1000] for pair in pairs})


def test_ping_matrix_reads_as_in_mininet():
    names = ["h1", "h2", "h3"]
    lost = {(a, b) for a in names for b in names if "h3" in (a, b)}
    assert shell_format.ping_text(matrix(names, lost)).splitlines() == [
        "h1 -> h2 X",
        "h2 -> h1 X",
        "h3 -> X X",
        "*** Results: 66% dropped (2/6 received)",
    ]


def test_one_loss_among_many_pings_is_not_printed_as_none():
    names = [f"h{number}" for number in range(20)]
    text = shell_format.ping_text(matrix(names, {("h0", "h1")}))
    assert text.endswith("*** Results: 1% dropped (379/380 received)")


def test_ping_without_hosts_says_so():
    assert "Warning" in shell_format.ping_text(matrix(["h1"], set()))


@pytest.mark.parametrize(
    ("rate_bps", "text"),
    [
        (9.412e9, "9.41 Gbits/sec"),
        (94.1e6, "94.1 Mbits/sec"),
        (1e3, "1 Kbits/sec"),
        (0.0, "0 bits/sec"),
    ],
)
def test_rates_have_three_digits(rate_bps: float, text: str):
    assert shell_format.rate_text(rate_bps) == text


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ping -c1 h2", "ping -c1 10.0.0.2"),
        ("ping -c1 h2; echo done", "ping -c1 10.0.0.2; echo done"),
        ("(ping -c1 h2) && ping -c1 h1", "(ping -c1 10.0.0.2) && ping -c1 10.0.0.1"),
        ("  ping   h2  ", "  ping   10.0.0.2  "),
        # The first word is a program, whatever it is called.
        ("h2 h2", "h2 10.0.0.2"),
        # Parts of words, files and names without an address stay as they are.
        ("curl http://h2/h1 h22 xh2 h2.log", "curl http://h2/h1 h22 xh2 h2.log"),
        ("ping s1", "ping s1"),
        ('echo "h2"', 'echo "h2"'),
        ("", ""),
    ],
)
def test_names_in_a_command_become_addresses(command: str, expected: str):
    plan = make_plan()
    hosts = {"h1", "h2", "h3", "s1"}

    def address_of(word: str) -> str | None:
        return plan.address_of(word) if word in hosts else None

    assert shell_format.substitute_addresses(command, address_of) == expected
