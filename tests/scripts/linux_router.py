"""Three networks and a router between them, which is a host that forwards."""

from mininet.cli import CLI
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import Node
from mininet.topo import Topo


class LinuxRouter(Node):
    "A node that forwards."

    def config(self, **params):
        super(LinuxRouter, self).config(**params)  # noqa: UP008 - courses write it like this
        self.cmd("sysctl net.ipv4.ip_forward=1")

    def terminate(self):
        self.cmd("sysctl net.ipv4.ip_forward=0")
        super(LinuxRouter, self).terminate()  # noqa: UP008


class ThreeNetworks(Topo):
    def build(self, **_opts):
        gateways = {1: "192.168.1.1/24", 2: "172.16.0.1/12", 3: "10.0.0.1/8"}
        router = self.addNode("r0", cls=LinuxRouter, ip=gateways[1])
        switches = {n: self.addSwitch(f"s{n}") for n in gateways}
        for n, address in gateways.items():
            self.addLink(switches[n], router, intfName2=f"r0-eth{n}", params2={"ip": address})
        hosts = {1: "192.168.1.100/24", 2: "172.16.0.100/12", 3: "10.0.0.100/8"}
        for n, address in hosts.items():
            gateway = gateways[n].split("/")[0]
            host = self.addHost(f"h{n}", ip=address, defaultRoute=f"via {gateway}")
            self.addLink(host, switches[n])


def run(interactive):
    net = Mininet(topo=ThreeNetworks(), waitConnected=True)
    net.start()
    info("*** Routes of the router:\n")
    print(net["r0"].cmd("ip route"))
    print("lost:", net.pingAll())
    print(
        "hops h1 - h3:", 64 - int(net["h1"].cmd("ping -n -c1 10.0.0.100 | grep -o 'ttl=.. '")[4:])
    )
    print("its own:", net["r0"].cmd("cat /proc/sys/net/ipv4/ip_forward").strip())
    if interactive:
        CLI(net)
    net.stop()


if __name__ == "__main__":
    import sys

    setLogLevel("info")
    run("--cli" in sys.argv)
