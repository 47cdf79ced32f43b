"""The memory and the socket that a VNF process shares with whoever runs or reaches it.

Both are described in C: ``vnfs/lib/run.h`` and ``vnfs/lib/control.h``.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.dataplane.build import MAX_PORTS, pack_text
from emulator.dataplane.live import LiveMemory, check_entry, pack_entries, table_full
from emulator.dataplane.running import FIXED_COUNTERS, PortCounters
from emulator.errors import LabError, TableFullError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

ENDED = "the VNF has ended"

_DESCRIBE, _UPDATE, _DELETE, _DUMP, _START, TAP = range(6)
_REQUEST = struct.Struct("=III")
_MESSAGE_BYTES = 1 << 16
_ANSWER_S = 20.0
"""Starting DPDK takes seconds on a busy machine; everything else is answered in milliseconds."""


class Connection(Closing):
    """Requests to a VNF process, one at a time, from any thread.

    Args:
        path: the socket at which the process listens.
        patience_s: how long to wait for an answer.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, path: str, *, patience_s: float = _ANSWER_S) -> None:
        self._path = path
        self._patience_s = patience_s
        self._alone = threading.Lock()
        self._closed = False
        self._socket: socket.socket | None = None
        self._dial()

    def ask(
        self,
        operation: int,
        table: int = 0,
        start: int = 0,
        content: bytes = b"",
        descriptor: int | None = None,
    ) -> bytes:
        """Send a request, and with it a descriptor, and wait for the answer's result.

        Raises:
            KeyError: what was asked for is not there.
            TableFullError: a table has no room.
            LabError: the VNF refuses, does not answer, or has gone.
        """
        with self._alone:
            request = _REQUEST.pack(operation, table, start) + content
            answer = self._exchange(request, [] if descriptor is None else [descriptor])
        if not answer:
            raise LabError(ENDED)
        (status,) = struct.unpack_from("=i", answer)
        if status == -errno.ENOENT:
            raise KeyError(table)
        if status == -errno.ENOSPC:
            raise TableFullError("the table is full")
        if status:
            raise LabError(f"the VNF refuses a request: {os.strerror(-status)}")
        return answer[4:]

    def close(self) -> None:
        self._closed = True
        self._hang_up()

    def _exchange(self, request: bytes, descriptors: Sequence[int]) -> bytes:
        if self._closed:
            raise LabError(ENDED)
        answer = None
        try:
            if self._socket is None:
                self._dial()
            assert self._socket is not None
            if descriptors:
                socket.send_fds(self._socket, [request], descriptors)
            else:
                self._socket.send(request)
            answer = self._socket.recv(_MESSAGE_BYTES)
            return answer
        except TimeoutError:
            raise LabError("the VNF does not answer") from None
        except (BrokenPipeError, ConnectionError, FileNotFoundError):
            raise LabError(ENDED) from None
        except OSError as error:
            raise LabError(f"the VNF cannot be asked: {error.strerror}") from error
        finally:
            if answer is None:
                # An answer that came after all would be taken for that to the next request.
                self._hang_up()

    def _dial(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.settimeout(self._patience_s)
            made.connect(self._path)
        except BaseException:
            made.close()
            raise
        self._socket = made

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class ProcessMemory(LiveMemory):
    """The memory and the socket shared with a VNF process.

    Args:
        shared_fd: the memory; stays the caller's.
        connection: the socket; closed with this.

    Attributes:
        layout: what the process says of itself, as ``vnfs/lib/control.h`` writes it.

    A VNF in Python takes its parameters as they are. It has neither settings nor tables: what the
    control module makes of the parameters is for handlers in C.
    """

    def __init__(self, shared_fd: int, connection: Connection) -> None:
        self._connection = connection
        self.layout: Mapping[str, Any] = {}
        self.look_again()
        self._memory = mmap.mmap(shared_fd, os.fstat(shared_fd).st_size)
        self._takes_text = self.layout["config"]["form"] == "text"

    def look_again(self) -> None:
        """Read anew what the process says of itself: its ports, and where in its memory things are.

        Raises:
            LabError: it has gone, or does not answer.
        """
        self.layout = json.loads(self._connection.ask(_DESCRIBE))

    def start(self) -> None:
        """Have the process open its ports; returns when they are open.

        Raises:
            LabError: it has ended instead, or does not answer.
        """
        self._connection.ask(_START)
        # The first request that it answers once they are.
        self.look_again()

    def active_bank(self) -> int:
        return int(struct.unpack_from("=I", self._memory, self.layout["active_bank"])[0])

    def pack(self, manifest: Manifest, values: Mapping[str, Value]) -> bytes:
        if self._takes_text:
            return pack_text(values, self.layout["config"]["bytes"])
        return super().pack(manifest, values)

    def write_bank(self, bank: int, config: bytes, settings: Mapping[str, Sequence[bytes]]) -> None:
        if self._takes_text:
            settings = {}
        place = self.layout["config"]
        if len(config) != place["bytes"]:
            raise LabError(f"parameters of {len(config)} bytes for {place['bytes']} of the VNF's")
        known = self.layout["settings"]
        for name in settings:
            if name not in known:
                raise UsageError(
                    f"the VNF has no settings {name}", hint=f"it has: {', '.join(known)}"
                )
        self._put(place["offset"] + bank * place["bytes"], config)
        for name, where in known.items():
            content = pack_entries(
                name, settings.get(name, ()), where["entry_bytes"], where["entries"]
            )
            self._put(where["offsets"][bank], content)

    def activate(self, bank: int) -> None:
        struct.pack_into("=I", self._memory, self.layout["active_bank"], bank)

    def set_clock(self, time_ns: int | None) -> None:
        """Let the VNF's time stand still at a value, or run."""
        clock = self.layout["clock"]
        struct.pack_into("=Q", self._memory, clock["ns"], time_ns or 0)
        struct.pack_into("=I", self._memory, clock["is_set"], time_ns is not None)

    def update(self, table: str, key: bytes, value: bytes) -> None:
        if self._takes_text:
            return
        known = self._table(table)
        check_entry(table, key, known["key_bytes"], value, known["value_bytes"])
        try:
            self._connection.ask(_UPDATE, known["number"], content=key + value)
        except TableFullError:
            raise table_full(table, known["entries"]) from None

    def delete(self, table: str, key: bytes) -> None:
        if self._takes_text:
            return
        known = self._table(table)
        check_entry(table, key, known["key_bytes"])
        try:
            self._connection.ask(_DELETE, known["number"], content=key)
        except KeyError:
            return

    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        known = self._table(table)
        key_bytes = known["key_bytes"]
        width = key_bytes + known["value_bytes"]
        start = 0
        while chunk := self._connection.ask(_DUMP, known["number"], start):
            for at in range(0, len(chunk), width):
                yield chunk[at : at + key_bytes], chunk[at + key_bytes : at + width]
            start += len(chunk) // width

    def counters(self, own: Sequence[str]) -> list[PortCounters]:
        """The counters of each possible port; ``own`` names those that are the VNF's."""
        place = self.layout["counters"]
        row = struct.Struct(f"={len(FIXED_COUNTERS) + len(own)}Q")
        starts = (place["offset"] + port * place["stride"] for port in range(MAX_PORTS))
        return [PortCounters.of_row(row.unpack_from(self._memory, at), own) for at in starts]

    def close(self) -> None:
        self._connection.close()
        self._memory.close()

    def _table(self, name: str) -> Mapping[str, int]:
        tables = self.layout["tables"]
        if name not in tables:
            raise UsageError(f"the VNF has no table {name}", hint=f"it has: {', '.join(tables)}")
        found: Mapping[str, int] = tables[name]
        return found

    def _put(self, offset: int, content: bytes) -> None:
        self._memory[offset : offset + len(content)] = content
