"""The Docker daemon that labs use: which one it is, and one of our own.

Containers of a lab are wired by the lab, so the daemon must run on this very machine and kernel,
and as root. Any daemon that does will serve; ``vnf docker start`` runs a private one that shares
nothing with the machine's and leaves the network alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import BuildVnfError, MachineError, UsageError
from emulator.invocation import with_sudo
from emulator.runtime import private_daemon
from emulator.runtime.daemon_places import Places, find_processes, listener, private_places
from emulator.runtime.engine import LAB_LABEL, client_of, told
from emulator.runtime.private_daemon import Progress

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_MACHINE_SOCKET = "/var/run/docker.sock"
_DEADLINE_S = 10.0
_AT_ONCE = 8


@dataclass(frozen=True)
class Daemon:
    """A Docker daemon that labs can use.

    Attributes:
        url: its ``unix://`` address.
        source: how it was found: ``$DOCKER_HOST``, ``private`` or ``machine``.
        version: of the daemon, as it answered.
    """

    url: str
    source: str
    version: str = ""


@dataclass(frozen=True)
class DaemonStatus:
    """The daemon that labs would use, and the private one.

    Attributes:
        daemon: the one that labs would use; None when there is none.
        problem: why there is none.
        api_version: the newest version of Docker's interface that it speaks.
        storage_driver: what its images lie on.
        cgroup_version: of the control groups that it puts containers in.
        cgroup_driver: who makes those: ``cgroupfs`` or ``systemd``.
        security: the mechanisms that confine containers, such as ``seccomp``.
        containers: how many of its running containers are nodes of labs.
        images: how many of its images are build-vnf's own.
        private: whether the private daemon runs.
        private_url: its address, whether it runs or not.
        private_data: where its images are.
        private_log: what it wrote since its last start.
    """

    daemon: Daemon | None
    problem: BuildVnfError | None
    private: Literal["runs", "died", "stopped", "not known"]
    private_url: str
    private_data: str
    private_log: str
    api_version: str = ""
    storage_driver: str = ""
    cgroup_version: str = ""
    cgroup_driver: str = ""
    security: tuple[str, ...] = ()
    containers: int = 0
    images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        return {
            **asdict(self),
            "daemon": None if self.daemon is None else asdict(self.daemon),
            "problem": None if self.problem is None else str(self.problem),
        }


def find_daemon(root: Path = Path("/")) -> Daemon:
    """The Docker daemon that labs use: it has answered and runs where they do.

    That is the one of ``$DOCKER_HOST`` where this is set, else the private daemon that ``vnf
    docker start`` runs, else the machine's own.

    Args:
        root: where the machine's sockets are found.

    Raises:
        UsageError: ``$DOCKER_HOST`` names a daemon that cannot be on this machine.
        MachineError: there is none, or it does not answer or cannot serve; the hint says what to
            do.
    """
    given = os.environ.get("DOCKER_HOST")
    if given:
        return _of_environment(given, root)
    return _private(root) or _of_machine(root)


def start_daemon(progress: Progress | None = None) -> Daemon:
    """Start the private daemon, unless it runs; returns when it answers.

    It outlives this process and its terminal. One that died is started again; containers that
    outlived it go on, unless Docker was asked to remove them when they end.

    Args:
        progress: called with a step, how many parts of it are done, and of how many.

    Raises:
        UsageError: its folder holds something else.
        MachineError: without root or Docker's programs, or the daemon did not start.
    """
    places = private_places()
    private_daemon.start(places, progress)
    return _usable(Daemon(places.url, "private"), Path("/"))


def stop_daemon(
    *, force: bool = False, purge: bool = False, progress: Progress | None = None
) -> bool:
    """End the private daemon with all that belongs to it; its images are kept for the next start.

    Args:
        force: end the containers that run in it, too.
        purge: remove its images as well.
        progress: called with a step, how many parts of it are done, and of how many.

    Returns:
        Whether there was anything to end.

    Raises:
        LabError: labs use it, and ``force`` is not given.
        MachineError: without root, or something of it cannot be ended or removed.
    """
    places = private_places()

    def running() -> list[str]:
        with _client(places.url) as client:
            return [_use(container) for container in client.containers.list(sparse=True)]

    def remove() -> None:
        with _client(places.url) as client, ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(_remove, client.containers.list(sparse=True)))

    return private_daemon.stop(places, running, remove, force=force, purge=purge, progress=progress)


def daemon_status() -> DaemonStatus:
    """Which daemon labs would use, what it is like, and how the private one is.

    Raises:
        UsageError: ``$BUILD_VNF_DOCKER_DIR`` names no folder that can be used.
    """
    places = private_places()
    private: dict[str, Any] = {
        "private": _private_state(places),
        "private_url": places.url,
        "private_data": str(places.data),
        "private_log": str(places.log),
    }
    try:
        daemon = find_daemon()
        with _client(daemon.url) as client:
            facts = _facts(client)
    except BuildVnfError as error:
        return DaemonStatus(None, error, **private)
    return DaemonStatus(daemon, None, **private, **facts)


def _facts(client: DockerClient) -> dict[str, Any]:
    info = client.info()
    options = [option.partition(",")[0] for option in info.get("SecurityOptions") or ()]
    return {
        "api_version": client.version()["ApiVersion"],
        "storage_driver": info["Driver"],
        "cgroup_version": info.get("CgroupVersion", ""),
        "cgroup_driver": info.get("CgroupDriver", ""),
        "security": tuple(option.removeprefix("name=") for option in options),
        "containers": len(client.containers.list(filters={"label": LAB_LABEL}, sparse=True)),
        "images": len(client.images.list(filters={"reference": "build-vnf/*"})),
    }


def _private_state(places: Places) -> Literal["runs", "died", "stopped", "not known"]:
    if not places.run.exists():
        return "stopped"
    if not os.access(places.run, os.X_OK):
        return "not known"
    roles = {process.role for process in find_processes(places)}
    return "runs" if "dockerd" in roles else "died"


def _of_environment(given: str, root: Path) -> Daemon:
    where = f"DOCKER_HOST={given}"
    if not given.startswith("unix://"):
        raise UsageError(
            "the Docker daemon may be on another machine, and a lab's containers must be on this",
            where=where,
            hint="unset DOCKER_HOST, or give it the address of a socket here: unix:///PATH",
        )
    try:
        return _usable(Daemon(given, "$DOCKER_HOST"), root)
    except OSError as error:
        raise MachineError(
            f"no Docker daemon answers there: {error.strerror}",
            where=where,
            hint=_with_rights(error) or "start that daemon, or unset DOCKER_HOST",
        ) from error


def _private(root: Path) -> Daemon | None:
    daemon = Daemon(private_places().url, "private")
    try:
        return _usable(daemon, root)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise MachineError(
            "the private Docker daemon is root's own", where=daemon.url, hint=_with_rights(error)
        ) from error
    except OSError as error:
        raise MachineError(
            "the private Docker daemon died",
            where=daemon.url,
            hint="vnf docker start starts it again, vnf docker stop clears up after it",
        ) from error


def _of_machine(root: Path) -> Daemon:
    daemon = Daemon(f"unix://{_MACHINE_SOCKET}", "machine")
    try:
        return _usable(daemon, root)
    except OSError as error:
        raise MachineError(
            "no Docker daemon runs on this machine"
            if isinstance(error, FileNotFoundError)
            else f"the machine's Docker daemon does not answer: {error.strerror}",
            where=daemon.url,
            hint=_with_rights(error) or how_to_get_one(),
        ) from error


def how_to_get_one() -> str:
    """What to do on a machine where no daemon runs."""
    if private_daemon.is_installed():
        return "vnf docker start runs a private one"
    return "apt-get install docker.io; then vnf docker start runs a private daemon"


def _with_rights(error: OSError) -> str:
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return f"run {with_sudo() or 'the same command with sudo'}"
    return ""


def _usable(daemon: Daemon, root: Path) -> Daemon:
    """The same daemon, when it answers and is where labs are.

    Raises:
        OSError: nothing listens there.
        MachineError: what listens is no daemon, or one elsewhere.
    """
    path = root / daemon.url.removeprefix("unix://").lstrip("/")
    pid, uid = listener(path)
    if not pid:
        raise MachineError(
            "the Docker daemon runs outside of the container that we are in",
            where=daemon.url,
            hint="vnf docker start runs one in here; the container must be privileged",
        )
    if uid not in (0, os.geteuid()):
        raise MachineError(
            "the Docker daemon does not run as root, so it may not give containers a lab's network",
            where=daemon.url,
            hint=how_to_get_one(),
        )
    version = _version(f"unix://{path}", daemon.url)
    parts = {part.get("Name") for part in version.get("Components") or ()}
    kernel = version.get("KernelVersion", "")
    if "rootlesskit" in parts:
        raise MachineError(
            "the Docker daemon is a rootless one, which may not give containers a lab's network",
            where=daemon.url,
            hint=how_to_get_one(),
        )
    if kernel not in ("", os.uname().release):
        raise MachineError(
            f"the Docker daemon runs in a virtual machine: its kernel is {kernel}, and this one "
            f"{os.uname().release}",
            where=daemon.url,
            hint="vnf docker start runs one on this kernel",
        )
    return replace(daemon, version=str(version.get("Version", "")))


def _version(url: str, where: str) -> dict[str, Any]:
    """What a daemon says of itself, in whatever version of its interface."""
    from docker import APIClient
    from docker.constants import MINIMUM_DOCKER_API_VERSION
    from docker.errors import APIError

    with told(where):
        # A version is named so that no request is made before there is a client to close.
        client = APIClient(url, MINIMUM_DOCKER_API_VERSION, timeout=int(_DEADLINE_S))
        with contextlib.closing(client):
            try:
                answer: dict[str, Any] = client.version(api_version=False)
                return {**answer, "ApiVersion": answer["ApiVersion"]}
            # The SDK takes it for granted that errors come with a message, and so on.
            except (APIError, LookupError, TypeError, ValueError) as error:
                raise MachineError(
                    "what answers there is no Docker daemon", where=where, hint=how_to_get_one()
                ) from error


@contextmanager
def _client(url: str) -> Iterator[DockerClient]:
    with contextlib.closing(client_of(url, timeout_s=_DEADLINE_S)) as client, told(url):
        yield client


def _use(container: Container) -> str:
    """What a running container is there for, in words for the user."""
    labels = container.attrs.get("Labels") or {}
    if LAB_LABEL in labels:
        return f"lab {labels[LAB_LABEL]}"
    return f"container {', '.join(name.lstrip('/') for name in container.attrs['Names'])}"


def _remove(container: Container) -> None:
    from docker.errors import APIError

    try:
        container.remove(force=True, v=True)
    except APIError as error:
        # It is gone, or going, by itself.
        if error.status_code not in (404, 409):
            raise
