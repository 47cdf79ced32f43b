"""What links do to frames, in words; and the shell's way of writing settings."""

from __future__ import annotations

from typing import Any

import pytest

from emulator import Topo, compile_plan
from emulator.cli.shell_links import link_settings, wires_table
from emulator.errors import UsageError
from emulator.plan.model import LinkPlan
from emulator.wire.manager import LinkCounters
from emulator.wire.protocol import WireCounters
from emulator.wire.report import link_report
from emulator.wire.words import duration_text, impairments_text, link_text


def link(**options: Any) -> LinkPlan:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **options)
    return compile_plan(topo).links[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"mechanism": "wire"}, "as it is"),
        ({"delay": "5ms", "jitter": "1ms", "loss": "1%", "bw": 100, "queue": "50KB"},
         "5ms ±1ms, 1% loss, 100 Mbit/s, queue 50 KB"),
        ({"delay": ("5ms", "1.5us")}, "up 5ms; down 1.5us"),
        ({"delay": "9ms", "jitter": "2ms", "distribution": "pareto", "keep_order": False},
         "9ms ±2ms (pareto) in any order"),
        ({"loss_model": "gemodel(p=1%, r=25%)"},
         "loss in bursts (p=1% r=25% 1-h=100% 1-k=0%)"),
        ({"drop": range(7), "duplicate": "2%", "corrupt": "0.1%"},
         "loss of frames 0, 1, 2, 3, 4 and 2 more, 2% duplicated, 0.1% corrupted"),
        ({"rate": "1.5gbit", "aqm": "codel", "ecn": True, "burst": 3000},
         "1.5 Gbit/s, burst 3 KB, queue 1000 packets, codel with ECN"),
        ({"delay": "1s", "reorder": "5%"}, "1s, 5% reordered"),
    ],
)  # fmt: skip
def test_impairments_in_a_few_words(options: dict[str, Any], text: str) -> None:
    assert impairments_text(link(**options)) == text


def test_the_mechanism_stands_with_them() -> None:
    assert link_text(link(delay="5ms")) == "5ms [wire]"
    assert link_text(link()) == ""


def test_times_have_the_unit_they_are_written_with() -> None:
    times = (0, 1, 999, 1_000, 1_500_000, 2_000_000_000)
    assert [duration_text(t) for t in times] == ["0ms", "1ns", "999ns", "1us", "1.5ms", "2s"]


def counters(**numbers: int) -> WireCounters:
    return WireCounters(**{**dict.fromkeys(WireCounters.__dataclass_fields__, 0), **numbers})


def test_a_report_says_what_was_not_asked_for_and_only_if_there_is_such() -> None:
    plan = link(delay="5ms", seed=3)
    good = LinkCounters(counters(in_packets=5, out_packets=5), counters())
    text = link_report(plan, good, None)
    assert "up    h1 -> h2: 5ms (seed " in text
    assert "NOT ASKED FOR" not in text
    bad = LinkCounters(counters(), counters(missed_packets=3, late_most_ns=250_000))
    text = link_report(plan, bad, None)
    assert "NOT ASKED FOR: missed, the machine was too slow" in text
    assert "250us" in text
    assert "no counters: it died" in link_report(plan, None, "it died")
    assert wires_table([plan], {plan.id: bad}).splitlines()[2].split()[-1] == "3"
    assert wires_table([plan], {}).splitlines()[1].split()[-1] == "-"


def test_settings_are_written_for_both_directions_or_for_one() -> None:
    given = link_settings(["delay=5ms", "up.loss=1%", "down.drop=1,2"])
    assert given == {"delay": "5ms", "up": {"loss": "1%"}, "down": {"drop": "1,2"}}
    for words in (["delay"], ["=5ms"], ["delay="], ["delay=1ms", "delay=2ms"], ["up.=1"]):
        with pytest.raises(UsageError):
            link_settings(words)
