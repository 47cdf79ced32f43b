"""Ports of a switch in VLANs, by ovs-vsctl: hosts of two departments and a trunk between floors."""

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import OVSBridge
from mininet.topo import Topo

TAGS = {"red": 100, "blue": 200}


class Departments(Topo):
    def build(self):
        floors = [self.addSwitch(f"s{floor}") for floor in (1, 2)]
        self.addLink(*floors, port1=10, port2=10)
        for floor, switch in enumerate(floors, 1):
            for colour in TAGS:
                self.addLink(self.addHost(f"{colour}{floor}"), switch)


def main():
    net = Mininet(topo=Departments(), switch=OVSBridge, controller=None)
    net.start()
    print("without VLANs, lost:", net.pingAll())
    for host in net.hosts:
        switch = net[f"s{host.name[-1]}"]
        ((_, port),) = host.connectionsTo(switch)
        switch.cmd(f"ovs-vsctl set port {port} tag={TAGS[host.name[:-1]]}")
    for switch in net.switches:
        switch.cmd(f"ovs-vsctl set port {switch}-eth10 trunks=100,200")
    s1 = net["s1"]
    ((_, port),) = net["red1"].connectionsTo(s1)
    print("tag of red1's port:", s1.cmd(f"ovs-vsctl get port {port} tag").strip())
    print("with VLANs, lost:", round(net.pingAll(timeout=2)))
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
