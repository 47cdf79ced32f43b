"""Starts and stops a built-in topology: python -m benchmarks.children.start_stop single,256"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Print how long importing, starting and stopping took."""
    began = time.perf_counter()
    from emulator.network import Network
    from emulator.topofile import load_topology

    imported = time.perf_counter()
    net = Network(load_topology(sys.argv[1], {}))
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
