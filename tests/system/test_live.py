"""VNFs while they run: what is seen of them, changes, deaths and restarts."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from emulator import LabError, Network, Topo, UsageError
from emulator.catalog import Catalog
from emulator.experiment.bench import BenchSpec, run_bench
from emulator.kernel.bpf import BpfId
from emulator.labs import find_lab
from emulator.node import Node
from emulator.runtime.namespace import Processes
from tests.system.terminal import ROOT, VNF, Terminal
from tests.system.vnf_lab import wait_until_gone

pytestmark = [pytest.mark.root, pytest.mark.xdp]

DEADLINE_S = 20.0

MANIFEST = """
name = "touchy"
summary = "aborts when it sees a packet of the probe, or one of 1042 bytes"
ports = 2
[dataplanes.packet]
[parameters.every]
type = "int"
default = 7
summary = "nothing"
"""
SOURCE = """
#include <stdio.h>
#include "vnf.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    const __u8 *frame = data;
    (void)ctx;
    if (end - data == 1042 || (end - data == 60 && frame[36] == 0x27 && frame[37] == 0x0f)) {
        fprintf(stderr, "this packet is too much\\n");
        abort();
    }
    return VNF_FORWARD(vnf_peer(port));
}
"""


class Chain(Topo):
    """client - fw - server"""

    def build(self, dataplane: str, vnf: str = "drop", **parameters: Any) -> None:
        self.addHost("client")
        self.addHost("server")
        self.addVNF("fw", vnf, dataplane=dataplane, **parameters)
        self.addLink("client", "fw")
        self.addLink("fw", "server")


def arrives(net: Network, size: int = 56) -> bool:
    net["client"].cmd(f"ping -c1 -W 0.3 -s {size} server")
    return net["client"].exit_status == 0


def kill(node: Node) -> None:
    """End a node's VNF as a bug of its own would."""
    assert node.vnf is not None
    assert node.vnf.pid is not None
    os.kill(node.vnf.pid, signal.SIGSEGV)
    await_failure(node)


def await_failure(node: Node) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while node.status == "running":
        assert time.monotonic() < deadline_s, "the VNF does not die"
        time.sleep(0.01)


@pytest.fixture
def touchy(tmp_path: Path) -> Path:
    """The folder of a VNF that dies of certain packets."""
    folder = tmp_path / "vnfs" / "touchy"
    folder.mkdir(parents=True)
    (folder / "vnf.toml").write_text(MANIFEST)
    (folder / "vnf.c").write_text(SOURCE)
    return folder


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
def test_a_parameter_changes_while_packets_flow(dataplane: str) -> None:
    with Network(Chain(dataplane, every=1000)) as net:
        fw = net["fw"]
        assert arrives(net)
        fw.set(every=1)
        assert not arrives(net)
        fw.set(every=1000)
        assert arrives(net)
        stats = fw.vnf_stats()
        assert stats.parameters["every"] == 1000
        assert stats.status == "running"
        assert (stats.pid is None) == (dataplane == "xdp")
        assert sum(port.dropped_packets for port in stats.ports.values()) > 0


@pytest.mark.parametrize("dataplane", ["kernel", "xdp", "packet"])
def test_a_healthy_vnf_starts_anew_with_the_parameters_in_force(dataplane: str) -> None:
    vnf = "forward" if dataplane == "kernel" else "drop"
    with Network(Chain(dataplane, vnf)) as net:
        fw = net["fw"]
        assert fw.vnf is not None
        before: list[BpfId] = fw.vnf.bpf_ids()
        if vnf == "drop":
            fw.set(every=1000)
            fw.restart()
            assert fw.parameters["every"] == 1000
        else:
            assert arrives(net)
            fw.restart()
        assert all(port.rx_packets == 0 for port in fw.counters().values())
        assert arrives(net)
        wait_until_gone(before)
    with pytest.raises(LabError, match="not running"):
        net["fw"]


def test_a_lab_goes_on_without_a_vnf_that_died_and_takes_it_back(touchy: Path) -> None:
    catalog = Catalog.load([touchy.parent])
    with Network(Chain("packet", "touchy"), catalog=catalog) as net:
        fw = net["fw"]
        fw.set(every=5)
        assert arrives(net)
        assert not arrives(net, size=1000)
        await_failure(fw)
        assert fw.failure is not None
        assert "signal 6 (SIGABRT)" in fw.failure
        assert fw.failure.endswith("\n    this packet is too much")
        assert fw.counters()["fw-eth0"].rx_packets > 1
        assert net["client"].cmd("echo on") == "on\n"
        with pytest.raises(LabError, match="SIGABRT"):
            fw.set(every=6)

        # Its author has a look at the source, and does not get it right at once.
        (touchy / "vnf.c").write_text("nonsense")
        with pytest.raises(UsageError):
            fw.restart()
        assert fw.status == "failed"
        assert "it does not start" in (fw.failure or "")
        assert fw.vnf_stats().ports == {}
        with pytest.raises(LabError, match="it does not start"):
            fw.counters()
        (touchy / "vnf.c").write_text(SOURCE.replace("abort();", ""))
        fw.restart()
        assert fw.status == "running"
        assert fw.parameters["every"] == 5
        assert arrives(net, size=1000)


def test_hosts_neither_fail_nor_start_anew() -> None:
    with Network(Chain("kernel", "forward")) as net:
        assert net["client"].status == "running"
        with pytest.raises(UsageError, match="client is a host"):
            net["client"].restart()


def test_another_terminal_sees_a_death_and_follows_a_restart() -> None:
    with Network(Chain("packet", every=1000)) as net:
        other = Network.attach(net.id)
        try:
            other["fw"].set(every=1)
            assert net["fw"].parameters["every"] == 1
            kill(net["fw"])
            assert find_lab(net.id).failed_nodes == ["fw"]
            assert other["fw"].status == "failed"
            late = Network.attach(net.id)
            assert late["fw"].status == "failed"
            assert late["fw"].parameters["every"] == 1
            late.stop()
            with pytest.raises(LabError, match="only the process that runs the lab"):
                other["fw"].restart()
            net["fw"].restart()
            assert find_lab(net.id).failed_nodes == []
            assert other["fw"].status == "running"
            other["fw"].set(every=1000)
            assert net["fw"].parameters["every"] == 1000
            assert arrives(net)
            assert other["fw"].counters() == net["fw"].counters()
        finally:
            other.stop()


def test_another_terminal_follows_a_vnf_in_the_kernel_too() -> None:
    with Network(Chain("xdp", every=1000)) as net:
        other = Network.attach(net.id)
        try:
            net["fw"].restart()
            assert arrives(net)
            assert other["fw"].counters()["fw-eth0"].rx_packets > 0
            other["fw"].set(every=1)
            assert not arrives(net)
        finally:
            other.stop()


def test_vnfs_that_are_processes_live_through_changes_of_the_lab() -> None:
    with Network(Chain("packet", every=1000)) as net:
        net["fw"].set(every=50)
        with net.change() as topo:
            topo.removeLink("fw", "server")
            topo.addVNF("second", "forward", dataplane="packet")
            topo.addLink("fw", "second")
            topo.addLink("second", "server")
        assert net["fw"].parameters["every"] == 50
        assert arrives(net)
        assert net["second"].counters()["second-eth0"].rx_packets > 0
        with net.change() as topo:
            topo.removeNode("second")
            topo.addLink("fw", "server")
        assert arrives(net)


@pytest.mark.parametrize("dataplane", ["kernel", "packet"])
def test_a_link_that_was_taken_down_holds_nobody_up(dataplane: str) -> None:
    with Network(Chain(dataplane, "forward")) as net:
        net.configLinkStatus("fw", "server", "down")
        net["fw"].restart()
        net.addHost("guest")
        net.configLinkStatus("fw", "server", "up")
        assert arrives(net)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_while_vnfs_start_leaves_nothing() -> None:
    class Many(Topo):
        def build(self) -> None:
            self.addHost("h0")
            for number in range(1, 5):
                self.addVNF(f"v{number}", "forward", dataplane=("packet", "xdp")[number % 2])
                self.addLink(f"v{number - 1}" if number > 1 else "h0", f"v{number}")
            self.addLink("v4", self.addHost("h1"))

    chance = random.Random(2)
    for _ in range(8):
        with contextlib.suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.005, 0.12))
            with Network(Many()):
                signal.setitimer(signal.ITIMER_REAL, 0)
    # What could be left is looked for after every test.


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_while_the_first_process_of_a_lab_starts_leaves_nothing() -> None:
    for step in range(60):
        processes = Processes()
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(processes):
            signal.setitimer(signal.ITIMER_REAL, 1e-4 * (1 + step))
            processes.start()
            signal.setitimer(signal.ITIMER_REAL, 0)
    # What could be left is looked for after every test.


SCRIPT = """
client ping -c1 -W1 server
fw stats
fw set every=3
fw set every=0
fw set evry=1
fw stats --json
px import os, signal; os.kill(fw.vnf.pid, signal.SIGSEGV)
px while fw.status == "running": pass
nodes
dump
counters
fw restart
fw stats
fw command -v ls
sh {vnf} ps --json; {vnf} exec live fw set every=9; {vnf} exec live fw stats --json
"""


def test_the_shell_shows_and_changes_vnfs(tmp_path: Path) -> None:
    file = tmp_path / "fw.py"
    file.write_text(
        "from emulator import Topo\n\n\nclass Chain(Topo):\n    def build(self):\n"
        "        self.addLink(self.addHost('client'), self.addVNF('fw', 'drop', dataplane='packet',"
        " every=100))\n        self.addLink('fw', self.addHost('server'))\n"
    )
    command = [*VNF, "run", str(file), "--name", "live"]
    vnf = f"{sys.executable} -m emulator"
    done = subprocess.run(
        command, input=SCRIPT.format(vnf=vnf), cwd=ROOT, capture_output=True, text=True, check=False
    )
    out, err = done.stdout, done.stderr
    assert done.returncode == 1
    assert "0 is below the least value, 1" in err
    assert "did you mean every?" in err
    first, second = out.index("fw: drop on packet, AF_PACKET ring"), out.index('{\n  "status"')
    shown = out[first:second]
    for word in ("running", "every=100", "spin:20us,wait", "fw-eth1", "forwarded_packets"):
        assert word in shown
    document, _ = json.JSONDecoder().raw_decode(out[second:])
    assert document["parameters"]["every"] == 3
    assert document["ports"]["fw-eth0"]["rx_packets"] >= 1
    assert err.count("*** fw failed: the VNF's process was ended by signal 11 (SIGSEGV)") == 1
    assert "available nodes are:\nclient fw server\nfailed: fw" in out
    assert "on packet FAILED" in out
    assert "/ls\n" in out
    labs, end = json.JSONDecoder().raw_decode(out[out.index("[\n  {") :])
    assert [lab["failed"] for lab in labs if lab["id"] == "live"] == [[]]
    assert json.loads(out[out.index("[\n  {") + end :])["parameters"]["every"] == 9


def test_a_person_is_told_before_the_next_prompt(tmp_path: Path) -> None:
    lab = f"told-{os.getpid()}"
    command = [*VNF, "run", "--topo", "chain", "--set", "dataplane=packet", "--name", lab]
    with Terminal(command, {"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.wait_for("vnf>")
        terminal.type("vnf1 sta\t\r")
        terminal.wait_for("unsent_packets")
        terminal.wait_for("vnf>")
        pid = find_lab(lab).vnfs["vnf1"]["pid"]
        os.kill(pid, signal.SIGKILL)
        deadline_s = time.monotonic() + DEADLINE_S
        while " Z " not in Path(f"/proc/{pid}/stat").read_text():
            assert time.monotonic() < deadline_s, "the VNF does not die"
            time.sleep(0.01)
        terminal.type("vnf1 true\r")
        terminal.wait_for(r"\*\*\* vnf1 failed: the VNF's process was ended by signal 9")
        terminal.wait_for("vnf1 restart starts it anew")
        terminal.wait_for("vnf>")
        terminal.type("vnf1 restart\r")
        terminal.wait_for("vnf>")
        terminal.type("pingpair\r")
        terminal.wait_for("0% dropped")
        assert terminal.text.count("failed:") == 1


@pytest.mark.usefixtures("known_limits")
def test_a_bench_names_the_vnf_that_died(touchy: Path, tmp_path: Path) -> None:
    file = tmp_path / "chain.py"
    file.write_text(
        "from emulator import Topo\n\n\nclass Chain(Topo):\n    def build(self, vnf):\n"
        "        self.addLink(self.addHost('a'), self.addVNF('fw', vnf, dataplane='packet'))\n"
        "        self.addLink('fw', self.addHost('b'))\n"
    )
    spec = BenchSpec(
        str(file),
        settings={"vnf": "touchy"},
        rates_pps=[2000],
        duration_s=0.2,
        goals=["loss=10%/trial=50ms/sum=100ms/width=20%"],
        output=tmp_path / "results",
    )
    result = run_bench(spec)
    assert result.exit_code == 1
    (failed,) = result.failed
    error = failed.error or ""
    assert error.startswith("fw: the VNF's process was ended by signal 6 (SIGABRT)")
    assert "this packet is too much" in error
