"""What nodes see of the file system: a ``/sys`` of their own, and mounts that are nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import Network, Topo
from emulator.kernel.sysfs import sysfs_refusal

pytestmark = pytest.mark.root

OWN = "/var/vnf-test-mounts"
LIST = "ls /sys/class/net"


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    topo = Topo()
    topo.addSwitch("s1")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "s1")
    topo.addLink(topo.addHost("h3", privateDirs=[OWN], cpus=0.5), "s1")
    with Network(topo) as running:
        yield running


def from_outside(net: Network, node: str, script: str) -> str:
    """What another emulator gets from a node."""
    command = [sys.executable, "-m", "emulator", "exec", net.id, node, "sh", "-c", script]
    return subprocess.check_output(command, text=True)


def space(net: Network, node: str) -> str:
    return net[node].cmd("readlink /proc/self/ns/mnt")


def test_each_node_sees_its_own_interfaces_and_what_else_the_machine_has(net: Network) -> None:
    assert net["h1"].cmd(LIST).split() == ["h1-eth0", "lo"]
    assert net["h2"].cmd(LIST).split() == ["h2-eth0", "lo"]
    assert net["s1"].cmd(LIST).split() == ["lo", "s1", "s1-eth1", "s1-eth2", "s1-eth3"]
    address = net["h1"].popen("cat /sys/class/net/h1-eth0/address", stdout=subprocess.PIPE)
    assert address.communicate()[0].decode().strip() == net["h1"].MAC()
    for folder in ("/sys/fs/cgroup", "/sys/fs/bpf", "/sys/kernel/mm"):
        assert sorted(net["h1"].cmd(f"ls {folder}").split()) == sorted(os.listdir(folder))
    assert "h1-eth0" not in os.listdir("/sys/class/net")


def test_an_interface_that_is_added_later_appears(net: Network) -> None:
    net.addLink("h1", "h2")
    assert net["h1"].cmd(LIST).split() == ["h1-eth0", "h1-eth1", "lo"]
    net.delLink("h1", "h2")
    assert net["h1"].cmd(LIST).split() == ["h1-eth0", "lo"]


def test_folders_of_its_own_and_sys_are_in_one_namespace(net: Network) -> None:
    h3 = net["h3"]
    h3.cmd(f"touch {OWN}/mine")
    assert h3.cmd(LIST).split() == ["h3-eth0", "lo"]
    assert from_outside(net, "h3", f"ls {OWN}; {LIST}").split() == ["mine", "h3-eth0", "lo"]
    assert len({space(net, name) for name in ("h1", "h2", "h3")}) == 3


def test_whoever_is_first_makes_what_all_see_then() -> None:
    topo = Topo()
    for name in ("h1", "h2"):
        topo.addHost(name)
    topo.addLink("h1", "h2")
    with Network(topo) as net:
        script = f"{LIST}; mount -t tmpfs none /mnt; touch /mnt/mine; readlink /proc/self/ns/mnt"
        *seen, first = from_outside(net, "h1", script).split()
        assert seen == ["h1-eth0", "lo"]
        assert from_outside(net, "h1", "ls /mnt").split() == ["mine"]
        # The owner comes last, and lasts when what held it until then has gone.
        assert space(net, "h1").strip() == first
        net["h1"].cmd("pkill -x sleep")
        assert from_outside(net, "h1", "readlink /proc/self/ns/mnt").strip() == first
        assert net["h2"].cmd("ls /mnt/mine; echo $?").endswith("2\n")
    assert not Path("/mnt/mine").exists()


def test_a_node_that_is_made_anew_sees_its_new_interfaces(net: Network) -> None:
    before = space(net, "h2")
    asked = dict(net.topo.nodeInfo("h2"))
    with net.change() as topo:
        topo.setNodeInfo("h2", {**asked, "privateDirs": [OWN]})
    assert net["h2"].cmd(f"ls -d {OWN}").strip() == OWN
    assert net["h2"].cmd(LIST).split() == ["h2-eth0", "lo"]
    net["h2"].close_shell()
    assert space(net, "h2") != before
    with net.change() as topo:
        topo.setNodeInfo("h2", asked)
    assert net["h2"].cmd(LIST).split() == ["h2-eth0", "lo"]


def test_a_killed_lab_leaves_no_mounts_and_no_processes() -> None:
    script = """
import os, subprocess, sys
from emulator import Network, Topo
topo = Topo()
topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
net = Network(topo).start()
net["h1"].cmd("ls /sys/class/net")
subprocess.run([sys.executable, "-m", "emulator", "exec", net.id, "h2", "true"], check=True)
print(net.id, flush=True)
os.kill(os.getpid(), 9)
"""
    before = Path("/proc/self/mountinfo").read_text()
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert ran.returncode == -signal.SIGKILL
    assert Path("/proc/self/mountinfo").read_text() == before
    cleaned = subprocess.check_output([sys.executable, "-m", "emulator", "clean"], text=True)
    assert ran.stdout.strip() in cleaned


def test_what_the_machine_refuses_is_told() -> None:
    # In a user namespace nobody may mount a sysfs that shows more than what is seen already.
    told = f"{sys.executable} -c 'from emulator.kernel.sysfs import sysfs_refusal as r; print(r())'"
    script = f"mount -t tmpfs none /sys/class && unshare --user --map-root-user {told}"
    text = subprocess.check_output(["unshare", "--mount", "sh", "-c", script], text=True)
    assert text.strip() == "Operation not permitted"
    assert sysfs_refusal() is None
