"""Files and folders of the machine in place of a host's own: python bind_mounts.py FOLDER"""

import os
import sys

from mininet.log import setLogLevel
from mininet.net import Mininet

if __name__ == "__main__":
    setLogLevel("info")
    folder = sys.argv[1]
    os.makedirs(f"{folder}/web")
    with open(f"{folder}/web/index.html", "w") as page:
        page.write("hello from the machine\n")
    with open(f"{folder}/resolv.conf", "w") as names:
        names.write("nameserver 10.0.0.2\n")
    net = Mininet()
    s1 = net.addSwitch("s1")
    mounts = [("/mnt", f"{folder}/web"), ("/etc/resolv.conf", f"{folder}/resolv.conf")]
    server = net.addHost("srv", privateDirs=mounts)
    client = net.addHost("cli")
    for h in (server, client):
        net.addLink(h, s1)
    net.start()
    print("page:", server.cmd("cat /mnt/index.html").strip())
    print("names:", server.cmd("cat /etc/resolv.conf").strip())
    server.cmd("echo written in the host > /mnt/answer")
    print("client sees no page:", "No such file" in client.cmd("cat /mnt/index.html"))
    print("own resolver:", "10.0.0.2" not in client.cmd("cat /etc/resolv.conf"))
    net.stop()
    with open(f"{folder}/web/answer") as answer:
        print("kept:", answer.read().strip())
