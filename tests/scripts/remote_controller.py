"""A controller that runs on the machine already: python remote_controller.py PORT"""

import sys

from mininet.cli import CLI
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import OVSKernelSwitch, RemoteController


def emptyNet(port):
    net = Mininet(topo=None, build=False)
    info("*** Adding controller\n")
    net.addController("c0", controller=RemoteController, ip="127.0.0.1", port=port)
    info("*** Adding hosts and switches\n")
    h1 = net.addHost("h1", ip="10.0.0.1")
    h2 = net.addHost("h2", ip="10.0.0.2")
    s1 = net.addSwitch("s1", cls=OVSKernelSwitch, protocols="OpenFlow10")
    s2 = net.addSwitch("s2", cls=OVSKernelSwitch, protocols="OpenFlow10")
    for a, b in ((h1, s1), (s1, s2), (s2, h2)):
        net.addLink(a, b)
    net.build()
    net.start()
    print("lost:", net.pingAll())
    print("flows learnt:", "dl_dst" in s1.dpctl("dump-flows") or "dl_dst" in s2.dpctl("dump-flows"))
    if "--cli" in sys.argv:
        CLI(net)
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    emptyNet(int(sys.argv[1]) if len(sys.argv) > 1 else 6653)
