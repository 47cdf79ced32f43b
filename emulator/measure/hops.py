"""What the VNF ``telemetry`` wrote into datagrams: when each hop had them, and where time went.

A hop appends a record to the payload: 24 bytes in network order, the mark ``vhop``, the number of
records so far, the port the frame came in by, the hop's own number, and the times on
``CLOCK_MONOTONIC`` when the VNF began and ended to handle it. The last record stands at the end of
the payload and says how many there are.

The probe's own packets need not be changed for that: see ``emulator.measure.hop_taps``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["RECORD_BYTES", "Hop", "Leg", "decode", "legs"]

_RECORD = struct.Struct(">4sBBHQQ")
RECORD_BYTES = _RECORD.size
_MARK = b"vhop"


@dataclass(frozen=True)
class Hop:
    """A datagram at one VNF.

    Attributes:
        number: its place on the way, from 1.
        hop: the VNF's parameter ``hop``.
        port: the port that the frame came in by.
        ingress_ns: when the VNF began to handle it.
        egress_ns: when it was done.
    """

    number: int
    hop: int
    port: int
    ingress_ns: int
    egress_ns: int

    @property
    def vnf_ns(self) -> int:
        """How long the VNF took to handle it."""
        return self.egress_ns - self.ingress_ns


@dataclass(frozen=True)
class Leg:
    """A datagram's way to one VNF, and through it.

    Attributes:
        datagram: which of those that were given, from 0.
        hop: where the leg ends.
        wire_ns: the least time that any datagram took from the end of the hop before to the begin
            of this one; None on the first leg when nobody said when datagrams were sent.
        queue_ns: how much longer this one took; None likewise.
    """

    datagram: int
    hop: Hop
    wire_ns: int | None
    queue_ns: int | None


def decode(payload: bytes) -> tuple[bytes, list[Hop]]:
    """A payload as it was sent, and the hops it went through, in order; none if none wrote."""
    hops: list[Hop] = []
    at = len(payload) - RECORD_BYTES
    if at < 0:
        return payload, []
    expected = payload[at + len(_MARK)]
    for number in range(expected, 0, -1):
        if at < 0:
            return payload, []
        mark, count, port, hop, ingress_ns, egress_ns = _RECORD.unpack_from(payload, at)
        if mark != _MARK or count != number:
            return payload, []
        hops.insert(0, Hop(number, hop, port, ingress_ns, egress_ns))
        at -= RECORD_BYTES
    return payload[: at + RECORD_BYTES], hops


def legs(payloads: Sequence[bytes], sent_ns: Sequence[int] | None = None) -> list[Leg]:
    """Where the time of datagrams went, a row for each datagram and hop.

    What lies between two hops is told apart by comparing datagrams: the least time that any took
    is counted as the wire's, and what another took beyond that as waiting. Only datagrams that
    went the same way should be given together, and enough for one to have found all queues empty.

    Args:
        payloads: what arrived.
        sent_ns: when each was sent, on CLOCK_MONOTONIC; without it, the first leg has no wire.
    """
    journeys = [decode(payload)[1] for payload in payloads]
    left_ns: dict[tuple[int, int], int] = {}
    least_ns: dict[int, int] = {}
    for datagram, hops in enumerate(journeys):
        before = None if sent_ns is None else sent_ns[datagram]
        for hop in hops:
            if before is not None:
                between = hop.ingress_ns - before
                left_ns[datagram, hop.number] = between
                least_ns[hop.number] = min(between, least_ns.get(hop.number, between))
            before = hop.egress_ns
    rows = []
    for datagram, hops in enumerate(journeys):
        for hop in hops:
            between_ns = left_ns.get((datagram, hop.number))
            wire_ns = least_ns.get(hop.number)
            queue_ns = None
            if between_ns is not None and wire_ns is not None:
                queue_ns = between_ns - wire_ns
            rows.append(Leg(datagram, hop, wire_ns, queue_ns))
    return rows
