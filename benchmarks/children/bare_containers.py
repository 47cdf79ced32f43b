"""Starts and removes containers and does nothing else: COUNT IMAGE THREADS none|disabled

What `docker run -d --network none` and `docker rm -f` do, by the SDK, many at the same time; or the
same with Docker's networking disabled, for which its command line has no option.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.models.containers import Container


def main() -> None:
    """Print how long importing, starting and removing took."""
    began = time.perf_counter()
    import docker

    count, image, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    network_disabled = sys.argv[4] == "disabled"
    imported = time.perf_counter()
    client = docker.from_env(max_pool_size=threads)

    def run(_: int) -> Container:
        container = client.containers.create(
            image, network_mode="none", network_disabled=network_disabled
        )
        container.start()
        return container

    with ThreadPoolExecutor(threads) as pool:
        containers = list(pool.map(run, range(count)))
        up = time.perf_counter()
        list(pool.map(lambda container: container.remove(force=True), containers))
    client.close()
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
