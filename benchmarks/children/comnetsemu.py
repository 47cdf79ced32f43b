"""A lab in ComNetsEmu's words, up and down: python -m benchmarks.children.comnetsemu 8 IMAGE"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Print how long importing, starting, a command in each, app containers and stopping took."""
    began = time.perf_counter()
    import docker  # noqa: F401 - which labs import when they first need it

    from emulator.compat import aliases

    with aliases.install():
        from comnetsemu.net import Containernet, VNFManager
        from mininet.log import setLogLevel

        setLogLevel("error")
        imported = time.perf_counter()
        net = Containernet(controller=None)
        switch = net.addSwitch("s1")
        for number in range(1, int(sys.argv[1]) + 1):
            net.addLink(net.addDockerHost(f"d{number}", dimage=sys.argv[2]), switch)
        net.start()
        up = time.perf_counter()
        for host in net.hosts:
            host.cmd("true")
        answered = time.perf_counter()
        manager = VNFManager(net)
        for host in net.hosts:
            manager.addContainer(f"app-{host.name}", host.name, sys.argv[2], "sleep 1000000")
        for name in manager.getAllContainers():
            manager.removeContainer(name)
        managed = time.perf_counter()
        net.stop()
        manager.stop()
        down = time.perf_counter()
    report = {
        "import_s": imported - began,
        "up_s": up - imported,
        "answered_s": answered - imported,
        "apps_s": managed - answered,
        "down_s": down - managed,
        "lab_s": answered - imported + down - managed,
        "whole_s": down - imported,
        "stopped_at_s": time.monotonic(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
