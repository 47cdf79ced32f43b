"""Ports of Open vSwitch by DPDK, beside others and through what becomes of a daemon."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import LabError, Network, Topo
from emulator.owned_lab import OwnedLab
from emulator.switches.ovs_dpdk import dpdk_switch
from emulator.switches.ovs_machine import programs

pytestmark = [pytest.mark.ovs, pytest.mark.dpdk, pytest.mark.xdp]

DEADLINE_S = 30


class Mixed(Topo):
    """s1 and s2 by DPDK, each by another driver, and s3 by packet sockets."""

    def build(self) -> None:
        dpdk = {"kind": "ovs", "datapath": "userspace", "port_type": "dpdk"}
        self.addSwitch("s1", **dpdk)
        self.addSwitch("s2", **dpdk, driver="af_packet", cores=[min(os.sched_getaffinity(0))])
        self.addSwitch("s3", kind="ovs", datapath="userspace")
        for number in (1, 2, 3):
            self.addLink(self.addHost(f"h{number}"), f"s{number}")
        self.addLink("s1", "s2")
        self.addLink("s2", "s3", delay="1ms")


@pytest.fixture(scope="module", autouse=True)
def _linked() -> None:
    if dpdk_switch(programs().switch) is None:
        pytest.skip("Open vSwitch is not linked with DPDK")


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(Mixed()) as network:
        yield network


def switch_pid(net: Network) -> int:
    assert isinstance(net._lab, OwnedLab)
    (_, pid) = net._lab._control.ovs.describe()["pids"]
    return int(pid)


def test_both_drivers_forward_beside_ports_of_another_type(net: Network) -> None:
    assert net.ping().lost_percent == 0
    assert net.iperf(["h1", "h3"], seconds=1).received_bps > 1e6
    types = net["s1"].cmd("ovs-vsctl --bare --columns=type find Interface type=dpdk").split()
    assert types == ["dpdk"] * 5


def test_its_threads_run_where_they_are_told(net: Network) -> None:
    tasks = [path.parent for path in Path(f"/proc/{switch_pid(net)}/task").glob("*/comm")]
    (thread,) = [task for task in tasks if (task / "comm").read_text().startswith("pmd-")]
    assert os.sched_getaffinity(int(thread.name)) == {min(os.sched_getaffinity(0))}
    assert "pmd thread" in net["s1"].cmd("ovs-appctl dpif-netdev/pmd-rxq-show")


def test_one_that_was_killed_is_started_anew_with_its_ports(net: Network) -> None:
    os.kill(switch_pid(net), signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while net["s1"].failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    net["s1"].restart()
    assert net.ping().lost_percent == 0


def test_dpdk_is_taken_up_when_open_vswitch_starts_and_not_later() -> None:
    topo = Topo()
    topo.addSwitch("s1", kind="ovs")
    topo.addLink(topo.addHost("h1"), "s1")
    topo.addHost("h2")
    dpdk = {"kind": "ovs", "datapath": "userspace", "port_type": "dpdk", "driver": "af_packet"}
    with Network(topo) as net:
        with pytest.raises(LabError, match="s2: the lab's Open vSwitch runs without DPDK"):
            net.addSwitch("s2", **dpdk)
        net.delNode("s1")
        net.addSwitch("s2", **dpdk)
        for host in ("h1", "h2"):
            net.addLink(host, "s2")
        assert net.ping().lost_percent == 0


def test_ports_of_a_running_switch_can_be_reached_in_another_way(net: Network) -> None:
    with net.change() as topo:
        topo.setNodeInfo("s3", {**topo.nodeInfo("s3"), "port_type": "dpdk", "driver": "af_packet"})
    types = net["s3"].cmd("ovs-vsctl --bare --columns=type find Interface type=dpdk").split()
    assert types == ["dpdk"] * 7
    assert net.ping().lost_percent == 0
