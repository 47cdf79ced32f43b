"""Starts and stops one of Mininet's topologies with its Linux bridge: KIND NUMBER_OF_HOSTS

Runs under the Python that Mininet is installed for, on its own: nothing of ours is imported.
"""

import json
import sys
import time


def main() -> None:
    """Print how long importing, starting and stopping took."""
    began = time.perf_counter()
    from mininet.log import setLogLevel
    from mininet.net import Mininet
    from mininet.nodelib import LinuxBridge
    from mininet.topo import LinearTopo, SingleSwitchTopo

    setLogLevel("error")
    imported = time.perf_counter()
    kinds = {"single": SingleSwitchTopo, "linear": LinearTopo}
    topo = kinds[sys.argv[1]](k=int(sys.argv[2]))
    net = Mininet(topo=topo, switch=LinuxBridge, controller=None)
    net.start()
    up = time.perf_counter()
    net.stop()
    down = time.perf_counter()
    report = {
        "import_s": imported - began,
        "up_s": up - imported,
        "down_s": down - up,
        "stopped_at_s": time.monotonic(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
