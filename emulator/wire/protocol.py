"""What the emulator and ``vnf-wire`` say to each other; ``emulator/native/wire.h`` in Python."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields

from emulator.wire.spec import Spec

ADD, CHANGE, REMOVE = 1, 2, 3
MAX_LINKS = 4096
MOST_BYTES = 4 << 20
LATE_NS = 100_000
"""A frame that is released later than this after it was due counts as late."""

_NAME_BYTES = 16
_REQUEST = struct.Struct(f"=4I{_NAME_BYTES}s{_NAME_BYTES}sQ")
_DIRECTION = struct.Struct("=6IQ")
_ANSWER = struct.Struct("=i256s")
ANSWER_BYTES = _ANSWER.size


@dataclass(frozen=True)
class WireCounters:
    """What became of the frames of one direction of an impaired link.

    Attributes:
        in_packets, in_bytes: that came in.
        out_packets, out_bytes: that went out, copies included.
        lost_packets: by the loss that was asked for.
        overflow_packets: that the queue had no room for.
        aqm_packets: dropped by the queue's management.
        marked_packets: marked by it instead (ECN).
        duplicated_packets: copies that were made.
        corrupted_packets: in which a bit was flipped.
        queue_high_packets: the most that waited at once, for the rate or the delay.
        late_packets: released more than 100 µs after they were due.
        late_most_ns: the latest release.
        missed_packets: nobody asked for their loss: the machine was too slow to take them.
        unsent_packets: nor for that of these: the far end took no more, or was down.
        no_memory_packets: nor for these: there was no memory to hold them.
        lost_changes: times it was to do something else from then on and had no memory for it.
    """

    in_packets: int
    in_bytes: int
    out_packets: int
    out_bytes: int
    lost_packets: int
    overflow_packets: int
    aqm_packets: int
    marked_packets: int
    duplicated_packets: int
    corrupted_packets: int
    queue_high_packets: int
    late_packets: int
    late_most_ns: int
    missed_packets: int
    unsent_packets: int
    no_memory_packets: int
    lost_changes: int

    @property
    def unasked_packets(self) -> int:
        """Frames that were lost though nobody asked for it."""
        return self.missed_packets + self.unsent_packets + self.no_memory_packets


@dataclass(frozen=True)
class WireState:
    """What is not as it should be with the process as a whole.

    Attributes:
        realtime_errno: why it has no real-time priority; 0: it has.
        rings_refused: busy ends of links that were refused the memory by which they carry more.
    """

    realtime_errno: int
    rings_refused: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """It in words."""
        found = []
        if self.realtime_errno:
            reason = os.strerror(self.realtime_errno)
            found.append(f"no real-time priority ({reason}): frames are late on a busy machine")
        if self.rings_refused:
            found.append(
                f"{self.rings_refused} busy ends have no ring: they carry less, see the log"
            )
        return tuple(found)


_COUNTERS = struct.Struct(f"={len(fields(WireCounters))}Q")
_STATE = struct.Struct(f"={len(fields(WireState))}Q")
_STATE_AT = 2 * MAX_LINKS * _COUNTERS.size
SHARED_BYTES = _STATE_AT + _STATE.size


def read_counters(memory: memoryview, number: int) -> WireCounters:
    """The counters of a direction; its number is twice the link's, and one more for down."""
    return WireCounters(*_COUNTERS.unpack_from(memory, number * _COUNTERS.size))


def read_state(memory: memoryview) -> WireState:
    """What is not as it should be with the process."""
    return WireState(*_STATE.unpack_from(memory, _STATE_AT))


def add_request(link: int, ports: tuple[str, str], mtu_bytes: int, specs: Sequence[Spec]) -> bytes:
    """To serve a link between two interfaces; ``specs`` are up and down."""
    names = [port.encode() for port in ports]
    head = _REQUEST.pack(ADD, 2, link, mtu_bytes, *names, 0)
    return head + b"".join(_direction(2 * link + way, spec) for way, spec in enumerate(specs))


def change_request(changes: Sequence[tuple[int, Spec]], at_ns: int = 0) -> bytes:
    """To change directions, all of them for frames that arrive from one moment on.

    Args:
        changes: number of the direction, and what it is to do from then on.
        at_ns: the moment, CLOCK_MONOTONIC; 0: now.
    """
    head = _REQUEST.pack(CHANGE, len(changes), 0, 0, b"", b"", at_ns)
    return head + b"".join(_direction(number, spec) for number, spec in changes)


def remove_request(link: int) -> bytes:
    """To serve a link no longer; what waits in it is lost."""
    return _REQUEST.pack(REMOVE, 0, link, 0, b"", b"", 0)


def read_answer(data: bytes) -> tuple[int, str]:
    """The errno, 0 for success, and what was said."""
    error, message = _ANSWER.unpack(data)
    return error, message.split(b"\0")[0].decode(errors="replace")


def _direction(number: int, spec: Spec) -> bytes:
    head = _DIRECTION.pack(
        number,
        len(spec.drops),
        len(spec.table),
        spec.trace.count if spec.trace else 0,
        spec.trace.kind if spec.trace else 0,
        spec.trace.opportunity_bytes if spec.trace else 0,
        spec.trace.period_ns if spec.trace else 0,
    )
    points = spec.trace.points if spec.trace else b""
    drops = struct.pack(f"={len(spec.drops)}Q", *spec.drops)
    table = struct.pack(f"={len(spec.table)}d", *spec.table)
    return head + spec.impairment + drops + table + points
