"""Starts and stops containers on one switch: python -m benchmarks.children.containers 20 IMAGE"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Print how long importing, starting, a command in each and stopping took."""
    began = time.perf_counter()
    import docker  # noqa: F401 - which labs import when they first need it

    from emulator import Topo
    from emulator.network import Network

    imported = time.perf_counter()
    topo = Topo()
    switch = topo.addSwitch("s1")
    for number in range(1, int(sys.argv[1]) + 1):
        topo.addLink(topo.addDocker(f"d{number}", image=sys.argv[2]), switch)
    net = Network(topo)
    net.start()
    up = time.perf_counter()
    for host in net.hosts:
        host.cmd("true")
    answered = time.perf_counter()
    net.stop()
    down = time.perf_counter()
    report = {
        "import_s": imported - began,
        "up_s": up - imported,
        "answered_s": answered - imported,
        "down_s": down - answered,
        "stopped_at_s": time.monotonic(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
