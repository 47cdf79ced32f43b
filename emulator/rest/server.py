"""The HTTP server of a lab: its socket, its threads, its token, and their end."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, MachineError, UsageError
from emulator.forking import let_go_when_forked
from emulator.paths import run_dir

if TYPE_CHECKING:
    from emulator.network import Network

MAKE_TOKEN = ""
"""In place of a token: have one made."""

_THREADS = 8
"""Those that change something take turns; others are not to wait behind them."""
_MOST_BYTES = 1 << 16
"""Of a request's body; what describes a container is far smaller."""
_END_WITHIN_S = 30


class RestServer:
    """A running server; made by ``Network.serve_rest``.

    Attributes:
        url: ``http://127.0.0.1:8000``.
        token: what requests have to show; None when there is none.
        token_file: where it is written, readable by root alone; None likewise.
        node: the node in whose network it listens; None when that is the machine's.
    """

    def __init__(
        self,
        net: Network,
        address: str,
        port: int,
        token: str | None,
        log: Callable[[str], None] | None,
    ) -> None:
        self.token = secrets.token_urlsafe(24) if token == MAKE_TOKEN else token
        if self.token is not None and not _is_token(self.token):
            raise UsageError(
                "a token has 8 letters, digits or any of -._~+/= at least",
                hint='leave it out, and one is made; or python3 -c "import secrets; '
                'print(secrets.token_urlsafe())"',
            )
        self.token_file: Path | None = None
        self.node, self._socket = _listen(net, address, port)
        self._channels: dict[Any, Any] = {}
        self._thread: threading.Thread | None = None
        try:
            host, bound = self._socket.getsockname()[:2]
            self._loopback = ip_address(host).is_loopback
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
            if self.token is not None:
                self.token_file = run_dir() / net.id / f"rest-{bound}.token"
                _write_secret(self.token_file, self.token)
            self._serve(net, log)
        except BaseException:
            self.close()
            raise
        let_go_when_forked(self)

    def __repr__(self) -> str:
        return f"<RestServer {self.url}>"

    @property
    def local(self) -> bool:
        """Whether nobody outside of this machine and the lab can reach it."""
        return self.node is not None or self._loopback

    def _serve(self, net: Network, log: Callable[[str], None] | None) -> None:
        from waitress.server import create_server

        from emulator.rest.api import Api

        # It would warn of each request that waits for its turn, and of those cut off at the end.
        logging.getLogger("waitress").setLevel(logging.ERROR)

        self._server: Any = create_server(
            Api(net, self.token, log),
            map=self._channels,
            sockets=[self._socket],
            threads=_THREADS,
            max_request_body_size=_MOST_BYTES,
            ident=None,
        )
        self._thread = threading.Thread(target=self._server.run, name="rest", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and wait for the requests under way; closing twice is allowed."""
        thread, self._thread = self._thread, None
        if thread is not None:
            from waitress.wasyncore import close_all

            self._server.task_dispatcher.shutdown(timeout=_END_WITHIN_S)
            # On the server's own thread, whose loop ends when nothing is open any more.
            self._server.trigger.pull_trigger(lambda: close_all(self._channels))
            if thread is not threading.current_thread():
                thread.join(_END_WITHIN_S)
        self._socket.close()
        if self.token_file is not None:
            self.token_file.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Leave the server to the process we were forked from."""
        self._thread = None
        self.token_file = None
        # The port would stay taken as long as a child lives.
        self._socket.close()


def _listen(net: Network, address: str, port: int) -> tuple[str | None, socket.socket]:
    """A listening socket, in the network of the node that has the address, or the machine's."""
    if type(port) is not int or not 0 <= port <= 65535:
        raise UsageError(f"a port is a number up to 65535, not {port!r}", hint="0 takes a free one")
    try:
        literal = ip_address("127.0.0.1" if address == "localhost" else address)
    except ValueError as error:
        raise UsageError(
            f"{address!r} is no IP address to listen on", hint="127.0.0.1 is this machine only"
        ) from error
    text = str(literal)
    family = socket.AF_INET6 if isinstance(literal, IPv6Address) else socket.AF_INET
    owner = next((node for node in net.nodes if node.IP() == text and node.kind != "app"), None)
    where = f"{text}:{port}"
    try:
        if owner is None:
            return None, _bound(family, text, port)
        return owner.name, owner.netns.run(_bound, family, text, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                "another program listens there", where=where, hint="port=0 takes a free one"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                "neither this machine nor a node of the lab has that address",
                where=where,
                hint="127.0.0.1 is this machine; that of a host is for the programs of the lab",
            ) from error
        raise MachineError(f"the server cannot listen: {error.strerror}", where=where) from error


def _bound(family: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def _is_token(text: str) -> bool:
    return len(text) >= 8 and all(
        char.isascii() and (char.isalnum() or char in "-._~+/=") for char in text
    )


def _write_secret(path: Path, secret: str) -> None:
    """Write a file that has never been readable by others."""
    with suppress(FileNotFoundError):
        path.unlink()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LabError(f"the token cannot be written: {error.strerror}", where=str(path)) from error
    with open(fd, "w") as file:
        file.write(secret + "\n")
