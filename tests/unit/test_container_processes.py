"""What is asked of a container's first process, and what its answers are taken for; no root."""

from __future__ import annotations

import array
import errno
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import LabError
from emulator.runtime.container_processes import ContainerPopen, wait_for_socket

ANSWER = struct.Struct("=Ii")
HEAD = struct.Struct("=6I64i")
BORN, STARTED, FAILED, NO_DIRECTORY, ENDED, REFUSED = range(1, 7)

Asked = list[bytes]


def popen(answers: Sequence[tuple[int, int]], args: Any = "true", **options: Any) -> ContainerPopen:
    """A process whose container gives these answers, and then hangs up."""
    asked: Asked = []
    return asking(answers, asked)(args, **options)


def asking(answers: Sequence[tuple[int, int]], asked: Asked) -> Callable[..., ContainerPopen]:
    def run(args: Any, **options: Any) -> ContainerPopen:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(5)
        theirs.settimeout(5)

        def answer() -> None:
            with theirs:
                data, control, _, _ = theirs.recvmsg(1 << 20, socket.CMSG_SPACE(256))
                asked.append(data)
                for _, _, content in control:
                    for fd in array.array("i", content):
                        os.close(fd)
                for each in answers:
                    theirs.send(ANSWER.pack(*each))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            return ContainerPopen(args, connect=lambda: ours, **options)
        finally:
            thread.join()

    return run


def test_a_request_says_what_is_to_run_and_where() -> None:
    asked: Asked = []
    run = asking([(BORN, 0), (STARTED, 0), (ENDED, 0)], asked)
    with run(["a", "", "b c"], cwd="/x", env={"A": "1"}, extra_env={"B": "=2"}) as process:
        assert process.wait() == 0
    magic, kind, flags, argc, envc, fds, *targets = HEAD.unpack(asked[0][: HEAD.size])
    assert (magic, kind, flags, argc, envc, fds) == (0x56464E31, 2, 1, 3, 2, 3)
    assert targets[:3] == [0, 1, 2]
    assert asked[0][HEAD.size :] == b"/x\0a\0\0b c\0A=1\0B==2\0"


def test_its_number_is_that_of_who_answers_first() -> None:
    assert popen([(BORN, 0), (STARTED, 0), (ENDED, 0)]).pid == os.getpid()


@pytest.mark.parametrize(
    ("status", "code"), [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, -9), (15 | 0x80, -15)]
)
def test_how_it_ended(status: int, code: int) -> None:
    process = popen([(BORN, 0), (STARTED, 0), (ENDED, status)])
    assert process.poll() == process.wait() == process.returncode == code


def test_a_container_that_ends_takes_its_processes_with_it() -> None:
    assert popen([(BORN, 0), (STARTED, 0)]).wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("kind", "number", "kind_of_error", "named"),
    [
        (FAILED, errno.ENOENT, FileNotFoundError, "prog"),
        (FAILED, errno.EACCES, PermissionError, "prog"),
        (NO_DIRECTORY, errno.ENOTDIR, NotADirectoryError, "/here"),
        (REFUSED, errno.EAGAIN, BlockingIOError, None),
    ],
)
def test_errors_are_those_of_subprocess(
    kind: int, number: int, kind_of_error: type[OSError], named: str | None
) -> None:
    with pytest.raises(kind_of_error) as caught:
        popen([(BORN, 0), (kind, number)], ["prog", "x"], cwd="/here", stdout=subprocess.PIPE)
    assert caught.value.filename == named


def test_a_container_that_hangs_up_is_told() -> None:
    with pytest.raises(ConnectionResetError):
        popen([])


def test_who_has_let_go_of_a_process_cannot_wait_for_it() -> None:
    process = popen([(BORN, 0), (STARTED, 0), (ENDED, 0)])
    process.let_go()
    assert process.poll() is None
    with pytest.raises(ChildProcessError):
        process.wait()


@pytest.mark.parametrize("option", ["preexec_fn", "user", "umask", "process_group"])
def test_what_cannot_be_had_is_refused(option: str) -> None:
    def connect() -> socket.socket:
        raise AssertionError("nobody is to be asked")

    with pytest.raises(ValueError, match=option):
        ContainerPopen("true", connect=connect, **{option: 1})  # type: ignore[arg-type]


def test_nobody_at_the_socket_is_a_container_that_has_ended(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the container has ended"):
        wait_for_socket(tmp_path / "none", lambda: False, 1)
    with pytest.raises(LabError, match=r"does not answer within 0.01 s"):
        wait_for_socket(tmp_path / "none", lambda: True, 0.01)
