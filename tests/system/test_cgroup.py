"""What containers use and may use, as the kernel tells it, beside what Docker says of them."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from emulator.errors import LabError
from emulator.kernel.cgroup import Cgroup, CgroupReading
from emulator.kernel.netns import Netns
from emulator.plan.model import ContainerPlan
from emulator.runtime.engine import connect
from emulator.runtime.limits import apply_limits, update_arguments
from emulator.runtime.usage import between, measure, sample

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

pytestmark = [pytest.mark.root, pytest.mark.docker]

MIB = 1 << 20
DEADLINE_S = 20.0
IMAGE = "build-vnf-test/empty"
FOLDERS = [folder for folder in ("/usr", "/bin", "/lib", "/lib64") if os.path.exists(folder)]
Run = Callable[..., "Container"]


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerClient]:
    client = connect()
    try:
        empty = io.BytesIO()
        tarfile.open(fileobj=empty, mode="w").close()
        client.api.import_image_from_data(empty.getvalue(), repository=IMAGE)
        yield client
        client.images.remove(IMAGE)
    finally:
        client.close()


@pytest.fixture
def run(docker: DockerClient) -> Iterator[Run]:
    """Starts a container that runs a line of the machine's own shell."""
    from docker.errors import NotFound

    started = []

    def start(line: str, **options: Any) -> Container:
        container = docker.containers.run(
            IMAGE,
            ["/bin/sh", "-c", line],
            detach=True,
            network_mode="none",
            volumes=[f"{folder}:{folder}:ro" for folder in FOLDERS],
            **options,
        )
        started.append(container)
        container.reload()
        return container

    yield start
    for container in started:
        with suppress(NotFound):
            container.remove(force=True)


def pid_of(container: Container) -> int:
    return int(container.attrs["State"]["Pid"])


def cgroup_of(container: Container) -> Cgroup:
    return Cgroup.of(pid_of(container))


def wait_for(cgroup: Cgroup, what: Callable[[CgroupReading], bool]) -> CgroupReading:
    deadline = time.monotonic() + DEADLINE_S
    while not what(reading := cgroup.read()):
        assert time.monotonic() < deadline, f"it did not come to pass: {reading}"
        time.sleep(0.02)
    return reading


def test_limits_are_those_that_docker_was_given(run: Run) -> None:
    container = run(
        "sleep 1000",
        mem_limit="64m",
        memswap_limit="64m",
        cpu_period=100_000,
        cpu_quota=50_000,
        cpuset_cpus="0",
        pids_limit=20,
    )
    reading = cgroup_of(container).read()
    assert reading.memory_limit_bytes == 64 * MIB
    assert reading.cpu_limit == 0.5
    assert reading.cpuset == (0,)
    assert reading.tasks_limit == 20
    assert reading.oom_kills == 0


def test_without_limits_none_are_told(run: Run) -> None:
    reading = cgroup_of(run("sleep 1000")).read()
    assert reading.memory_limit_bytes is None
    assert reading.cpu_limit is None
    assert reading.cpuset
    assert 0 in reading.cpuset
    assert not {"memory_bytes", "cpu_ns", "memory_limit_bytes"} & reading.unavailable.keys()


def test_use_is_what_docker_says(run: Run) -> None:
    container = run("sleep 1000 & sleep 1001 & wait")
    cgroup = cgroup_of(container)
    before = wait_for(cgroup, lambda reading: reading.tasks == 3)
    theirs: Any = container.stats(stream=False)
    after = cgroup.read()
    assert before.cpu_ns is not None
    assert after.cpu_ns is not None
    assert before.cpu_ns <= theirs["cpu_stats"]["cpu_usage"]["total_usage"] <= after.cpu_ns
    assert theirs["pids_stats"]["current"] == 3
    # Nothing moves in it, but for pages that the kernel accounts in batches.
    idle = ("total_inactive_file", "inactive_file")
    stats = theirs["memory_stats"]["stats"]
    used = theirs["memory_stats"]["usage"] - next(stats[name] for name in idle if name in stats)
    assert after.memory_bytes == pytest.approx(used, abs=MIB)
    assert after.memory_peak_bytes is None or after.memory_peak_bytes >= (after.memory_bytes or 0)


def test_a_busy_container_is_held_back_by_its_limit(run: Run) -> None:
    container = run("while :; do :; done", cpu_period=100_000, cpu_quota=20_000)
    cgroup = cgroup_of(container)
    with Netns.from_path(f"/proc/{pid_of(container)}/ns/net") as netns:
        earlier = sample(cgroup, netns, {})
        wait_for(cgroup, lambda reading: bool(reading.throttled_ns))
        stats = between(earlier, sample(cgroup, netns, {}))
    assert stats.cpu_limit_percent == 20
    assert stats.cpu_percent is not None
    assert stats.cpu_percent > 0
    assert stats.throttled_ns


def test_processes_killed_for_want_of_memory_are_counted(run: Run) -> None:
    container = run("while :; do tail /dev/zero; done", mem_limit="16m", memswap_limit="16m")
    reading = wait_for(cgroup_of(container), lambda reading: bool(reading.oom_kills))
    assert reading.memory_peak_bytes is None or reading.memory_peak_bytes <= 16 * MIB


def test_interfaces_are_counted_by_the_names_that_people_see(run: Run) -> None:
    container = run("sleep 1000")
    with Netns.from_path(f"/proc/{pid_of(container)}/ns/net") as netns:
        names = {"lo": "d1-loop", "eth7": "gone"}
        stats = measure(cgroup_of(container), netns, names, interval_s=0.01)
    assert list(stats.interfaces) == ["d1-loop"]
    assert stats.interfaces["d1-loop"].rx_packets == 0
    assert stats.interval_s >= 0.01


def test_a_container_that_has_ended_is_told(run: Run) -> None:
    container = run("sleep 1000")
    cgroup = cgroup_of(container)
    container.remove(force=True)
    with pytest.raises(LabError, match="its control group is gone"):
        cgroup.read()
    with pytest.raises(LabError, match="there is no process"):
        cgroup_of(container)


def test_limits_change_while_it_runs(run: Run) -> None:
    container = run("sleep 1000", mem_limit="64m", pids_limit=20)
    cgroup = cgroup_of(container)
    plan = ContainerPlan(image=IMAGE, memory_bytes=64 * MIB, pids=20)

    def change(**limits: Any) -> CgroupReading:
        nonlocal plan
        arguments, plan = update_arguments(limits, plan, where="d1")
        apply_limits(container, arguments)
        return cgroup.read()

    # More than memory and swap together were until now, and then less again.
    assert change(memory="512m").memory_limit_bytes == 512 * MIB
    assert change(memory="32m").memory_limit_bytes == 32 * MIB
    assert change(memory="48m", memory_swap=-1).memory_limit_bytes == 48 * MIB
    assert change(cpus=0.25).cpu_limit == 0.25
    assert change(cpus=None).cpu_limit is None
    assert change(cpuset="0").cpuset == (0,)
    assert change(pids=7).tasks_limit == 7
    assert change(pids=None).tasks_limit is None
    reading = change(cpus=0.5, memory="64m", memory_swap="64m", pids=9, cpu_shares=512)
    assert (reading.cpu_limit, reading.memory_limit_bytes, reading.tasks_limit) == (
        0.5,
        64 * MIB,
        9,
    )
