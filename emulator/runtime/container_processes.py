"""Processes in a container: started by its first process, which is ours.

``emulator/native/container.c`` runs as the first process of each container and starts others on
request. A process that it starts has the rights and limits of the container and nothing else, but
may get descriptors that only the emulator could open.
"""

from __future__ import annotations

import array
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from emulator.errors import LabError
from emulator.kernel.netns import Netns

_MAGIC = 0x56464E31
_LIFELINE, _RUN = 1, 2
_NEW_SESSION, _TAKE_TERMINAL, _ADD_ENVIRONMENT = 1, 2, 4
_BORN, _STARTED, _FAILED, _NO_DIRECTORY, _ENDED, _REFUSED = 1, 2, 3, 4, 5, 6
_LOG = -1
_MAX_FDS = 64
_REQUEST = struct.Struct(f"=6I{_MAX_FDS}i")
_ANSWER = struct.Struct("=Ii")
_CREDENTIALS = struct.Struct("=iII")
_SO_SNDBUFFORCE = 32
_LARGEST_REQUEST_BYTES = 4 << 20
_ANSWER_DEADLINE_S = 30.0
_POLL_S = 0.002


class ContainerProcesses:
    """Starts processes in one container.

    Args:
        path: the socket of the container's first process.
        name: the node's name, for messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def popen(
        self, netns: Netns, args: Sequence[str] | str, **options: Any
    ) -> subprocess.Popen[Any]:
        """``subprocess.Popen`` inside the container, with the same options.

        The environment is the container's own unless ``env`` is given; ``extra_env`` adds to it.
        The working directory is the image's; ``preexec_fn``, ``umask`` and other users are not to
        be had.

        Args:
            netns: not asked for: a container has one.

        Raises:
            OSError: as ``subprocess.Popen`` does, for instance when there is no such program.
            LabError: when the container has ended, or does not answer.
        """
        try:
            return ContainerPopen(args, connect=lambda: _connected(self._path), **options)
        except (ConnectionError, _NoContainer) as error:
            raise LabError(
                "the container has ended", where=self._name, hint="restart the node"
            ) from error
        except TimeoutError as error:
            raise LabError(
                f"the container does not answer within {_ANSWER_DEADLINE_S:g} s",
                where=self._name,
                hint="docker unpause wakes one that has been paused",
            ) from error

    def popen_logged(
        self, netns: Netns, args: Sequence[str], log: int, **options: Any
    ) -> subprocess.Popen[Any]:
        """Like ``popen``, with what it prints in a file, and in what ``docker logs`` shows."""
        return self.popen(netns, args, copy_to=log, **options)


class Lifeline:
    """Keeps a container alive: it ends when this is closed, or when its holder dies.

    Raises:
        OSError: the container's first process does not answer.
    """

    def __init__(self, path: Path) -> None:
        self._connection = _connected(path)
        try:
            _send(self._connection, kind=_LIFELINE)
            kind, value, _ = _answer(self._connection)
            if kind != _STARTED:
                raise OSError(value, os.strerror(value))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Readable when the container has ended."""
        return self._connection.fileno()

    @property
    def pid(self) -> int:
        """The container's first process, as our own PID namespace numbers it; 0 for none in it."""
        told = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(told)[0])

    @property
    def alive(self) -> bool:
        """Whether the container still runs."""
        return self._connection.fileno() >= 0 and not _readable(self._connection, 0)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the container has ended; whether it has."""
        return self._connection.fileno() < 0 or _readable(self._connection, timeout_s)

    def end(self) -> None:
        """Ask for a gentle end: SIGTERM to all of its processes, a second of grace, SIGKILL."""
        with suppress(OSError):
            self._connection.send(b"t")

    def close(self) -> None:
        """End the container at once; closing twice is allowed."""
        self._connection.close()


class ContainerPopen(subprocess.Popen[Any]):
    """A process in a container, as ``subprocess.Popen`` has it.

    Its number, ``pid``, is the one that the machine's own PID namespace gives it.
    """

    def __init__(
        self,
        args: Sequence[str] | str,
        *,
        connect: Callable[[], socket.socket],
        extra_env: Mapping[str, str] | None = None,
        take_terminal: bool = False,
        copy_to: int | None = None,
        **options: Any,
    ) -> None:
        self._connect = connect
        self._extra_env = extra_env or {}
        self._take_terminal = take_terminal
        self._copy_to = copy_to
        self._new_session = options.setdefault("start_new_session", True)
        self._connection: socket.socket | None = None
        self._pidfd = -1
        self._status_lock = threading.Lock()
        for name in ("preexec_fn", "user", "group", "extra_groups", "process_group", "umask"):
            if options.get(name) not in (None, -1):
                raise ValueError(f"{name} cannot be had for a process in a container")
        super().__init__(args, **options)

    def _execute_child(
        self,
        args: Sequence[str] | str,
        executable: str | None,
        preexec_fn: None,
        close_fds: bool,
        pass_fds: Sequence[int],
        cwd: str | None,
        env: Mapping[str, str] | None,
        startupinfo: None,
        creationflags: int,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *others: Any,
    ) -> None:
        words = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
        if shell:
            words = [executable or "/bin/sh", "-c", *words]
        elif executable is not None:
            raise ValueError("executable cannot be had for a process in a container")
        command = [os.fspath(word) for word in words]
        streams = enumerate((p2cread, c2pwrite, errwrite))
        # What is not redirected is the emulator's own, as for any child of it.
        fds = [(number, fd if fd >= 0 else number) for number, fd in streams]
        if self._copy_to is not None:
            fds[1:] = [(_LOG, self._copy_to)]
        fds += [(fd, fd) for fd in pass_fds]
        flags = _NEW_SESSION if self._new_session else 0
        flags |= _NEW_SESSION | _TAKE_TERMINAL if self._take_terminal else 0
        environment = self._extra_env if env is None else {**env, **self._extra_env}
        flags |= _ADD_ENVIRONMENT if env is None else 0
        try:
            self._connection = self._connect()
            self._request(command, environment, cwd, flags, fds)
        except BaseException:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            raise
        finally:
            self._child_created = self._connection is not None
            self._close_pipe_fds(  # type: ignore[attr-defined]
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
            )

    def _request(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str | None,
        flags: int,
        fds: Sequence[tuple[int, int]],
    ) -> None:
        assert self._connection is not None
        connection = self._connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        strings = ["" if cwd is None else os.fspath(cwd), *command]
        strings += [f"{name}={value}" for name, value in environment.items()]
        with suppress(BrokenPipeError):  # why, the answer tells
            _send(
                connection,
                kind=_RUN,
                flags=flags,
                argc=len(command),
                envc=len(environment),
                strings=strings,
                fds=fds,
            )
        while True:
            kind, value, pid = _answer(connection)
            if kind == _BORN:
                self.pid = pid
                # It may have failed and gone by now, as the next answer tells.
                with suppress(ProcessLookupError):
                    self._pidfd = os.pidfd_open(pid)
            elif kind == _STARTED:
                return
            elif kind == _NO_DIRECTORY:
                raise OSError(value, os.strerror(value), cwd)
            elif kind == _FAILED:
                raise OSError(value, os.strerror(value), command[0])
            else:
                raise OSError(value, os.strerror(value))

    def _internal_poll(self, _deadstate: Any = None) -> int | None:
        with self._status_lock:
            connection = self._connection
            if self.returncode is None and connection is not None and _readable(connection, 0):
                self._take_status(connection)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        with self._status_lock:
            connection = self._connection
            # Our own, because another thread may learn of the end first, and close the other one.
            watched = None if connection is None else connection.dup()
        if watched is not None:
            with watched:
                if not _readable(watched, timeout):
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(self.args, timeout)
        status = self._internal_poll()
        if status is None:
            raise ChildProcessError(errno.ECHILD, "the process is that of another emulator")
        return status

    def _take_status(self, connection: socket.socket) -> None:
        try:
            kind, value, _ = _answer(connection)
        except OSError:
            # The container ended, and with it, by SIGKILL, all its processes.
            kind, value = _ENDED, signal.SIGKILL
        self.returncode = os.waitstatus_to_exitcode(value) if kind == _ENDED else -signal.SIGKILL
        self.let_go()

    def send_signal(self, sig: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None and self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, sig)

    def let_go(self) -> None:
        """Close our descriptors of the process without ending it; what a forked process does."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def __del__(self) -> None:
        # Not that of the base class, which would have it waited for: its parent does that.
        if hasattr(self, "_pidfd"):
            self.let_go()


def wait_for_socket(path: Path, alive: Callable[[], bool], deadline_s: float) -> Lifeline:
    """The lifeline of a container whose first process is just starting.

    Args:
        alive: whether the container still runs.

    Raises:
        LabError: it has ended, or does not answer in time.
    """
    deadline = time.monotonic() + deadline_s
    pause_s = _POLL_S
    while True:
        try:
            return Lifeline(path)
        except (_NoContainer, ConnectionError, TimeoutError) as error:
            if not alive():
                raise LabError("the container has ended") from error
            if time.monotonic() > deadline:
                raise LabError(f"the container does not answer within {deadline_s:g} s") from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.05)


class _NoContainer(OSError):
    """Nobody answers at the socket of a container: not yet, or not any more."""


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(_ANSWER_DEADLINE_S)
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        raise _NoContainer(error.errno, error.strerror, str(path)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _send(
    connection: socket.socket,
    *,
    kind: int,
    flags: int = 0,
    argc: int = 0,
    envc: int = 0,
    strings: Sequence[str] = (),
    fds: Sequence[tuple[int, int]] = (),
) -> None:
    if len(fds) > _MAX_FDS:
        raise OSError(errno.EMFILE, "too many descriptors for a process in a container")
    targets = [target for target, _ in fds] + [0] * (_MAX_FDS - len(fds))
    head = _REQUEST.pack(_MAGIC, kind, flags, argc, envc, len(fds), *targets)
    data = head + b"".join(os.fsencode(text) + b"\0" for text in strings)
    if len(data) > _LARGEST_REQUEST_BYTES or b"\0" in os.fsencode("".join(strings)):
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    connection.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data) + (1 << 16))
    rights = array.array("i", [fd for _, fd in fds])
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
    connection.sendmsg([data], control)


def _answer(connection: socket.socket) -> tuple[int, int, int]:
    """The next answer: its kind, its value, and the number of the process that sent it."""
    receive = partial(
        connection.recvmsg,
        _ANSWER.size,
        socket.CMSG_SPACE(_CREDENTIALS.size),
        socket.MSG_CMSG_CLOEXEC,
    )
    try:
        data, control, _, _ = receive()
    except ConnectionResetError:
        # That the other end has hung up without hearing us comes before what it has said.
        data, control, _, _ = receive()
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    pid = 0
    for level, kind, content in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(content)[0]
    return *_ANSWER.unpack(data), pid


def _readable(connection: socket.socket, timeout_s: float | None) -> bool:
    watched = select.poll()
    watched.register(connection, select.POLLIN)
    return bool(watched.poll(None if timeout_s is None else timeout_s * 1000))
