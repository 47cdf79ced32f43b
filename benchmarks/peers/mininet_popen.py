"""Starts a program in one of Mininet's hosts and waits for it: NUMBER_OF_TIMES

Runs under the Python that Mininet is installed for, on its own: nothing of ours is imported.
"""

import json
import statistics
import sys
import time

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import MinimalTopo


def main() -> None:
    """Print the median."""
    setLogLevel("error")
    net = Mininet(topo=MinimalTopo(), switch=LinuxBridge, controller=None)
    net.start()
    host = net["h1"]
    taken = []
    for _ in range(int(sys.argv[1])):
        began = time.perf_counter()
        process = host.popen(["/bin/true"], stdout=None, stderr=None)
        process.wait()
        taken.append(time.perf_counter() - began)
    net.stop()
    print(json.dumps({"node_s": statistics.median(taken)}))


if __name__ == "__main__":
    main()
