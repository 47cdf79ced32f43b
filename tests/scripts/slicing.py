"""One network, two slices: the upper hosts talk by the upper switch, the lower by the lower one."""

import json
import os

from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import OVSKernelSwitch, Ryu
from mininet.topo import Topo

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slicing_app.py")


class NetworkSlicingTopo(Topo):
    def build(self):
        host_config = {"inNamespace": True}
        fast, slow, host_link = {"bw": 10}, {"bw": 1}, {}
        for i in range(4):
            self.addSwitch(f"s{i + 1}", dpid=f"{i + 1:016x}")
            self.addHost(f"h{i + 1}", **host_config)
        self.addLink("s1", "s2", **fast)
        self.addLink("s2", "s4", **fast)
        self.addLink("s1", "s3", **slow)
        self.addLink("s3", "s4", **slow)
        for host, switch in (("h1", "s1"), ("h2", "s1"), ("h3", "s4"), ("h4", "s4")):
            self.addLink(host, switch, **host_link)


def packets(switch, port):
    "What a port has sent"
    said = json.loads(switch.cmd(f"ip -j -s link show {switch}-eth{port}"))
    return said[0]["stats64"]["tx"]["packets"]


if __name__ == "__main__":
    setLogLevel("info")
    net = Mininet(
        topo=NetworkSlicingTopo(),
        switch=OVSKernelSwitch,
        build=False,
        autoSetMacs=True,
        autoStaticArp=True,
        link=TCLink,
        controller=None,
    )
    net.addController(Ryu("c1", APP))
    net.build()
    net.start()
    net.waitConnected()
    print("lost:", round(net.pingAll(timeout=2)))
    s1 = net["s1"]
    before = {port: packets(s1, port) for port in (1, 2)}
    net["h1"].cmd("ping -n -c5 -i0.01", net["h3"].IP())
    after = {port: packets(s1, port) for port in (1, 2)}
    print(
        "by the upper way:", after[1] - before[1] >= 5, "by the lower:", after[2] - before[2] >= 5
    )
    net.stop()
