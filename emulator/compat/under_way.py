"""A command that a script has sent to a node and whose output it asks for bit by bit."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import threading
from typing import TYPE_CHECKING

from emulator.errors import BuildVnfError

if TYPE_CHECKING:
    from emulator.node import Node

_PIPE_BYTES = 1 << 20
_CHUNK = 65536


class UnderWay:
    """A command in a node's shell, on a thread of its own.

    Attributes:
        output: what can be polled; readable when the command has printed something, or has ended.
    """

    def __init__(self, node: Node, command: str) -> None:
        read, self._write = os.pipe()
        self.output = os.fdopen(read, "rb", buffering=0)
        with contextlib.suppress(OSError):  # more than the machine allows a user
            fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._node = node
        self._thread = threading.Thread(target=self._run, args=(command,), daemon=True)
        self._thread.start()

    def read(self, timeoutms: float | None) -> tuple[str, bool]:
        """What has been printed since, and whether the command has ended."""
        if not self.readable(timeoutms):
            return "", False
        data = os.read(self.output.fileno(), _CHUNK)
        return self._decoder.decode(data, final=not data), not data

    def readable(self, timeoutms: float | None) -> bool:
        """Waits until there is something to read."""
        poller = select.poll()
        poller.register(self.output, select.POLLIN)
        return bool(poller.poll(timeoutms))

    def close(self) -> None:
        """Ends the command, if it has not ended."""
        # Whoever still prints has nobody to read it, and is not to wait for that.
        self.output.close()
        if self._thread.is_alive():
            self._node.interrupt()
        self._thread.join()

    def _run(self, command: str) -> None:
        def take(text: str) -> None:
            with contextlib.suppress(BrokenPipeError):
                data = text.encode(errors="replace")
                while data:
                    data = data[os.write(self._write, data) :]

        # What goes wrong ends the command, and the shell says so at the next one.
        try:
            self._node.cmd(command, on_output=take)
        except BuildVnfError as error:
            take(f"{error}\n")
        finally:
            os.close(self._write)
