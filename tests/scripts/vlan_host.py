"""Hosts with interfaces in VLANs: only those in the same VLAN answer."""

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Host
from mininet.topo import Topo
from mininet.util import quietRun  # noqa: F401 - scripts look for the kernel's module with it


class VLANHost(Host):
    "A host that is connected to a VLAN"

    def config(self, vlan=100, **params):
        "Puts the host's address on an interface in the VLAN"
        r = super().config(**params)
        intf = self.defaultIntf()
        self.cmd(f"ip addr flush dev {intf}")
        self.cmd(f"ip link add link {intf} name {intf}.{vlan} type vlan id {vlan}")
        self.cmd(f"ip link set {intf}.{vlan} up")
        self.cmd(f"ip addr add {params['ip']} brd + dev {intf}.{vlan}")
        newName = f"{intf}.{vlan}"
        intf.name = newName
        self.nameToIntf[newName] = intf
        return r


hosts = {"vlan": VLANHost}


class Star(Topo):
    "A switch with two hosts in each of some VLANs, and two in none"

    def build(self, k=2, vlanBase=100):
        s1 = self.addSwitch("s1")
        for i in range(k):
            for j in (1, 2):
                self.addLink(self.addHost(f"h{j}v{i}", cls=VLANHost, vlan=vlanBase + i), s1)
        for j in (1, 2):
            self.addLink(self.addHost(f"h{j}"), s1)


if __name__ == "__main__":
    setLogLevel("info")
    net = Mininet(topo=Star(), waitConnected=True)
    net.start()
    print("VLAN:", net["h1v0"].cmd("ip -d link show").count("vlan protocol 802.1Q id 100"))
    print("lost:", round(net.pingAll(timeout=2)))
    net.stop()
