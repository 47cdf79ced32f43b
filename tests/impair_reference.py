"""Queues as plainly as they can be written, to hold against ``emulator/native/impair*.c``.

They keep lists, count in fractions and look at everything again for each frame; what they share
with the model is what the words mean, and nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import settings

from emulator.plan.model import ImpairmentPlan

PATIENT = settings(deadline=None, database=None)
"""What is plain is slow at times, and nothing is left behind."""

DELIVERED, LOST, OVERFLOWN, AQM_DROPPED = range(4)

Arrivals = Sequence[tuple[int, int]]
"""When each frame comes, in ns, and its bytes."""


@dataclass(frozen=True)
class Served:
    """What became of a frame."""

    fate: int
    start_ns: int = 0
    left_ns: int = 0
    mark: bool = False


@dataclass
class Waiting:
    """The frames that came through, and which of them wait at a time."""

    frames: list[tuple[int, int]] = field(default_factory=list)

    def at(self, now_ns: int) -> list[int]:
        return [size for start_ns, size in self.frames if start_ns > now_ns]

    def has_room(self, plan: ImpairmentPlan, now_ns: int, start_ns: int, size: int) -> bool:
        if start_ns <= now_ns:
            return True
        sizes = self.at(now_ns)
        return not (
            (plan.queue_packets is not None and len(sizes) + 1 > plan.queue_packets)
            or (plan.queue_bytes is not None and sum(sizes) + size > plan.queue_bytes)
            or (plan.queue_ns is not None and start_ns - now_ns > plan.queue_ns)
        )


class TokenBucket:
    """A bucket of bits; without a burst it never holds any, and a frame takes its time."""

    def __init__(self, plan: ImpairmentPlan) -> None:
        assert plan.rate_bps is not None
        self.rate = Fraction(plan.rate_bps, 10**9)
        self.overhead = plan.overhead_bytes
        # The burst lasts a whole number of nanoseconds.
        self.most = plan.burst_bytes * 8 * 10**9 // plan.rate_bps * self.rate
        self.tokens = self.most
        self.counted = Fraction(0)
        self.left = Fraction(0)

    def turn(self, now_ns: int) -> int:
        return max(now_ns, math.floor(self.left))

    def send(self, now_ns: int, size: int) -> int:
        start = max(Fraction(now_ns), self.left)
        tokens = min(self.most, self.tokens + (start - self.counted) * self.rate)
        bits = 8 * (size + self.overhead)
        missing = max(Fraction(0), bits - tokens)
        self.left = self.counted = start + missing / self.rate
        self.tokens = tokens + missing - bits
        return math.floor(self.left)


def serve(plan: ImpairmentPlan, arrivals: Arrivals) -> list[Served]:
    """A rate, perhaps with a burst, and limits of the queue."""
    bucket = TokenBucket(plan)
    waiting = Waiting()
    served = []
    for now_ns, size in arrivals:
        start_ns = bucket.turn(now_ns)
        if not waiting.has_room(plan, now_ns, start_ns, size):
            served.append(Served(OVERFLOWN))
            continue
        waiting.frames.append((start_ns, size))
        served.append(Served(DELIVERED, start_ns, bucket.send(now_ns, size)))
    return served


def serve_by_red(
    plan: ImpairmentPlan, arrivals: Arrivals, draws: Sequence[float], can_mark: bool
) -> list[Served]:
    """RED (Floyd and Jacobson 1993, figure 2) before a line with a rate."""
    bucket = TokenBucket(plan)
    waiting = Waiting()
    served = []
    average, count, weight = 0.0, -1, plan.red_weight
    low, high = plan.red_min_bytes, plan.red_max_bytes
    assert plan.rate_bps is not None
    typical_ns = 8 * 1000 * 1e9 / plan.rate_bps
    for (now_ns, size), draw in zip(arrivals, draws, strict=True):
        left_ns = math.floor(bucket.left)
        if now_ns > left_ns:
            average = (1 - weight) ** ((now_ns - left_ns) / typical_ns) * average
        else:
            average = average + weight * (sum(waiting.at(now_ns)) - average)
        hit = False
        if low <= average < high:
            count += 1
            chance = plan.red_probability * (average - low) / (high - low)
            hit = count * chance >= 1 or draw < chance / (1 - count * chance)
        elif average >= high:
            hit = True
        else:
            count = -1
        if hit:
            count = 0
        if hit and not can_mark:
            served.append(Served(AQM_DROPPED))
            continue
        start_ns = bucket.turn(now_ns)
        if not waiting.has_room(plan, now_ns, start_ns, size):
            served.append(Served(OVERFLOWN))
            continue
        waiting.frames.append((start_ns, size))
        served.append(Served(DELIVERED, start_ns, bucket.send(now_ns, size), hit))
    return served


@dataclass
class _Queued:
    index: int
    arrival_ns: int
    size: int
    alone: bool


class _Codel:
    """The pseudocode of RFC 8289, section 5, with the marking of Linux."""

    def __init__(self, plan: ImpairmentPlan, can_mark: bool) -> None:
        self.target, self.interval = plan.codel_target_ns, plan.codel_interval_ns
        self.can_mark = can_mark
        self.queue: deque[_Queued] = deque()
        self.first_above = self.drop_next = 0
        self.count = self.last_count = 0
        self.dropping = False
        self.dropped: dict[int, int] = {}
        self.marked: set[int] = set()

    def law(self, when: int) -> int:
        return when + int(self.interval / math.sqrt(self.count))

    def take(self, now: int) -> tuple[_Queued | None, bool]:
        if not self.queue:
            self.first_above = 0
            return None, False
        frame = self.queue.popleft()
        if now - frame.arrival_ns < self.target or frame.alone:
            self.first_above = 0
            return frame, False
        if self.first_above == 0:
            self.first_above = now + self.interval
            return frame, False
        return frame, now >= self.first_above

    def deque(self, now: int) -> _Queued | None:
        frame, above = self.take(now)
        if self.dropping:
            if not above:
                self.dropping = False
            while self.dropping and now >= self.drop_next:
                assert frame is not None
                self.count += 1
                if self.can_mark:
                    self.marked.add(frame.index)
                    self.drop_next = self.law(self.drop_next)
                    return frame
                self.dropped[frame.index] = now
                frame, above = self.take(now)
                if not above:
                    self.dropping = False
                else:
                    self.drop_next = self.law(self.drop_next)
        elif above:
            assert frame is not None
            if self.can_mark:
                self.marked.add(frame.index)
            else:
                self.dropped[frame.index] = now
                frame, _ = self.take(now)
            self.dropping = True
            delta = self.count - self.last_count
            self.count = 1
            if delta > 1 and now - self.drop_next < 16 * self.interval:
                self.count = delta
            self.drop_next = self.law(now)
            self.last_count = self.count
        return frame


def serve_by_codel(plan: ImpairmentPlan, arrivals: Arrivals, can_mark: bool) -> list[Served]:
    """CoDel as it is: it acts when frames leave the queue, event by event."""
    assert plan.rate_bps is not None
    codel = _Codel(plan, can_mark)
    free = Fraction(0)
    served: dict[int, Served] = {}
    largest = 0

    def run(until_ns: int) -> None:
        nonlocal free
        while codel.queue:
            now = max(math.floor(free), codel.queue[0].arrival_ns)
            if now > until_ns:
                return
            frame = codel.deque(now)
            if frame is not None:
                bits = 8 * (frame.size + plan.overhead_bytes)
                free = max(free, Fraction(now)) + Fraction(bits * 10**9, plan.rate_bps or 0)
                served[frame.index] = Served(
                    DELIVERED, now, math.floor(free), frame.index in codel.marked
                )

    for index, (now_ns, size) in enumerate(arrivals):
        run(now_ns)
        sizes = [frame.size for frame in codel.queue]
        busy = bool(sizes) or math.floor(free) > now_ns
        if busy and plan.queue_packets is not None and len(sizes) + 1 > plan.queue_packets:
            served[index] = Served(OVERFLOWN)
            continue
        largest = max(largest, size)
        codel.queue.append(_Queued(index, now_ns, size, sum(sizes) + size <= largest))
        run(now_ns)
    run(1 << 70)
    for index, now in codel.dropped.items():
        served[index] = Served(AQM_DROPPED, now)
    return [served[index] for index in range(len(arrivals))]


def serve_by_opportunities(
    times_ns: Sequence[int], period_ns: int, each_bytes: int, arrivals: Arrivals
) -> list[Served]:
    """Mahimahi's mm-link: go through the opportunities, and use each for what waits then."""
    queue = deque(enumerate(arrivals))
    served: list[Served] = []
    start_ns: int | None = None
    need = 0
    cycle = -1
    while len(served) < len(arrivals):
        cycle += 1
        for offset_ns in times_ns:
            now_ns = cycle * period_ns + offset_ns
            left = each_bytes
            while left > 0 and queue and queue[0][1][0] <= now_ns:
                if start_ns is None:
                    start_ns = now_ns
                    # Without the header of Ethernet.
                    need = max(1, queue[0][1][1] - 14)
                used = min(left, need)
                left -= used
                need -= used
                if need == 0:
                    queue.popleft()
                    served.append(Served(DELIVERED, start_ns, now_ns))
                    start_ns = None
    return served


def serve_by_rates(
    rate_at: Callable[[int], tuple[int | None, int]], overhead_bytes: int, arrivals: Arrivals
) -> list[Served]:
    """A line whose rate changes: send bit by bit.

    ``rate_at`` gives the rate in bit/s at a time in ns, None for no limit, and until when.
    """
    free = Fraction(0)
    served = []
    for now_ns, size in arrivals:
        when = max(Fraction(now_ns), free)
        bits = Fraction(8 * (size + overhead_bytes))
        start_ns: int | None = None
        while True:
            rate, until_ns = rate_at(math.floor(when))
            if rate != 0 and start_ns is None:
                start_ns = math.floor(when)
            if rate is None:
                # What was left of a nanosecond is over too.
                when = Fraction(math.floor(when))
                break
            room = Fraction(rate, 10**9) * (until_ns - when)
            if bits <= room and rate:
                when += bits / Fraction(rate, 10**9)
                break
            bits -= room
            when = Fraction(until_ns)
        free = when
        assert start_ns is not None
        served.append(Served(DELIVERED, start_ns, math.floor(free)))
    return served
