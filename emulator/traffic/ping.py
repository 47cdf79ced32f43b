"""Reachability: ICMP echo between many nodes at once.

All requests of a lab go out together and the replies are collected by one loop, so the time is
that of the slowest reply and not the sum of all. Times are those of this process, wake-ups
included: good enough to tell a path from another, no measurement. That is the probe's work.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import forget_neighbours

_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")
_PAYLOAD = b"build-vnf reachability probe...."
_SOL_RAW, _ICMP_FILTER = 255, 1
_RECEIVE_BUFFER_BYTES = 1 << 22
_SO_RCVBUFFORCE = 33

_PAIRS_AT_ONCE = 200
"""The kernel's table of neighbours, shared by all namespaces, holds 1024 fresh entries; a pair of
nodes takes two, and other labs want some."""

_SHORT_NS = 5_000_000
"""Beside a longer round trip, it does not show that a reply had to wait for others to be read."""

_TURN_NS = 100_000_000
"""What has not been answered by then is no longer waited for before the next request is sent."""

_COPIES_IN_FLIGHT, _LEAST_IN_FLIGHT = 100_000, 32
"""How many requests wait at the same time. The first to a neighbour is preceded by a question to
everybody, so that many times the number of nodes is what the network has to copy and to queue."""


@dataclass(frozen=True)
class Endpoint:
    """A node that can be pinged, and that can ping."""

    name: str
    netns: Netns
    address: str


@dataclass(frozen=True)
class RoundTrips:
    """The round-trip times of a pair's replies, in ns.

    Attributes:
        min_ns, max_ns: the shortest and the longest.
        mean_ns: on average.
        mdev_ns: how far they lie from that, as a standard deviation of just these.
    """

    min_ns: int
    mean_ns: float
    max_ns: int
    mdev_ns: float


@dataclass
class PingMatrix:
    """Who answered whom.

    Attributes:
        nodes: the names, in the order they were given.
        rtts_ns: for each pair (from, to) that was tried, the round-trip times of the replies.
        sent: how many requests each pair was sent.
    """

    nodes: list[str]
    sent: int
    rtts_ns: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def replied(self, source: str, destination: str) -> bool:
        """Whether every request from one node to the other was answered."""
        return len(self.rtts_ns[source, destination]) == self.sent

    def round_trips(self, source: str, destination: str) -> RoundTrips | None:
        """How long replies from one node to the other took; None without any."""
        times_ns = self.rtts_ns[source, destination]
        if not times_ns:
            return None
        import statistics

        mdev_ns = statistics.pstdev(times_ns)
        return RoundTrips(min(times_ns), statistics.fmean(times_ns), max(times_ns), mdev_ns)

    @property
    def requests(self) -> int:
        """How many requests were sent in all."""
        return self.sent * len(self.rtts_ns)

    @property
    def replies(self) -> int:
        """How many of them were answered."""
        return sum(len(times) for times in self.rtts_ns.values())

    @property
    def lost_percent(self) -> float:
        """The share of requests without an answer, 0 to 100; 0 when nothing was sent."""
        return 100.0 * (1 - self.replies / self.requests) if self.requests else 0.0


def ping(
    endpoints: Sequence[Endpoint],
    pairs: Iterable[tuple[int, int]],
    *,
    count: int = 1,
    timeout_s: float = 1.0,
    apart: bool = False,
    in_turn: bool = False,
) -> PingMatrix:
    """Sends echo requests between pairs of endpoints, given by their positions.

    Args:
        count: requests per pair, one after the other.
        timeout_s: how long to wait for a reply.
        apart: whether the times matter: those that are short are then taken one after the other,
            so that no reply waits for others to be read, and after a round that is not counted, in
            which neighbours are found.
        in_turn: whether what is pinged first has to be first on the way too, as where switches
            learn by flows: a request is then sent when the one before has been answered, or has
            waited for a moment.
    """
    wanted = list(pairs)
    # Replies to another call, one in another thread or one that gave up waiting, do not count.
    first_identity = int.from_bytes(os.urandom(2))
    matrix = PingMatrix([endpoint.name for endpoint in endpoints], count)
    for source, destination in wanted:
        matrix.rtts_ns[endpoints[source].name, endpoints[destination].name] = []
    used = sorted({index for pair in wanted for index in pair})
    sockets = {index: endpoints[index].netns.run(_open) for index in used}
    try:
        for start in range(0, len(wanted), _PAIRS_AT_ONCE):
            if start:
                forget_neighbours(endpoints[index].netns for index in used)
            batch = wanted[start : start + _PAIRS_AT_ONCE]
            together, alone = batch, []
            if apart and not in_turn:
                first = _round(endpoints, sockets, batch, first_identity - 1, timeout_s)
                quick = {(a, b) for a, b, rtt_ns in first if rtt_ns < _SHORT_NS}
                together = [pair for pair in batch if pair not in quick]
                alone = [pair for pair in batch if pair in quick]
            for number in range(count):
                identity = first_identity + number
                for source, destination, rtt_ns in chain(
                    _round(endpoints, sockets, together, identity, timeout_s, in_turn=in_turn),
                    _round(endpoints, sockets, alone, identity, timeout_s, window=1),
                ):
                    key = (endpoints[source].name, endpoints[destination].name)
                    matrix.rtts_ns[key].append(rtt_ns)
    finally:
        for sock in sockets.values():
            sock.close()
    return matrix


def _round(
    endpoints: Sequence[Endpoint],
    sockets: dict[int, socket.socket],
    pairs: Sequence[tuple[int, int]],
    identity: int,
    timeout_s: float,
    window: int = 0,
    in_turn: bool = False,
) -> Iterator[tuple[int, int, int]]:
    """One request per pair; yields (source, destination, round-trip time) for each reply.

    Args:
        window: how many wait at the same time until the first is lost; as many as can by default.
        in_turn: whether each waits for the one before, but no longer than a turn takes.
    """
    identity &= 0xFFFF
    widest = max(_LEAST_IN_FLIGHT, _COPIES_IN_FLIGHT // len(endpoints))
    window = window or widest
    timeout_ns = int(timeout_s * 1e9)
    unsent = enumerate(pairs)
    waiting: dict[tuple[int, int], tuple[int, int]] = {}
    with selectors.DefaultSelector() as selector:
        for index in {source for source, _ in pairs}:
            selector.register(sockets[index], selectors.EVENT_READ, index)
        last_sent_ns = 0
        while True:
            room = window - len(waiting)
            if in_turn and waiting:
                room = min(room, time.monotonic_ns() - last_sent_ns >= _TURN_NS)
            started = list(islice(unsent, min(room, 1) if in_turn else room))
            for sequence, (source, destination) in started:
                address = endpoints[destination].address
                request = _request(identity, sequence)
                # Before it is sent: the kernel may carry it to the other end, and the reply back,
                # within the call.
                sent_ns = time.monotonic_ns()
                if _send(sockets[source], request, address):
                    waiting[source, sequence] = (destination, sent_ns)
                    last_sent_ns = sent_ns
            if not waiting:
                if started:
                    continue
                return
            oldest, (_, sent_ns) = next(iter(waiting.items()))
            left_ns = sent_ns + timeout_ns - time.monotonic_ns()
            if left_ns <= 0:
                del waiting[oldest]
                # Nobody wants to wait for each of the others that may be lost too.
                window = widest
                continue
            turn_ns = last_sent_ns + _TURN_NS - time.monotonic_ns()
            if in_turn and turn_ns > 0:
                left_ns = min(left_ns, turn_ns)
            for key, _ in selector.select(left_ns / 1e9):
                for sequence in _replies(sockets[key.data], identity):
                    found = waiting.pop((key.data, sequence), None)
                    if found is not None:
                        destination, sent_ns = found
                        yield key.data, destination, time.monotonic_ns() - sent_ns


def _send(sock: socket.socket, request: bytes, address: str) -> bool:
    """Whether it could be sent: no route is an answer too, nobody will reply."""
    try:
        sock.sendto(request, (address, 0))
    except OSError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
            raise
        return False
    return True


def _replies(sock: socket.socket, identity: int) -> Iterator[int]:
    while True:
        try:
            data = sock.recv(2048)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED):
                continue  # a router's complaint about a request; that request stays unanswered
            raise
        header = (data[0] & 0xF) * 4
        kind, _, _, number, sequence = _HEADER.unpack_from(data, header)
        if kind == _ECHO_REPLY and number == identity:
            yield sequence


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
    return sock


def _request(identity: int, sequence: int) -> bytes:
    blank = _HEADER.pack(_ECHO_REQUEST, 0, 0, identity, sequence) + _PAYLOAD
    checksum = _checksum(blank)
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum, identity, sequence) + _PAYLOAD


def _checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
