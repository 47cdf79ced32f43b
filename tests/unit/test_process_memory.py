"""Requests to a VNF process: each gets its own answer, or says why there is none."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.dataplane.process_memory import Connection
from emulator.errors import LabError, TableFullError

DEADLINE_S = 5.0
Answer = Callable[[bytes], bytes | None]


class Process:
    """What stands for the VNF: answers each request, on any connection, as a function says."""

    def __init__(self, path: Path) -> None:
        self.answer: Answer = lambda request: bytes(4) + request[12:]
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen()
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for client in self._clients:
            client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for client in self._clients:
            client.close()
        self._clients = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := client.recv(1 << 16):
                answer = self.answer(request)
                if answer is None:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.send(answer)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / "control")
    yield made
    with contextlib.suppress(OSError):
        made.close()


def status(number: int) -> bytes:
    return struct.pack("=i", number)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(process: Process) -> None:
    late = threading.Event()

    def answer(request: bytes) -> bytes:
        if request[12:] == b"first":
            late.wait(DEADLINE_S)
        return bytes(4) + request[12:]

    process.answer = answer
    with Connection(process.path, patience_s=0.05) as connection:
        with pytest.raises(LabError, match="does not answer"):
            connection.ask(1, content=b"first")
        late.set()
        assert connection.ask(1, content=b"second") == b"second"


def test_threads_get_the_answers_to_their_own_requests(process: Process) -> None:
    wrong = []
    with Connection(process.path) as connection:

        def ask(name: str) -> None:
            for number in range(200):
                text = f"{name}{number}".encode()
                if connection.ask(1, content=text) != text:
                    wrong.append(text)

        threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (status(-errno.ENOSPC), TableFullError, "the table is full"),
        (status(-errno.EINVAL), LabError, "refuses a request: Invalid argument"),
        (status(-errno.ENOENT), KeyError, "7"),
        (None, LabError, "the VNF has ended"),
    ],
)
def test_what_a_process_refuses(
    process: Process, answer: bytes | None, error: type[Exception], said: str
) -> None:
    process.answer = lambda _: answer
    with Connection(process.path) as connection, pytest.raises(error, match=said):
        connection.ask(1, table=7)


def test_a_process_that_has_ended(process: Process) -> None:
    with Connection(process.path) as connection:
        process.close()
        for _ in range(2):
            with pytest.raises(LabError, match="the VNF has ended"):
                connection.ask(1)


def test_a_connection_that_was_closed_stays_closed(process: Process) -> None:
    connection = Connection(process.path)
    connection.close()
    connection.close()
    with pytest.raises(LabError, match="the VNF has ended"):
        connection.ask(1)
