#!/usr/bin/env python3
"""Autonomous systems: routers made of Switch, each in a network namespace of its own."""

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import IVSSwitch, Switch
from mininet.topo import Topo
from mininet.util import moveIntf, quietRun


class Router(Switch):
    """A router whose routes the script gives it."""

    def __init__(self, name, **options):
        options["inNamespace"] = True
        Switch.__init__(self, name, **options)

    @staticmethod
    def setup():
        return

    def start(self, controllers):
        self.cmd("sysctl -w net.ipv4.ip_forward=1")

    def stop(self):
        self.deleteIntfs()


class Systems(Topo):
    """Routers in a ring with a host each."""

    def build(self, n=3):
        for number in range(1, n + 1):
            self.addSwitch(f"R{number}")
            self.addHost(f"h{number}-1")
            self.addLink(f"R{number}", f"h{number}-1")
        for number in range(1, n + 1):
            self.addLink(f"R{number}", f"R{number % n + 1}")


def main():
    net = Mininet(topo=Systems(), switch=Router)
    net.start()
    for number, host in enumerate(net.hosts, 1):
        host.cmd(f"ifconfig {host.name}-eth0 10.1.{number}.1/24")
        host.cmd(f"ip route add default via 10.1.{number}.254")
        router = net[f"R{number}"]
        router.cmd(f"ifconfig R{number}-eth1 10.1.{number}.254/24")
        print(router, router.IP(), router.cmd("cat /proc/sys/net/ipv4/ip_forward").strip())
    for number in (1, 2, 3):
        onward = number % 3 + 1
        mine, other = net[f"R{number}"].connectionsTo(net[f"R{onward}"])[0]
        mine.node.cmd(f"ip address add 10.2.{number}.1/24 dev {mine}")
        other.node.cmd(f"ip address add 10.2.{number}.2/24 dev {other}")
    for number in (1, 2, 3):
        onward = number % 3 + 1
        net[f"R{number}"].cmd(f"ip route add 10.1.{onward}.0/24 via 10.2.{number}.2")
        net[f"R{onward}"].cmd(f"ip route add 10.1.{number}.0/24 via 10.2.{number}.1")
    reply = net["h1-1"].cmd("ping -c1 -W5 10.1.2.1")
    print("through both:", "ttl=62" in reply)
    print("of the machine's:", quietRun("ip -br link show R1-eth1").strip())
    net.stop()
    assert IVSSwitch is not moveIntf


if __name__ == "__main__":
    setLogLevel("warning")
    main()
