"""Hosts on one switch: python -m benchmarks.children.many_hosts 1000"""

from __future__ import annotations

import gc
import json
import sys
import time

from emulator.network import Network
from emulator.topofile import load_topology
from emulator.traffic.ping import Endpoint, ping

_MIB = 1 << 20
_SETTLED_BYTES = 1 << 19
_SETTLE_DEADLINE_S = 5.0
_LOOK_S = 0.2
_TRIES = 3


def main() -> None:
    """Print how long starting took, how many hosts the first one reaches, and the memory."""
    count = int(sys.argv[1])
    with Network(load_topology("single,2", {})):
        pass
    before = _settled_memory()
    began = time.perf_counter()
    with Network(load_topology(f"single,{count}", {})) as net:
        up_s = time.perf_counter() - began
        after = _settled_memory()
        ends = [Endpoint(host.name, host.netns, host.IP() or "") for host in net.hosts]
        began = time.perf_counter()
        silent = set(range(1, count))
        asked_again = 0
        for _ in range(_TRIES):
            matrix = ping(ends, [(0, other) for other in sorted(silent)])
            silent = {other for other in silent if not matrix.replied("h1", ends[other].name)}
            asked_again = max(asked_again, len(silent))
            if not silent:
                break
        ping_s = time.perf_counter() - began
        began = time.perf_counter()
    report = {
        "up_s": up_s,
        "reached": count - 1 - len(silent),
        "asked_again": asked_again,
        "ping_s": ping_s,
        "down_s": time.perf_counter() - began,
        "stopped_at_s": time.monotonic(),
        "mib_per_host": (before["MemAvailable"] - after["MemAvailable"]) / _MIB / count,
        **{
            f"{name.lower()}_mib_per_host": (after[name] - before[name]) / _MIB / count
            for name in ("Slab", "Percpu", "VmRSS")
        },
    }
    print(json.dumps(report))


def _settled_memory() -> dict[str, int]:
    """Memory in bytes, once what was freed has come back and no more is being taken."""
    gc.collect()
    deadline = time.monotonic() + _SETTLE_DEADLINE_S
    last = _memory()
    while True:
        time.sleep(_LOOK_S)
        now = _memory()
        still = abs(now["MemAvailable"] - last["MemAvailable"]) < _SETTLED_BYTES
        if still or time.monotonic() > deadline:
            return now
        last = now


def _memory() -> dict[str, int]:
    found = {}
    for path in ("/proc/meminfo", "/proc/self/status"):
        with open(path) as file:
            for line in file:
                name, _, value = line.partition(":")
                if value.endswith("kB\n"):
                    found[name] = int(value.split()[0]) * 1024
    return found


if __name__ == "__main__":
    main()
