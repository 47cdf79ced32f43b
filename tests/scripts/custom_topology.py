"""Two floors of an office: a topology of one's own, and who is linked to whom."""

from mininet.cli import CLI
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo
from mininet.util import dumpNodeConnections


class Office(Topo):
    def build(self, floors=2, desks=2):
        core = self.addSwitch("s1")
        for floor in range(1, floors + 1):
            switch = self.addSwitch(f"s{floor + 1}")
            self.addLink(switch, core)
            for desk in range(1, desks + 1):
                host = self.addHost(f"h{floor}{desk}", ip=f"10.0.{floor}.{desk}/16")
                self.addLink(host, switch)


topos = {"office": Office}


def main(interactive=False):
    net = Mininet(topo=Office(floors=2, desks=2), autoSetMacs=True)
    net.start()
    dumpNodeConnections(net.hosts)
    print("hosts:", " ".join(h.name for h in net.hosts))
    print("switches:", " ".join(s.name for s in net.switches))
    for host in net.hosts:
        print(host.name, host.IP(), host.MAC())
    print("lost:", net.pingAll())
    if interactive:
        CLI(net)
    net.stop()


if __name__ == "__main__":
    import sys

    setLogLevel("info")
    main(interactive="--cli" in sys.argv)
