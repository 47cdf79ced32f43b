"""Back-to-back frames: the longest burst at full speed of which a path loses nothing.

RFC 2544, §26.4, as updated by RFC 9004 (whose text was not at hand in full: what we compute after
it is written out below). It tells how much a path buffers, so it says something only where the
throughput is below the rate of the bursts. A veth has no frame rate of its own: where the RFCs
speak of the maximum theoretical one, it is the rate that the generator reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

from emulator.errors import MeasurementError, UsageError
from emulator.measure.throughput import Trial

MeasureBurst = Callable[[int], Trial]
"""Sends so many packets as fast as it can, and waits until no more arrive."""

REPEATS = 50
"""RFC 2544, §26.4: "SHOULD be repeated at least 50 times"."""

_BURST_S = 2.0
_START_FRAMES = 1024


@dataclass(frozen=True)
class Burst:
    """One burst.

    Attributes:
        repetition: of the search that it belongs to, from 1.
        frames: how long it was meant to be.
        trial: what came of it.
        counted: whether it was evidence; disturbed bursts that were sent again are not.
    """

    repetition: int
    frames: int
    trial: Trial
    counted: bool


@dataclass(frozen=True)
class BackToBackResult:
    """What repeated searches found.

    Attributes:
        lengths: of each search that was finished, the frames of the longest burst of which nothing
            was lost; 0 where even a single frame was.
        repeats: how many searches were asked for.
        rate_pps: how fast the bursts were sent, as a median over those in ``lengths``; None: there
            is no such burst.
        limited_by: what kept bursts from being longer, as the first search has it that met a limit:
            ``loss`` on the path, a ``receiver`` that could not take more, or the ``length`` that is
            the longest to be tried; the latter two mean that the path carries at least this much.
        valid: whether all bursts that were evidence were left undisturbed.
        bursts: all of them, in the order they were sent.
        elapsed_s: how long all of it took.
    """

    lengths: tuple[int, ...]
    repeats: int
    rate_pps: float | None
    limited_by: Literal["loss", "receiver", "length"]
    valid: bool
    bursts: tuple[Burst, ...]
    elapsed_s: float

    @property
    def complete(self) -> bool:
        """Whether there was time for all searches."""
        return len(self.lengths) == self.repeats

    @property
    def mean_frames(self) -> float | None:
        """The benchmark, the average over the searches (RFC 9004); None: none was finished."""
        return fmean(self.lengths) if self.lengths else None

    @property
    def min_frames(self) -> int | None:
        """The shortest that a search found."""
        return min(self.lengths, default=None)

    @property
    def max_frames(self) -> int | None:
        """The longest that a search found."""
        return max(self.lengths, default=None)

    @property
    def stdev_frames(self) -> float | None:
        """Their standard deviation; None: of fewer than two there is none."""
        return stdev(self.lengths) if len(self.lengths) > 1 else None

    @property
    def implied_buffer_s(self) -> float | None:
        """How long the mean burst takes to be sent (RFC 9004, "implied buffer time")."""
        if self.mean_frames is None or not self.rate_pps:
            return None
        return self.mean_frames / self.rate_pps

    def corrected_buffer_s(self, throughput_pps: float) -> float | None:
        """The same without what the path forwards meanwhile (RFC 9004, "corrected").

        None also where the throughput is not below the rate of the bursts: then they do not show
        any buffer.
        """
        implied_s = self.implied_buffer_s
        if implied_s is None or not self.rate_pps or throughput_pps >= self.rate_pps:
            return None
        return implied_s * (1 - throughput_pps / self.rate_pps)


def longest_burst_frames(rate_pps: float) -> int:
    """The longest burst worth trying: one of 2 s (RFC 2544, §26.4, "at least 2 seconds")."""
    return max(1, math.ceil(rate_pps * _BURST_S))


def search_back_to_back(
    measure_burst: MeasureBurst,
    *,
    max_frames: int,
    repeats: int = REPEATS,
    width: float = 0.01,
    verifications: int = 1,
    attempts: int = 3,
    max_s: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> BackToBackResult:
    """Search for the longest burst without loss, again and again.

    Every repetition is a search of its own: lengths are doubled until a burst loses something, and
    then it is bisection. A burst that loses something is sent once more before it counts as too
    long (ETSI GS NFV-TST 009, §12.3.3, "loss verification"): one frame lost to the machine's other
    work would halve the result. A burst that was disturbed (:attr:`Trial.valid`), or that the
    generator did not send in full, is sent again too, ``attempts`` times at most.

    Args:
        measure_burst: sends a burst.
        max_frames: the longest burst to try, see :func:`longest_burst_frames`.
        repeats: how many searches to make.
        width: ends a search when the shortest burst with loss is so much longer than the longest
            one without, as a ratio.
        verifications: how often a burst with loss is sent again.
        attempts: how often a disturbed burst is sent.
        max_s: when that time is over, what the finished searches found is the result.
        clock: tells the time in seconds.

    Raises:
        UsageError: an argument makes no sense.
        MeasurementError: a burst was not sent at all.
    """
    for what, value, least in (
        ("frames", max_frames, 1),
        ("searches", repeats, 1),
        ("verifications", verifications, 0),
        ("attempts", attempts, 1),
    ):
        if value < least:
            raise UsageError(f"{value} {what} are too few", hint=f"{least} or more")
    if not 0 <= width < 1:
        raise UsageError(f"a width of {width} is not possible", hint="it is a ratio, such as 0.01")
    if not max_s > 0:
        raise UsageError(f"a search cannot end within {max_s:g} s", hint="give it some time")
    search = _Search(measure_burst, width, verifications, attempts, lambda: clock() > ends_s)
    started_s = clock()
    ends_s = started_s + max_s
    found: list[Burst | None] = []
    while len(found) < repeats:
        try:
            found.append(search.longest(len(found) + 1, max_frames))
        except _TimeIsOverError:
            break
    rates_pps = [burst.trial.offered_pps for burst in found if burst is not None]
    return BackToBackResult(
        lengths=tuple(0 if burst is None else burst.frames for burst in found),
        repeats=repeats,
        rate_pps=median(rates_pps) if rates_pps else None,
        limited_by=search.limited_by or "length",
        valid=all(burst.trial.valid for burst in search.bursts if burst.counted),
        bursts=tuple(search.bursts),
        elapsed_s=clock() - started_s,
    )


class _TimeIsOverError(Exception):
    pass


class _Search:
    def __init__(
        self,
        measure_burst: MeasureBurst,
        width: float,
        verifications: int,
        attempts: int,
        time_is_over: Callable[[], bool],
    ) -> None:
        self._measure_burst = measure_burst
        self._width = width
        self._verifications = verifications
        self._attempts = attempts
        self._time_is_over = time_is_over
        self.bursts: list[Burst] = []
        self.limited_by: Literal["loss", "receiver"] | None = None

    def longest(self, repetition: int, max_frames: int) -> Burst | None:
        """The longest burst without loss; None: even a single frame was lost."""
        carried: Burst | None = None
        lost: Burst | None = None
        frames = min(_START_FRAMES, max_frames)
        while True:
            burst, whole = self._verified(repetition, frames)
            if whole:
                carried = burst
            else:
                lost = burst
            low = carried.frames if carried else 0
            if lost is None:
                if low >= max_frames:
                    return carried
                frames = min(2 * frames, max_frames)
            elif lost.frames - low <= max(1, self._width * lost.frames):
                if self.limited_by is None:
                    self.limited_by = "receiver" if lost.trial.path_loss_ratio <= 0 else "loss"
                return carried
            else:
                frames = (low + lost.frames) // 2

    def _verified(self, repetition: int, frames: int) -> tuple[Burst, bool]:
        """A burst, sent again if it lost something, and whether nothing of it was lost."""
        for _ in range(1 + self._verifications):
            burst = self._burst(repetition, frames)
            if not burst.trial.lost:
                return burst, True
        return burst, False

    def _burst(self, repetition: int, frames: int) -> Burst:
        """A burst, sent again if it was disturbed."""
        for attempt in range(1, self._attempts + 1):
            if self._time_is_over():
                raise _TimeIsOverError
            trial = self._measure_burst(frames)
            if not trial.sent:
                raise MeasurementError(
                    f"the generator sent nothing of a burst of {frames} frames",
                    hint="the machine may be overloaded",
                )
            left_alone = trial.valid and trial.sent >= frames
            counted = left_alone or attempt == self._attempts
            self.bursts.append(Burst(repetition, frames, trial, counted))
            if left_alone:
                break
        return self.bursts[-1]
