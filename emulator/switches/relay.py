"""The way from a lab's switches to a controller that listens on the machine.

Switches live in the lab's fabric, which leads nowhere. So a port of the fabric takes their
connections, and each is carried on by one that the emulator makes from the machine's own network.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.runtime.publish_tcp import TcpForwarder, begin_to_connect

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns

_BACKLOG = 128


class Relay(Closing):
    """Carries connections to a port inside a namespace on to an address outside.

    Args:
        netns: the namespace, whose loopback device is up.
        port: of 127.0.0.1 in it.
        target: an address, or a name that the machine knows, and a port there.

    Raises:
        LabError: somebody has the port, or nobody the name.
    """

    def __init__(self, netns: Netns, port: int, target: tuple[str, int]) -> None:
        try:
            found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter: it can be nobody's name
            reason = getattr(error, "strerror", None) or str(error)
            raise LabError(
                f"nobody knows the name {target[0]}: {reason}",
                hint="give the address of the machine that it runs on",
            ) from error
        # In turn, as a name may have addresses at which nobody listens: ::1 and then 127.0.0.1.
        self._targets = [(family, (str(end[0]), target[1])) for family, _, _, _, end in found]
        try:
            self._listener = netns.run(_listen, port)
        except OSError as error:
            raise LabError(f"port {port} of the fabric cannot be had: {error.strerror}") from error
        self._loop = asyncio.new_event_loop()
        self._forwarder: TcpForwarder | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Breaks the connections; closing twice is allowed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._listener.close()

    def let_go(self) -> None:
        """What a forked process does: its copies would keep connections open that have ended."""
        self._listener.close()
        if self._forwarder is not None:
            self._forwarder.let_go()

    def _run(self) -> None:
        def serve() -> None:
            self._forwarder = TcpForwarder(self._listener, self._connecting)

        # Before anything else on the loop, even if it is told to stop at once.
        self._loop.call_soon(serve)
        self._loop.run_forever()
        if self._forwarder is not None:
            self._forwarder.close()

    def _connecting(self, attempt: int) -> socket.socket | None:
        if attempt >= len(self._targets):
            return None
        family, target = self._targets[attempt]
        end = socket.socket(family, socket.SOCK_STREAM)
        end.setblocking(False)
        try:
            begin_to_connect(end, target)
        except BaseException:
            end.close()
            raise
        return end


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
