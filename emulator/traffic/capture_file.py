"""Files of captured frames, with nanoseconds: pcapng with names and directions, or plain pcap.

Layouts: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html and
https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html. Scapy's writer of the former knows
microseconds only.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import IO

from emulator.closing import Closing
from emulator.errors import ResultsError
from emulator.traffic.sniffer import Frame

SUFFIXES = (".pcapng", ".pcap", ".cap")
"""What the name of such a file ends in; the first is pcapng, the others are plain pcap."""

_ETHERNET = 1
_MOST_BYTES = 1 << 18
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_NAME, _RESOLUTION, _FLAGS = 2, 9, 2
_NANOSECONDS = b"\x09"
_PCAP_NANOSECONDS = 0xA1B23C4D


class CaptureFile(Closing):
    """Frames go to a file, or to a pipe.

    Args:
        file: open for writing bytes; it is closed with this.
        names: whether as pcapng, which names interfaces.
        where: its name, for errors.
        replaced: whether it had other contents before.

    Attributes:
        replaced: as above.
    """

    def __init__(self, file: IO[bytes], *, names: bool, where: str, replaced: bool = False) -> None:
        self._file, self._names, self._where = file, names, where
        self.replaced = replaced
        self._interfaces: dict[str, int] = {}
        if names:
            self._write(_block(_SECTION, struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1)))
        else:
            header = struct.pack("=IHHiIII", _PCAP_NANOSECONDS, 2, 4, 0, 0, _MOST_BYTES, _ETHERNET)
            self._write(header)
        self.flush()

    @classmethod
    def create(cls, path: str) -> CaptureFile:
        """A file of that name, in place of any other.

        Raises:
            ResultsError: it cannot be written; one that was not there before is not there then.
        """
        is_new, replaced = not os.path.lexists(path), False
        with contextlib.suppress(OSError):
            replaced = os.path.isfile(path) and os.path.getsize(path) > 0
        try:
            file = open(path, "wb")  # noqa: SIM115 - closed with the capture
        except OSError as error:
            raise _unwritten(path, error) from error
        try:
            return cls(file, names=path.endswith(SUFFIXES[0]), where=path, replaced=replaced)
        except BaseException:
            with contextlib.suppress(OSError):
                file.close()
            if is_new:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            raise

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            ResultsError: it cannot be written.
        """
        size = len(frame.data)
        if not self._names:
            seconds, nanoseconds = divmod(frame.time_ns, 1_000_000_000)
            self._write(struct.pack("=IIII", seconds, nanoseconds, size, size) + frame.data)
            return
        number = self._interfaces.get(frame.interface)
        if number is None:
            number = self._interfaces[frame.interface] = len(self._interfaces)
            options = _option(_NAME, frame.interface.encode())
            options += _option(_RESOLUTION, _NANOSECONDS) + _option(0, b"")
            head = struct.pack("=HHI", _ETHERNET, 0, _MOST_BYTES)
            self._write(_block(_INTERFACE, head + options))
        high, low = divmod(frame.time_ns, 1 << 32)
        body = struct.pack("=IIIII", number, high, low, size, size) + _padded(frame.data)
        direction = 2 if frame.outgoing else 1
        body += _option(_FLAGS, struct.pack("=I", direction)) + _option(0, b"")
        self._write(_block(_PACKET, body))

    def flush(self) -> None:
        """Hand over what was written so far.

        Raises:
            ResultsError: it cannot be written.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise _unwritten(self._where, error) from error

    def close(self) -> None:
        """Write out what is left, and close the file.

        Raises:
            ResultsError: it cannot be written.
        """
        try:
            self._file.close()
        except OSError as error:
            raise _unwritten(self._where, error) from error

    def let_go(self) -> None:
        """What a forked process does: what waits to be written out is its parent's to write."""
        if not self._file.closed:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self._file.fileno(), inheritable=False)
            os.close(nowhere)

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritten(self._where, error) from error


def _unwritten(where: str, error: OSError) -> ResultsError:
    return ResultsError(f"it cannot be written: {error.strerror or error}", where=where)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("=I", 12 + len(body))
    return struct.pack("=I", kind) + length + body + length
