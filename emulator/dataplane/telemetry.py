"""What a DPDK program tells of itself: its telemetry socket, which every DPDK program has."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from emulator.closing import Closing
from emulator.errors import LabError

_SOCKET = "dpdk_telemetry.v2"
_ANSWER_S = 5.0
_LONGEST_ANSWER_BYTES = 1 << 16


class Telemetry(Closing):
    """A connection to a DPDK program.

    Args:
        path: its socket, as ``telemetry_socket`` finds it.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._connection.settimeout(_ANSWER_S)
            self._connection.connect(str(path))
            greeting = self._connection.recv(_LONGEST_ANSWER_BYTES)
            self.version = str(json.loads(greeting)["version"])
        except BaseException:
            self.close()
            raise

    def ask(self, command: str, argument: int | None = None) -> Any:
        """What the program answers to a command, such as ``/ethdev/stats`` of a port.

        Raises:
            LabError: it does not answer.
        """
        text = command if argument is None else f"{command},{argument}"
        try:
            self._connection.send(text.encode())
            answer = self._connection.recv(_LONGEST_ANSWER_BYTES)
        except TimeoutError:
            raise LabError("the VNF does not answer") from None
        except OSError as error:
            raise LabError(f"the VNF cannot be asked: {error.strerror}") from error
        if not answer:
            raise LabError("the VNF has ended")
        return json.loads(answer)[command]

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def telemetry_socket(runtime_directory: Path) -> Path | None:
    """The socket of a program that was started with this folder as ``RUNTIME_DIRECTORY``.

    None while it has none.
    """
    return next(runtime_directory.glob(f"dpdk/*/{_SOCKET}"), None)
