"""Open vSwitch bridges: frames, VLANs, flows, spanning trees, and what becomes of a daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import LabError, MachineError, Network, Topo, UsageError, clean
from emulator.owned_lab import OwnedLab
from emulator.switches.ovs import Ovs
from emulator.switches.ovs_machine import has_kernel_datapath
from tests.system.terminal import ROOT
from tests.system.waiting import until

pytestmark = pytest.mark.ovs


class Mixed(Topo):
    """s1 and s2 with plain hosts, s3 with VLANs, and a Linux bridge at the end."""

    def build(self) -> None:
        self.addSwitch("s1", kind="ovs", protocols="OpenFlow13")
        self.addSwitch("s2", kind="ovs")
        self.addSwitch("s3", kind="ovs")
        self.addSwitch("s4")
        for host, switch in (("h1", "s1"), ("h2", "s2"), ("h4", "s4")):
            self.addLink(self.addHost(host), switch)
        for host, vlan in (("red1", 10), ("red2", 10), ("blue", 20)):
            self.addLink("s3", self.addHost(host), params1={"vlan": vlan})
        self.addLink("s1", "s2")
        self.addLink("s2", "s4", delay="1ms")


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(Mixed()) as network:
        yield network


@pytest.fixture
def pair() -> Iterator[Network]:
    """A lab to break: two hosts on a bridge of which another one knows nothing."""
    with Network(Pair()) as network:
        yield network


class Pair(Topo):
    def build(self) -> None:
        self.addSwitch("s1", kind="ovs", failMode="secure")
        for host in ("h1", "h2"):
            self.addLink("s1", self.addHost(host))


def ovs_of(net: Network) -> Ovs:
    assert isinstance(net._lab, OwnedLab)
    return net._lab._control.ovs


def test_bridges_of_both_kinds_learn_and_forward(net: Network) -> None:
    assert net.ping(["h1", "h2", "h4"]).lost_percent == 0


def test_tcp_gets_through_although_nobody_finishes_frames_for_hosts(net: Network) -> None:
    assert net.iperf(["h1", "h2"], seconds=1).received_bps > 1e6


def test_vlans_are_apart(net: Network) -> None:
    assert net.ping(["red1", "red2"]).lost_percent == 0
    assert net.ping(["red1", "blue"], timeout_s=0.3).lost_percent == 100


def test_the_plan_says_what_it_runs_on(net: Network) -> None:
    switch = net["s1"].plan.switch
    assert switch is not None
    assert switch.ovs is not None
    assert switch.ovs.datapath == ("kernel" if has_kernel_datapath() else "userspace")


def test_ports_have_the_numbers_of_the_topology(net: Network) -> None:
    numbers = net["s2"].dpctl("dump-ports-desc")
    for interface in net["s2"].intfs:
        assert f" {interface.port}({interface.name})" in numbers


def test_programs_beside_a_switch_find_the_lab_s_own_open_vswitch(net: Network) -> None:
    listed = net["s1"].cmd("ovs-vsctl list-br").split()
    assert listed == ["s1", "s2", "s3"]
    assert "OVS_RUNDIR" not in net["h1"].cmd("env")
    assert net["s1"].failure is None
    assert net["s1"].log.parent.name == "ovs"


def test_dpctl_speaks_the_bridge_s_protocol_and_tells_what_is_wrong(net: Network) -> None:
    assert "OF1.3" in net["s1"].dpctl("dump-flows")
    with pytest.raises(LabError, match="s1: .*unknown command"):
        net["s1"].dpctl("dump-flow")
    for node in ("s4", "h1"):
        with pytest.raises(UsageError, match='kind="ovs"'):
            net[node].dpctl("dump-flows")


def test_an_attached_process_reaches_bridges_too(net: Network) -> None:
    attached = Network.attach(net.id)
    try:
        assert attached["s1"].failure is None
        assert "actions=NORMAL" in attached["s1"].dpctl("dump-flows")
        with pytest.raises(LabError, match="only the process that runs the lab"):
            attached["s1"].restart()
    finally:
        attached.stop()


def test_switches_and_links_come_and_go(net: Network) -> None:
    with net.change() as topo:
        topo.addSwitch("s9", kind="ovs")
        topo.addHost("h9")
        topo.addLink("h9", "s9")
        topo.addLink("s9", "s2")
    assert net.ping(["h1", "h9"]).lost_percent == 0
    net.configLinkStatus("h9", "s9", "down")
    assert net.ping(["h1", "h9"], timeout_s=0.2).lost_percent == 100
    net.configLinkStatus("h9", "s9", "up")
    assert net.ping(["h1", "h9"]).lost_percent == 0
    net.delNode("s9")
    net.delNode("h9")
    assert net["s1"].cmd("ovs-vsctl list-br").split() == ["s1", "s2", "s3"]
    assert net.ping(["h1", "h2"]).lost_percent == 0


def test_what_the_database_refuses_leaves_bridges_as_they_were(pair: Network) -> None:
    pair["s1"].cmd("ovs-vsctl --no-wait add-br taken")
    # Then ports that go are taken away by the very transaction that is refused.
    os.kill(ovs_of(pair).describe()["pids"][1], signal.SIGKILL)
    until(lambda: pair["s1"].status == "failed")

    def change() -> None:
        with pair.change() as topo:
            topo.removeLink("h2", "s1")
            topo.addSwitch("taken", kind="ovs")

    with pytest.raises(LabError, match="the database of Open vSwitch refuses a change") as told:
        change()
    assert "could not be taken back" not in told.value.hint
    pair["s1"].dpctl("add-flow", "actions=NORMAL")
    assert pair.pingAll() == 0


def test_a_daemon_that_dies_fails_its_switches_and_comes_back(pair: Network) -> None:
    pair["s1"].dpctl("add-flow", "actions=NORMAL")
    assert pair.pingAll() == 0
    (_, switch) = ovs_of(pair).describe()["pids"]
    os.kill(switch, signal.SIGKILL)
    until(lambda: pair["s1"].status == "failed")
    assert "ovs-vswitchd has ended by signal 9" in str(pair["s1"].failure)
    attached = Network.attach(pair.id)
    try:
        assert attached["s1"].failure == "Open vSwitch has ended"
    finally:
        attached.stop()
    pair["s1"].restart()
    assert pair["s1"].failure is None
    # As everywhere else, what somebody has told a bridge it does not know any more.
    assert pair.ping(timeout_s=0.2).lost_percent == 100
    (server, _) = ovs_of(pair).describe()["pids"]
    os.kill(server, signal.SIGKILL)
    until(lambda: pair["s1"].status == "failed")
    pair.addHost("h3")
    pair.addLink("h3", "s1")
    assert pair["s1"].failure is None
    pair["s1"].dpctl("add-flow", "actions=NORMAL")
    assert pair.pingAll() == 0


def test_daemons_run_as_long_as_there_is_a_bridge(pair: Network) -> None:
    pair.delNode("s1")
    pair.addController("c0", kind="none")
    assert ovs_of(pair).daemons is None
    pair.addSwitch("s1", kind="ovs", failMode="standalone")
    pair.addLink("h1", "s1")
    pair.addLink("h2", "s1")
    assert pair["s1"].failure is None
    assert pair.pingAll() == 0


def test_a_loop_is_ready_when_its_spanning_tree_is() -> None:
    topo = Topo()
    for number in (1, 2, 3):
        topo.addSwitch(f"s{number}", kind="bridge" if number == 3 else "ovs", stp=True)
        topo.addLink(topo.addHost(f"h{number}"), f"s{number}")
    for ends in (("s1", "s2"), ("s2", "s3"), ("s3", "s1")):
        topo.addLink(*ends)
    with Network(topo) as net:
        assert net.pingAll() == 0


def test_ports_may_be_reached_by_xdp_sockets() -> None:
    topo = Topo()
    topo.addSwitch("s1", kind="ovs", datapath="userspace", port_type="afxdp-nonpmd")
    for host in ("h1", "h2"):
        topo.addLink("s1", topo.addHost(host))
    try:
        with Network(topo) as net:
            assert net.pingAll() == 0
    except MachineError as error:
        pytest.skip(error.message)


@pytest.mark.skipif("has_kernel_datapath()", reason="the kernel has Open vSwitch's module")
def test_a_datapath_that_is_not_there_is_told_before_anything_starts() -> None:
    topo = Topo()
    topo.addSwitch("s1", kind="ovs", datapath="kernel")
    with pytest.raises(MachineError, match="s1: the kernel has no openvswitch module"):
        Network(topo).start()


SCRIPT = """
import time
from emulator import Network, Topo
topo = Topo()
topo.addController("c0")
topo.addSwitch("s1", kind="ovs")
with Network(topo) as net:
    lab = net._lab
    print(*lab.record.control["ovs"]["pids"], lab.record.control["controllers"]["c0"]["pid"])
    print(net.id, flush=True)
    time.sleep(600)
"""


def test_nothing_outlives_a_killed_emulator() -> None:
    emulator = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert emulator.stdout is not None
        pids = [int(word) for word in emulator.stdout.readline().split()]
        lab = emulator.stdout.readline().strip()
        assert len(pids) == 3
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    finally:
        emulator.kill()
        emulator.communicate()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    clean()
    assert not Path("/run/build-vnf", lab).exists()
