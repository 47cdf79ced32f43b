"""Starts a program in a host and waits for it: python -m benchmarks.children.popen 100"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from emulator.network import Network
from emulator.topofile import load_topology

_PROGRAM = ["/bin/true"]


def main() -> None:
    """Print the median of starting it in a host, and without any emulator in between."""
    inside: list[float] = []
    plain: list[float] = []
    with Network(load_topology("minimal", {})) as net:
        host = net["h1"]
        host.popen(_PROGRAM).wait()
        for _ in range(int(sys.argv[1])):
            began = time.perf_counter()
            host.popen(_PROGRAM).wait()
            middle = time.perf_counter()
            subprocess.Popen(_PROGRAM).wait()
            plain.append(time.perf_counter() - middle)
            inside.append(middle - began)
    report = {"node_s": statistics.median(inside), "plain_s": statistics.median(plain)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
