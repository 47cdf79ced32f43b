"""Ports of Open vSwitch that threads poll: what their options mean, and what bridges agree on."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.errors import TopologyError
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.plan.polled_ports import MAX_MTU, sleep_us
from emulator.plan.switch_model import OvsPlan
from emulator.topo import Topo

DPDK = {"kind": "ovs", "datapath": "userspace", "port_type": "dpdk"}
AFXDP = {**DPDK, "port_type": "afxdp"}


def bridges(*options: dict[str, Any], mtu: int = 1500) -> Topo:
    topo = Topo()
    for number, given in enumerate(options, 1):
        topo.addSwitch(f"s{number}", **given)
        topo.addLink(topo.addHost(f"h{number}"), f"s{number}", mtu=mtu)
    return topo


def planned(topo: Topo) -> list[OvsPlan]:
    plan = compile_plan(topo)
    assert Plan.from_json(plan.to_json()) == plan
    return [node.switch.ovs for node in plan.switches() if node.switch and node.switch.ovs]


def mistakes(topo: Topo) -> list[str]:
    with pytest.raises(TopologyError) as error:
        compile_plan(topo)
    return [f"{problem.message} ({problem.hint})" for problem in error.value.problems]


def test_threads_sleep_unless_they_are_to_poll() -> None:
    (dpdk,) = planned(bridges(DPDK))
    assert (dpdk.driver, dpdk.idle, dpdk.cores) == ("af_xdp", "sleep:50us", ())
    (afxdp,) = planned(bridges(AFXDP))
    assert (afxdp.driver, afxdp.idle) == (None, "sleep:50us")
    (poll,) = planned(bridges({**DPDK, "idle": "poll", "driver": "af_packet", "cores": 1}))
    assert (poll.driver, poll.idle, poll.cores) == ("af_packet", "poll", (1,))
    assert [sleep_us(each) for each in ("sleep:50us", "sleep:2ms", "poll")] == [50, 2000, 0]


def test_ports_that_nobody_polls_have_none_of_it() -> None:
    plain, nonpmd = planned(bridges({"kind": "ovs"}, {**DPDK, "port_type": "afxdp-nonpmd"}))
    for each in (plain, nonpmd):
        assert (each.driver, each.idle, each.cores) == (None, None, ())
    assert not plain.takes_frames
    assert nonpmd.takes_frames


def test_what_one_bridge_says_is_so_for_all_that_poll() -> None:
    found = planned(bridges(DPDK, {**AFXDP, "idle": "poll", "cores": "0,1"}, {"kind": "ovs"}))
    assert [(each.idle, each.cores) for each in found] == [
        ("poll", (0, 1)),
        ("poll", (0, 1)),
        (None, ()),
    ]


def test_bridges_that_do_not_agree_are_told() -> None:
    topo = bridges(
        {**DPDK, "idle": "poll", "cores": [0]}, {**DPDK, "idle": "sleep:1ms", "cores": 1}
    )
    assert mistakes(topo) == [
        f"{name} is not what s1 has, and one process polls for all of a lab "
        f"(give one of them {name}, or both the same)"
        for name in ("idle", "cores")
    ]


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({**DPDK, "datapath": "auto"}, 'give datapath="userspace" too'),
        ({**DPDK, "driver": "af_xpd"}, "no driver af_xpd (did you mean af_xdp?)"),
        ({**AFXDP, "driver": "af_xdp"}, "driver is for ports of the type dpdk (leave it out"),
        ({"kind": "ovs", "idle": "poll"}, "idle is for ports of the type afxdp or dpdk"),
        ({"kind": "ovs", "cores": [1]}, "cores is for ports of the type afxdp or dpdk"),
        ({**DPDK, "idle": "wait"}, "the threads of Open vSwitch cannot wait (write"),
        ({**DPDK, "idle": "spin:20us,sleep:50us"}, "cannot spin:20us,sleep:50us"),
        ({**DPDK, "idle": "sleep:20ms"}, "for a sleep of 1 to 10000 us"),
        ({**DPDK, "idle": 50}, "idle: 50 is not an idle policy"),
        ({**DPDK, "cores": "first"}, "cores: 'first' is not a list of CPU numbers"),
        ({"idle": "poll"}, 'leave it out, or give kind="ovs"'),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], mistake: str) -> None:
    (told,) = mistakes(bridges(options))
    assert mistake in told


def test_frames_that_a_driver_cannot_take_are_told() -> None:
    planned(bridges(DPDK, mtu=MAX_MTU["af_xdp"]))
    (told,) = mistakes(bridges(DPDK, mtu=9000))
    assert "an MTU of 9000 is more than DPDK's af_xdp driver takes, 2800" in told
    (told,) = mistakes(bridges({**DPDK, "driver": "af_packet"}, mtu=2000))
    assert 'give the link a smaller mtu, or s1 driver="af_xdp"' in told
