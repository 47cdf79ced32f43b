"""A Docker daemon of our own: started, and ended with all that belongs to it.

Who is asked whether it runs is the kernel, so nothing is confused by a process that was killed or
by a number that another process has now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.errors import BuildVnfError, LabError, MachineError, UsageError
from emulator.kernel.netns import ensure_root
from emulator.runtime.daemon_places import (
    DaemonProcess,
    Places,
    Role,
    children_of,
    find_processes,
    listener,
    prepare,
    remove_cgroups,
    remove_data,
    remove_shim_sockets,
    remove_tree,
    unmount,
)

Progress = Callable[[str, int, int], None]

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0
_SEEN_DEADLINE_S = 1.0
_POLL_S = 0.02
_LOG_LINES = 5
_KEPT_VARIABLES = re.compile(
    r"HOME|TZ|LANG|LC_\w+|(https?|no|all)_proxy|DOCKER_(RAMDISK|TMPDIR)", re.IGNORECASE
)
_PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def is_installed() -> bool:
    """Whether the programs are there that a private daemon consists of."""
    return not _missing_programs()


def start(places: Places, progress: Progress | None = None) -> None:
    """Start the daemon, unless it runs; returns when it answers.

    One that died is started again, beside the containers that outlived it.

    Raises:
        UsageError: the folder holds something else.
        MachineError: without root or Docker's programs, or the daemon did not start.
    """
    ensure_root("starting a Docker daemon")
    if missing := _missing_programs():
        raise MachineError(
            f"{' and '.join(missing)} cannot be found: Docker is not installed",
            hint="apt-get install docker.io",
        )
    _make_parent(places)
    with _locked(places):
        before = find_processes(places)
        if not any(process.role == "dockerd" for process in before):
            prepare(places)
        try:
            _launch(places, before)
            _wait_for_answer(places, progress)
        except BaseException as error:
            # What ran before, if only containers of one that died, is not for a failure to end.
            _end_daemons(process for process in find_processes(places) if process not in before)
            if not before:
                _clear(places)
            if isinstance(error, OSError):
                raise MachineError(
                    f"the Docker daemon cannot be started: {error.strerror}",
                    where=error.filename or str(places.run),
                ) from error
            raise


def stop(
    places: Places,
    containers_of: Callable[[], Iterable[str]],
    remove_containers: Callable[[], None],
    *,
    force: bool = False,
    purge: bool = False,
    progress: Progress | None = None,
) -> bool:
    """End the daemon and take away what it leaves; returns whether there was anything of it.

    Args:
        places: where it is.
        containers_of: asks the daemon what runs in it, in words for the user.
        remove_containers: has the daemon remove its containers.
        force: end running containers too, and a daemon that does not end by itself.
        purge: remove its images as well.
        progress: called with a step, how many parts of it are done, and of how many.

    Raises:
        LabError: containers run in it, and ``force`` is not given.
        MachineError: without root, or something of it cannot be ended or removed.
    """
    ensure_root("stopping a Docker daemon")
    if not any(place.exists() for place in (places.run, places.data, places.lock)):
        return False
    with _locked(places):
        processes = find_processes(places)
        there = bool(processes) or places.run.exists()
        if any(process.role == "dockerd" for process in processes):
            _leave_containers(places, containers_of, remove_containers, force)
        elif (count := _count(processes, "shim")) and not force:
            raise LabError(
                f"the private Docker daemon died, but {count} of its containers still run",
                where=str(places.run),
                hint="vnf docker start starts it again, vnf docker stop --force ends them",
            )
        _end_daemons(processes, progress)
        _end_containers(places)
        _clear(places)
        if purge:
            remove_data(places)
    return there


def _leave_containers(
    places: Places,
    containers_of: Callable[[], Iterable[str]],
    remove_containers: Callable[[], None],
    force: bool,
) -> None:
    try:
        if force:
            remove_containers()
        elif running := sorted(set(containers_of())):
            raise LabError(
                f"the private Docker daemon is in use: {', '.join(running)}",
                where=str(places.run),
                hint="end them first, or vnf docker stop --force",
            )
    except MachineError as error:
        if not force:
            raise MachineError(
                "the private Docker daemon does not answer, so what runs in it is not known",
                where=str(places.run),
                hint="vnf docker stop --force ends it all the same",
            ) from error


def _end_daemons(processes: Iterable[DaemonProcess], progress: Progress | None = None) -> None:
    """End the daemon, then its containerd.

    Raises:
        MachineError: one does not even end when it is killed.
    """
    ending = list(processes)
    roles: tuple[Role, ...] = ("dockerd", "containerd")
    for role in roles:
        pids = [process.pid for process in ending if process.role == role]
        if not _end(pids, signal.SIGTERM, _STOP_DEADLINE_S, f"stop {role}", progress):
            _kill(pids, role)


def _end_containers(places: Places) -> None:
    """End the containers that outlived their daemon, and what watches over them.

    Raises:
        MachineError: one does not even end when it is killed.
    """
    shims = [process.pid for process in find_processes(places)]
    if shims:
        _kill([*children_of(shims), *shims], "a container")


def _kill(pids: list[int], what: str) -> None:
    if not _end(pids, signal.SIGKILL, _STOP_DEADLINE_S, f"kill {what}", None):
        raise MachineError(
            f"{what} does not end although it was killed",
            where=f"process {', '.join(map(str, pids))}",
            hint="ps -o stat,wchan tells what it waits for in the kernel",
        )


def _end(
    pids: Iterable[int],
    signum: signal.Signals,
    deadline_s: float,
    step: str,
    progress: Progress | None,
) -> bool:
    """Send a signal and wait; returns whether all of them have ended."""
    deadline = time.monotonic() + deadline_s
    poller = select.poll()
    waiting: set[int] = set()
    with contextlib.ExitStack() as opened:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                opened.callback(os.close, descriptor)
                signal.pidfd_send_signal(descriptor, signum)
                poller.register(descriptor, select.POLLIN)
                waiting.add(descriptor)
        total = len(waiting)
        while waiting and time.monotonic() < deadline:
            for descriptor, _ in poller.poll(100):
                poller.unregister(descriptor)
                waiting.discard(descriptor)
            if progress is not None:
                progress(step, total - len(waiting), total)
    return not waiting


def _missing_programs() -> list[str]:
    return [name for name in ("dockerd", "containerd") if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=_search_path())


def _search_path() -> str:
    """Where programs are looked for: root's own folders too, which ``su`` may leave out."""
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*given, *(each for each in _PROGRAM_FOLDERS if each not in given)])


def _make_parent(places: Places) -> None:
    try:
        places.run.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = places.run.parent.stat().st_uid
    except OSError as error:
        raise MachineError(
            f"the folder of the Docker daemon cannot be made: {error.strerror}",
            where=str(places.run.parent),
        ) from error
    if owner != os.geteuid():
        raise UsageError("the folder belongs to another user", where=str(places.run.parent))


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    """Alone at these places: one starts or stops the daemon while the others wait."""
    deadline = time.monotonic() + _START_DEADLINE_S + _STOP_DEADLINE_S
    while True:
        lock = os.open(places.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if _is_held(lock, places.lock):
            break
        os.close(lock)
        if time.monotonic() > deadline:
            raise MachineError(
                "another vnf docker start or stop does not come to an end", where=str(places.lock)
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            places.lock.unlink()
        os.close(lock)


def _is_held(lock: int, path: Path) -> bool:
    """Take the lock; not one whose file its last holder has removed meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _launch(places: Places, running: Iterable[DaemonProcess]) -> None:
    """Start what does not run, as nobody's child and in no terminal's session."""
    roles = {process.role for process in running}
    environment = {
        **{key: text for key, text in os.environ.items() if _KEPT_VARIABLES.fullmatch(key)},
        "PATH": _search_path(),
    }
    commands: dict[Role, list[str]] = {
        "containerd": ["containerd", "--config", str(places.containerd_config)],
        "dockerd": ["dockerd", "--config-file", str(places.config)],
    }
    with places.log.open("ab") as log:
        for role, (program, *arguments) in commands.items():
            if role not in roles:
                subprocess.run(
                    ["setsid", "--fork", _program(program) or program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment,
                    # The folders that it makes in containers are for their users too.
                    umask=0o022,
                    check=True,
                )
                _wait_until_seen(places, role)


def _wait_until_seen(places: Places, role: Role) -> None:
    """Wait until a process shows its command line; one that ends at once never does."""
    deadline = time.monotonic() + _SEEN_DEADLINE_S
    while time.monotonic() < deadline:
        if any(process.role == role for process in find_processes(places)):
            return
        time.sleep(_POLL_S / 10)


def _wait_for_answer(places: Places, progress: Progress | None) -> None:
    from emulator.runtime.engine import client_of

    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        try:
            listener(places.socket)
            client_of(places.url, timeout_s=max(1.0, deadline - time.monotonic())).close()
            return
        except (OSError, BuildVnfError):
            roles = {process.role for process in find_processes(places)}
        for role in ("containerd", "dockerd"):
            if role not in roles:
                raise _not_started(places, f"{role} ended at its start")
        if time.monotonic() > deadline:
            raise _not_started(places, f"it did not answer within {_START_DEADLINE_S:.0f} s")
        if progress is not None:
            progress("start the Docker daemon", 0, 1)
        time.sleep(_POLL_S)


def _not_started(places: Places, why: str) -> MachineError:
    words = "".join(f"\n  {line}" for line in _last_words(places.log))
    return MachineError(
        f"the private Docker daemon did not start: {why}{words}",
        hint=f"all that it wrote is in {places.log}",
    )


def _last_words(log: Path) -> list[str]:
    """The end of the log, without what tells of nothing wrong where something else is told."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    wrong = [line for line in lines if not re.search(r"\blevel=(debug|info|warning)\b", line)]
    return (wrong or lines)[-_LOG_LINES:]


def _clear(places: Places) -> None:
    """Take away what processes that have ended left: mounts, control groups, sockets."""
    unmount(places)
    remove_cgroups(places)
    remove_shim_sockets(places)
    remove_tree(places.run)


def _count(processes: Iterable[DaemonProcess], role: Role) -> int:
    return sum(process.role == role for process in processes)
