"""Frames sent at one end of a link and looked at, bit by bit, at the other.

The work is done by ``emulator/native/certify.c``. Frames carry their number and nothing of IP
unless asked to, and each is stamped by the kernel as it comes in: nobody has to wake up for that,
so what is measured is the link.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from emulator.errors import MachineError, MeasurementError
from emulator.native_parts import native_library
from emulator.paths import native_dir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emulator.kernel.netns import Netns

ETHERTYPE = 0x88B5
"""Local experimental, as IEEE 802 has it."""
LEAST_BYTES, MOST_BYTES = 60, 9000
"""Of a frame, without its FCS."""
MOST_TOGETHER = 64

_SOURCE, _DESTINATION = bytes.fromhex("020500000001"), bytes.fromhex("020500000002")
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_SOL_PACKET = 263
_PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING, _PACKET_STATISTICS = 20, 23, 6
_SO_TIMESTAMPNS, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 35, 32, 33
_BUFFER_BYTES = 256 << 20
_LOOK_EVERY_S = 0.005
_ECT0 = 2
_IP_EXPERIMENTAL = 253


@dataclass(frozen=True)
class Schedule:
    """What to send.

    Attributes:
        count: of frames.
        interval_ns: from one batch to the next; 0: as fast as possible.
        batch: so many go together, at one time.
        size_bytes: of each, without its FCS.
        ip: whether it is IPv4 of a transport that understands ECN.
        realtime: whether the sender goes before other work; not where it never sleeps.
    """

    count: int
    interval_ns: int
    size_bytes: int = LEAST_BYTES
    batch: int = 1
    ip: bool = False
    realtime: bool = True


@dataclass(frozen=True)
class Samples:
    """What became of the frames of a trial, by their numbers. Times are CLOCK_MONOTONIC.

    Attributes:
        size_bytes: of each, without its FCS.
        sent_ns: just before it was sent; 0: it was not.
        done_ns: just after.
        first_ns, second_ns: when its copies came; 0: that one never did.
        place: of the first copy in the order of arrival.
        copies: how many came.
        flipped: which bit was not as it was sent; -1: all were.
        marked: whether it was marked by ECN.
        strangers: frames that came and were none of these.
        overrun: frames that came while the receiver had no room for them.
        clock_drift_ns: by how much the stamps' clock was moved meanwhile.
    """

    size_bytes: int
    sent_ns: NDArray[np.uint64]
    done_ns: NDArray[np.uint64]
    first_ns: NDArray[np.uint64]
    second_ns: NDArray[np.uint64]
    place: NDArray[np.uint32]
    copies: NDArray[np.uint32]
    flipped: NDArray[np.int64]
    marked: NDArray[np.uint8]
    strangers: int = 0
    overrun: int = 0
    clock_drift_ns: int = 0


class _Trial(ctypes.Structure):
    _fields_ = (
        ("send_fd", ctypes.c_int32),
        ("receive_fd", ctypes.c_int32),
        ("count", ctypes.c_uint32),
        ("frame_bytes", ctypes.c_uint32),
        ("number_offset", ctypes.c_uint32),
        ("ip", ctypes.c_uint32),
        ("batch", ctypes.c_uint32),
        ("realtime", ctypes.c_uint32),
        ("interval_ns", ctypes.c_uint64),
        ("frame", ctypes.c_char_p),
        *((name, ctypes.c_void_p) for name in ("sent_ns", "done_ns", "first_ns", "second_ns")),
        *((name, ctypes.c_void_p) for name in ("place", "copies", "flipped", "marked")),
        ("strangers", ctypes.c_uint64),
        ("overrun", ctypes.c_uint64),
        ("error", ctypes.c_int32),
        ("sent", ctypes.c_uint32),
        ("stop", ctypes.c_uint32),
        ("until_ns", ctypes.c_uint64),
        ("sender", ctypes.c_ulong),
        ("receiver", ctypes.c_ulong),
    )


_ARRAYS: dict[str, Any] = {
    "sent_ns": np.uint64,
    "done_ns": np.uint64,
    "first_ns": np.uint64,
    "second_ns": np.uint64,
    "place": np.uint32,
    "copies": np.uint32,
    "flipped": np.int64,
    "marked": np.uint8,
}


class Ends:
    """Sockets at both ends of a way that frames take; a context manager.

    Args:
        near, far: namespace and kernel name of the interface at each end.

    Raises:
        MeasurementError: an interface is not there.
    """

    def __init__(self, near: tuple[Netns, str], far: tuple[Netns, str]) -> None:
        with ExitStack() as undo:
            self._sockets = [
                undo.enter_context(netns.run(_open_socket, name)) for netns, name in (near, far)
            ]
            self._stack = undo.pop_all()

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(
        self, schedule: Schedule, *, back: bool, until: Callable[[NDArray[np.uint64]], int]
    ) -> Samples:
        """Send frames from the near end to the far one, or back, and wait until all are in.

        Args:
            until: given when each frame was sent (0: not), says until when the last may come.

        Raises:
            MeasurementError: they cannot be sent.
            MachineError: the native part is not built.
        """
        library = _library(str(native_dir() / "libcertify.so"))
        sender, receiver = self._sockets[::-1] if back else self._sockets
        _empty(receiver)
        arrays = {name: np.zeros(schedule.count, kind) for name, kind in _ARRAYS.items()}
        arrays["flipped"].fill(-1)
        frame, offset = _frame(schedule.size_bytes, ip=schedule.ip)
        trial = _Trial(
            send_fd=sender.fileno(),
            receive_fd=receiver.fileno(),
            count=schedule.count,
            frame_bytes=len(frame),
            number_offset=offset,
            ip=schedule.ip,
            batch=schedule.batch,
            realtime=schedule.realtime,
            interval_ns=schedule.interval_ns,
            frame=frame,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
        ahead_ns = _wall_ahead_ns()
        error = library.certify_start(ctypes.byref(trial))
        if error:
            raise MeasurementError(f"frames cannot be sent: {os.strerror(error).lower()}")
        try:
            while not trial.sent:
                time.sleep(_LOOK_EVERY_S)
            sent = arrays["sent_ns"]
            trial.until_ns = until(np.where(sent, sent - np.uint64(ahead_ns), 0)) + ahead_ns
            while time.time_ns() < trial.until_ns:
                time.sleep(_LOOK_EVERY_S)
        except BaseException:
            trial.stop = 1
            raise
        finally:
            error = library.certify_finish(ctypes.byref(trial))
        if error:
            raise MeasurementError(f"frames cannot be sent: {os.strerror(error).lower()}")
        drift_ns = _wall_ahead_ns() - ahead_ns
        for name in ("sent_ns", "done_ns", "first_ns", "second_ns"):
            times = arrays[name]
            times[times != 0] -= np.uint64(ahead_ns)
        return Samples(
            size_bytes=len(frame),
            strangers=int(trial.strangers),
            overrun=_overrun(receiver),
            clock_drift_ns=drift_ns,
            **arrays,
        )


def _open_socket(interface: str) -> socket.socket:
    """A socket that sends past every queue, and has each frame that comes in stamped."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        for option in (_PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING):
            made.setsockopt(_SOL_PACKET, option, 1)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            made.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        made.bind((interface, _ETH_P_ALL))
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise MeasurementError(
            f"the interface cannot be used: {(error.strerror or str(error)).lower()}",
            where=interface,
        ) from error
    except BaseException:
        made.close()
        raise
    return made


def _empty(receiver: socket.socket) -> None:
    """Forget what came before, and what found no room then."""
    while True:
        try:
            receiver.recv(1)
        except BlockingIOError:
            break
    _overrun(receiver)


def _overrun(receiver: socket.socket) -> int:
    """Frames that found no room in the socket since this was last asked."""
    _, dropped = struct.unpack("=II", receiver.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return int(dropped)


def _frame(size_bytes: int, *, ip: bool) -> tuple[bytes, int]:
    """A frame to send, and where in it the number goes."""
    kind = _ETH_P_IP if ip else ETHERTYPE
    head = _DESTINATION + _SOURCE + struct.pack(">H", kind)
    if ip:
        head += _ip_header(size_bytes - len(head))
    # Neither all zeros nor a pattern that a flipped bit, or a shift, would leave as it is.
    body = bytes((37 * i + 11) & 0xFF for i in range(size_bytes - len(head)))
    return head + body, len(head)


def _ip_header(size_bytes: int) -> bytes:
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
    parts = (0x45, _ECT0, size_bytes, 0, 0, 64, _IP_EXPERIMENTAL)
    head = struct.pack(">BBHHHBB", *parts)
    words = struct.unpack(">9H", head + addresses)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head + struct.pack(">H", checksum) + addresses


def _wall_ahead_ns() -> int:
    """By how much the clock of the stamps is ahead of CLOCK_MONOTONIC."""
    best: tuple[int, int] | None = None
    for _ in range(20):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = after - before, wall - (before + after) // 2
    assert best is not None
    return best[1]


@lru_cache(maxsize=4)
def _library(path: str) -> ctypes.CDLL:
    library = native_library(path)
    library.certify_trial_bytes.restype = ctypes.c_uint64
    if library.certify_trial_bytes() != ctypes.sizeof(_Trial):
        raise MachineError(
            "the compiled sender of certificates is not of this version",
            where=path,
            hint="run scripts/bootstrap in the checkout, or reinstall the package",
        )
    return library
