"""Forwards the connections of a published TCP port; part of :mod:`emulator.runtime.publish`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from emulator.closing import Closing

_CHUNK_BYTES = 1 << 18
_AT_ONCE = 64
"""Connections accepted in a row before others have their turn."""
_CONNECT_S = 5.0
"""How long an address inside the node may take to answer; a firewall there could be silent."""
_PAUSE_S = 0.2
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RESET = struct.pack("=ii", 1, 0)
"""Linger for no time: closing says at once that the connection is broken."""


class TcpForwarder(Closing):
    """A port's connections, each carried on by one inside the node.

    To be used on the loop's thread.

    Args:
        listener: the machine's side.
        connecting: a socket inside the node that is being connected to the program, by the number
            of the address to try; None when there are no more; ``OSError`` when that one cannot be.
    """

    def __init__(
        self, listener: socket.socket, connecting: Callable[[int], socket.socket | None]
    ) -> None:
        self.connecting = connecting
        self.connections: set[_Connection] = set()
        self.room = memoryview(bytearray(_CHUNK_BYTES))
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Breaks all connections; the listener is its maker's to close."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for connection in list(self.connections):
            connection.reset()

    def let_go(self) -> None:
        """What a forked process does: closes its copies, and leaves the parent's loop alone."""
        for connection in self.connections:
            connection.let_go()
        self.connections.clear()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    # One that gave up before it was accepted, which concerns no other.
                    continue
                # Those that wait are accepted when others have ended.
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(_PAUSE_S, self._go_on)
                return
            client.setblocking(False)
            connection = _Connection(self, client, self._loop)
            self.connections.add(connection)
            connection.try_address(0)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)


class _Connection:
    """A connection of a client, and the one inside the node that it is carried on by."""

    def __init__(
        self, port: TcpForwarder, client: socket.socket, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.port = port
        self.loop = loop
        self._client = client
        self._server: socket.socket | None = None
        self._late: asyncio.TimerHandle | None = None
        self._flows: tuple[_Flow, ...] = ()

    def try_address(self, attempt: int) -> None:
        """Connects to the first address, from that number on, at which a program listens."""
        while True:
            try:
                self._server = self.port.connecting(attempt)
            except OSError:
                attempt += 1
                continue
            break
        if self._server is None:
            # Nobody listens: the client hears of it nearly as it would have on the spot.
            self.reset()
            return
        self.loop.add_writer(self._server, self._connected, self._server, attempt)
        self._late = self.loop.call_later(_CONNECT_S, self._try_next, self._server, attempt)

    def end_if_done(self) -> None:
        """Closes both ends when neither has anything more to say."""
        if all(flow.is_done for flow in self._flows):
            self._close()

    def reset(self) -> None:
        """Breaks the connection at both ends."""
        for end in (self._client, self._server):
            if end is not None:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    def let_go(self) -> None:
        for end in (self._client, self._server):
            if end is not None:
                end.close()

    def _try_next(self, server: socket.socket, attempt: int) -> None:
        self._give_up_waiting(server)
        server.close()
        self.try_address(attempt + 1)

    def _connected(self, server: socket.socket, attempt: int) -> None:
        if server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_next(server, attempt)
            return
        self._give_up_waiting(server)
        for end in (self._client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client elsewhere may vanish without a word.
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._flows = (_Flow(self, self._client, server), _Flow(self, server, self._client))

    def _give_up_waiting(self, server: socket.socket) -> None:
        self.loop.remove_writer(server)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        for flow in self._flows:
            flow.is_done = True
        if self._late is not None:
            self._late.cancel()
        for end in (self._client, self._server):
            if end is not None and end.fileno() >= 0:
                self.loop.remove_reader(end)
                self.loop.remove_writer(end)
                end.close()
        self.port.connections.discard(self)


class _Flow:
    """One way of a connection: bytes from a source until it has no more, which the sink is told.

    No more is read before all that was read is written, so a slow reader slows its writer.
    """

    def __init__(self, connection: _Connection, source: socket.socket, sink: socket.socket) -> None:
        self.is_done = False
        self._connection = connection
        self._loop = connection.loop
        self._room = connection.port.room
        self._source = source
        self._sink = sink
        self._left = memoryview(b"")
        self._loop.add_reader(source, self._read)

    def _read(self) -> None:
        try:
            count = self._source.recv_into(self._room)
        except BlockingIOError:
            return
        except OSError:
            self._connection.reset()
            return
        if count == 0:
            self._finish()
            return
        sent = self._send(self._room[:count])
        if sent < count and not self.is_done:
            # The room is for all connections, so what is left needs one of its own.
            self._left = memoryview(bytes(self._room[sent:count]))
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._write)

    def _write(self) -> None:
        self._left = self._left[self._send(self._left) :]
        if not self._left and not self.is_done:
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self._read)

    def _send(self, data: memoryview) -> int:
        try:
            return self._sink.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._connection.reset()
            return 0

    def _finish(self) -> None:
        self.is_done = True
        self._loop.remove_reader(self._source)
        try:
            self._sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._connection.reset()
            return
        self._connection.end_if_done()


def begin_to_connect(end: socket.socket, address: tuple[str, int]) -> None:
    """Begins to connect a non-blocking socket; ``OSError`` when that fails at once."""
    number = end.connect_ex(address)
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
