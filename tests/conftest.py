"""Which tests can run here, and that those on a real kernel leave nothing behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from emulator.doctor import Check, diagnose
from emulator.kernel.netns import CLONE_NEWNS, unshare
from emulator.paths import run_dir
from emulator.runtime.daemon import start_daemon, stop_daemon
from emulator.runtime.daemon_places import FOLDER_VARIABLE
from emulator.runtime.private_daemon import is_installed
from tests import leaks

SYSTEM_TESTS = Path(__file__).parent / "system"

# The marker, and what the doctor must have found to work for it.
NEEDS = {
    "xdp": ("native XDP on veth", "live frames", "clang", "libbpf"),
    "docker": ("Docker",),
    "dpdk": ("DPDK",),
    "ovs": ("Open vSwitch", "os-ken"),
}

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IS_WORKER:
    # What another worker of the same run starts is none of its business.
    os.environ[leaks.MARK] = secrets.token_hex(8)
os.environ.setdefault(leaks.MARK, secrets.token_hex(8))

DOCKER_FOLDERS = Path("/tmp")
"""Where this run's Docker daemon has its folder: paths of sockets must be short."""
DOCKER_PREFIX = "vnf-docker-"

_wider_fixtures: set[int] = set()


def pytest_configure() -> None:
    """Give each worker of a parallel run records of labs of its own.

    The next lab to start clears away what dead ones left, whoever's they were: a test that kills a
    lab, to see what is left, would have it taken away by those that run beside it.
    """
    if IS_WORKER and os.geteuid() == 0:
        unshare(CLONE_NEWNS)
        run_dir().mkdir(mode=0o700, exist_ok=True)
        for mount in (["--make-rslave", "/"], ["-t", "tmpfs", "-o", "mode=700", "none", run_dir()]):
            subprocess.run(["mount", *mount], check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why; give Docker to what is marked with it."""
    for item in items:
        if item.get_closest_marker("docker") and isinstance(item, pytest.Function):
            # Before all others, so that the daemon is there when a leak check takes stock.
            item.fixturenames.insert(0, "docker_daemon")
        reason = _why_not(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _why_not(item: pytest.Item) -> str:
    needs = [
        name for marker, names in NEEDS.items() if item.get_closest_marker(marker) for name in names
    ]
    if os.geteuid() != 0 and (needs or item.get_closest_marker("root")):
        return "needs root"
    for name in needs:
        check = _checks()[name]
        if check.status == "missing":
            return f"needs {name}: {check.reason}"
    if item.get_closest_marker("docker") and not is_installed():
        return "needs dockerd, which tests run for themselves"
    return ""


@cache
def _checks() -> dict[str, Check]:
    return {check.name: check for check in diagnose()}


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Notice fixtures that several tests share: what they hold is no leak of one test."""
    if fixturedef.scope not in ("function", "session") and fixturedef.argname != "no_leak_of_file":
        _wider_fixtures.add(id(fixturedef))
    return (yield)


def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[object]) -> None:
    _wider_fixtures.discard(id(fixturedef))


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[str]:
    """The address of a Docker daemon of this run's own, which ``$DOCKER_HOST`` names from then on.

    Every test that is marked ``docker`` has it; no daemon of the machine is ever used.
    """
    _end_daemons_of_killed_runs()
    name = f"{DOCKER_PREFIX}{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=name, dir=DOCKER_FOLDERS))
    before = os.environ.get("DOCKER_HOST")
    try:
        with _private_daemon_in(folder):
            os.environ["DOCKER_HOST"] = start_daemon().url
        leaks.docker_folder = folder
        yield os.environ["DOCKER_HOST"]
    finally:
        leaks.docker_folder = None
        if before is None:
            os.environ.pop("DOCKER_HOST", None)
        else:
            os.environ["DOCKER_HOST"] = before
        with _private_daemon_in(folder):
            stop_daemon(force=True, purge=True)
        shutil.rmtree(folder)


@contextmanager
def _private_daemon_in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield


def _end_daemons_of_killed_runs() -> None:
    for folder in DOCKER_FOLDERS.glob(f"{DOCKER_PREFIX}*"):
        pid = folder.name.removeprefix(DOCKER_PREFIX).partition("-")[0]
        if not Path(f"/proc/{pid}").exists() and folder.stat().st_uid == os.geteuid():
            with _private_daemon_in(folder):
                stop_daemon(force=True, purge=True)
            shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def no_leak_of_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """A file of system tests leaves the machine as it found it."""
    yield from _assert_no_leak(request, lambda: True)


@pytest.fixture(autouse=True)
def no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """So does each test in it, unless it shares a lab with others: then the file answers for it."""
    yield from _assert_no_leak(request, lambda: not _wider_fixtures)


@pytest.fixture
def alarm_as_ctrl_c() -> Iterator[None]:
    """An alarm arrives as Ctrl-C does; ``signal.setitimer`` has it come at a chosen moment."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGALRM, before)


def _assert_no_leak(request: pytest.FixtureRequest, due: Callable[[], bool]) -> Iterator[None]:
    if SYSTEM_TESTS not in request.path.parents or os.geteuid() != 0:
        yield
        return
    before = leaks.Belongings.now()
    yield
    if due():
        left = leaks.wait_until_nothing_new(before)
        assert not left, f"left behind: {left}"
