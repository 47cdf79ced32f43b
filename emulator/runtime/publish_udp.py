"""Forwards the datagrams of a published UDP port; part of :mod:`emulator.runtime.publish`."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from emulator.closing import Closing

_LARGEST_BYTES = 1 << 16
_AT_ONCE = 64
"""Datagrams taken in a row before others have their turn."""
_CLIENTS = 4096
"""More than these at once, and the one that has been silent for longest is forgotten."""
_KEPT = 16
"""Datagrams that are kept until it is certain at which address the program listens."""


class UdpForwarder(Closing):
    """A port's datagrams, both ways; each client has a socket of its own inside the node.

    To be used on the loop's thread. Datagrams are lost where a queue is full, as everywhere.

    Args:
        listener: the machine's side.
        connected: a socket inside the node that is connected to the program, by the number of the
            address to try; None when there are no more; ``OSError`` when that one cannot be.
        idle_s: after this time without a datagram either way, a client is forgotten.
    """

    def __init__(
        self,
        listener: socket.socket,
        connected: Callable[[int], socket.socket | None],
        idle_s: float,
    ) -> None:
        self.listener = listener
        self.connected = connected
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._clients: OrderedDict[Any, _Client] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._receive)

    def close(self) -> None:
        """Forgets all clients; the listener is its maker's to close."""
        self._loop.remove_reader(self.listener)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._clients:
            self._clients.popitem()[1].close()

    def let_go(self) -> None:
        """What a forked process does: closes its copies, and leaves the parent's loop alone."""
        for client in self._clients.values():
            client.let_go()
        self._clients.clear()

    def heard_of(self, client: _Client) -> None:
        """A datagram went to or fro; the client is the last to be forgotten now."""
        client.heard_s = self._loop.time()
        if client.address in self._clients:
            self._clients.move_to_end(client.address)

    def forget(self, client: _Client) -> None:
        """Closes a client; a later datagram of its begins anew."""
        self._clients.pop(client.address, None)
        client.close()

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, address = self.listener.recvfrom(_LARGEST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # The report of an answer that a client was no longer there to receive.
                continue
            client = self._clients.get(address)
            if client is None:
                client = self._clients[address] = _Client(self, address, self._loop)
                if len(self._clients) > _CLIENTS:
                    self._clients.popitem(last=False)[1].close()
            self.heard_of(client)
            client.send(data)
            if self._sweep is None:
                self._sweep = self._loop.call_later(self._idle_s, self._forget_idle)

    def _forget_idle(self) -> None:
        """Those that have been silent for longest stand first."""
        self._sweep = None
        now_s = self._loop.time()
        for client in list(self._clients.values()):
            due_s = client.heard_s + self._idle_s
            if due_s > now_s:
                self._sweep = self._loop.call_at(due_s, self._forget_idle)
                return
            self.forget(client)


class _Client:
    """One client: a socket inside the node that stands for it.

    UDP does not tell whether anybody listens at an address before something is sent there, and
    then by an error a moment later. So the first datagrams are kept; when an address refuses them
    they are sent to the next one.
    """

    def __init__(self, port: UdpForwarder, address: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.heard_s = 0.0
        self._port = port
        self._loop = loop
        self._inside: socket.socket | None = None
        self._attempt = 0
        self._kept: deque[bytes] = deque()
        self._is_settled = False
        self._is_closed = False

    def send(self, data: bytes) -> None:
        if not self._is_settled:
            self._kept.append(data)
            if len(self._kept) > _KEPT:
                self._settle()
        if self._inside is None:
            self._try_addresses()
        else:
            self._pass_on(data)

    def close(self) -> None:
        self._is_closed = True
        self._disconnect()

    def let_go(self) -> None:
        if self._inside is not None:
            self._inside.close()

    def _settle(self) -> None:
        self._is_settled = True
        self._kept.clear()

    def _disconnect(self) -> None:
        if self._inside is not None:
            self._loop.remove_reader(self._inside)
            self._inside.close()
            self._inside = None

    def _try_addresses(self) -> None:
        """Sends what is kept to the next address that takes it, or else forgets the client."""
        while True:
            self._disconnect()
            try:
                inside = self._port.connected(self._attempt)
            except OSError:
                self._attempt += 1
                continue
            if inside is None:
                self._port.forget(self)
                return
            self._inside = inside
            self._loop.add_reader(inside, self._answer)
            try:
                for data in self._kept:
                    with suppress(BlockingIOError):
                        inside.send(data)
            except OSError:
                self._attempt += 1
                continue
            return

    def _pass_on(self, data: bytes) -> None:
        assert self._inside is not None
        try:
            self._inside.send(data)
        except BlockingIOError:
            return
        except OSError:
            self._refused()

    def _answer(self) -> None:
        for _ in range(_AT_ONCE):
            if self._inside is None:
                return
            try:
                data = self._inside.recv(_LARGEST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._refused()
                return
            if not self._is_settled:
                self._settle()
            self._port.heard_of(self)
            with suppress(OSError):
                self._port.listener.sendto(data, self.address)

    def _refused(self) -> None:
        """Nobody listens there (any more)."""
        if self._is_closed:
            return
        if self._is_settled:
            self._port.forget(self)
            return
        self._attempt += 1
        self._try_addresses()
