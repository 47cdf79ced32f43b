"""A service chain by name, and changed while it is in use: by two relays, by one, by none."""

import os
import sys

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo

HERE = os.path.dirname(os.path.abspath(__file__))


class Chained(Topo):
    def build(self):
        s1 = self.addSwitch("s1")
        for name in ("client", "server", "fw", "nc"):
            self.addLink(self.addHost(name), s1)


def ask(net, port=9999):
    return net["client"].cmd(f"python3 {HERE}/udp.py ask {net['server'].IP()} {port} 5").strip()


def main(kind):
    net = Mininet(topo=Chained(), switch=kind) if kind else Mininet(topo=Chained())
    net.start()
    net["client"].cmd("ethtool -K client-eth0 tx off")
    relays = [net[name].popen(f"python3 {HERE}/relay.py {name}-eth0", text=True) for name in
              ("fw", "nc")]  # fmt: skip
    services = [net["server"].popen(f"python3 {HERE}/udp.py answer {port}", text=True) for port in
                (9999, 8888)]  # fmt: skip
    print("ready:", [program.stdout.readline().strip() for program in relays + services])
    chain = net.addChain(
        "c1", src=net["client"], dst="server", via=["fw", "nc"], match="udp dport 9999"
    )
    print("by both:", ask(net))
    print("other traffic:", ask(net, port=8888))
    print("counted:", [leg.packets for leg in chain.counters()])
    net.setChain("c1", via=net["nc"])
    print("by one:", ask(net))
    net.setChain("c1", via=[])
    print("by none:", ask(net))
    net.removeChain("c1")
    print("without the chain:", ask(net))
    print("lost:", net.pingAll())
    for program in relays:
        program.terminate()
    print("relays:", [program.communicate()[0].strip() for program in relays])
    net.stop()


if __name__ == "__main__":
    from mininet.node import OVSBridge

    setLogLevel("info")
    main(OVSBridge if "--ovs" in sys.argv else None)
