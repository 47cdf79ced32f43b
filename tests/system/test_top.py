"""``vnf top`` on labs that another process runs, with a terminal and without."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from emulator import clean
from emulator.errors import LabError
from emulator.labs import find_lab
from emulator.measure.lab_watch import LabWatch
from emulator.network import Network
from tests.system.terminal import ROOT, VNF, Terminal

pytestmark = [pytest.mark.root, pytest.mark.xdp]

DEADLINE_S = 60.0
OWNER = """
import sys
from emulator import Network, Topo

topo = Topo()
topo.addHost("a"), topo.addHost("b"), topo.addSwitch("s")
topo.addVNF("fw", "firewall", dataplane="packet", allow="udp")
topo.addLink("a", "fw"), topo.addLink("fw", "s"), topo.addLink("s", "b")
with Network(topo, name=sys.argv[1]) as net:
    net["a"].popen(["ping", "-i", "0.01", "-q", net["b"].IP()], stdout=-3)
    print("up", flush=True)
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
"""
"""A firewall that drops the pings which a sends without end."""


class Owner:
    """A process that runs a lab, and does in it what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWNER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._expect("up")

    def do(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._expect("done")

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.communicate(timeout=DEADLINE_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"


@contextlib.contextmanager
def owner(name: str) -> Iterator[Owner]:
    process = Owner(name)
    try:
        yield process
    finally:
        process.kill()
        clean()


def vnf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VNF, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    with owner("top-lab") as process:
        yield process.name


def test_a_look_at_a_lab_as_json(lab: str) -> None:
    done = vnf("top", lab, "--once", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["lab"] == lab
    assert document["wires_failure"] is None
    nodes = {each["node"]: each for each in document["nodes"]}
    assert list(nodes) == ["a", "b", "fw", "s"]
    assert nodes["a"]["tx_pps"] > 1
    assert nodes["a"]["tx_bps"] > 8 * 60
    assert nodes["a"]["processes"] == 1
    assert nodes["a"]["memory_bytes"] > 0
    assert nodes["a"]["cpu_percent"] >= 0
    assert nodes["fw"]["rx_pps"] > 1
    assert nodes["fw"]["verdicts"]["dropped_packets"] > 1
    assert (nodes["fw"]["vnf"], nodes["fw"]["dataplane"]) == ("firewall", "packet")
    assert nodes["fw"]["memory_bytes"] > 0
    assert nodes["s"]["processes"] is None
    assert nodes["s"]["cpu_percent"] is None
    assert nodes["b"]["cpu_percent"] is None


def test_a_look_at_a_lab_as_a_table(lab: str) -> None:
    done = vnf("top", lab[:5], "--once", "--interval", "500ms")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["node", "what", "in/s"]
    (row,) = [line for line in lines if line.startswith("fw ")]
    assert "firewall, packet" in row
    assert "dropped" in row
    assert "MiB" in row


@pytest.mark.parametrize("json_wanted", [True, False])
def test_without_a_terminal_it_goes_on_until_ctrl_c_which_is_no_error(
    lab: str, json_wanted: bool
) -> None:
    options = ["--interval", "200ms", *(["--json"] if json_wanted else [])]
    with subprocess.Popen(
        [*VNF, "top", lab, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            looks = [process.stdout.readline() for _ in range(2 if json_wanted else 14)]
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    if json_wanted:
        for line in [*looks, *rest.splitlines()]:
            assert json.loads(line)["lab"] == lab
    else:
        assert "".join(looks).count("node ") >= 2


@pytest.mark.parametrize("leave", ["q", "\x03"])
def test_on_a_terminal_the_table_is_renewed_until_q_or_ctrl_c(lab: str, leave: str) -> None:
    with Terminal([*VNF, "top", lab, "--interval", "200ms"]) as terminal:
        for _ in range(3):
            terminal.wait_for(r"^fw +firewall, packet .*dropped")
        assert not terminal.echoes
        terminal.type(leave)
        assert terminal.wait_exit() == 0
        assert terminal.echoes
        assert lab in terminal.text
        assert "Traceback" not in terminal.text


def test_other_keys_do_not_end_it(lab: str) -> None:
    with Terminal([*VNF, "top", lab, "--interval", "200ms"]) as terminal:
        terminal.wait_for(r"^fw ")
        terminal.type("x\r ")
        terminal.wait_for(r"^fw ")
        terminal.wait_for(r"^fw ")
        terminal.type("Q")
        assert terminal.wait_exit() == 0


def test_being_terminated_is_told_apart_from_leaving(lab: str) -> None:
    with Terminal([*VNF, "top", lab]) as terminal:
        terminal.wait_for(r"^fw ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_exit() == 128 + signal.SIGTERM
        assert terminal.echoes
        assert "terminated by SIGTERM" in terminal.text


def test_a_dumb_terminal_is_not_drawn_on(lab: str) -> None:
    with Terminal([*VNF, "top", lab, "--interval", "200ms"], {"TERM": "dumb"}) as terminal:
        terminal.wait_for(r"^fw ")
        terminal.wait_for(r"^fw ")
        terminal.type("\x03")
        assert terminal.wait_exit() == 0


def test_a_lab_that_is_not_there_and_a_wrong_interval_are_wrong_use(lab: str) -> None:
    done = vnf("top", "no-such-lab")
    assert done.returncode == 2
    assert "no lab no-such-lab is running" in done.stderr
    for interval, message in (("10ms", "too short"), ("soon", "not a duration")):
        done = vnf("top", lab, "--interval", interval)
        assert done.returncode == 2
        assert message in done.stderr
        assert "--interval" in done.stderr


def test_the_end_of_the_lab_ends_it_and_is_told() -> None:
    with owner("top-ends") as process, Terminal([*VNF, "top", process.name]) as terminal:
        terminal.wait_for(r"^fw ")
        process.end()
        terminal.wait_for("top-ends: the lab has ended")
        assert terminal.wait_exit() == 1
        assert terminal.echoes


def test_nodes_that_come_and_go_come_and_go_in_the_table_and_failed_ones_are_told() -> None:
    with owner("top-moves") as process:
        with Terminal([*VNF, "top", process.name, "--interval", "200ms"]) as terminal:
            terminal.wait_for(r"^fw +firewall, packet")
            process.do('net.addHost("newcomer"); net.addLink("newcomer", "s")')
            terminal.wait_for(r"^newcomer +host")
            process.do('net.delNode("newcomer")')
            pid = find_lab(process.name).vnfs["fw"]["pid"]
            os.kill(pid, signal.SIGKILL)
            terminal.wait_for(r"^fw +firewall, packet: failed")
            terminal.type("q")
            assert terminal.wait_exit() == 0
        done = vnf("top", process.name, "--once", "--json")
        assert done.returncode == 0
        nodes = {each["node"]: each for each in json.loads(done.stdout)["nodes"]}
        assert "newcomer" not in nodes
        assert nodes["fw"]["status"] == "failed"
        assert nodes["fw"]["verdicts"] is None


def test_a_script_can_watch_a_lab_too_and_is_told_of_its_end() -> None:
    with owner("top-script") as process, Network.attach(process.name) as net:
        watch = LabWatch(net)
        deadline_s = time.monotonic() + DEADLINE_S
        while next(each for each in watch.rates() if each.node == "a").tx_pps < 1:
            assert time.monotonic() < deadline_s
            time.sleep(0.2)
        process.end()
        with pytest.raises(LabError, match="has ended"):
            watch.rates()
