"""What the shell's command about chains reads, prints and offers."""

from __future__ import annotations

from typing import Any

import pytest

from emulator import Topo
from emulator.chains.chain import Chain
from emulator.chains.steering import Count
from emulator.cli.shell_chains import chain_settings, chains_table, counters_table
from emulator.cli.shell_commands import argument_kinds
from emulator.cli.shell_complete import candidates
from emulator.errors import UsageError
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.topofile import builtin_topology


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(builtin_topology("steered", {}))


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ([], {}),
        (["via=fw,nc:1-0"], {"via": ["fw", "nc:1-0"]}),
        (["via="], {"via": []}),
        (["match=udp dport 9999", "both_ways=yes"], {"match": "udp dport 9999", "both_ways": True}),
        (["both_ways=off", "src=h3"], {"both_ways": False, "src": "h3"}),
    ],
)
def test_settings_are_read(words: list[str], settings: dict[str, Any]) -> None:
    assert chain_settings(words) == settings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fw"], "'fw' is no setting"),
        (["vai=fw"], "a chain has no vai"),
        (["via=fw", "via=nc"], "via is given twice"),
        (["both_ways=perhaps"], "both_ways is yes or no, not 'perhaps'"),
    ],
)
def test_what_is_no_setting_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        chain_settings(words)
    assert caught.value.message == message


def test_chains_and_what_they_have_steered_are_tables(plan: Plan) -> None:
    counts = {"detour forward client-eth0>fw-eth0": Count(3, 180)}
    chain = Chain("detour", lambda: plan.chains[0], lambda: counts, lambda *_: None)
    assert chains_table([]) == "this lab has no chains"
    assert chains_table([chain]).splitlines()[1].split("  ")[:2] == [
        "detour",
        "client - fw - nc - server",
    ]
    rows = [line.split() for line in counters_table(chain).splitlines()]
    assert rows[1] == ["client", "-", "fw", "forward", "3", "180"]
    # Not counted yet, or not by a switch.
    assert rows[2] == ["fw", "-", "nc", "forward", "-", "-"]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("chain ", ["add", "set", "remove", "detour"]),
        ("chain set d", ["detour"]),
        ("chain set detour m", ["match="]),
        ("chain set detour via=fw ", ["src=", "dst=", "match=", "both_ways="]),
        ("chain add c2 client s", ["server"]),
        ("chain add c2 client server v", ["via="]),
        ("chain remove detour ", []),
    ],
)
def test_words_are_completed(plan: Plan, text: str, offered: list[str]) -> None:
    assert candidates(text, plan, argument_kinds())[1] == offered


def test_completion_knows_a_lab_without_chains() -> None:
    topo = Topo()
    topo.addHost("h1")
    assert candidates("chain set ", compile_plan(topo), argument_kinds())[1] == []
