"""A host that walks past three switches: handover by moving the far end of its link."""

from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import LinearTopo


class MobileSwitch(OVSSwitch):
    "A switch that hosts come to and leave."

    def delIntf(self, intf):
        "Lets go of an interface, which lives on"
        port = self.ports[intf]
        del self.ports[intf]
        del self.intfs[port]
        del self.nameToIntf[intf.name]

    def addIntf(self, intf, rename=False, **kwargs):
        "Takes an interface in, under a name of this switch's"
        OVSSwitch.addIntf(self, intf, **kwargs)
        intf.node = self
        if rename:
            self.renameIntf(intf)

    def renameIntf(self, intf, newname=""):
        "Names an interface after its port"
        intf.rename(newname or f"{self.name}-eth{self.ports[intf]}")


def move(host, old, new, port):
    "Moves a host's link from one switch to another"
    ((_, far),) = host.connectionsTo(old)
    info(f"*** {far} goes from {old} to {new}\n")
    old.detach(far)
    old.delIntf(far)
    new.addIntf(far, port=port, rename=True)
    new.attach(far)
    return far


def main():
    net = Mininet(topo=LinearTopo(3), switch=MobileSwitch, waitConnected=True)
    net.start()
    print("before:", net.pingAll())
    h1, old = net.get("h1", "s1")
    for number in (2, 3, 1):
        new = net[f"s{number}"]
        far = move(h1, old, new, port=10 + number)
        print(f"at {new}: by {far}, links to {old}: {len(h1.connectionsTo(old))}")
        # What was learnt at the old place is not true any more.
        for switch in net.switches:
            switch.dpctl("del-flows")
        print(f"at {new}: lost {net.pingAll()}")
        old = new
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
