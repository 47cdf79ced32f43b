"""The trials that certify one direction of a link: which frames to send, and what to make of them.

They come one by one first, so that each meets an idle link: how long do they take? Then fast, but
no faster than the link carries: what is lost, doubled, damaged? Then faster than it carries: the
rate, and the queue.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emulator.plan.model import ImpairmentPlan
from emulator.plan.traces import read_trace
from emulator.wire import checks, lines, statistics
from emulator.wire.certificate import Check, DirectionCertificate, judge, worst
from emulator.wire.frames import LEAST_BYTES, MOST_BYTES, MOST_TOGETHER, Ends, Samples, Schedule
from emulator.wire.model import Decisions, Stream
from emulator.wire.way import FramesAstray, Way

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emulator.wire.protocol import WireCounters

ATTEMPTS = 3

_HEADER_BYTES = 14
_SLACK_NS = 30_000_000
"""How long after the last frame is due another is waited for."""
_LONGEST_NS = 10_000_000_000
_FEWEST = 20
_IDLE_LOAD = 0.5
"""Of what the link carries, where its queue is to stay empty."""
_OVERLOAD = 1.25
_REFERENCE = 200_000
_REFERENCE_SEED = 0x5EED
_NO_JITTER_TELLS = ("pareto", "paretonormal")
_RARE_NS = 100_000
_BRIEF_NS = 900_000_000
_LEAST_PAUSE_NS = 20_000
_QUEUE_FRAMES = 20_000
_LONGEST_DRAIN_S = 3.0
_COARSE_NS, _FINE_NS, _FAR_NS = 100_000, 5_000, 5_000_000
_LONGEST_TRACE_S = 3.0


def measure_direction(way: Way, spec: ImpairmentPlan) -> DirectionCertificate:
    """Measure one direction of a link that nothing has crossed yet.

    Raises:
        FramesAstray: frames were lost where nobody asked for it.
        MeasurementError: frames cannot be sent.
        LabError: the wires have ended.
    """
    with Ends(way.near, way.far) as ends:
        return _Direction(way, spec, ends).measure()


class _Direction:
    """One direction while it is measured."""

    def __init__(self, way: Way, spec: ImpairmentPlan, ends: Ends) -> None:
        self._way = way
        self._spec = spec
        self._now = spec
        self._ends = ends
        self._known = way.link.mechanism == "wire"
        self._batches: list[tuple[ImpairmentPlan, NDArray[np.uint64], int, bool]] = []
        self._trace_ns = (0, 0)
        self._frames = self._late = self._late_most_ns = self._unasked = 0
        self._notes: list[str] = []
        self._checks: list[Check] = []
        self._attempts = 1

    def measure(self) -> DirectionCertificate:
        """All trials, one after the other."""
        if self._spec.trace is not None:
            self._begin_trace()
        self._try(self._one_by_one)
        if not self._is_slow():
            self._try(self._fast)
        if self._tells_jitter():
            if self._way.pace.wakes:
                self._notes.append("jitter: not measured, that of the way would be in it")
            else:
                self._try(self._jitter)
        if self._spec.has_rate:
            self._try(self._overload)
            if self._way.pace.queue and self._has_queue():
                self._try(self._queue)
        return self._certificate()

    def _certificate(self) -> DirectionCertificate:
        verdict, reason = judge(
            self._checks,
            unasked_frames=self._unasked,
        )
        return DirectionCertificate(
            direction="down" if self._way.back else "up",
            source="",
            destination="",
            spec=self._spec,
            checks=tuple(self._checks),
            attempts=self._attempts,
            frames=self._frames,
            late_frames=self._late,
            late_most_ns=self._late_most_ns,
            unasked_frames=self._unasked,
            verdict=verdict,
            reason=reason,
            notes=(*self._notes, *self._warnings()),
        )

    def _try(self, trial: Callable[[], list[Check]]) -> None:
        """Do a trial, again while it fails by what may be chance or the machine's other work."""
        for attempt in range(1, ATTEMPTS + 1):
            self._attempts = max(self._attempts, attempt)
            frames, late = self._frames, self._late
            found = trial()
            if self._spec.trace is not None:
                found = lines.forgiving(found, self._frames - frames)
            found = lines.excused(found, self._frames - frames, self._late - late)
            certain = any(each.verdict == "fail" and each.low == each.high for each in found)
            if certain or attempt == ATTEMPTS or worst(each.verdict for each in found) == "pass":
                break
        self._checks += found

    # Trials -----------------------------------------------------------------------------------

    def _one_by_one(self) -> list[Check]:
        pace = self._way.pace
        pps = min(pace.slow_pps, self._most_pps())
        first = self._sent_so_far()
        seconds = max(pace.slow_s, self._trace_s())
        samples, decisions = self._run(max(_FEWEST, int(pps * seconds)), 1e9 / pps)
        if decisions is None:
            found = checks.median_check(self._spec, samples, floor_ns=self._way.floor_ns)
        else:
            found = checks.delay_checks(
                self._spec,
                samples,
                decisions,
                floor_ns=self._way.floor_ns,
                spread_ns=self._way.spread_ns,
            )
        # Their numbers never come again.
        self._checks += checks.drop_checks(self._spec, samples, first)
        if self._is_slow():
            return found + checks.fate_checks(self._spec, samples, decisions, first)
        # The ratios are for more frames.
        wrong = checks.certain_checks(self._spec, samples, decisions)
        return found + [each for each in wrong if each.verdict != "pass"]

    def _fast(self) -> list[Check]:
        pace = self._way.pace
        pps = min(pace.fast_pps, self._most_pps())
        first = self._sent_so_far()
        samples, decisions = self._run(max(_FEWEST, int(pps * pace.fast_s)), 1e9 / pps)
        return checks.fate_checks(self._spec, samples, decisions, first)

    def _jitter(self) -> list[Check]:
        """Delays that are independent of each other: in order, each would depend on the last."""
        kept = ("delay_ns", "jitter_ns", "distribution", "table", "floor_ns", "seed")
        bare = ImpairmentPlan(keep_order=False, **{n: getattr(self._spec, n) for n in kept})
        reference = Stream(bare.model_copy(update={"seed": _REFERENCE_SEED}))
        arrivals = np.arange(1, _REFERENCE + 1, dtype=np.uint64)
        due = reference.decide(arrivals, LEAST_BYTES).due_ns
        pps = self._way.pace.fast_pps / 2
        self._change(bare)
        try:
            samples, decisions = self._run(int(pps * self._way.pace.fast_s), 1e9 / pps)
        finally:
            self._change(self._spec)
        reference_ns = (due - arrivals).astype(np.float64)
        return checks.jitter_checks(samples, reference_ns, decisions, floor_ns=self._way.floor_ns)

    def _overload(self) -> list[Check]:
        asked_bps = self._asked_bps()
        bits = 8 * (LEAST_BYTES + self._spec.overhead_bytes)
        size_bytes = LEAST_BYTES
        # Large frames where there will be enough of them.
        large = self._large_bytes()
        if asked_bps * self._way.pace.loaded_s > 400 * 8 * (large + self._spec.overhead_bytes):
            size_bytes, bits = large, 8 * (large + self._spec.overhead_bytes)
        loss = self._spec.loss
        if self._spec.gemodel is not None:
            loss = statistics.gilbert_elliott_loss(self._spec.gemodel)[0]
        pps = _OVERLOAD * asked_bps / bits / max(0.01, 1 - loss)
        seconds = max(self._way.pace.loaded_s, self._trace_s())
        if pps > self._way.pace.most_pps:
            why = f"it takes {pps:,.0f} frames/s, which are too many here"
            if self._way.pace.queue:
                return [lines.unknown("rate", "bit/s", asked_bps, why)]
            self._notes.append(f"rate: not measured, {why}")
            return []
        samples, decisions = self._run(
            max(_FEWEST, int(pps * seconds)), 1e9 / pps, size_bytes, ip=self._spec.ecn
        )
        found = checks.rate_checks(self._spec, samples, decisions, asked_bps)
        if decisions is not None:
            found += checks.aqm_checks(self._spec, samples, decisions)
        return found

    def _queue(self) -> list[Check]:
        spec, rate_bps = self._spec, self._spec.rate_bps
        assert rate_bps is not None
        for size_bytes in (self._large_bytes(), LEAST_BYTES):
            bits = 8 * (size_bytes + spec.overhead_bytes)
            limits = [spec.queue_packets, _per(spec.queue_bytes, size_bytes)]
            limits.append(_per(spec.queue_ns, bits * 1e9 / rate_bps))
            room = min(each for each in limits if each is not None)
            room += spec.burst_bytes // size_bytes
            drain_s = room * bits / rate_bps
            if drain_s <= _LONGEST_DRAIN_S and room <= _QUEUE_FRAMES:
                samples, decisions = self._run(int(1.3 * room) + 20, 0, size_bytes)
                if decisions is None:
                    return []
                return checks.queue_checks(samples, decisions)
        self._notes.append(
            f"queue: not measured, it holds {room} frames and takes {drain_s:.3g} s to empty"
        )
        return []

    # Frames -----------------------------------------------------------------------------------

    def _run(
        self, count: int, interval_ns: float, size_bytes: int = LEAST_BYTES, *, ip: bool = False
    ) -> tuple[Samples, Decisions | None]:
        """Send frames; what came of them, and what should have.

        Raises:
            FramesAstray: the wire has not seen all of them, or lost some by itself.
        """
        way = self._way
        before = self._counters()
        # Where there is hardly time to look at the clock, some frames go together.
        batch = max(1, min(MOST_TOGETHER, int(_LEAST_PAUSE_NS / interval_ns))) if interval_ns else 1
        schedule = Schedule(
            count=count,
            interval_ns=round(interval_ns * batch),
            batch=batch,
            size_bytes=size_bytes,
            ip=ip,
            realtime=interval_ns >= way.pace.realtime_ns and _lets_others_run(count, interval_ns),
        )

        def until(sent_ns: NDArray[np.uint64]) -> int:
            sent = sent_ns[sent_ns != 0]
            self._batches.append((self._now, sent, size_bytes, ip))
            if not len(sent):
                return time.monotonic_ns()
            return min(self._last_ns(sent) + _SLACK_NS, int(sent[-1]) + _LONGEST_NS)

        samples = checks.sent_only(self._ends.run(schedule, back=way.back, until=until))
        if way.pace.wakes:
            samples = replace(samples, done_ns=samples.sent_ns)
        after = self._counters()
        sent_count = len(samples.sent_ns)
        self._frames += sent_count
        if after is not None and before is not None:
            self._late += after.late_packets - before.late_packets
            self._late_most_ns = max(self._late_most_ns, after.late_most_ns)
            seen = after.in_packets - before.in_packets
            astray = after.unasked_packets - before.unasked_packets
            astray += max(0, sent_count - seen) + samples.overrun
            if astray or seen > sent_count:
                self._unasked += max(1, astray)
                raise FramesAstray(self._certificate())
        if not self._known:
            return samples, None
        if self._trace_ns[0] != self._trace_ns[1]:
            self._align(samples)
        return samples, self._decide(self._trace_ns[0])

    def _warnings(self) -> tuple[str, ...]:
        """Why the wires do less well than they should."""
        return self._way.lab.wire_counters(self._way.link.id).warnings if self._known else ()

    def _counters(self) -> WireCounters | None:
        if not self._known:
            return None
        counters = self._way.lab.wire_counters(self._way.link.id)
        return counters.down if self._way.back else counters.up

    def _decide(self, start_ns: int) -> Decisions:
        """What the model says of the frames of the last trial, having seen all before."""
        stream: Stream | None = None
        last: ImpairmentPlan | None = None
        for plan, sent_ns, size_bytes, ip in self._batches:
            if stream is None:
                stream = Stream(plan)
            elif plan != last:
                stream.change(plan)
            last = plan
            decisions = stream.decide(sent_ns - np.uint64(start_ns), size_bytes, can_mark=ip)
        copies = decisions.copy_due_ns
        return replace(
            decisions,
            due_ns=np.where(decisions.delivered, decisions.due_ns + np.uint64(start_ns), 0),
            copy_due_ns=np.where(copies != 0, copies + np.uint64(start_ns), 0),
        )

    def _last_ns(self, sent_ns: NDArray[np.uint64]) -> int:
        if not self._known:
            waiting_ns = self._spec.queue_ns or 1_000_000_000
            jitter_ns = 8 * self._spec.jitter_ns
            return int(sent_ns[-1]) + self._spec.delay_ns + jitter_ns + waiting_ns
        decisions = self._decide(self._trace_ns[0])
        latest = max(int(decisions.due_ns.max()), int(decisions.copy_due_ns.max()))
        return max(latest, int(sent_ns[-1])) + self._trace_ns[1] - self._trace_ns[0]

    def _sent_so_far(self) -> int:
        return sum(len(sent) for _, sent, _, _ in self._batches)

    # The link ---------------------------------------------------------------------------------

    def _change(self, spec: ImpairmentPlan) -> None:
        """Have the direction do something else from the next frame on."""
        self._now = spec
        lab, name = self._way.lab, "down" if self._way.back else "up"
        links = tuple(
            each.model_copy(update={name: spec}) if each.id == self._way.link.id else each
            for each in lab.plan.links
        )
        lab.apply(lab.plan.model_copy(update={"links": links}))

    def _begin_trace(self) -> None:
        """Have the trace begin at a moment that is known, within limits."""
        before_ns = time.monotonic_ns()
        self._way.lab.restart_wires()
        self._trace_ns = before_ns, time.monotonic_ns()

    def _align(self, samples: Samples) -> None:
        """Find the beginning of the trace: the one with which frames came when they were due."""

        def off(start_ns: int) -> float:
            decisions = self._decide(start_ns)
            errors = np.minimum(np.abs(checks.errors_ns(samples, decisions)), _FAR_NS)
            wrong = np.count_nonzero(decisions.delivered != (samples.copies > 0))
            return float(errors.sum()) + _FAR_NS * int(wrong)

        first, last = self._trace_ns
        for step_ns in (_COARSE_NS, _FINE_NS):
            best = min(range(first, last + 1, step_ns), key=off)
            first, last = best - step_ns, best + step_ns
        self._trace_ns = best, best

    def _tells_jitter(self) -> bool:
        spec = self._spec
        if spec.jitter_ns < checks.LEAST_JITTER_NS or "delay" in spec.trace_sets:
            return False
        # netem's have neither the mean nor the deviation that they are given.
        return self._known or spec.distribution not in _NO_JITTER_TELLS

    def _has_queue(self) -> bool:
        spec = self._spec
        limited = any(
            each is not None for each in (spec.queue_packets, spec.queue_bytes, spec.queue_ns)
        )
        return limited and spec.aqm == "fifo" and spec.rate_bps is not None and self._known

    def _asked_bps(self) -> float:
        if self._spec.rate_bps is not None:
            return float(self._spec.rate_bps)
        assert self._spec.trace is not None
        return read_trace(self._spec.trace).mean_rate_bps or 0.0

    def _most_pps(self) -> float:
        """Of small frames that the link carries without a queue."""
        if not self._spec.has_rate:
            return float("inf")
        bits = 8 * (LEAST_BYTES + self._spec.overhead_bytes)
        return _IDLE_LOAD * self._asked_bps() / bits

    def _is_slow(self) -> bool:
        """Whether it carries no more frames than are sent one by one."""
        return self._most_pps() <= self._way.pace.slow_pps

    def _trace_s(self) -> float:
        """How long a trial has to be to see all of a trace, within reason; 0 without one."""
        if self._spec.trace is None:
            return 0.0
        return min(_LONGEST_TRACE_S, 1.1 * read_trace(self._spec.trace).period_ns / 1e9)

    def _large_bytes(self) -> int:
        return min(self._way.mtu_bytes + _HEADER_BYTES, MOST_BYTES)


def _per(limit: int | None, each: float) -> int | None:
    return None if limit is None else int(limit / each)


def _lets_others_run(count: int, interval_ns: float) -> bool:
    """Whether a sender may go before all other work: it sleeps now and then, or is soon done.

    The kernel stops real-time work that takes more than 95 % of a second.
    """
    brief = count * interval_ns < _BRIEF_NS
    return (os.cpu_count() or 1) > 1 and (interval_ns >= _RARE_NS or brief)
