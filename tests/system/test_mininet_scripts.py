"""Mininet's names on running labs, and how scripts end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.compat.mininet.cli import CLI
from emulator.compat.mininet.link import Link, TCLink
from emulator.compat.mininet.net import Mininet
from emulator.compat.mininet.node import CPULimitedHost, Host, Node, OVSSwitch, RemoteController
from emulator.compat.mininet.nodelib import LinuxBridge
from emulator.compat.mininet.topo import LinearTopo, Topo
from emulator.compat.mininet.util import custom, dumpNodeConnections, waitListening
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import LabError, TopologyError, UsageError
from emulator.labs import list_labs
from tests.system.terminal import ROOT

pytestmark = pytest.mark.root


class LinuxRouter(Node):
    """As half the courses have it."""

    def config(self, **params: Any) -> Any:
        super().config(**params)
        self.cmd("sysctl net.ipv4.ip_forward=1")
        self.params["configured"] = True

    def terminate(self) -> None:
        self.cmd("sysctl net.ipv4.ip_forward=0")
        super().terminate()


class Routed(Topo):
    """Two networks with a router between them."""

    def build(self) -> None:
        router = self.addNode("r0", cls=LinuxRouter, ip="192.168.1.1/24")
        for number, net in enumerate(("192.168.1", "172.16.0"), 1):
            switch = self.addSwitch(f"s{number}")
            end = {"intfName2": f"r0-eth{number}", "params2": {"ip": f"{net}.1/24"}}
            self.addLink(switch, router, **end)
            host = self.addHost(f"h{number}", ip=f"{net}.100/24", defaultRoute=f"via {net}.1")
            self.addLink(host, switch, bw=100, delay="2ms")


@pytest.fixture(scope="module")
def routed() -> Iterator[Any]:
    net = Mininet(Routed(), link=TCLink, autoStaticArp=True)
    net.start()
    yield net
    net.stop()


@pytest.fixture
def net() -> Iterator[Any]:
    net = Mininet(autoSetMacs=True)
    yield net
    net.stop()


# A network that runs ------------------------------------------------------------------------------


def test_a_router_of_the_scripts_own_class_routes(routed: Any) -> None:
    assert routed["r0"].params["configured"]
    assert routed.pingAll() == 0
    assert routed["r0"].intfNames() == ["r0-eth1", "r0-eth2"]
    assert routed["r0"].IP("r0-eth2") == "172.16.0.1"
    ((ours, theirs),) = routed["r0"].connectionsTo(routed["s1"])
    assert (str(ours), str(theirs)) == ("r0-eth1", "s1-eth1")


def test_full_pings_take_as_long_as_the_links(routed: Any) -> None:
    source, target, (sent, received, low, *_) = routed.pingFull(routed.get("h1", "h2"))[0]
    assert (source.name, target.name, sent, received) == ("h1", "h2", 1, 1)
    assert low >= 8


def test_a_shell_lasts_and_says_what_it_did(routed: Any) -> None:
    h1 = routed["h1"]
    assert h1.cmd("cd /tmp; x=5") == ""
    assert h1.cmd("echo", "$x", "$PWD") == "5 /tmp\n"
    assert h1.lastCmd == "echo $x $PWD"
    h1.cmd("sleep 100 &")
    assert h1.lastPid is not None
    assert h1.cmd("kill", h1.lastPid, "&& echo gone") == "gone\n"
    assert h1.pexec("sh -c 'echo out; echo err >&2; exit 3'") == ("out\n", "err\n", 3)
    assert Path(f"/proc/{h1.pid}").exists()


def test_commands_under_way_are_heard_together(routed: Any) -> None:
    hosts = routed.get("h1", "h2")
    for host in hosts:
        host.sendCmd("echo", host, "; read -t 0.05; echo done")
    with pytest.raises(LabError, match="a command is under way"):
        hosts[0].cmd("true")
    heard: dict[str, str] = {}
    for host, text in routed.monitor(hosts, timeoutms=20_000):
        heard[host.name] = heard.get(host.name, "") + text
    assert heard == {"h1": "h1\ndone\n", "h2": "h2\ndone\n"}


def test_what_a_class_of_the_scripts_raises_leaves_the_rest_alive() -> None:
    class Weak(Host):
        failures = 1

        def be_born(self) -> None:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("not yet")
            super().be_born()

    net = Mininet()
    try:
        h1, weak, h3 = net.addHost("h1"), net.addHost("weak", cls=Weak), net.addHost("h3")
        s1 = net.addSwitch("s1")
        for host in (h1, weak, h3):
            net.addLink(host, s1)
        done: list[str] = []

        def stumble() -> None:
            raise RuntimeError("stumbled")

        h1.once_alive(stumble)
        h1.once_alive(lambda: done.append(h1.cmd("echo first")))
        h3.once_alive(lambda: done.append("second"))
        with pytest.raises(RuntimeError, match="not yet"):
            net.start()
        assert net.engine.running
        with pytest.raises(RuntimeError, match="stumbled"):
            h3.cmd("true")
        assert done == []
        assert weak.cmd("echo well") == "well\n"
        assert done == ["first\n", "second"]
        net.start()
        assert net.pingAll() == 0
        net.delNode(weak)
        assert net.ping([h1, h3]) == 0
    finally:
        net.stop()


def test_a_lab_that_has_ended_is_said_to_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise LabError("the kernel has no more room")

    net = Mininet()
    try:
        h1 = net.addHost("h1")
        net.start()
        with monkeypatch.context() as patch:
            patch.setattr("emulator.fabric.Fabric.add_nodes", refuse)
            with pytest.raises(LabError, match="no more room"):
                net.addHost("h2").cmd("true")
        with pytest.raises(LabError, match="the lab has ended: a change ended it: .*no more room"):
            h1.cmd("true")
    finally:
        net.stop()


def test_a_limited_hosts_control_group_is_a_scripts_to_set(capfd: Any) -> None:
    net = Mininet(host=CPULimitedHost)
    try:
        h1 = net.addHost("h1", cpu=0.5)
        assert h1.cgroupGet("cfs_quota_us") == h1.cfsInfo(0.5)[3]
        assert h1.cgroupSet("cfs_period_us", 50_000) == 50_000
        h1.setCPUs([0], mems=0)
        assert h1.cgroupGet("cpus", "cpuset") == 0
        assert capfd.readouterr().err == ""
        quota = h1.cgroupGet("cfs_quota_us")
        assert h1.cgroupSet("cfs_quota_us", 5) == quota
        assert f"cfs_quota_us set to {quota} instead of 5: the kernel" in capfd.readouterr().err
        # Some kernels have real-time processes only in groups with a share for them.
        policy = h1.chrt()
        assert policy in h1.cmd("chrt -p $$")
        told = "could not assign SCHED_RR to h1" in capfd.readouterr().err
        assert told == (policy != "SCHED_RR")
        assert h1.cgroupDel()
        assert h1.cgroupGet("cfs_quota_us") == -1
    finally:
        net.stop()


def test_a_command_under_way_is_interrupted(routed: Any) -> None:
    h1 = routed["h1"]
    # Printed by what is to be interrupted: before that it may not be in the foreground yet.
    h1.sendCmd("sh -c 'echo up; exec sleep 1000'")
    assert h1.monitor() == "up\n"
    h1.sendInt()
    h1.waitOutput()
    assert h1.cmd("echo well") == "well\n"


def test_addresses_and_routes_change_while_it_runs(routed: Any) -> None:
    h1, h2 = routed.get("h1", "h2")
    h1.setIP("192.168.1.7", 24)
    h1.setDefaultRoute("via 192.168.1.1")
    h1.setHostRoute("9.9.9.9", "h1-eth0")
    h1.setARP("192.168.1.77", "02:00:00:00:00:77")
    assert h1.IP() == "192.168.1.7"
    assert h1.intf().updateIP() == "192.168.1.7"
    routes = h1.cmd("ip route; ip neigh")
    assert "default via 192.168.1.1" in routes
    assert "9.9.9.9 dev h1-eth0" in routes
    assert "192.168.1.77 dev h1-eth0 lladdr 02:00:00:00:00:77 PERMANENT" in routes
    assert routed.ping([h1, h2]) == 0
    h1.setIP("192.168.1.100/24")
    h1.setDefaultRoute("via 192.168.1.1")


def test_links_are_impaired_anew_and_taken_down(routed: Any) -> None:
    h1, h2 = routed.get("h1", "h2")
    (link,) = routed.linksBetween(h1, routed["s1"])
    link.intf1.config(delay="30ms")
    assert routed.pingFull([h1, h2])[0][2][2] >= 30
    link.intf1.config(delay="2ms", bw=100)
    routed.configLinkStatus("h1", "s1", "down")
    assert routed.ping([h1, h2], timeout=0.5) == 100
    routed.configLinkStatus("h1", "s1", "up")
    assert routed.ping([h1, h2]) == 0


def test_who_is_linked_to_whom(routed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dumpNodeConnections(routed.hosts)
    said = capsys.readouterr().err
    assert said == "h1 h1-eth0:s1-eth2\nh2 h2-eth0:s2-eth2\nr0 r0-eth1:s1-eth1 r0-eth2:s2-eth1\n"


def test_something_that_listens_is_waited_for(routed: Any) -> None:
    h1, h2 = routed.get("h1", "h2")
    assert not waitListening(h1, h2, 8088, timeout=0.01)
    server = h2.popen("nc -l -p 8088" if not _has_python(h2) else _LISTENER)
    assert waitListening(h1, h2, 8088, timeout=30)
    server.kill()
    server.communicate()


_LISTENER = [
    sys.executable,
    "-c",
    "import socket; s = socket.create_server(('', 8088))\nwhile True: s.accept()",
]


def _has_python(node: Any) -> bool:
    return bool(node.pexec([sys.executable, "-c", ""])[2] == 0)


def test_the_command_line_knows_the_scripts_own_commands_and_objects(
    routed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Own(CLI):
        prompt = "own> "

        def do_greet(self, line: str) -> None:
            """Greets somebody."""
            print(f"hello {line} of {len(self.mn.hosts)}")

    lines = tmp_path / "lines"
    lines.write_text("greet you\npy h1.params['ip']\nh1 echo $((1+1)) h2\nnonsense\nexit\n")
    Own(routed, script=str(lines))
    said = capsys.readouterr()
    assert said.out.splitlines() == ["hello you of 3", "192.168.1.100/24", "2 172.16.0.100"]
    assert "unknown command: nonsense" in said.err


# A network that grows -----------------------------------------------------------------------------


def test_nodes_live_as_soon_as_something_needs_them(net: Any) -> None:
    h1, h2 = net.addHost("h1"), net.addHost("h2", ip="10.0.0.22/8")
    s1 = net.addSwitch("s1")
    net.addLink(h1, s1)
    assert not net.growth.alive
    assert "lo" in h1.cmd("ip -br link")
    assert net.growth.alive
    net.addLink(h2, s1, intfName1="uplink")
    net.start()
    assert (h1.IP(), h1.MAC()) == ("10.0.0.1", "00:00:00:00:00:01")
    assert h2.intfNames() == ["uplink"]
    h3 = net.addHost("h3")
    net.addLink(h3, s1)
    h3.setIP("10.0.0.33/8")
    assert net.pingAll() == 0
    net.delNode(h2)
    assert list(net) == ["h1", "h3", "s1"]
    net.delLinkBetween(h3, s1)
    assert net.ping(timeout=0.2) == 100
    assert h3.intfs == {}


def test_a_host_moves_to_another_switch(net: Any) -> None:
    h1, h2 = net.addHost("h1"), net.addHost("h2")
    # Names that are too long for the kernel are for people.
    s1, s2 = (net.addSwitch(name, cls=LinuxBridge) for name in ("a-switch-of-long-name1", "s2"))
    port = net.addLink(h1, s1).intf2
    net.addLink(h2, s2)
    net.start()
    assert net.ping(timeout=0.2) == 100
    s1.detach(port)
    s1.delIntf(port)
    s2.addIntf(port)
    s2.attach(port)
    port.rename("s2-eth9")
    assert net.pingAll() == 0
    assert (s1.intfNames(), s2.intfNames()) == (["lo"], ["lo", "s2-eth1", "s2-eth9"])


def test_nodes_without_a_network_have_a_lab_of_their_own() -> None:
    h1, h2 = Node("h1"), Host("h2")
    try:
        link = Link(h1, h2)
        h1.setIP("10.0.0.1", 8)
        h2.setIP("10.0.0.2", 8)
        assert "1 received" in h1.cmd("ping -c1", link.intf2.IP())
    finally:
        lab = h1.growth.engine.id
        h1.growth.end()
    assert lab not in running()


@pytest.mark.ovs
def test_switches_under_openflow_obey_their_flows() -> None:
    net = Mininet(LinearTopo(2), switch=OVSSwitch, controller=None)
    try:
        net.start()
        assert net.ping(timeout=0.2) == 100
        for switch in net.switches:
            assert switch.dpctl("add-flow", "actions=normal") == ""
        assert net.pingAll() == 0
        assert "NORMAL" in subprocess.check_output(["ovs-ofctl", "dump-flows", "s1"], text=True)
    finally:
        net.stop()


# What cannot be had -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda net: net.addHost("h1", colour="red"), "Host has no parameter colour"),
        (lambda net: net.addSwitch("s1", protocls="x"), "no parameter protocls"),
        (lambda net: net["h9"], "there is no node h9"),
        (lambda net: (net.addHost("h1"), net.addHost("h1")), "there is a node h1 already"),
        (
            lambda net: net.addLink(net.addHost("h1"), net.addSwitch("s1"), bandwidth=5),
            "an interface has no parameter bandwidth",
        ),
        (lambda net: net.addHost("h1", inNamespace=False), "the machine's own network namespace"),
    ],
)
def test_what_is_wrong_is_told_at_once(net: Any, wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wrong(net)


def test_what_is_wrong_with_links_is_told_with_its_line(net: Any) -> None:
    net.addLink(net.addHost("h1"), net.addSwitch("s1"), delay="fast")
    with pytest.raises(TopologyError, match=r"test_mininet_scripts.py:\d+: .*delay") as error:
        net.start()
    assert not net.growth.alive
    assert "write it with its unit" in error.value.problems[0].hint


def test_a_switch_that_starts_by_itself_is_refused(net: Any) -> None:
    class Own(OVSSwitch):
        def start(self, controllers: Any) -> None:
            """Does something else."""

    net.addSwitch("s1", cls=Own)
    with pytest.raises(UnsupportedError, match="Own starts a switch by itself"):
        net.start()


def test_a_controller_comes_too_late_for_linux_bridges(net: Any) -> None:
    net.addLink(net.addHost("h1"), net.addSwitch("s1"))
    net.start()
    with pytest.raises(UsageError, match="c0 is added when the switches live already"):
        net.addController("c0", RemoteController)


@pytest.mark.ovs
def test_a_controller_that_a_script_goes_on_without_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # and never listened at
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr("emulator.compat.growth.ON_FAILURE", "keep")
        net = Mininet()
        net.addController("c0", RemoteController, port=port, wait_s=0.3)
        net.addLink(net.addHost("h1"), net.addSwitch("s1"))
        try:
            net.start()
        finally:
            net.stop()
    told = f"*** c0 failed: s1 is not connected to 127.0.0.1:{port}\n"
    assert told in capfd.readouterr().err


def test_classes_with_parameters_of_their_own(net: Any) -> None:
    net.host = custom(Host, ip="10.1.2.3/8")
    with pytest.raises(UsageError, match="there is no interface nothing"):
        net.addHost("h1").setIP("10.0.0.1", 8, intf="nothing")


# How scripts end ----------------------------------------------------------------------------------

BEGIN = """
from mininet.net import Mininet
from mininet.topo import MinimalTopo
net = Mininet(MinimalTopo())
net.start()
print(net.engine.id, flush=True)
"""


def running() -> set[str]:
    return {lab.id for lab in list_labs()}


def start(tmp_path: Path, rest: str, **options: Any) -> subprocess.Popen[str]:
    path = tmp_path / "lab.py"
    path.write_text(BEGIN + rest)
    return subprocess.Popen(
        [sys.executable, "-m", "emulator", "script", str(path)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize(
    ("rest", "code", "said"),
    [("", 0, ""), ("{}['x']", 1, "KeyError: 'x'"), ("net['h9']", 2, "there is no node h9")],
)
def test_what_a_script_leaves_is_taken_back(
    tmp_path: Path, rest: str, code: int, said: str
) -> None:
    script = start(tmp_path, rest)
    out, errors = script.communicate(timeout=60)
    assert script.returncode == code
    assert said in errors
    assert f"*** Lab {out.strip()} was still there when the script ended: taken back" in errors
    assert out.strip() not in running()


def test_ctrl_c_ends_a_script_and_another_one_goes_on(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    # Where a run of the tests is in the background, it ignores Ctrl-C, as would its children.
    listening = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    first = start(tmp_path, "net['h1'].cmd('sleep 1000')", **listening)
    second = start(tmp_path / "other", "print(net.pingAll())\ninput()\n", stdin=subprocess.PIPE)
    assert first.stdout is not None
    assert second.stdout is not None
    ids = [script.stdout.readline().strip() for script in (first, second) if script.stdout]
    assert running() >= set(ids)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "interrupted" in errors
    assert ids[0] not in running()
    assert ids[1] in running()
    assert second.stdout.readline() == "0.0\n"
    second.communicate("\n", timeout=60)
    assert second.returncode == 0
