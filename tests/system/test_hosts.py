"""Limits, folders of their own and addresses of hosts, on a real kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator import LabError, MachineError, Network, Topo, UsageError
from emulator.hosts.groups import lab_folders
from emulator.kernel.cgroup import hierarchies
from emulator.measure.lab_watch import LabWatch
from emulator.measure.meter import MeterTargets
from emulator.plan.host_model import LimitsPlan
from emulator.warned import LabWarning

pytestmark = pytest.mark.root

LONG = "a-host-with-a-very-long-name"
BUSY = ["sh", "-c", "while :; do :; done"]
KEPT = "/tmp/vnf-test-%(name)s"


def has_real_time() -> bool:
    top, version = hierarchies().get("cpu", (Path("/"), 0))
    return version == 1 and (top / "cpu.rt_runtime_us").exists()


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    topo = Topo()
    topo.addSwitch("s1")
    topo.addHost("h1", cpu=0.1, privateDirs=["/var/vnf-test/own", ("/srv", KEPT)])
    topo.addHost("h2", cpus=0.5, cores=0, memory="64m", pids=30)
    topo.addHost(LONG, ip=["10.0.0.9/8", "192.168.0.1/24"], privateDirs=["/srv"])
    topo.addRouter("r1")
    for name in ("h1", "h2", LONG, "r1"):
        topo.addLink(name, "s1", mtu=1400)
    with Network(topo, ipv6=True, static_arp=True, set_macs=True) as running:
        yield running
    Path(KEPT % {"name": "h1"}, "kept").unlink(missing_ok=True)
    Path(KEPT % {"name": "h1"}).rmdir()


def used_ns(net: Network, node: str) -> int:
    group = net[node].cgroup
    assert group is not None
    used = group.read().cpu_ns
    assert used is not None
    return used


def test_a_busy_host_gets_its_share_and_not_more(net: Network) -> None:
    limit = 0.1 * (os.cpu_count() or 1)
    process = net["h1"].popen(BUSY)
    began, before = time.monotonic(), used_ns(net, "h1")
    try:
        while used_ns(net, "h1") - before < 0.2e9:
            assert time.monotonic() - began < 60, "the host gets no time at all"
            time.sleep(0.05)
        share = (used_ns(net, "h1") - before) / 1e9 / (time.monotonic() - began)
    finally:
        process.kill()
        process.wait()
    # One period more may have begun than ended.
    assert share < 1.5 * limit
    group = net["h1"].cgroup
    assert group is not None
    assert group.read().throttled_ns


def test_all_that_a_host_starts_is_limited_and_nothing_else(net: Network) -> None:
    inside = f"vnf-lab-{net.id}/node.h1"
    for text in (
        net["h1"].cmd("cat /proc/self/cgroup"),
        net["h1"].cmd("sh -c 'setsid cat /proc/self/cgroup'"),
        net["h1"].popen("cat /proc/self/cgroup", stdout=subprocess.PIPE).communicate()[0].decode(),
    ):
        assert inside in text
    for name in (LONG, "r1"):
        assert "vnf-lab" not in net[name].cmd("cat /proc/self/cgroup")
    assert net["h2"].cmd("nproc") == "1\n"


def test_another_emulator_reaches_a_host_as_it_is(net: Network) -> None:
    net["h1"].cmd("echo mine > /var/vnf-test/own/file")
    with_vnf = [sys.executable, "-m", "emulator", "exec", net.id, "h1", "sh", "-c"]
    text = subprocess.check_output([*with_vnf, "cat /var/vnf-test/own/file /proc/self/cgroup"])
    assert text.startswith(b"mine\n")
    assert f"vnf-lab-{net.id}/node.h1".encode() in text


def test_a_program_that_is_not_there_is_told_of_in_a_limited_host_too(net: Network) -> None:
    with pytest.raises(UsageError, match="there is no program nonesuch"):
        net["h1"].popen("nonesuch")
    with pytest.raises(UsageError, match="/etc is not executable"):
        net["h1"].popen("/etc")
    assert net["h1"].popen("exit 3", shell=True).wait() == 3
    # Only the three that every program has: the way into the group leaves none open.
    assert net["h1"].cmd("ls /proc/self/fd | wc -l") == net[LONG].cmd("ls /proc/self/fd | wc -l")


def test_memory_and_processes_have_an_end(net: Network) -> None:
    h2 = net["h2"]
    h2.cmd(f"{sys.executable} -c 'bytes(b\"x\" * (200 << 20))'")
    assert h2.exit_status == 128 + signal.SIGKILL
    group = h2.cgroup
    assert group is not None
    assert group.read().oom_kills == 1
    assert "fork" in h2.cmd("for i in $(seq 40); do sleep 1 & done; wait", timeout_s=60)


def test_limits_change_while_a_host_runs(net: Network) -> None:
    node = net["r1"]
    node.cmd("sleep 1000 &")
    pid = node.cmd("echo $!").strip()
    node.update(cpus=0.25, pids=50)
    assert f"vnf-lab-{net.id}/node.r1" in node.cmd(f"cat /proc/{pid}/cgroup; kill {pid}")
    group = node.cgroup
    assert group is not None
    assert (group.read().cpu_limit, group.read().tasks_limit) == (0.25, 50)
    assert net.plan.node("r1").limits == LimitsPlan(cpus=0.25, pids=50)
    with pytest.raises(LabError, match=r"does not take its limit cpuset.cpus"):
        node.update(cores=[8000])
    node.update(cpus=None, pids=None)
    assert (group.read().cpu_limit, group.read().tasks_limit) == (None, None)
    assert net.plan.node("r1").limits is None
    with pytest.raises(UsageError, match="a switch is the kernel's own work"):
        net["s1"].update(cpus=0.5)


def test_parameters_of_a_control_group_have_mininets_names(net: Network) -> None:
    node = net["r1"]
    shares = node.cgroupSet("shares", 512)
    assert node.cgroupGet("shares") == shares
    assert node.cgroupGet("cfs_quota_us") == -1
    assert net.plan.node("r1").limits == LimitsPlan(others=(("cpu.shares", str(shares)),))
    node.cgroupSet("cfs_quota_us", 50_000)
    node.update(pids=40)
    assert net.plan.node("r1").limits == LimitsPlan(
        cpus=0.5, pids=40, others=(("cpu.shares", str(shares)),)
    )
    assert (node.cgroupGet("shares"), node.cgroupGet("max", "pids")) == (shares, 40)
    assert f"vnf-lab-{net.id}/node.r1" in node.cmd("cat /proc/self/cgroup")
    with pytest.raises(UsageError, match=r"know no parameter cpu\.sharez \(there are: "):
        node.cgroupSet("sharez", 5)
    with pytest.raises(LabError, match="the kernel does not take its limit cpu"):
        node.cgroupSet("cfs_quota_us", 5)
    assert node.cgroupGet("cfs_quota_us") == 50_000
    assert node.cgroupDel()
    assert "vnf-lab" not in node.cmd("cat /proc/self/cgroup")
    assert net.plan.node("r1").limits is None


@pytest.mark.skipif(not has_real_time(), reason="the kernel gives groups no share of real time")
def test_a_host_that_runs_becomes_a_real_time_one_and_a_plain_one_again(net: Network) -> None:
    node = net["r1"]
    node.update(cpu=0.05, sched="rt")
    sleep = node.popen("sleep 100")
    assert "SCHED_RR" in node.cmd("chrt -p $$")
    # Less than before, and more.
    node.update(cpu=0.02)
    node.update(cpu=0.04)
    node.update(sched="cfs", cpu=None)
    assert "SCHED_OTHER" in node.cmd("chrt -p $$")
    assert os.sched_getscheduler(sleep.pid) == os.SCHED_OTHER
    sleep.kill()
    sleep.wait()
    assert node.cgroupDel()


def test_a_changed_topology_changes_hosts_and_leaves_alone_what_it_does_not_name(
    net: Network,
) -> None:
    h1, h2 = net["h1"], net["h2"]
    h1.cmd("touch /var/vnf-test/own/stays")
    net.addLink("h1", "r1")
    net.delLink("h1", "r1")
    h1.close_shell()
    assert "stays" in h1.cmd("ls /var/vnf-test/own")
    h2.cmd("sleep 1000 &")
    asked = {name: dict(net.topo.nodeInfo(name)) for name in ("h1", "h2")}
    without = {key: value for key, value in asked["h2"].items() if key != "pids"}
    with net.change() as topo:
        topo.setNodeInfo("h1", {**asked["h1"], "privateDirs": ["/var/vnf-test/other"]})
        topo.setNodeInfo("h2", {**without, "cpus": 0.25})
    try:
        assert h1.cmd("ls /var/vnf-test") == "other\n"
        assert f"vnf-lab-{net.id}/node.h1" in h1.cmd("cat /proc/self/cgroup")
        group = h2.cgroup
        assert group is not None
        assert (group.read().cpu_limit, group.read().tasks_limit) == (0.25, None)
    finally:
        with net.change() as topo:
            for name, options in asked.items():
                topo.setNodeInfo(name, options)
    assert h1.cmd("ls /var/vnf-test/own") == ""
    assert h2.cmd("kill $!; wait; echo $?").endswith("0\n")


def test_top_counts_what_ended_between_two_looks(net: Network) -> None:
    watch = LabWatch(net)
    net["h2"].cmd("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'")
    rates = {each.node: each for each in watch.rates()}
    assert rates["h2"].cpu_percent
    assert rates["h2"].memory_bytes
    targets = MeterTargets.of_network(net)
    assert set(targets.cgroups) >= {"h1", "h2"}


def test_folders_are_a_hosts_own(net: Network) -> None:
    h1 = net["h1"]
    h1.cmd("touch /var/vnf-test/own/private /srv/kept")
    assert not Path("/var/vnf-test/own/private").exists()
    assert Path(KEPT % {"name": "h1"}, "kept").exists()
    assert net[LONG].cmd("ls /srv /var/vnf-test/own") == "/srv:\n\n/var/vnf-test/own:\n"
    h1.cmd("exec true")
    assert "private" in h1.cmd("ls /var/vnf-test/own")
    # The lab's names and processes are seen as ever.
    assert "\th2\n" in h1.cmd("cat /etc/hosts")
    assert h1.cmd("cat /proc/$$/comm") == "bash\n"


def test_addresses_change_while_hosts_run(net: Network) -> None:
    h2, far = net["h2"], net[LONG]
    assert "10.0.0.9/8 192.168.0.1/24" in far.cmd("ip -br -4 addr")
    assert h2.setIP("192.168.0.7", 24) == "192.168.0.7/24"
    assert h2.IP() == "192.168.0.7"
    # It has no way to the other network any more, where the far host is too.
    assert net.ping([h2, far]).lost_percent == 50
    assert h2.cmd("ping -c1 -W5 192.168.0.1; echo $?").endswith("0\n")
    assert h2.cmd("grep h2$ /etc/hosts") == "192.168.0.7\th2\n"
    h2.setIP("10.0.0.77/8")
    h2.setMAC("00:00:00:00:00:AA")
    assert h2.MAC() == "00:00:00:00:00:aa"
    assert "00:00:00:00:00:aa" in h2.cmd("ip link show h2-eth0")
    assert net.plan.address_of("h2") == "10.0.0.77"
    h2.setIPv6("fd00::77")
    assert "fd00::77" in h2.cmd("ip -6 addr")


def test_an_address_that_another_node_has_is_warned_of_and_given(net: Network) -> None:
    before, address = net["h2"].IP(), net["h1"].IP()
    with pytest.warns(LabWarning, match=f"^h2 has the address {address} now, as has h1$"):
        net["h2"].setIP(address)
    assert f" {address}/8 " in net["h2"].cmd("ip -br -4 addr")
    net["h2"].setIP(before)


def test_addresses_change_while_another_thread_changes_the_lab() -> None:
    topo = Topo()
    topo.addSwitch("s1")
    topo.addLink(topo.addHost("h1"), "s1")
    with Network(topo) as net:
        errors: list[BaseException] = []

        def grow() -> None:
            try:
                for number in range(5):
                    with net.change() as changed:
                        changed.addLink(changed.addHost(f"x{number}"), "s1")
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        grower = threading.Thread(target=grow)
        grower.start()
        address, number = "", 0
        while grower.is_alive():
            number += 1
            address = f"10.1.{number >> 8 & 0xFF}.{number & 0xFF}"
            net["h1"].setIP(f"{address}/8")
            assert net.plan.address_of("h1") == address
        grower.join()
        assert not errors, errors[0]
        assert net["h1"].IP() == net.plan.address_of("h1") == address
        assert f" {address}/8 " in net["h1"].cmd("ip -br -4 addr show h1-eth0")


def test_routes_and_neighbours(net: Network) -> None:
    h1 = net["h1"]
    mac = str(net["r1"].MAC())
    h1.setARP("10.0.0.99", mac)
    assert "PERMANENT" in h1.cmd("ip neigh show 10.0.0.99")
    h1.setDefaultRoute(f"via {net['r1'].IP()}")
    h1.setHostRoute("203.0.113.7", "h1-eth0")
    routes = h1.cmd("ip route")
    assert f"default via {net['r1'].IP()}" in routes
    assert "203.0.113.7 dev h1-eth0" in routes
    h1.setDefaultRoute("h1-eth0")
    assert "default dev h1-eth0" in h1.cmd("ip route")
    mistakes: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: h1.setIP("10.0.0.300"), "is not an IPv4 address"),
        (lambda: h1.setIP("10.0.0.8", intf="h1-eth9"), "there is no interface h1-eth9"),
        (lambda: h1.setMAC("01:00:00:00:00:00"), "is not the MAC address of one interface"),
        (lambda: h1.setDefaultRoute("via 203.0.113.1"), "is in no network of the node"),
        (lambda: h1.setDefaultRoute("to nowhere at all"), "is not a default route"),
        (lambda: h1.setHostRoute("there", "h1-eth0"), "is not an address"),
    )
    for wrong, message in mistakes:
        with pytest.raises(UsageError, match=message):
            wrong()
    attached = Network.attach(net.id)
    with pytest.raises(LabError, match="only the process that runs the lab"):
        attached["h1"].setIP("10.0.0.8")
    attached.stop()


def test_everybody_knows_everybody_from_the_start(net: Network) -> None:
    neighbours = net["r1"].cmd("ip neigh")
    assert neighbours.count("PERMANENT") >= 3
    net.configLinkStatus("r1", "s1", "down")
    net.configLinkStatus("r1", "s1", "up")
    assert net["r1"].cmd("ip neigh").count("PERMANENT") >= 3
    assert net["h1"].MAC() == "00:00:00:00:00:02"


def test_what_was_changed_stays_when_the_topology_grows(net: Network) -> None:
    net["h2"].setIP("10.0.0.78/8")
    net["h2"].update(pids=40)
    net.addHost("h9")
    net.addLink("h9", "s1")
    assert net["h2"].IP() == "10.0.0.78"
    assert "10.0.0.78" in net["h2"].cmd("ip -4 addr")
    limits = net.plan.node("h2").limits
    assert limits is not None
    assert limits.pids == 40
    assert net.ping(["h2", "h9"]).lost_percent == 0
    net.delNode("h9")


@pytest.mark.skipif(not has_real_time(), reason="the kernel gives groups no share of real time")
def test_real_time_shares() -> None:
    topo = Topo()
    for name in ("h1", "h2"):
        topo.addHost(name, cpu=0.1, sched="rt")
    with Network(topo) as net:
        assert "SCHED_RR" in net["h1"].cmd("chrt -p $$")
        process = net["h2"].popen(BUSY)
        began, before = time.monotonic(), used_ns(net, "h2")
        while used_ns(net, "h2") - before < 0.1e9 and time.monotonic() - began < 60:
            time.sleep(0.05)
        elapsed_s, used = time.monotonic() - began, used_ns(net, "h2") - before
        process.kill()
        assert 0.1e9 <= used < 0.2e9 * (os.cpu_count() or 1) * elapsed_s + 0.2e9
    topo.addHost("h3", cpu=0.9, sched="rt")
    with pytest.raises(LabError, match="does not take its limit cpu.rt_runtime_us"):
        Network(topo).start()


def test_a_machine_without_real_time_shares_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: (top, 2) for name, (top, _) in hierarchies().items()}
    monkeypatch.setattr("emulator.hosts.limits.hierarchies", lambda: found)
    topo = Topo()
    topo.addHost("h1", cpu=0.1, sched="rt")
    with pytest.raises(MachineError, match="no share of real time"):
        Network(topo).start()


KILLED = """
import os, signal
from emulator import Network, Topo
from emulator.hosts.groups import lab_folders
topo = Topo()
topo.addHost("h1", cpu=0.5, privateDirs=["/var/vnf-test-killed/here"])
net = Network(topo).start()
net["h1"].cmd("sleep 1000 &")
there = [f for f in lab_folders(net.id) if f.exists()]
print(net.id, len(there), os.path.isdir("/var/vnf-test-killed/here"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_the_next_clean_finds_groups_and_folders() -> None:
    script = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    lab, groups, made = script.stdout.split()
    assert int(groups) > 0
    assert made == "True"
    subprocess.check_call([sys.executable, "-m", "emulator", "clean"], stdout=subprocess.DEVNULL)
    assert not any(folder.exists() for folder in lab_folders(lab))
    assert not Path("/var/vnf-test-killed").exists()
