"""What scripts/demo measures, and what it says of the rest."""

from __future__ import annotations

import pytest

from emulator.doctor import Check
from emulator.measure.goals import goal_named
from emulator.measure.search import time_budget_s
from scripts.measure_planes import (
    GOAL,
    bench_command,
    complaints,
    offered_planes,
    places,
    results_of,
    took,
)

XDP = Check("data plane xdp", "works", "native, owned by a BPF link")
DPDK = Check("data plane dpdk", "limited", "", "DPDK: no headers", "apt-get install libdpdk-dev")
AFXDP = Check(
    "data plane afxdp", "missing", "", "libxdp: not installed", "apt-get install libxdp-dev"
)


def test_a_plane_that_is_missing_is_left_out_and_named_with_the_fix() -> None:
    assert offered_planes([XDP, DPDK, AFXDP]) == ["xdp", "dpdk"]
    assert list(complaints([XDP, AFXDP])) == [
        "demo: data plane afxdp is missing, so it is left out: libxdp: not installed",
        "    what helps: apt-get install libxdp-dev",
    ]


def test_a_plane_that_is_limited_is_measured_and_named_too() -> None:
    assert list(complaints([DPDK])) == [
        "demo: data plane dpdk is limited: DPDK: no headers",
        "    what helps: apt-get install libdpdk-dev",
    ]


def test_generator_and_vnfs_are_kept_apart_where_there_are_cpus_to_do_so() -> None:
    assert places([2, 5, 7]) == ["--core", "2", "--set", "cores=5"]
    assert places([0]) == []


def test_what_the_user_asks_for_comes_last_so_that_it_holds() -> None:
    command = bench_command(["xdp", "dpdk"], [0, 1], ["latency", "--goal", "csit-pdr"])
    assert command[:4] == ["bench", "topologies/chain.py", "--vary", "dataplane=none,xdp,dpdk"]
    assert command.index(GOAL) < command.index("csit-pdr")
    assert command[-1] == "--json"
    assert bench_command(["xdp"], [0], ["--json"]).count("--json") == 1


def test_searching_all_planes_takes_at_most_half_of_the_three_minutes() -> None:
    assert 7 * time_budget_s([goal_named(GOAL)]) <= 90


@pytest.mark.parametrize("printed", ["", "Usage: vnf bench\n", "[1]", "null"])
def test_what_is_no_document_is_not_taken_for_one(printed: str) -> None:
    assert results_of(printed) is None


def test_a_document_says_where_the_results_are() -> None:
    assert results_of('{"folder": "results/x"}\n') == {"folder": "results/x"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "7 s"), (59.6, "1 min 0 s"), (83.4, "1 min 23 s")]
)
def test_the_time_it_took_is_told_in_minutes(seconds: float, text: str) -> None:
    assert took(seconds) == text
