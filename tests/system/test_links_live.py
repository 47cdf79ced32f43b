"""Links that change while they carry frames, fail, and come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from emulator import LabError, Network, Topo, TopologyError, UsageError, clean
from emulator.kernel.rtnl import link_states
from emulator.node import Node
from tests.system.raw_port import ports
from tests.system.terminal import ROOT, VNF
from tests.system.waiting import until

pytestmark = pytest.mark.root

MS = 1_000_000


class Star(Topo):
    """h1, h2 and h3 on a switch; the links of the first two are impaired."""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2", "h3"):
            options: dict[str, Any] = {} if name == "h3" else {"delay": "1ms", "loss": "0%"}
            self.addLink(self.addHost(name), switch, **options)


@pytest.fixture
def net() -> Iterator[Network]:
    with Network(Star()) as network:
        yield network


def has_carrier(node: Node) -> bool:
    interface = node.plan.interfaces[0]
    return link_states(node.netns)[interface.kernel_name].operational


def wire_pid(net: Network) -> int:
    lab = net._lab
    assert lab is not None
    return int(lab.record.wires["pid"])


def test_what_is_named_changes_and_the_rest_stays(net: Network) -> None:
    link = net.link("s1", "h1")
    assert link.id == "h1-eth0<->s1-eth1"
    link.set(jitter="500us", up={"delay": "30ms"}, down={"loss": "10%"})
    up, down = link.impairments
    assert up is not None
    assert down is not None
    assert (up.delay_ns, up.jitter_ns, up.loss) == (30 * MS, MS // 2, 0)
    assert (down.delay_ns, down.jitter_ns, down.loss) == (MS, MS // 2, 0.1)
    link.set(loss=None)
    assert link.impairments[1] is not None
    assert link.impairments[1].loss == 0
    assert net.pingAll() == 0


def test_a_mistake_changes_nothing(net: Network) -> None:
    link = net.link("h1", "s1")
    for settings in ({"delay": "-1ms"}, {"loss": "101%"}, {"rate": "0"}, {"dealy": "1ms"}):
        with pytest.raises(UsageError, match="h1 - s1"):
            link.set(**settings)
    net.link("h2", "s1").set(delay="9ms")
    before = net.plan
    with pytest.raises(UsageError, match="h1 - s1"):
        net.setLinks([net.link("h2", "s1"), link], jitter="5ms")
    assert net.plan == before
    with pytest.raises(UsageError, match="no link between h1 and h2"):
        net.link("h1", "h2")
    with pytest.raises(UsageError, match="there is no link x"):
        net.link("x")


def test_frames_on_their_way_survive_a_change(net: Network) -> None:
    link, count = net.link("h1", "s1"), 10_000
    stop = threading.Event()

    def toggle() -> None:
        long = False
        while not stop.is_set():
            long = not long
            link.set(delay="100ms" if long else "1ms", rate="1gbit" if long else None)
            time.sleep(0.01)

    with ExitStack() as stack:
        source, target = ports(net["h1"], net["h3"], stack)
        thread = threading.Thread(target=toggle)
        thread.start()
        try:
            for start in range(0, count, 20):
                source.send(target, range(start, start + 20))
                time.sleep(0.001)
        finally:
            stop.set()
            thread.join()
        numbers = [seen.number for seen in target.receive()]
    counters = link.counters().up
    assert numbers == sorted(set(numbers))
    assert len(numbers) == count - counters.unasked_packets
    assert counters.lost_packets == counters.overflow_packets == 0


def test_a_plain_link_becomes_a_wire_and_stays_one(net: Network) -> None:
    link = net.link("h3", "s1")
    with pytest.raises(UsageError, match="plain link"):
        link.counters()
    assert "nothing impairs it" in link.show()
    link.set(delay="10ms")
    assert link.mechanism == "wire"
    assert net.pingAll() == 0
    assert link.counters().up.out_packets > 0
    link.set(delay=None)
    assert link.mechanism == "wire"
    assert link.impairments[0] is not None
    assert not link.impairments[0].impairs
    assert net.pingAll() == 0


def test_what_was_set_stays_when_the_lab_changes_otherwise(net: Network) -> None:
    net.link("h1", "s1").set(delay="20ms")
    net.link("h3", "s1").set(delay="10ms")
    before = net.link("h1", "s1").counters().up.in_packets
    net.addHost("h4")
    added = net.addLink("h4", "s1", delay="3ms")
    assert added is not None
    assert added.impairments[0] is not None
    delays = [plan.up.delay_ns for plan in net.links if plan.up is not None]
    assert delays == [20 * MS, MS, 10 * MS, 3 * MS]
    assert net.link("h1", "s1").counters().up.in_packets >= before
    assert net.pingAll() == 0
    with net.change() as topo:
        topo.linkInfo("h1", "s1")["delay"] = "2ms"
    assert net.link("h1", "s1").impairments[0] is not None
    assert net.link("h1", "s1").impairments[0].delay_ns == 2 * MS
    net.delLink("h2", "s1")
    net.addLink("h2", "s1")
    assert net.link("h2", "s1").mechanism == "none"
    assert net.pingAll() == 0


def test_both_ends_of_an_impaired_link_notice_when_it_is_down(net: Network) -> None:
    link = net.link("h1", "s1")
    link.down()
    until(lambda: not has_carrier(net["h1"]))
    assert net.ping(["h1", "h2"], timeout_s=0.2).replies == 0
    # What is down by intention is not waited for, and stays down.
    net.addHost("h4")
    net.addLink("h4", "s1")
    net.link("h2", "s1").set(delay="2ms")
    assert not has_carrier(net["h1"])
    net.configLinkStatus("s1", "h1", "up")
    assert has_carrier(net["h1"])
    assert net.pingAll() == 0


def test_wires_that_die_take_their_links_down_and_are_started_anew(net: Network) -> None:
    net.link("h1", "s1").set(delay="7ms")
    net.link("h2", "s1").down()
    os.kill(wire_pid(net), signal.SIGKILL)
    until(lambda: not has_carrier(net["h1"]))
    assert has_carrier(net["h3"])
    link = net.link("h1", "s1")
    assert link.failure is not None
    assert "signal 9" in link.failure
    assert net.wires_failure == link.failure
    assert "signal 9" in link.show()
    for change in (lambda: link.set(delay="1ms"), link.up, link.counters):
        with pytest.raises(LabError, match="signal 9"):
            change()
    net.addHost("h4")
    net.addLink("h4", "s1")
    assert net.ping(["h3", "h4"]).lost_percent == 0
    net.restart_wires()
    assert net.wires_failure is None
    # A switch forwards again a moment after a link has come back.
    until(lambda: net.ping(["h1", "h3"]).lost_percent == 0)
    assert not has_carrier(net["h2"])
    net.link("h2", "s1").up()
    until(lambda: net.pingAll() == 0)
    assert link.impairments[0] is not None
    assert link.impairments[0].delay_ns == 7 * MS


def test_a_schedule_changes_links_together_and_ends(net: Network) -> None:
    run = net.run_schedule(
        [
            {"at": "50ms", "links": ["h1-s1", "h3-s1"], "delay": "8ms"},
            {
                "at": "100ms",
                "links": "h1-s1",
                "flap": {"down": "50ms", "every": "100ms", "times": 2},
            },
            {"at": "300ms", "links": "h2-s1", "delay": "5ms", "over": "200ms", "steps": 20},
        ]
    )
    assert net.link("h3", "s1").mechanism == "wire"
    assert run.wait(20)
    assert (run.done, run.failures) == (run.steps, ())
    delays = [plan.up.delay_ns for plan in net.links if plan.up is not None]
    assert delays == [8 * MS, 5 * MS, 8 * MS]
    until(lambda: has_carrier(net["h1"]))
    assert net.pingAll() == 0
    with Network.attach(net.id) as other:
        assert [plan.up for plan in other.links] == [plan.up for plan in net.links]


def test_a_mistaken_schedule_is_refused_and_a_step_that_fails_is_reported(net: Network) -> None:
    with pytest.raises(TopologyError, match="h1-s9"):
        net.run_schedule([{"at": "1s", "links": "h1-s9", "delay": "8ms"}])
    run = net.run_schedule(
        [
            {"at": "300ms", "links": "h1-s1", "delay": "8ms"},
            {"at": "400ms", "links": "h3-s1", "state": "down"},
        ]
    )
    os.kill(wire_pid(net), signal.SIGKILL)
    with pytest.raises(LabError, match=r"at 0.3s: .*signal 9"):
        run.wait(20)
    assert run.done == 2
    assert net.ping(["h3", "h2"], timeout_s=0.2).replies == 0


def test_the_schedule_of_a_topology_begins_with_the_lab_and_ends_with_it() -> None:
    topo = Star()
    topo.at("10ms", "h1-s1", delay="9ms")
    topo.at("1h", "h1-s1", delay="1ms")
    with Network(topo) as net:
        (run,) = net.schedules
        until(lambda: run.done == 1)
        assert net.link("h1", "s1").impairments[0] is not None
        assert net.link("h1", "s1").impairments[0].delay_ns == 9 * MS
    assert run.finished


def test_mininets_config_replaces_what_leaves_an_end(net: Network) -> None:
    link = net.link("h1", "s1")
    link.set(loss="1%")
    link.intf1.config(bw=100, delay="5ms", use_htb=True)
    up, down = link.impairments
    assert up is not None
    assert down is not None
    assert (up.rate_bps, up.delay_ns, up.loss) == (100_000_000, 5 * MS, 0)
    assert (down.rate_bps, down.delay_ns, down.loss) == (None, MS, 0.01)
    with pytest.raises(UsageError, match="config has no option color"):
        link.intf2.config(color="red")


def test_another_process_sees_links_and_cannot_change_them(net: Network) -> None:
    net.pingAll()
    with Network.attach(net.id) as other:
        net.link("h1", "s1").set(delay="4ms")
        link = other.link("h1", "s1")
        assert link.impairments == net.link("h1", "s1").impairments
        assert link.counters().up.out_packets > 0
        assert "h1 -> s1: 4ms" in link.show()
        for change in (lambda: link.set(delay="1ms"), link.down, other.restart_wires):
            with pytest.raises(LabError, match="only the process that runs the lab"):
                change()
        os.kill(wire_pid(net), signal.SIGKILL)
        until(lambda: other.wires_failure is not None)
        net.restart_wires()
        assert other.wires_failure is None
        assert other.link("h1", "s1").counters().up.in_packets >= 0


def test_a_lab_whose_emulator_is_killed_leaves_no_wires() -> None:
    code = (
        "import time\n"
        "from emulator import Network, Topo\n"
        "topo = Topo()\n"
        "topo.addLink(topo.addHost('h1'), topo.addHost('h2'), delay='1ms')\n"
        "net = Network(topo).start()\n"
        "print(net._lab.record.wires['pid'], flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        pid = int(lab.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        lab.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())
    clean()


def test_the_shell_changes_links_and_tells_of_dead_wires(tmp_path: Path) -> None:
    lines = [
        "link h1 h2 set delay=20ms down.loss=0%",
        "link h1 h2 show",
        "links",
        "py __import__('os').kill(net._lab.record.wires['pid'], 9)",
        "sh sleep 0.3",
        "links",
        "wires restart",
        "pingall",
    ]
    code = "from emulator import Topo\nclass Two(Topo):\n  def build(self):\n"
    code += "    self.addLink(self.addHost('h1'), self.addHost('h2'), delay='1ms')\n"
    file = tmp_path / "two.py"
    file.write_text(code)
    done = subprocess.run(
        [*VNF, "run", str(file)],
        cwd=ROOT,
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert "up    h1 -> h2: 20ms" in done.stdout
    assert "h1-eth0<->h2-eth0 (OK OK) 20ms [wire]" in done.stdout
    assert "h1-eth0<->h2-eth0 (DOWN DOWN) 20ms [wire]" in done.stdout
    assert (
        done.stderr.count("*** wires failed: the process of the wires has ended by signal 9") == 1
    )
    assert "0% dropped" in done.stdout


@pytest.mark.xdp
@pytest.mark.parametrize(
    "dataplane",
    ["kernel", "xdp", "afxdp", pytest.param("dpdk", marks=pytest.mark.dpdk), "packet"],
)
def test_a_plain_link_of_a_vnf_is_impaired_while_it_runs(dataplane: str) -> None:
    topo = Topo()
    client, server = topo.addHost("client"), topo.addHost("server")
    for name in ("a", "b"):
        topo.addVNF(name, "forward", dataplane=dataplane)
    for ends in ((client, "a"), ("a", "b"), ("b", server)):
        topo.addLink(*ends)
    with Network(topo) as net:
        net.link("a", "b").set(delay="5ms")
        net.link("a", client).set(delay="1ms")
        assert net.pingAll(timeout=3) == 0
        os.kill(wire_pid(net), signal.SIGKILL)
        until(lambda: not has_carrier(net["client"]))
        net.restart_wires()
        assert net.pingAll(timeout=3) == 0
        assert net.link("a", "b").counters().up.out_packets > 0
