"""The options of VNFs that run as processes, from a topology to its plan."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.errors import TopologyError
from emulator.plan.compile import compile_plan
from emulator.plan.model import VnfPlan
from emulator.topo import Topo


def planned(dataplane: str, **options: Any) -> VnfPlan:
    topo = Topo()
    topo.addHost("h1")
    topo.addHost("h2")
    topo.addVNF("fn", "forward", dataplane=dataplane, **options)
    topo.addLink("h1", "fn")
    topo.addLink("fn", "h2")
    vnf = compile_plan(topo).node("fn").vnf
    assert vnf is not None
    return vnf


def mistake(dataplane: str, **options: Any) -> str:
    with pytest.raises(TopologyError) as caught:
        planned(dataplane, **options)
    return "; ".join(f"{problem.message}: {problem.hint}" for problem in caught.value.problems)


def test_a_process_sleeps_when_idle_unless_told_otherwise() -> None:
    assert planned("packet").idle == "spin:20us,wait"
    assert planned("packet", idle="poll").idle == "poll"
    assert planned("packet").cores == ()
    assert planned("packet").seed == 1


@pytest.mark.parametrize(
    ("given", "cores"), [([1], (1,)), (1, (1,)), ("0,1", (0, 1)), ((1, 1), (1,)), ("1", (1,))]
)
def test_cores_are_cpu_numbers(given: Any, cores: tuple[int, ...]) -> None:
    assert planned("packet", cores=given).cores == cores


@pytest.mark.parametrize("given", ["one", [], [-1], 1.5, [True]])
def test_cores_that_are_none(given: Any) -> None:
    assert "is not a list of CPU numbers" in mistake("packet", cores=given)


def test_an_idle_policy_that_is_none() -> None:
    assert "idle: 'burn' is not an idle policy: write poll" in mistake("packet", idle="burn")


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_the_kernel_polls_nothing(dataplane: str) -> None:
    text = mistake(dataplane, idle="poll", cores=[1])
    assert "idle='poll' is for a VNF that runs as a process" in text
    assert "cores=[1] is for a VNF that runs as a process" in text
    assert planned(dataplane).idle is None


def test_options_of_dpdk_are_for_dpdk() -> None:
    assert "eal is for the data plane dpdk" in mistake("packet", eal=["-v"])
    assert "hugepages is for the data plane dpdk" in mistake("packet", hugepages=True)


def test_a_driver_needs_a_data_plane_that_has_drivers() -> None:
    assert "has one way to its ports" in mistake("packet", driver="af_xdp")


@pytest.mark.parametrize("seed", [-1, 2**64, "x", 1.0])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    assert "is not a whole number of 64 bits" in mistake("xdp", seed=seed)
