"""The one-way delay of packets, split by where they spent it. Pure.

Along the way there are points where it was noted when a packet passed. What lies between two
neighbouring points is a segment, and its time is the difference of the two stamps: so a packet's
segments always add up to its delay, whatever points there are. All stamps are CLOCK_MONOTONIC, one
clock for all nodes.

What a segment means follows from its points:

===================  ================================================================
``end``              in the source, until the probe sends: how late its generator is
``link``             from where one node sends to where the next one's kernel has the
                     packet: the link, what impairs it, and the kernel's own queue at
                     its far end, in which a packet waits to be received
``queue``            from there until the VNF takes it: waiting for the VNF
``vnf``              from there until it is sent: the VNF, or a switch, or a router
===================  ================================================================

Inside the kernel a VNF is not woken up: it begins when its node receives a packet, so there is
no queue but the link's. Where a node does not tell when it received a packet, its queue is part of
the link before it, and where it tells nothing at all, so is the node. The names say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from emulator.errors import MeasurementError
from emulator.measure.latency import percentile_ns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Moment = Literal["due", "sent", "arrived", "taken", "received"]
Kind = Literal["end", "link", "queue", "vnf"]

CLOCK_TOLERANCE_NS = 1_000
"""By how much a later stamp may lie before an earlier one: reading the clock without a lock, as BPF
does, may give a few ns less than another CPU has just read (``ktime_get_mono_fast_ns``)."""


@dataclass(frozen=True)
class Point:
    """Where it is noted when a packet passes.

    Attributes:
        node: its node.
        moment: when: ``due`` and ``sent`` at the source, ``arrived`` in the kernel of a node,
            ``taken`` by its VNF, ``sent`` on its way, ``received`` by the probe.
        how: what a node on the way is, for people: ``xdp``, ``bridge``, ….
    """

    node: str
    moment: Moment
    how: str = ""

    def __str__(self) -> str:
        return f"{self.moment} at {self.node}"


@dataclass(frozen=True)
class Segment:
    """A part of the way, between two points.

    Attributes:
        name: for people, as ``client → fw (link)``, ``fw queue``, ``fw xdp``.
    """

    name: str
    kind: Kind
    begin: Point
    end: Point


@dataclass(frozen=True)
class SegmentSummary:
    """The time that packets spent in a segment.

    Attributes:
        p50_ns, p99_ns: None where there are too few packets for them. Those of several segments do
            not add up; means do.
        share: of the mean delay.
    """

    name: str
    kind: Kind
    mean_ns: float
    p50_ns: int | None
    p99_ns: int | None
    share: float


@dataclass(frozen=True, eq=False)
class HopSplit:
    """The delay of packets by segments.

    Attributes:
        segments: in the order of the way.
        sequence: the numbers of the packets that could be split.
        times_ns: a row for each segment, a column for each of these packets.
        delay_ns: their delays, as the probe has measured them.
        received: packets that arrived.
        incomplete: of those, packets that passed a point unnoted: they are left out.
        disordered: of those, packets whose stamps are not in the order of the way, such as one
            that overtook its copy: they are left out, too.
        unnoted: points at which no packet was recognised, as behind a VNF that changes what the
            probe has written into them; the segments on both sides are one.
    """

    segments: tuple[Segment, ...]
    sequence: NDArray[np.int64] = field(repr=False)
    times_ns: NDArray[np.int64] = field(repr=False)
    delay_ns: NDArray[np.int64] = field(repr=False)
    received: int
    incomplete: int
    disordered: int
    unnoted: tuple[Point, ...]

    @property
    def packets(self) -> int:
        """How many packets could be split."""
        return len(self.sequence)

    @property
    def left_out(self) -> int:
        """Packets that arrived and could not be split."""
        return self.received - self.packets

    @property
    def worst_sum_error_ns(self) -> int:
        """The largest difference between a packet's delay and the sum of its segments."""
        if not self.packets:
            return 0
        return int(abs(self.times_ns.sum(axis=0) - self.delay_ns).max())

    def summary(self) -> tuple[SegmentSummary, ...]:
        """A row for each segment.

        Raises:
            MeasurementError: no packet could be split.
        """
        if not self.packets:
            raise MeasurementError(
                "there is no packet whose delay could be split",
                hint=f"of {self.received} that arrived, {self.incomplete} passed a point unnoted: "
                "do packets take another way?",
            )
        mean_delay_ns = float(self.delay_ns.mean())
        return tuple(
            SegmentSummary(
                name=segment.name,
                kind=segment.kind,
                mean_ns=float(times.mean()),
                p50_ns=percentile_ns(times, 0.5),
                p99_ns=percentile_ns(times, 0.99),
                share=float(times.mean()) / mean_delay_ns,
            )
            for segment, times in zip(self.segments, self.times_ns, strict=True)
        )


def split_delay(
    points: Sequence[Point],
    stamps_ns: Sequence[NDArray[np.uint64]],
    delay_ns: NDArray[np.int64],
    nodes: Sequence[str],
    impaired: Sequence[bool] = (),
) -> HopSplit:
    """Split the delay of the packets that arrived.

    Args:
        points: in the order of the way, from ``due`` at the source to ``received``.
        stamps_ns: for each point the time at which each packet passed, by its number; 0: it did
            not, or nobody saw.
        delay_ns: of the packets that arrived, by their numbers.
        nodes: all on the way, from the source to the destination.
        impaired: for each link between them whether something impairs it.

    Raises:
        MeasurementError: the probe has no stamp of its own of a packet that arrived.
    """
    import numpy as np

    arrived = np.flatnonzero(stamps_ns[-1])
    if len(arrived) != len(delay_ns):
        raise MeasurementError("the stamps are not those of the packets whose delays are given")
    noted = [stamps[arrived] for stamps in stamps_ns]
    kept = [number for number, row in enumerate(noted) if row.any() or not len(arrived)]
    if len(arrived) and {0, len(points) - 1} - set(kept):
        raise MeasurementError("the probe has kept no times of the packets")
    table = np.array([noted[number] for number in kept], dtype=np.uint64)
    complete = (table != 0).all(axis=0)
    # Differences of unsigned numbers that wrap round are right when taken as signed ones.
    times = np.diff(table, axis=0).view(np.int64)
    orderly = (times >= -CLOCK_TOLERANCE_NS).all(axis=0)
    good = complete & orderly
    seen = [points[number] for number in kept]
    return HopSplit(
        segments=segments_between(seen, nodes, impaired),
        sequence=arrived[good],
        times_ns=times[:, good],
        delay_ns=delay_ns[good],
        received=len(arrived),
        incomplete=int(np.count_nonzero(~complete)),
        disordered=int(np.count_nonzero(complete & ~orderly)),
        unnoted=tuple(point for number, point in enumerate(points) if number not in kept),
    )


def segments_between(
    points: Sequence[Point], nodes: Sequence[str], impaired: Sequence[bool] = ()
) -> tuple[Segment, ...]:
    """What lies between neighbouring points; see the module for what the kinds mean.

    Args:
        nodes, impaired: as of :func:`split_delay`.
    """
    places = {name: place for place, name in enumerate(nodes)}
    found = []
    for begin, end in pairwise(points):
        first, last = places[begin.node], places[end.node]
        if first == last:
            name, kind = _inside(begin, end)
        else:
            way = " → ".join(nodes[first : last + 1])
            parts = _parts(begin, end, nodes[first + 1 : last])
            if any(impaired[first:last]):
                parts[0] = f"impaired {parts[0]}"
            name, kind = f"{way} ({_listed(parts)})", "link"
        found.append(Segment(name, kind, begin, end))
    return tuple(found)


def _inside(begin: Point, end: Point) -> tuple[str, Kind]:
    if begin.moment == "due":
        return f"{begin.node} generator", "end"
    if end.moment == "taken":
        return f"{begin.node} queue", "queue"
    if begin.moment == "arrived" and end.how in _WITH_QUEUE:
        return f"{begin.node} queue and {end.how}", "vnf"
    return f"{begin.node} {end.how}".rstrip(), "vnf"


_WITH_QUEUE = ("afxdp", "packet", "python", "dpdk")
"""Where there is a queue between arriving and being taken."""


def _parts(begin: Point, end: Point, between: Sequence[str]) -> list[str]:
    """What a segment from one node to another is made of."""
    parts = ["link" if not between else "links"]
    if begin.moment in ("arrived", "taken"):
        parts.append(begin.node)
    parts += between
    if end.moment == "taken":
        parts.append("queue")
    elif end.moment == "sent":
        parts.append(end.node)
    elif end.moment == "received" and end.how:
        parts.append(end.how)
    return parts


def _listed(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
