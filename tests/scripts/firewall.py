"""A firewall between two networks: from inside everything, from outside one service only."""

import os

from mininet.cli import CLI
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import Node

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = """
table inet filter {
  counter refused { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "fw-eth0" accept
    iifname "fw-eth1" udp dport 9999 accept
    counter name "refused"
  }
}
"""


class Firewall(Node):
    "A router with rules"

    def config(self, **params):
        super().config(**params)
        self.cmd("sysctl -w net.ipv4.ip_forward=1")
        self.cmd(f"nft -f - <<'EOF'{RULES}EOF")

    def terminate(self):
        self.cmd("nft flush ruleset")
        super().terminate()


def build():
    net = Mininet()
    fw = net.addHost("fw", cls=Firewall, ip="10.0.1.254/24")
    inside = net.addHost("inside", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
    outside = net.addHost("outside", ip="192.168.7.1/24", defaultRoute="via 192.168.7.254")
    net.addLink(inside, fw)
    net.addLink(outside, fw, params2={"ip": "192.168.7.254/24"})
    return net


if __name__ == "__main__":
    import sys

    setLogLevel("info")
    net = build()
    net.start()
    fw, inside, outside = net.get("fw", "inside", "outside")
    info("*** Rules:\n" + fw.cmd("nft list ruleset"))
    services = [inside.popen(f"python3 {HERE}/udp.py answer {p}", text=True) for p in (9999, 8888)]
    print([service.stdout.readline().strip() for service in services])
    print("inside to outside:", inside.cmd("ping -n -c1 -W20 192.168.7.1").count("1 received"))
    print("outside to inside:", outside.cmd("ping -n -c2 -i0.2 -W1 10.0.1.1").count("0 received"))
    print("service:", outside.cmd(f"python3 {HERE}/udp.py ask 10.0.1.1 9999 3").strip())
    print("other port:", outside.cmd(f"python3 {HERE}/udp.py ask 10.0.1.1 8888 1 0.5").strip())
    print("refused:", fw.cmd("nft list counter inet filter refused | grep -o 'packets [0-9]*'"))
    if "--cli" in sys.argv:
        CLI(net)
    for service in services:
        service.kill()
    net.stop()
