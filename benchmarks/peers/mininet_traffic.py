"""Pings between all hosts of a switch, and TCP between two: NUMBER_OF_HOSTS SECONDS

Written in Mininet's words, so that both Mininet and `vnf script` run it.
"""

import json
import sys
import time

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo


def main() -> None:
    """Print how long the pings took, how many were lost, and how much TCP carried."""
    setLogLevel("error")
    net = Mininet(topo=SingleSwitchTopo(k=int(sys.argv[1])), switch=LinuxBridge, controller=None)
    net.start()
    began = time.perf_counter()
    lost = net.pingAll()
    pinged = time.perf_counter()
    first, last = net.hosts[0], net.hosts[-1]
    last.cmd("iperf3 -s -1 -D")
    said = ""
    # It may take a moment until it listens.
    while "sum_received" not in said and time.perf_counter() < pinged + 60:
        said = first.cmd(f"iperf3 -J -t {sys.argv[2]} -c {last.IP()}")
    net.stop()
    report = {
        "pingall_s": pinged - began,
        "lost": lost,
        "tcp_gbps": json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9,
        "stopped_at_s": time.monotonic(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
