"""Three switches under two controllers: each switch obeys the one that it is given."""

from mininet.cli import CLI
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Controller, OVSSwitch
from mininet.topolib import TreeTopo

c0 = Controller("c0", port=6633)
c1 = Controller("c1", port=6634)
cmap = {"s1": c0, "s2": c1, "s3": c1}


class MultiSwitch(OVSSwitch):
    "A switch that goes to a controller of its own"

    def start(self, controllers):
        return OVSSwitch.start(self, [cmap[self.name]])


if __name__ == "__main__":
    import sys

    setLogLevel("info")
    topo = TreeTopo(depth=2, fanout=2)
    net = Mininet(topo=topo, switch=MultiSwitch, build=False, waitConnected=True)
    for c in (c0, c1):
        net.addController(c)
    net.build()
    net.start()
    for switch in net.switches:
        target = switch.vsctl("get-controller", switch.name).strip()
        print(switch.name, "goes to", target.split(":")[-1], "connected:", switch.connected())
    print("lost:", net.pingAll())
    if "--cli" in sys.argv:
        CLI(net)
    net.stop()
