"""Throughput: the highest load at which a path loses no more than a goal allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.errors import MeasurementError, UsageError

if TYPE_CHECKING:
    from emulator.traffic.probe import ProbeResult

LimitedBy = Literal["loss", "generator", "receiver"]
Measure = Callable[[float | None], "Trial"]


@dataclass(frozen=True)
class Trial:
    """One measurement at one load.

    Attributes:
        rate_pps: the load that was asked for; None: as fast as the generator can.
        offered_pps: the load that the generator really gave.
        sent, received, lost: packets.
        unsent: packets that the generator could not send in time.
        overrun: of those lost, the ones that arrived where the receiver was too slow to take them.
        elapsed_ns: how long packets were sent.
        cpu_ns: CPU time of the generator and of the kernel's packet threads.
    """

    rate_pps: float | None
    offered_pps: float
    sent: int
    received: int
    lost: int
    unsent: int
    elapsed_ns: int
    cpu_ns: int
    overrun: int = 0

    @classmethod
    def of(cls, result: ProbeResult) -> Trial:
        """The trial that a probe made."""
        return cls(
            rate_pps=result.spec.rate_pps,
            offered_pps=result.offered_pps,
            sent=result.sent,
            received=result.received,
            lost=result.lost,
            unsent=result.unsent,
            elapsed_ns=result.elapsed_ns,
            cpu_ns=result.cpu_ns,
            overrun=result.overrun,
        )

    @property
    def received_pps(self) -> float:
        """Packets received per second of sending."""
        return self.received * 1e9 / self.elapsed_ns

    @property
    def loss_ratio(self) -> float:
        """Lost packets per packet sent; 0 where nothing was sent."""
        return self.lost / self.sent if self.sent else 0.0

    @property
    def path_loss_ratio(self) -> float:
        """The same without those that the receiver lost."""
        return (self.lost - self.overrun) / self.sent if self.sent else 0.0


def packets_to_bound(loss_goal: float) -> int:
    """How many packets a trial must send for a loss of none to say that the path meets the goal.

    Of n packets with none lost, the loss ratio is below 3/n with a confidence of 95 %: the "rule of
    three" (J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all right?",
    JAMA 249(13), 1983). A goal of 0 is about the very packets that were sent: one is enough.
    """
    # Not one packet more for what a ratio such as 0.001 is off in binary.
    return max(1, math.ceil(round(3 / loss_goal, 6))) if loss_goal else 1


@dataclass(frozen=True)
class ThroughputResult:
    """What a search found.

    Attributes:
        best: the trial with the highest load that met the goal, of those with packets enough to
            tell; None: no load that was tried did.
        limited_by: what kept the search from going higher: loss on the path, or a generator that
            could not send more, or a receiver that could not take more; the path then carries at
            least this much.
        failed_pps: the lowest load known to be too much; None: none was too much.
        converged: whether ``best`` and ``failed_pps`` are as near to each other as was asked for.
        loss_goal: lost packets per packet sent that are allowed.
        warm_up: the first trial, which counts for nothing: caches and neighbours are cold.
        trials: the others, in the order they were made.
    """

    best: Trial | None
    limited_by: LimitedBy
    failed_pps: float | None
    converged: bool
    loss_goal: float
    warm_up: Trial
    trials: tuple[Trial, ...]

    @property
    def throughput_pps(self) -> float | None:
        """Packets per second that arrived in the best trial (RFC 9971, conditional throughput)."""
        return self.best.received_pps if self.best else None

    def throughput_bps(self, frame_size_bytes: int) -> float | None:
        """The same in bits per second of frames, their check sequence included.

        Preamble and gap between frames are left out: a veth has none.
        """
        pps = self.throughput_pps
        return None if pps is None else pps * frame_size_bytes * 8


def search_throughput(
    measure: Measure,
    *,
    loss_goal: float = 0.001,
    max_trials: int = 12,
    width: float = 0.02,
) -> ThroughputResult:
    """Find the highest load that meets the goal.

    The first trial is a warm-up. The next one is made as fast as the generator can; if it meets the
    goal, the generator is the limit. Otherwise the rate that arrived in it is the first guess, and
    the rest is bisection, between the highest load that met the goal and the lowest that did not.

    What counts is always the load that was really given: a trial in which the generator fell behind
    proves only that much. When it also lost nothing, the load asked for is out of its reach; unless
    it has given twice as much before, for then something else kept it from running. The load is
    tried once more, and if it is held up again the search ends: at lower loads it would be too.

    A trial with too few packets to bound the loss (:func:`packets_to_bound`) is no evidence that
    its load is carried. Lower loads have fewer packets still, so the search ends with the first
    load that is that low.

    Args:
        measure: makes one trial at a load in packets per second, None: as fast as possible.
        loss_goal: lost packets per packet sent that are allowed.
        max_trials: how often ``measure`` is called at most.
        width: ends the search when what fails is that much above what succeeds, as a ratio.

    Raises:
        UsageError: an argument makes no sense.
        MeasurementError: a trial sent nothing.
    """
    if not 0 <= loss_goal < 1:
        raise UsageError(
            f"a loss of {loss_goal} is no goal", hint="it is a ratio from 0 to below 1"
        )
    if not 0 < width < 1:
        raise UsageError(f"a width of {width} is not possible", hint="it is a ratio, such as 0.02")
    if max_trials < 2:
        raise UsageError(f"{max_trials} trials are too few", hint="the first is a warm-up")
    search = _Search(measure, loss_goal, width)
    warm_up = search.checked(None)
    search.trial(None)
    while search.goes_on and len(search.trials) + 1 < max_trials:
        search.trial(search.next_load())
    return ThroughputResult(
        best=search.best,
        limited_by=search.limited_by,
        failed_pps=search.high,
        converged=search.best is not None and not search.undecided,
        loss_goal=loss_goal,
        warm_up=warm_up,
        trials=tuple(search.trials),
    )


class _Search:
    """The state of a search: the interval that holds the answer."""

    def __init__(self, measure: Measure, loss_goal: float, width: float) -> None:
        self._measure = measure
        self._loss_goal = loss_goal
        self._packets_needed = packets_to_bound(loss_goal)
        self._width = width
        self._guesses: list[float] = []
        self._fastest_pps = 0.0
        self._repeated_pps = 0.0
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.low = 0.0
        self.high: float | None = None
        self.limited_by: LimitedBy = "generator"
        self.too_low = False
        """Whether the search has come down to a load with too few packets for any evidence."""
        self.held_up = False
        """Whether the generator is kept from giving loads that it could give."""

    @property
    def goes_on(self) -> bool:
        return self.undecided and not self.too_low and not self.held_up

    @property
    def undecided(self) -> bool:
        return self.high is not None and self.high - self.low > self._width * self.high

    def checked(self, load_pps: float | None) -> Trial:
        trial = self._measure(load_pps)
        if not trial.sent:
            raise MeasurementError(
                "the generator sent nothing in a whole trial",
                hint="the machine may be overloaded; try longer trials",
            )
        return trial

    def trial(self, load_pps: float | None) -> None:
        trial = self.checked(load_pps)
        self.trials.append(trial)
        self._fastest_pps = max(self._fastest_pps, trial.offered_pps)
        self.too_low = trial.sent + trial.unsent < self._packets_needed
        if trial.loss_ratio > self._loss_goal:
            self._missed(trial)
            return
        if trial.sent >= self._packets_needed:
            self._met(trial)
        asked = trial.rate_pps
        if asked is not None and trial.offered_pps < asked * (1 - self._width):
            if self._fastest_pps < 2 * asked:
                self._bound(asked, "generator")
            elif asked != self._repeated_pps:
                self._repeated_pps = asked
                self._guesses.insert(0, asked)
            else:
                self.held_up = True
                self.limited_by = "generator"

    def next_load(self) -> float:
        """The guesses that still lie inside the interval, then its middle."""
        high = self.high or 0.0
        while self._guesses:
            guess = self._guesses.pop(0)
            if self.low < guess < high:
                return guess
        return (self.low + high) / 2

    def _met(self, trial: Trial) -> None:
        if self.best is None or trial.received_pps > self.best.received_pps:
            self.best = trial
        self.low = max(self.low, trial.offered_pps)

    def _missed(self, trial: Trial) -> None:
        if trial.rate_pps is None:
            arrived = trial.received_pps
            self._guesses = [arrived * (1 - self._width / 2), arrived * (1 + self._width / 2)]
        given = trial.offered_pps
        # With noise, a load may be too much once although it was not before.
        by: LimitedBy = "receiver" if trial.path_loss_ratio <= self._loss_goal else "loss"
        self._bound(given if given > self.low else trial.rate_pps or given, by)

    def _bound(self, load_pps: float, limited_by: LimitedBy) -> None:
        if self.high is None or load_pps <= self.high:
            self.high = max(load_pps, self.low)
            self.limited_by = limited_by
