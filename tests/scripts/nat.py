"""Hosts that reach what the machine reaches, under its address: python nat.py ADDRESS"""

import sys

from mininet.cli import CLI
from mininet.log import lg
from mininet.net import Mininet
from mininet.topolib import TreeNet  # noqa: F401 - as the tutorials have it

if __name__ == "__main__":
    lg.setLogLevel("info")
    outside = sys.argv[1]
    net = Mininet()
    s1 = net.addSwitch("s1")
    for name in ("h1", "h2"):
        net.addLink(net.addHost(name), s1)
    nat = net.addNAT()
    nat.configDefault()
    net.start()
    print("*** Hosts are running and should reach the outside")
    for host in net.get("h1", "h2"):
        route = host.cmd("ip route show default").split()
        print(host.name, "leaves by", route[2], "which is the NAT:", route[2] == nat.IP())
        print(host.name, "outside:", host.cmd("ping -n -c1 -W5", outside).count("1 received"))
    print("lost:", net.pingAll())
    if "--cli" in sys.argv:
        CLI(net)
    net.stop()
