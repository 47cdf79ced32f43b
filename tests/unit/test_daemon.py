"""Which Docker daemon labs use, on machines that are folders with sockets in them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import MachineError, UsageError
from emulator.runtime.daemon import find_daemon
from emulator.runtime.daemon_places import FOLDER_VARIABLE, private_places
from tests.fake_docker import fake_daemon

MACHINE = Path("var/run/docker.sock")
PRIVATE = Path("run/build-vnf-docker/sock")


@pytest.fixture(autouse=True)
def nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def leave_dead_socket(path: Path) -> None:
    """A socket whose process is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_the_machines_daemon_is_used_where_there_is_no_other(tmp_path: Path) -> None:
    with fake_daemon(tmp_path / MACHINE, Version="29.1.0"):
        daemon = find_daemon(tmp_path)

    assert (daemon.url, daemon.source) == ("unix:///var/run/docker.sock", "machine")
    assert daemon.version == "29.1.0"


def test_the_private_daemon_comes_before_the_machines(tmp_path: Path) -> None:
    with fake_daemon(tmp_path / MACHINE), fake_daemon(tmp_path / PRIVATE):
        daemon = find_daemon(tmp_path)

    assert (daemon.url, daemon.source) == (f"unix:///{PRIVATE}", "private")


def test_what_the_user_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine.sock")
    with fake_daemon(tmp_path / PRIVATE), fake_daemon(tmp_path / "mine.sock"):
        daemon = find_daemon(tmp_path)

    assert (daemon.url, daemon.source) == ("unix:///mine.sock", "$DOCKER_HOST")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:2375", "ssh://lab", "/run/docker.sock"])
def test_a_daemon_that_may_be_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)

    with pytest.raises(UsageError) as raised:
        find_daemon(tmp_path)

    assert raised.value.where == f"DOCKER_HOST={address}"
    assert "unset DOCKER_HOST" in raised.value.hint


def test_no_other_one_is_used_where_the_one_named_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///gone.sock")

    with (
        fake_daemon(tmp_path / MACHINE),
        pytest.raises(MachineError, match="no Docker daemon answers there: No such file"),
    ):
        find_daemon(tmp_path)


def test_a_private_daemon_that_died_is_not_passed_over(tmp_path: Path) -> None:
    leave_dead_socket(tmp_path / PRIVATE)

    with fake_daemon(tmp_path / MACHINE), pytest.raises(MachineError, match="died") as raised:
        find_daemon(tmp_path)

    assert "vnf docker start" in raised.value.hint


def test_a_machine_without_a_daemon_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no Docker daemon runs on this machine") as raised:
        find_daemon(tmp_path)

    assert "vnf docker start" in raised.value.hint


def test_a_machines_daemon_that_was_killed_is_told_from_none(tmp_path: Path) -> None:
    leave_dead_socket(tmp_path / MACHINE)

    with pytest.raises(MachineError, match="does not answer: Connection refused"):
        find_daemon(tmp_path)


def test_a_daemon_in_a_virtual_machine_is_refused(tmp_path: Path) -> None:
    with (
        fake_daemon(tmp_path / MACHINE, KernelVersion="6.10.14-linuxkit"),
        pytest.raises(MachineError, match="in a virtual machine: its kernel is 6.10.14-linuxkit"),
    ):
        find_daemon(tmp_path)


def test_a_rootless_daemon_is_refused(tmp_path: Path) -> None:
    with (
        fake_daemon(tmp_path / MACHINE, Components=[{"Name": "rootlesskit"}]),
        pytest.raises(MachineError, match="rootless"),
    ):
        find_daemon(tmp_path)


@pytest.mark.parametrize("what", [{"status": 404}, {"status": 404, "message": "what?"}])
def test_something_else_at_the_socket_is_no_daemon(tmp_path: Path, what: dict[str, Any]) -> None:
    with (
        fake_daemon(tmp_path / MACHINE, **what),
        pytest.raises(MachineError, match="what answers there is no Docker daemon") as raised,
    ):
        find_daemon(tmp_path)

    assert raised.value.where == "unix:///var/run/docker.sock"


def test_the_private_daemon_may_have_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "/srv/docker/")

    places = private_places()

    assert places.url == "unix:///srv/docker/run/sock"
    assert {each.parts[:3] for each in (places.data, places.run, places.log, places.lock)} == {
        ("/", "srv", "docker")
    }
    with fake_daemon(tmp_path / "srv/docker/run/sock"):
        assert find_daemon(tmp_path).source == "private"


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("docker", "is not an absolute path"),
        (f"/{'x' * 80}", "the path has 81 characters"),
        ('/srv/"docker"', "has characters"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, folder: str, problem: str
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, folder)

    with pytest.raises(UsageError, match=problem):
        private_places()
