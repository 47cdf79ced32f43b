"""Controllers of Open vSwitch bridges: ours, the user's, and one that the machine has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import LabError, Network, Topo
from emulator.switches import controllers
from emulator.switches.ovs_machine import find_program  # noqa: F401 - of a condition below
from tests.system.waiting import until

pytestmark = pytest.mark.ovs

DEADLINE_S = 30
RUNNER = Path(controllers.__file__).with_name("run_app.py")


def pair(name: str = "c0", **controller: Any) -> Topo:
    """Two hosts on two bridges under one controller."""
    topo = Topo()
    topo.addController(name, **controller)
    for number in (1, 2):
        topo.addSwitch(f"s{number}", kind="ovs", protocols="OpenFlow13")
        topo.addLink(topo.addHost(f"h{number}"), f"s{number}")
    topo.addLink("s1", "s2")
    return topo


@pytest.fixture(scope="module")
def learning() -> Iterator[Network]:
    with Network(pair()) as net:
        yield net


def test_the_first_frame_finds_its_way(learning: Network) -> None:
    assert learning.pingAll() == 0
    assert "actions=output:2" in learning["s1"].dpctl("dump-flows")
    assert learning["c0"].failure is None
    assert learning["c0"].kind == "controller"
    assert "LearningSwitch" in learning["c0"].logs()


def test_a_host_that_moves_is_learnt_anew(learning: Network) -> None:
    mac = learning["h1"].MAC()
    learning.delLink("h1", "s1")
    learning.addLink("h1", "s2", addr1=mac)
    try:
        # What is sent to it before it has been heard of elsewhere goes where it was.
        until(lambda: learning.ping(["h1", "h2"]).lost_percent == 0)
    finally:
        learning.delLink("h1", "s2")
        learning.addLink("h1", "s1", addr1=mac)
    until(lambda: learning.ping(["h1", "h2"]).lost_percent == 0)


def test_a_controller_that_cannot_be_added_leaves_the_network_as_it_was(learning: Network) -> None:
    with pytest.raises(LabError, match="c1: no controller answered"):
        learning.addController("c1", kind="remote", ip="127.0.0.1", port=1, wait_s=0.1)
    assert "c1" not in learning
    assert learning["c0"].failure is None


def test_commands_run_beside_the_switches(learning: Network) -> None:
    assert learning["c0"].cmd("ovs-vsctl list-br").split() == ["s1", "s2"]


def test_a_controller_that_dies_has_failed_until_it_is_restarted(learning: Network) -> None:
    lab = learning._lab
    assert lab is not None
    os.kill(lab.record.control["controllers"]["c0"]["pid"], signal.SIGKILL)
    until(lambda: learning["c0"].status == "failed")
    assert "ended by signal 9" in str(learning["c0"].failure)
    attached = Network.attach(learning.id)
    try:
        assert attached["c0"].failure == "the controller has ended"
    finally:
        attached.stop()
    # That is no reason to refuse what has nothing to do with it.
    learning.addHost("h9")
    learning.delNode("h9")
    learning["c0"].restart()
    assert learning["c0"].failure is None
    assert learning.pingAll() == 0


def test_a_switch_that_is_added_is_controlled_at_once(learning: Network) -> None:
    with learning.change() as topo:
        topo.addSwitch("s3", kind="ovs")
        topo.addHost("h3")
        topo.addLink("h3", "s3")
        topo.addLink("s3", "s2")
    assert learning.ping(["h1", "h3"]).lost_percent == 0
    learning.delNode("h3")
    learning.delNode("s3")
    assert learning["c0"].failure is None


APPLICATION = """
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.lib.packet import ethernet, packet
from ryu.ofproto import ofproto_v1_3
from ryu.topology import event

import words_of_mine


class Repeater(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_switch(self, event):
        datapath = event.msg.datapath
        parser, proto = datapath.ofproto_parser, datapath.ofproto
        flood = [parser.OFPActionOutput(proto.OFPP_FLOOD)]
        apply = [parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, flood)]
        match = parser.OFPMatch()
        datapath.send_msg(parser.OFPFlowMod(datapath=datapath, match=match, instructions=apply))
        self.logger.info("%s %d", words_of_mine.HELLO, datapath.id)

    @set_ev_cls(event.EventLinkAdd)
    def on_link(self, event):
        self.logger.info("link from %d", event.link.src.dpid)
"""


def test_an_application_for_ryu_runs_with_its_neighbours_and_options(tmp_path: Path) -> None:
    (tmp_path / "repeater.py").write_text(APPLICATION)
    (tmp_path / "words_of_mine.py").write_text("HELLO = 'good day to'\n")
    app = str(tmp_path / "repeater.py")
    topo = pair("wires", app=app, options="--observe-links")
    topo.addLink(topo.addHost("h3"), "s1", delay="1ms")
    with Network(topo) as net:
        until(lambda: "actions=FLOOD" in net["s2"].dpctl("dump-flows"))
        until(lambda: "actions=FLOOD" in net["s1"].dpctl("dump-flows"))
        assert net.pingAll() == 0
        until(lambda: "link from 1" in net["wires"].logs())
        assert "good day to 2" in net["wires"].logs()
        # What carries the delayed link has a file of that name too.
        with Network.attach(net.id) as attached:
            assert "good day to 2" in attached["wires"].logs()
        net.restart_wires()
        assert "good day to 2" in net["wires"].logs()


def test_an_application_that_does_not_start_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    app = tmp_path / "broken.py"
    app.write_text("from ryu.app import there_is_none\n")
    with pytest.raises(LabError, match=r"(?s)c0: the controller has ended.*there_is_none"):
        Network(pair(app=str(app))).start()


@pytest.mark.skipif("find_program('ovs-testcontroller') is None", reason="it is not installed")
def test_ovs_testcontroller_learns_too() -> None:
    with Network(pair(kind="ovs")) as net:
        until(lambda: "actions=CONTROLLER" in net["s1"].dpctl("dump-flows"))
        until(lambda: "actions=CONTROLLER" in net["s2"].dpctl("dump-flows"))
        assert net.pingAll() == 0


@pytest.mark.skipif("find_program('ovs-testcontroller') is None", reason="it is not installed")
def test_a_program_is_a_controller_and_ends_with_what_it_has_started(tmp_path: Path) -> None:
    program = tmp_path / "mine.sh"
    program.write_text('#!/bin/sh\npwd\novs-testcontroller -vsyslog:off "ptcp:$1" &\nwait\n')
    program.chmod(0o755)
    with Network(pair(command="mine.sh {port}", folder=str(tmp_path))) as net:
        until(lambda: net.pingAll() == 0)
        assert str(tmp_path) in net["c0"].logs()
        # The port is free again only when the program's own child has ended.
        net["c0"].restart()
        assert net["c0"].failure is None


@pytest.fixture
def outside() -> Iterator[int]:
    """The port of a controller that runs on the machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-P", str(RUNNER), "--ofp-listen-host", "127.0.0.1"]
    command += ["--ofp-tcp-listen-port", str(port), "ryu.app.simple_switch_13"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield port
        process.kill()


def test_a_controller_of_the_machine_is_waited_for_and_used(outside: int) -> None:
    with Network(pair(kind="remote", ip="localhost", port=outside, wait_s=DEADLINE_S)) as net:
        assert net["c0"].failure is None
        assert net.ping(count=2).lost_percent < 100
        until(lambda: net.pingAll() == 0)


def test_a_controller_that_is_not_there_is_told_of_after_the_wait() -> None:
    with socket.socket() as taken:  # and never listened at
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        topo = pair(kind="remote", port=port, wait_s=0.3)
        with pytest.raises(LabError, match=f"c0: no controller answered at 127.0.0.1:{port}"):
            Network(topo).start()
        with Network(topo, on_failure="keep") as net:
            assert net["c0"].failure == f"s1, s2 are not connected to 127.0.0.1:{port}"
            assert net["h1"].failure is None


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(LabError, match=r"c0: nobody knows the name nobody\.invalid"):
        Network(pair(kind="remote", ip="nobody.invalid")).start()


def test_switches_that_speak_another_protocol_are_named() -> None:
    topo = Topo()
    topo.addController("c0", wait_s=1)
    topo.addSwitch("s1", kind="ovs", protocols="OpenFlow10")
    with pytest.raises(LabError, match=r"(?s)c0: s1 could not connect.*protocols"):
        Network(topo).start()
