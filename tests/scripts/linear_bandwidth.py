"""Throughput along a row of switches: how much gets through to the second, and to the last host."""

import sys

from mininet.link import TCLink
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo
from mininet.util import irange


class Row(Topo):
    def build(self, n=3, **link):
        before = None
        for i in irange(1, n):
            host, switch = self.addHost(f"h{i}"), self.addSwitch(f"s{i}")
            self.addLink(host, switch, bw=100)
            if before:
                self.addLink(switch, before, **link)
            before = switch


def measure(n):
    net = Mininet(topo=Row(n, bw=20, delay="1ms", max_queue_size=200), link=TCLink)
    net.start()
    first = net.get("h1")
    print("lost:", net.pingAll())
    for i in irange(2, n):
        host = net.get(f"h{i}")
        _, _, times = net.pingFull([first, host])[0]
        print(f"{i - 1} links: at least {2 * (i - 1)} ms there and back: {times[3] >= 2 * (i - 1)}")
    last = net.get(f"h{n}")
    info("*** Measuring\n")
    received, sent = net.iperf((first, last), seconds=1)
    print("got through:", float(received.split()[0]) > 0, "in", received.split()[1])
    print("no more than the links take:", float(received.split()[0]) < 25)
    print("sent in", sent.split()[1])
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
