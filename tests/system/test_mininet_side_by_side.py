"""The same scripts on the real Mininet and on ours: the same nodes, addresses, links and output."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.session import SYSTEM_PYTHON, apart, require_mininet, user_environment
from emulator.errors import MachineError
from tests.system.terminal import ROOT, VNF

pytestmark = pytest.mark.root

DEADLINE_S = 240

OF_THE_MACHINE = ("*** Error setting resource limits.", "Warning: Linux bridge may not work with")
"""What Mininet says of settings of the machine that it may not change here."""

START = """
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Host, Node
from mininet.nodelib import LinuxBridge
from mininet.topo import LinearTopo, SingleSwitchReversedTopo, SingleSwitchTopo, Topo
from mininet.topolib import TorusTopo, TreeTopo
from mininet.util import dumpNodeConnections, dumpNetConnections, dumpPorts, pmonitor

setLogLevel("output")

def tell(net):
    print(net.keys(), len(net))
    for node in net.hosts:
        for intf in node.intfList():
            print(node, intf, node.ports[intf], intf.IP(), intf.prefixLen, intf.MAC())
    for switch in net.switches:
        print(switch, switch.dpid, [(str(intf), switch.ports[intf]) for intf in switch.intfList()])
    print([str(link) for link in net.links])
    dumpNodeConnections(net.hosts)
    dumpNetConnections(net)
    dumpPorts(net.switches)
"""

SCRIPTS = {
    "topologies": """
for topo in (TreeTopo(2, 2), LinearTopo(3, n=2), SingleSwitchReversedTopo(3)):
    net = Mininet(topo, switch=LinuxBridge, controller=None, autoSetMacs=True, autoStaticArp=True)
    net.start()
    tell(net)
    print(net.pingAll(), net.pingPair())
    net.stop()
""",
    "router": """
class LinuxRouter(Node):
    def config(self, **params):
        super(LinuxRouter, self).config(**params)
        self.cmd("sysctl net.ipv4.ip_forward=1")

    def terminate(self):
        self.cmd("sysctl net.ipv4.ip_forward=0")
        super(LinuxRouter, self).terminate()

class NetworkTopo(Topo):
    def build(self, **_opts):
        router = self.addNode("r0", cls=LinuxRouter, ip="192.168.1.1/24")
        s1, s2 = [self.addSwitch(s, cls=LinuxBridge) for s in ("s1", "s2")]
        for switch, intf, ip in (s1, "r0-eth1", "192.168.1.1/24"), (s2, "r0-eth2", "172.16.0.1/12"):
            self.addLink(switch, router, intfName2=intf, params2={"ip": ip})
        h1 = self.addHost("h1", ip="192.168.1.100/24", defaultRoute="via 192.168.1.1")
        h2 = self.addHost("h2", ip="172.16.0.100/12", defaultRoute="via 172.16.0.1")
        self.addLink(h1, s1)
        self.addLink(h2, s2)

net = Mininet(topo=NetworkTopo(), controller=None, waitConnected=False)
net.start()
for node in net.hosts:
    print(node, [(str(intf), intf.IP(), int(intf.prefixLen)) for intf in node.intfList()])
    print(sorted(line.split(" src ")[0] for line in node.cmd("ip route").splitlines()))
print(net.pingAll())
net["h1"].setDefaultRoute("via 192.168.1.99")
print(net.ping([net["h1"], net["h2"]], timeout=1))
net.stop()
""",
    "imperative": """
net = Mininet(switch=LinuxBridge, controller=None, ipBase="10.1.0.0/16", autoSetMacs=True)
h1, h2 = net.addHost("h1"), net.addHost("h2", ip="10.1.5.5/16")
red = net.addHost("red", mac="00:11:22:33:44:55")
s1, s7 = net.addSwitch("s1"), net.addSwitch("s7")
net.addLink(h1, s1)
net.addLink(s1, s7, port1=5, port2=9)
net.addLink(h2, s7, intfName1="up0")
net.addLink(red, s7)
net.addLink(red, s1, addr1="00:00:00:00:0a:0b", params1={"ip": "172.20.0.1/24"})
net.configLinkStatus("red", "s1", "down")
net.start()
tell(net)
print(net.pingAll())
print([str(end) for ends in red.connectionsTo(s1) for end in ends], len(net.linksBetween(h1, s1)))
net.configLinkStatus("h1", "s1", "down")
print(net.ping([h1, h2], timeout=1))
net.configLinkStatus("h1", "s1", "up")
print(net.ping([h1, h2], timeout=5))
for line in ("cd /tmp; x=4", "echo $x $PWD", "false || echo $?"):
    print(h1.cmd(line).split())
print(h2.pexec("echo out"), h2.pexec("false"))
h1.sendCmd("echo begun; echo done")
print(h1.waitOutput().split())
h1.cmdPrint("echo", "printed", 3)
popens = {host: host.popen("echo", host.name) for host in (h1, h2, red)}
print(sorted((host.name, line) for host, line in pmonitor(popens) if host))
h1.setIP("10.1.0.77/16")
h1.setMAC("02:00:00:00:00:77")
print(h1.IP(), h1.MAC(), h1.intf().updateIP(), h1.intf().updateMAC(), h1.intfIsUp())
print(net.ping([h1, h2, red]))
net.stop()
""",
}


@pytest.fixture(scope="module", autouse=True)
def mininet() -> None:
    try:
        require_mininet()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_do_and_say_the_same(name: str, tmp_path: Path) -> None:
    script = tmp_path / f"{name}.py"
    script.write_text(START + SCRIPTS[name])
    theirs = run(apart([SYSTEM_PYTHON, str(script)]))
    ours = run([*VNF, "script", str(script)])
    assert theirs.returncode == ours.returncode == 0, theirs.stderr + ours.stderr
    assert ours.stdout.splitlines() == theirs.stdout.splitlines()
    said = [line for line in theirs.stderr.splitlines() if not line.startswith(OF_THE_MACHINE)]
    assert ours.stderr.splitlines() == said
    assert "dropped" in ours.stderr


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=user_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
