"""The private Docker daemon: started, used, killed, stopped, and nothing left of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from emulator.errors import LabError, MachineError, UsageError
from emulator.runtime.daemon import daemon_status, find_daemon, start_daemon, stop_daemon
from emulator.runtime.daemon_places import (
    FOLDER_VARIABLE,
    Places,
    cgroup_name,
    find_processes,
    mounts_below,
    private_places,
)
from emulator.runtime.engine import LAB_LABEL
from tests.system.terminal import ROOT, VNF

pytestmark = [pytest.mark.root, pytest.mark.docker]

WAIT_FOR_EVER = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """A folder for a private daemon of the test's own, which is not running yet."""
    # Not pytest's own folder: paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="vnf-test-", dir="/tmp")
    monkeypatch.setenv(FOLDER_VARIABLE, folder)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    yield private_places()
    stop_daemon(force=True, purge=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file system as a tar archive, with a program in it that waits for ever."""
    program = tmp_path_factory.mktemp("program") / "wait"
    compiler = ["cc", "-static", "-x", "c", "-o", str(program), "-"]
    subprocess.run(compiler, input=WAIT_FOR_EVER, text=True, check=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "wait")
    return archive.getvalue()


@contextlib.contextmanager
def client(places: Places) -> Iterator[DockerClient]:
    docker = DockerClient(base_url=places.url)
    try:
        yield docker
    finally:
        docker.close()


def run_container(places: Places, image: bytes, **options: object) -> int:
    """Run the waiting program in a container; returns its process."""
    with client(places) as docker:
        docker.api.import_image_from_data(image, repository="build-vnf/wait", tag="latest")
        container = docker.containers.run(
            "build-vnf/wait", ["/wait"], detach=True, network_mode="none", **options
        )
        container.reload()
        return int(container.attrs["State"]["Pid"])


def kill(places: Places, *roles: str) -> None:
    """Kill processes of the daemon and wait until they are gone."""
    for process in find_processes(places):
        if process.role in roles:
            descriptor = os.pidfd_open(process.pid)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            ended, _, _ = select.select([descriptor], [], [], 10)
            os.close(descriptor)
            assert ended


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def assert_nothing_runs(places: Places) -> None:
    assert find_processes(places) == []
    assert mounts_below(places.run, places.data) == []
    assert not places.run.exists()
    assert not places.lock.exists()
    assert list(Path("/sys/fs/cgroup").glob(f"**/{cgroup_name(places)}*")) == []


def vnf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VNF, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_labs_use_it_from_its_start_to_its_end(places: Places) -> None:
    started = start_daemon()

    assert find_daemon() == started
    assert started.url == places.url
    assert daemon_status().private == "runs"
    assert stop_daemon()
    assert_nothing_runs(places)
    assert daemon_status().private == "stopped"


def test_images_are_kept_until_they_are_purged(places: Places, waiting: bytes) -> None:
    start_daemon()
    with client(places) as docker:
        docker.api.import_image_from_data(waiting, repository="build-vnf/wait", tag="latest")
    stop_daemon()

    start_daemon()
    assert daemon_status().images == 1
    stop_daemon(purge=True)

    assert_nothing_runs(places)
    assert list(places.data.parent.iterdir()) == []


def test_one_that_runs_is_left_as_it_is(places: Places) -> None:
    start_daemon()
    before = find_processes(places)

    assert start_daemon().url == places.url
    assert find_processes(places) == before


def test_who_starts_it_at_the_same_time_gets_the_same_one(places: Places) -> None:
    commands = [
        subprocess.Popen([*VNF, "docker", "start"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    told = [command.communicate()[0] for command in commands]

    assert [command.returncode for command in commands] == [0, 0, 0]
    assert all(places.url in text for text in told)
    assert sorted(process.role for process in find_processes(places)) == ["containerd", "dockerd"]


def test_the_machines_network_is_left_alone(places: Places) -> None:
    def network() -> tuple[list[str], str]:
        forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
        return sorted(os.listdir("/sys/class/net")), forwarding

    before = network()
    start_daemon()

    assert network() == before


def test_the_environment_is_not_handed_on(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "of-the-user")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    start_daemon()

    for process in find_processes(places):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"of-the-user" not in environment
        assert b"HTTPS_PROXY=http://proxy.example:3128" in environment.split(b"\0")


def test_one_that_was_killed_is_said_to_have_died_and_starts_again(places: Places) -> None:
    start_daemon()
    kill(places, "dockerd")

    assert daemon_status().private == "died"
    with pytest.raises(MachineError, match="the private Docker daemon died"):
        find_daemon()

    start_daemon()
    assert daemon_status().private == "runs"
    kill(places, "dockerd", "containerd")
    start_daemon()
    assert daemon_status().private == "runs"
    stop_daemon()
    assert_nothing_runs(places)


def test_what_is_left_of_a_killed_one_can_be_cleared_up(places: Places) -> None:
    start_daemon()
    kill(places, "dockerd", "containerd")

    assert stop_daemon()
    assert_nothing_runs(places)
    assert not stop_daemon()


def test_it_is_not_taken_away_from_labs(places: Places, waiting: bytes) -> None:
    start_daemon()
    pid = run_container(places, waiting, labels={LAB_LABEL: "chain-3f2a"}, auto_remove=True)
    run_container(places, waiting, name="guest")

    with pytest.raises(LabError, match="in use: container guest, lab chain-3f2a"):
        stop_daemon()
    assert daemon_status().containers == 1

    assert stop_daemon(force=True)
    assert_nothing_runs(places)
    assert not runs(pid)


def test_containers_that_outlived_it_are_ended_by_force_alone(
    places: Places, waiting: bytes
) -> None:
    start_daemon()
    pid = run_container(places, waiting)
    kill(places, "dockerd", "containerd")

    with pytest.raises(LabError, match="died, but 1 of its containers still run"):
        stop_daemon()
    assert runs(pid)

    assert stop_daemon(force=True)
    assert_nothing_runs(places)
    assert not runs(pid)


def test_containers_go_on_while_a_killed_one_is_started_again(
    places: Places, waiting: bytes
) -> None:
    start_daemon()
    pid = run_container(places, waiting, name="guest")
    kill(places, "dockerd")

    start_daemon()

    with client(places) as docker:
        assert docker.containers.get("guest").attrs["State"]["Pid"] == pid


def test_a_folder_with_something_else_in_it_is_left_alone(places: Places) -> None:
    note = places.data / "thesis.txt"
    note.parent.mkdir()
    note.write_text("chapter 1")

    with pytest.raises(UsageError, match="no private Docker daemon made"):
        start_daemon()
    stop_daemon(force=True, purge=True)

    assert note.read_text() == "chapter 1"


def test_one_that_does_not_start_is_quoted(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\necho the disk is on fire\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(MachineError, match="the disk is on fire") as raised:
        start_daemon()

    assert str(places.log) in raised.value.hint
    assert_nothing_runs(places)


def test_the_command_tells_programs_what_it_did(places: Places) -> None:
    started = vnf("docker", "start", "--json")
    again = vnf("docker", "start", "--json")
    status = vnf("docker", "status", "--json")
    stopped = vnf("docker", "stop", "--json")
    afterwards = vnf("docker", "stop", "--json")

    assert json.loads(started.stdout) == {"url": places.url, "started": True}
    assert json.loads(again.stdout) == {"url": places.url, "started": False}
    assert json.loads(status.stdout)["daemon"]["source"] == "private"
    assert json.loads(stopped.stdout) == {"stopped": True, "purged": False}
    assert json.loads(afterwards.stdout) == {"stopped": False, "purged": False}


def test_it_outlives_the_session_that_started_it(places: Places) -> None:
    with subprocess.Popen([*VNF, "docker", "start"], cwd=ROOT, start_new_session=True) as command:
        command.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGHUP)

    assert find_daemon().url == places.url


def test_without_root_the_command_to_run_is_named(places: Places) -> None:
    command = ["unshare", "--user", *VNF, "docker", "start"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 3
    assert "starting a Docker daemon needs root" in done.stderr
    assert "docker start" in done.stderr.splitlines()[-1]


def test_labs_are_told_when_another_daemon_is_named(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")

    done = vnf("docker", "start")

    assert done.returncode == 0
    assert "labs use another one as long as DOCKER_HOST=unix:///run/other.sock" in done.stderr
