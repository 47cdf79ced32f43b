#!/usr/bin/python3
"""A server that counts how often it was asked for each of many keys, and what one can tell it.

A request is a UDP packet with a key and a number of the client's own. The answer is that number
and how often the key was asked for, this time included. The counts are in memory and nowhere else.

    counter serve [--port PORT] [--keys N] [--hold]

With --hold it has no state, and leaves requests in the buffer of its socket until it is told to go.
What it is told, in the same container:

    counter show       print whether it answers, the number of keys, and of requests answered
    counter copy       print the whole state, while it goes on answering
    counter changes    print what has changed since copy or changes were told the last time
    counter stop       answer the requests that are there, and no more
    counter load       read what copy or changes have printed
    counter go         begin to answer, or go on
"""

import argparse
import contextlib
import selectors
import socket
import sys
from collections.abc import Iterator

CONTROL = ("127.0.0.1", 7001)
WORDS = ("show", "copy", "changes", "stop", "load", "go")
NOTE = "what is known of this key, and makes the state larger " * 4
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 4 << 20
# So many lines of the state go out, or come in, between two looks at the requests.
LINES_AT_ONCE = 500
REQUESTS_AT_ONCE = 64


class Server:
    """The counts, the socket on which they are asked for, and the one for what it is told."""

    def __init__(self, port: int, keys: int, holds: bool) -> None:
        self.holds = holds
        self.counts = {} if holds else {str(key): 0 for key in range(keys)}
        self.changed: set[str] = set()
        self.requests = socket.socket(type=socket.SOCK_DGRAM)
        # Beyond net.core.rmem_max, as CAP_NET_ADMIN allows: a host in a container has it.
        self.requests.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.requests.bind(("", port))
        self.requests.setblocking(False)
        self.control = socket.create_server(CONTROL)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.control, selectors.EVENT_READ)
        if not holds:
            self.selector.register(self.requests, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve for ever; one thing is told at a time, and requests come between its parts."""
        while True:
            if any(key.fileobj is self.control for key in self.wait()):
                connection, _ = self.control.accept()
                # Who tells it something may go before it is done.
                with connection, contextlib.suppress(ConnectionError):
                    self.obey(connection)

    def wait(self, timeout_s: float | None = None) -> list[selectors.SelectorKey]:
        """Answer the requests that are there; wait for the next ones, if any time is given."""
        ready = [key for key, _ in self.selector.select(timeout_s)]
        if any(key.fileobj is self.requests for key in ready):
            self.answer()
        return ready

    def answer(self) -> bool:
        """Answer some requests; whether there may be more."""
        for _ in range(REQUESTS_AT_ONCE):
            try:
                request, client = self.requests.recvfrom(64)
            except BlockingIOError:
                return False
            key, _, number = request.decode().partition(" ")
            count = self.counts[key] = self.counts.get(key, 0) + 1
            self.changed.add(key)
            self.requests.sendto(f"{number} {count}".encode(), client)
        return True

    def obey(self, connection: socket.socket) -> None:
        """Do what one connection tells."""
        lines = connection.makefile("rw", encoding="ascii")
        word = lines.readline().strip()
        if word == "show":
            how = "holds" if self.holds else "answers"
            lines.write(f"{how}: {len(self.counts)} keys, {sum(self.counts.values())} requests\n")
        elif word in ("copy", "changes"):
            keys = list(self.counts) if word == "copy" else list(self.changed)
            self.changed.clear()
            for part in parts_of(keys):
                lines.writelines(f"{key} {self.counts[key]} {NOTE}\n" for key in part)
                lines.flush()
                self.wait(0)
        elif word == "load":
            for number, line in enumerate(lines):
                key, count, _ = line.split(" ", 2)
                self.counts[key] = int(count)
                if number % LINES_AT_ONCE == 0:
                    self.wait(0)
        elif word == "stop":
            self.hold()
        elif word == "go":
            self.go()
        lines.flush()

    def hold(self) -> None:
        """Answer what is there, and no more."""
        if not self.holds:
            while self.answer():
                pass
            self.holds = True
            self.selector.unregister(self.requests)

    def go(self) -> None:
        """Begin to answer, with the requests that have waited."""
        if self.holds:
            self.holds = False
            self.selector.register(self.requests, selectors.EVENT_READ)


def parts_of(keys: list[str]) -> Iterator[list[str]]:
    """The keys, some at a time."""
    for start in range(0, len(keys), LINES_AT_ONCE):
        yield keys[start : start + LINES_AT_ONCE]


def tell(word: str) -> None:
    """Tell the server of this container something; print what it says."""
    with socket.create_connection(CONTROL) as connection:
        connection.sendall(f"{word}\n".encode())
        if word == "load":
            for line in sys.stdin.buffer:
                connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        while said := connection.recv(1 << 16):
            sys.stdout.buffer.write(said)


def main() -> None:
    """Be the server, or tell it something."""
    parser = argparse.ArgumentParser(prog="counter")
    parser.add_argument("word", choices=("serve", *WORDS))
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    if options.word == "serve":
        Server(options.port, options.keys, options.hold).run()
    else:
        tell(options.word)


if __name__ == "__main__":
    main()
