#!/usr/bin/env python3
"""As a drawing tool writes it: routers and their commands before the first switch; a NAT inside."""

from subprocess import call

from mininet.cli import CLI
from mininet.link import Intf, TCLink
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import (
    Controller,
    CPULimitedHost,
    Host,
    IVSSwitch,
    Node,
    OVSController,
    OVSKernelSwitch,
    RemoteController,
    UserSwitch,
)
from mininet.nodelib import NAT


def network():
    net = Mininet(topo=None, build=False, ipBase="10.0.0.0/8")
    c0 = net.addController(name="c0", controller=Controller, protocol="tcp", port=6633)
    r1 = net.addHost("r1", cls=Node, ip="0.0.0.0")
    print("forwards:", r1.cmd("sysctl -n -w net.ipv4.ip_forward=1").strip())
    s1 = net.addSwitch("s1", cls=OVSKernelSwitch, ip="10.0.0.250/8")
    h1 = net.addHost("h1", cls=Host, ip="10.0.0.1", defaultRoute=None)
    h2 = net.addHost("h2", cls=Host, ip="10.0.0.2", defaultRoute=None)
    for host in (h1, h2, r1):
        net.addLink(host, s1)
    net.build()
    for controller in net.controllers:
        controller.start()
    net.get("s1").start([c0])
    print("before:", net.ping([h1, h2]))

    nat = net.addHost("nat1", cls=NAT, ip="10.0.0.9/8", inetIntf="nat1-eth0", localIntf="nat1-eth1")
    h3 = net.addHost("h3", ip="192.168.7.100/24", defaultRoute="via 192.168.7.1")
    net.addLink(nat, s1, intfName1="nat1-eth0")
    net.addLink(nat, h3, intfName1="nat1-eth1", params1={"ip": "192.168.7.1/24"})
    net.build()
    received = h3.cmd("ping -c3 -i0.2 -W5 10.0.0.1").count("bytes from")
    print("hidden:", received, "of 3 answered")
    print("outside finds no way in:", "bytes from" not in h1.cmd("ping -c1 -W1 192.168.7.100"))
    net.stop()
    return CLI, Intf, TCLink, info, call, CPULimitedHost, IVSSwitch, OVSController, UserSwitch


if __name__ == "__main__":
    setLogLevel("warning")
    network()
    assert RemoteController
