"""Hosts with folders of their own: some last as long as the host, one is kept on the machine."""

import sys
from functools import partial
from os.path import join

from mininet.cli import CLI
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import Host
from mininet.topo import SingleSwitchTopo


def testHostWithPrivateDirs(keep):
    "Each host writes its name where all of them look"
    topo = SingleSwitchTopo(3)
    privateDirs = [("/var/log", join(keep, "%(name)s/var/log")), "/var/mn", "/srv"]
    host = partial(Host, privateDirs=privateDirs)
    net = Mininet(topo=topo, host=host)
    net.start()
    directories = [d[0] if isinstance(d, tuple) else d for d in privateDirs]
    info("Private Directories:", directories, "\n")
    for h in net.hosts:
        for d in directories:
            h.cmd(f"echo {h.name} of {d} > {d}/me")
    for h in net.hosts:
        print(h.name, "finds:", ", ".join(h.cmd(f"cat {d}/me").strip() for d in directories))
    print("h1 has in /srv:", net["h1"].cmd("ls /srv").strip())
    if "--cli" in sys.argv:
        CLI(net)
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    testHostWithPrivateDirs(sys.argv[1])
