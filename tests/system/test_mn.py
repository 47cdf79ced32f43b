"""``vnf mn`` on a real kernel: tests, scripts, custom files, and how it ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from emulator.labs import clean, list_labs
from tests.system.terminal import ROOT, VNF, Terminal

pytestmark = pytest.mark.root

DEADLINE_S = 120

CUSTOM = """
from mininet.cli import CLI as Shell
from mininet.node import Host
from mininet.topo import Topo

class Star(Topo):
    def build(self, n=2):
        middle = self.addSwitch("s1")
        for number in range(1, n + 1):
            self.addLink(self.addHost("h%d" % number), middle)

class Greeter(Host):
    def config(self, words="none", **params):
        result = super().config(**params)
        self.greeting = self.cmd("echo", words)
        return result

class CLI(Shell):
    def do_hello(self, line):
        print("hello", line, self.mn["h1"].greeting.strip())

def unplugged(net):
    net.configLinkStatus("h1", "s1", "down")
    return net.pingAll(timeout=0.2) < 100

topos = {"star": Star}
hosts = {"greeter": Greeter}
tests = {
    "unplugged": unplugged,
    "crash": lambda net: 1 / 0,
    "macs": lambda net: [h.MAC() for h in net.hosts] == ["00:00:00:00:00:0%d" % n for n in (1, 2)],
}
"""


def mn(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VNF, "mn", "-v", "output", *arguments],
        cwd=ROOT,
        input=lines,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture
def custom(tmp_path: Path) -> list[str]:
    (tmp_path / "own.py").write_text(CUSTOM)
    return ["--custom", str(tmp_path / "own.py")]


def test_a_tree_of_impaired_links_is_tested() -> None:
    done = mn(
        "--topo", "tree,2,2", "--link=tc,bw=50,delay=1ms", "--test", "pingall,iperf,seconds=1"
    )
    assert done.returncode == 0, done.stderr
    assert "*** Results: 0% dropped (12/12 received)" in done.stderr
    assert "*** Iperf: testing TCP bandwidth between h1 and h4" in done.stderr


def test_hosts_as_asked_for(custom: list[str]) -> None:
    options = ("--mac", "--arp", "--pin", "--host", "cfs,cpu=0.3", "--ipbase", "10.7.0.0/16")
    lines = "h1 ip neigh\nh2 ip -br -4 addr show h2-eth0\nh1 nproc\n"
    done = mn(*options, lines=lines)
    assert done.returncode == 0, done.stderr
    assert "10.7.0.2 dev h1-eth0 lladdr 00:00:00:00:00:02 PERMANENT" in done.stdout
    assert "10.7.0.2/16" in done.stdout
    assert done.stdout.splitlines()[-1] == "1"
    assert mn(*custom, "--mac", "--test", "macs").returncode == 0


def test_a_file_brings_topologies_hosts_and_a_shell(custom: list[str]) -> None:
    arguments = (*custom, "--topo", "star,n=3", "--host", "greeter,words=good-day")
    done = mn(*arguments, lines="hello you\nnodes\n")
    assert done.returncode == 0, done.stderr
    assert "hello you good-day" in done.stdout
    assert "h3" in done.stdout


def test_exit_codes_tell_of_tests_that_fail(custom: list[str]) -> None:
    lost = mn(*custom, "--test", "unplugged")
    assert (lost.returncode, "*** Failed: unplugged" in lost.stderr) == (1, True)
    crashed = mn(*custom, "--test", "crash")
    assert crashed.returncode == 1
    assert crashed.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "emulator/" not in crashed.stderr


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_terminals_of_all_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    done = mn("-x", "--test", "none")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "*** s1",
        "*** h1",
        "*** h2",
    ]


def test_scripts_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "down").write_text("link h1 s1 down\n")
    (tmp_path / "wrong").write_text("h2 echo after\nnonsense\n")
    done = mn("--pre", str(tmp_path / "down"), "--test", "pingall,0.2")
    assert (done.returncode, "100% dropped" in done.stderr) == (1, True)
    done = mn("--post", str(tmp_path / "wrong"), "--test", "none")
    assert (done.returncode, done.stdout) == (1, "after\n")
    assert "unknown command: nonsense" in done.stderr


@pytest.mark.ovs
def test_open_vswitch_under_a_controller() -> None:
    done = mn("--controller", "ryu", "--test", "pingall")
    assert (done.returncode, "0% dropped" in done.stderr) == (0, True), done.stderr
    done = mn("--switch", "ovs,failMode=secure", "--controller", "none", "--test", "pingall,0.2")
    assert (done.returncode, "100% dropped" in done.stderr) == (1, True), done.stderr


def test_a_controller_that_is_not_there() -> None:
    done = mn("--controller", "remote,port=9,wait_s=0.5", "--test", "pingall")
    assert done.returncode in (1, 3)
    assert "127.0.0.1:9" in done.stderr or "Open vSwitch" in done.stderr


def test_it_ends_with_its_lab() -> None:
    with Terminal([*VNF, "mn", "--topo", "single,3"]) as terminal:
        terminal.wait_for("mininet>")
        (lab,) = labs_of(terminal)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_exit() == 128 + signal.SIGTERM
    assert lab not in [each.id for each in list_labs()]


def test_a_kill_leaves_only_what_clean_takes_away() -> None:
    with Terminal([*VNF, "mn"]) as terminal:
        terminal.wait_for("mininet>")
        (lab,) = labs_of(terminal)
        terminal.process.kill()
        terminal.wait_exit()
    assert lab in clean()
    done = mn("-c")
    assert done.returncode == 0
    assert "Removing only what labs of dead owners left behind" in done.stderr


def labs_of(terminal: Terminal) -> list[str]:
    return [lab.id for lab in list_labs() if lab.pid == terminal.process.pid]
