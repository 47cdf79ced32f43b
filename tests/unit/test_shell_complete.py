"""What the shell offers when the Tab key is pressed."""

from __future__ import annotations

import pytest

from emulator.cli.shell_commands import argument_kinds
from emulator.cli.shell_complete import FILES, argument_kind, candidates
from tests.unit.fake_lab import make_plan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi", ["pingall", "pingallfull", "pingpair", "pingpairfull"]),
        ("h", ["help", "h1", "h2", "h3"]),
        ("help li", ["link", "links"]),
        ("switch ", ["s1"]),
        ("switch s1 s", ["start", "stop"]),
        ("set ", ["fw"]),
        ("set fw ev", ["every="]),
        ("stats ", ["fw"]),
        ("capture s", ["stop", "s1", "s1-eth1", "s1-eth2", "s1-eth3"]),
        ("xterm h1 h", ["h1", "h2", "h3"]),
        ("top ", ["once"]),
        ("bench lat", ["latency"]),
        ("bench latency thr", ["throughput"]),
        ("link ", ["fw", "h1", "h2", "h3", "s1"]),
        ("link h1 ", ["s1"]),
        ("link s1 h", ["h1", "h2"]),
        ("link h1 s1 ", ["up", "down", "show", "set"]),
        ("link h1 s1 set up.delay", ["up.delay="]),
        ("link h1 s1 show de", []),
        ("wires ", ["restart"]),
        ("link h1 s1 d", ["down"]),
        ("link h1 s1 down ", []),
        ("iperf ", ["h1", "h2", "h3"]),
        ("counters fw ", ["fw"]),
        ("time pinga", ["pingall", "pingallfull"]),
        ("time time link h1 s1 u", ["up"]),
        ("h1 ping h", ["h2", "h3", "h1", "h1-eth0"]),
        ("s1 ip link show s1-e", ["s1-eth1", "s1-eth2", "s1-eth3"]),
        ("help rest", ["restart"]),
        ("fw s", ["s1", "set", "stats"]),
        ("fw re", ["restart"]),
        ("fw stats ", ["--json"]),
        ("fw set ", ["every=", "allow=", "quiet=true", "quiet=false"]),
        ("fw set every=3 a", ["allow="]),
        ("fw restart ", []),
        ("fw ip link show fw-e", ["fw-eth0", "fw-eth1"]),
        ("h1 s", ["s1"]),
        ("nonsense ", []),
        ("nodes ", []),
    ],
)
def test_candidates(text: str, expected: list[str]):
    _, found = candidates(text, make_plan(), argument_kinds())
    assert sorted(found) == sorted(expected)


def test_candidates_tell_the_word_they_continue():
    assert candidates("link h1 s", make_plan(), argument_kinds())[0] == "s"
    assert candidates("link h1 ", make_plan(), argument_kinds())[0] == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("source ", FILES),
        ("source lab", FILES),
        ("time source x", FILES),
        ("source a b", ""),
        ("h1 ls ", ""),
        ("", ""),
    ],
)
def test_only_source_takes_a_file(text: str, kind: str):
    assert argument_kind(text, argument_kinds()) == kind
