"""Containernet: hosts in containers, with folders, variables and limits of their own."""

import os
import sys

from mininet.cli import CLI
from mininet.link import TCLink
from mininet.log import info, setLogLevel
from mininet.net import Containernet
from mininet.node import Controller


def main(folder):
    with open(os.path.join(folder, "note"), "w") as note:
        note.write("from the machine\n")
    net = Containernet(controller=Controller)
    net.addController("c0")
    info("*** Adding docker containers\n")
    d1 = net.addDocker(
        "d1",
        ip="10.0.0.251",
        dimage="dev_test",
        dcmd="sh",
        volumes=[f"{folder}:/mnt/vol1:rw"],
        environment={"COLOUR": "green"},
        mem_limit="64m",
    )
    d2 = net.addDocker("d2", ip="10.0.0.252", dimage="dev_test", dcmd="sh", cpu_shares=20)
    h1 = net.addHost("h1", ip="10.0.0.1/8")
    s1, s2 = net.addSwitch("s1"), net.addSwitch("s2")
    net.addLink(d1, s1)
    net.addLink(s1, s2, cls=TCLink, delay="5ms", bw=10)
    net.addLink(s2, d2)
    net.addLink(s2, h1)
    net.start()
    print("lost:", net.ping([d1, d2, h1]))
    print("note:", d1.cmd("cat /mnt/vol1/note").strip(), d1.cmd("echo $COLOUR").strip())
    print("limits:", d1.dins.attrs["HostConfig"]["Memory"] >> 20, d2.resources["cpu_shares"])
    d1.cmd("hostname > /mnt/vol1/name")
    d2.updateCpuLimit(cpu_quota=50000)
    print("quota now:", d2.resources["cpu_quota"])
    if "--cli" in sys.argv:
        CLI(net)
    net.removeDocker("d2")
    print("left:", [host.name for host in net.hosts], "lost:", net.pingAll())
    net.stop()
    with open(os.path.join(folder, "name")) as name:
        print("written by d1:", name.read().strip() != "")


if __name__ == "__main__":
    setLogLevel("info")
    main(sys.argv[1])
