"""Ways out of a lab, in a private namespace that plays the machine; the machine is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from emulator import LabError, Network, Topo, UsageError
from emulator.hosts.leftovers import entries_of
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import End, Rtnl
from emulator.labs import clean
from emulator.paths import run_dir
from emulator.traffic.sniffer import Frame

pytestmark = pytest.mark.root

T = TypeVar("T")

DEADLINE_S = 30.0
MACHINE = """
ip link set lo up
ip addr add 203.0.113.2/24 dev up0; ip link set up0 up
ip route add default via 203.0.113.1
ip link set lan0 mtu 1400; ip link set lan0 up
ip addr add 192.0.2.50/24 dev lan0; ip addr add 198.51.100.50/24 dev lan0
ip route add 10.77.0.0/16 via 192.0.2.9 metric 7
ip route add 10.78.0.0/16 dev lan0
"""
WORLD = """
ip addr add 203.0.113.1/24 dev w0; ip link set w0 up
ip addr add 10.0.0.200/8 dev w1; ip link set w1 mtu 1400; ip link set w1 up
"""
SAVED = "ip -d -o addr show lan0; ip -o link show lan0; ip route"


@dataclass
class Place:
    """A namespace that plays the machine, with an uplink and another interface."""

    machine: Netns
    world: Netns

    def run(self, function: Callable[[], T]) -> T:
        """What a program on the machine does."""
        return self.machine.run(function)

    def sh(self, script: str) -> str:
        """What a script on the machine prints."""
        return self.run(lambda: _sh(script))

    def start(self, topo: Topo) -> Network:
        """A lab that is started on the machine."""
        return self.run(Network(topo).start)

    def state(self) -> list[str]:
        """All there is to say of the interface, but for its number, and the routes."""
        lines = self.sh(SAVED).splitlines()
        return [line.partition(": ")[2] or line for line in lines]


def _sh(script: str) -> str:
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    machine, world = Netns.create_many(2)
    with machine, world:
        with Rtnl.inside(machine) as rtnl:
            for number, (near, far) in enumerate((("up0", "w0"), ("lan0", "w1")), start=5):
                rtnl.add_veth(
                    End(near, number, machine, f"02:00:00:00:00:{number:02x}"),
                    End(far, number, world, f"02:00:00:00:01:{number:02x}"),
                    where="test",
                )
            rtnl.commit()
        assert machine.run(_sh, MACHINE) == ""
        assert world.run(_sh, WORLD) == ""
        yield Place(machine, world)


def two_hosts() -> Topo:
    topo = Topo()
    topo.addSwitch("s1")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "s1")
    return topo


def tables() -> list[str]:
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=0) as nft:
        return [table.get_attr("NFTA_TABLE_NAME") for table in nft.get_tables()]


def reaches_the_world(net: Network, node: str) -> bool:
    net[node].cmd("ping -c1 -W10 203.0.113.1")
    return net[node].exit_status == 0


def forwards(place: Place) -> bool:
    return place.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_hosts_reach_the_world_and_the_machine_is_given_back(place: Place) -> None:
    before = place.sh("ip -o addr; ip route")
    assert not forwards(place)
    topo = two_hosts()
    topo.addNAT(privateDirs=["/srv"], cpus=0.5)
    net = place.start(topo)
    try:
        assert reaches_the_world(net, "h1")
        assert net.pingAll() == 0
        assert net.notes == (
            "nat0: net.ipv4.ip_forward of the machine is 1 while the lab runs; it was 0",
        )
        assert place.run(tables) == [f"build-vnf-{net.id}-nat0"]
        added = set(place.sh("ip -o link").splitlines()) - set(before)
        assert sum("vnf-nat" in line for line in added) == 1
    finally:
        net.stop()
    assert place.sh("ip -o addr; ip route") == before
    assert place.run(tables) == []
    assert not forwards(place)


IPV6 = """
echo 0 > /proc/sys/net/ipv6/conf/up0/disable_ipv6
ip addr add 2001:db8::2/64 dev up0 nodad; ip route add default via 2001:db8::1
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""
WORLD_IPV6 = """
echo 0 > /proc/sys/net/ipv6/conf/w0/disable_ipv6
ip addr add 2001:db8::1/64 dev w0 nodad
"""


def test_ipv6_goes_out_where_the_machine_leads_it_out_and_otherwise_it_is_said(
    place: Place,
) -> None:
    topo = two_hosts()
    topo.addNAT()
    net = place.run(Network(topo, ipv6=True).start)
    try:
        assert net.notes[1:] == (
            "nat0: IPv6 does not leave the lab: the machine has no default route for it",
        )
        assert reaches_the_world(net, "h1")
    finally:
        net.stop()
    assert (place.sh(IPV6), place.world.run(_sh, WORLD_IPV6)) == ("", "")
    before = place.sh("ip -o -6 addr; ip -6 route")
    try:
        net = place.run(Network(topo, ipv6=True).start)
        try:
            assert not [note for note in net.notes if "IPv6" in note]
            # Nobody out there knows a way back to the lab's own addresses.
            net["h1"].cmd("ping -6 -c1 -W10 2001:db8::1")
            assert net["h1"].exit_status == 0
            assert reaches_the_world(net, "h1")
            net.delNode("nat0")
            assert "default" not in net["h1"].cmd("ip -6 route")
        finally:
            net.stop()
        assert place.sh("ip -o -6 addr; ip -6 route") == before
        assert place.run(tables) == []
        place.sh("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
        net = place.run(Network(topo, ipv6=True).start)
        try:
            assert "the machine does not forward it; sysctl -w net.ipv6" in net.notes[-1]
        finally:
            net.stop()
    finally:
        place.sh("ip -6 addr flush dev up0 scope global")


def test_the_last_of_two_labs_puts_forwarding_back(place: Place) -> None:
    nets = []
    for _ in range(2):
        topo = two_hosts()
        topo.addNAT()
        nets.append(place.start(topo))
    try:
        assert nets[1].notes == ()
        nets[0].stop()
        assert forwards(place)
        assert reaches_the_world(nets[1], "h2")
    finally:
        for net in nets:
            net.stop()
    assert not forwards(place)


def test_a_nat_comes_and_goes_while_the_lab_runs(place: Place) -> None:
    net = place.start(two_hosts())
    try:
        place.run(lambda: net.addNAT("door", "s1"))
        assert reaches_the_world(net, "h1")
        net.delNode("door")
        assert "default" not in net["h1"].cmd("ip route")
        assert not forwards(place)
        assert place.run(tables) == []
    finally:
        net.stop()


def test_a_firewall_that_drops_is_told_of(place: Place) -> None:
    def drop() -> None:
        from pyroute2.nftables.main import NFTables

        with NFTables(nfgen_family=2) as nft:
            nft.table("add", name="filter")
            nft.chain(
                "add", table="filter", name="FORWARD", hook="forward", type="filter", policy=0
            )

    def pass_again() -> None:
        from pyroute2.nftables.main import NFTables

        with NFTables(nfgen_family=2) as nft:
            nft.table("del", name="filter")

    place.run(drop)
    topo = two_hosts()
    topo.addNAT()
    net = place.start(topo)
    try:
        assert "the machine's firewall drops what it is not told to forward" in net.notes[1]
    finally:
        net.stop()
        place.run(pass_again)


@pytest.mark.parametrize("kind", ["bridge", pytest.param("ovs", marks=pytest.mark.ovs)])
def test_an_interface_is_a_port_and_comes_back_as_it_was(place: Place, kind: str) -> None:
    before = place.state()
    topo = two_hosts()
    topo.addSwitch("s2", kind=kind)
    topo.addLink(topo.addHost("h3"), "s2")
    topo.addExternal("lan0", "s2", mtu=1400)
    net = place.start(topo)
    try:
        assert "lan0" not in place.sh("ip -o link")
        net["h3"].cmd("ping -c1 -W10 10.0.0.200")
        assert net["h3"].exit_status == 0
        assert net["s2"].MAC("lan0") == "02:00:00:00:00:06"
    finally:
        net.stop()
    assert place.state() == before


def test_an_interface_is_a_hosts_own_for_a_while(place: Place) -> None:
    before = place.state()
    net = place.start(two_hosts())
    try:
        given = {"name": "wan", "ip": "10.0.0.201/8", "mac": "02:00:00:00:00:99"}
        place.run(lambda: net.addExternal("lan0", "h1", **given))
        h1 = net["h1"]
        frames: list[Frame] = []
        with net.capture("h1", filter="icmp", on_frame=frames.append):
            h1.cmd("ping -c1 -W10 -I wan 10.0.0.200")
        assert h1.exit_status == 0
        assert [(each.interface, each.outgoing) for each in frames] == [
            ("wan", True),
            ("wan", False),
        ]
        assert (h1.IP("wan"), h1.MAC("wan")) == ("10.0.0.201", "02:00:00:00:00:99")
        assert net.plan.leads_to("h1", "wan") == "lan0 of the machine"
        with pytest.raises(UsageError, match="an interface of the machine, whose far end is not"):
            h1.far_end("wan")
        assert net.pingAll() == 0
        net.removeExternal("lan0")
        assert place.state() == before
    finally:
        net.stop()


def test_what_the_machine_needs_or_has_not_is_refused_and_nothing_is_moved(place: Place) -> None:
    before = place.state()
    for interface, message in (
        ("up0", "the machine's default route goes through up0"),
        ("lan1", "the machine has no interface lan1"),
    ):
        topo = two_hosts()
        topo.addExternal("lan0", "s1")
        topo.addExternal(interface, "h1")
        with pytest.raises(UsageError, match=message) as error:
            place.start(topo)
        if interface == "lan1":
            # The machine is reached by it.
            assert "up0, which its default route goes through" in error.value.hint
        assert place.state() == before


def test_a_start_that_fails_gives_back_what_it_took(place: Place) -> None:
    before = place.state()
    topo = two_hosts()
    topo.addNAT()
    topo.addExternal("lan0", "s1")
    topo.addHost("h9", cpu=0.5, privateDirs=["/etc/hosts"])
    with pytest.raises(LabError, match="/etc/hosts cannot be a folder of its own"):
        place.start(topo)
    assert place.state() == before
    assert not forwards(place)


def wait_for_lender(folder: Path) -> list[dict[str, Any]]:
    """What is noted of a dead lab once its interface has been given back."""
    deadline = time.monotonic() + DEADLINE_S
    while len(found := entries_of(folder)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


KILLED = """
import os, signal
from emulator import Network, Topo
topo = Topo()
topo.addSwitch("s1")
topo.addLink(topo.addHost("h1"), "s1")
topo.addNAT()
topo.addExternal("lan0", "s1")
net = Network(topo).start()
print(net.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_the_interface_is_back_and_clean_finds_the_rest(place: Place) -> None:
    before = place.state()
    # Somebody lives on the machine, so that whichever lab starts next, anywhere, finds it.
    resident = place.run(lambda: subprocess.Popen(["sleep", "1000"]))
    try:
        command = [sys.executable, "-c", KILLED]
        done = place.run(lambda: subprocess.run(command, stdout=subprocess.PIPE, text=True))
        lab = done.stdout.strip()
        assert done.returncode == -signal.SIGKILL
        deadline = time.monotonic() + DEADLINE_S
        while place.state() != before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert place.state() == before
        assert len(wait_for_lender(run_dir() / lab)) <= 1
        # From another namespace than that of the lab. Another lab's start may have done it already.
        deadline = time.monotonic() + DEADLINE_S
        while Path(run_dir(), lab).exists() and time.monotonic() < deadline:
            clean()
            time.sleep(0.05)
    finally:
        resident.kill()
        resident.wait()
    assert not forwards(place)
    assert place.run(tables) == []
    assert place.state() == before
    assert not Path(run_dir(), lab).exists()


def test_a_forked_process_leaves_the_ways_out_alone(place: Place) -> None:
    topo = two_hosts()
    topo.addNAT()
    topo.addExternal("lan0", "s1")
    net = place.start(topo)
    try:
        pid = os.fork()
        if not pid:
            net.stop()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert reaches_the_world(net, "h1")
        assert "lan0" not in place.sh("ip -o link")
    finally:
        net.stop()
    assert "lan0" in place.sh("ip -o link")
