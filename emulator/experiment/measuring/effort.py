"""How much there is to do, to tell how far a bench has come and how long it will still take.

What a part takes is a guess: a search ends when it is settled, and a trial that was disturbed is
made again. Who shows the progress compares the guess with the time that it really took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.experiment.spec import BenchSpec

START = "start"
"""The part of a round before its measurements: network, readiness, warm-up and idle CPU."""
TOOLS = "tools"
"""The part after them."""
LIMITS = "limits"
"""Measuring the bench itself, before all rounds."""

_BESIDE_TRIAL_S = 0.4
"""What a trial takes beside sending: getting ready, the drain, reading what it took."""
_BACKGROUND_S = 0.7
"""A background stream begins before and ends after."""
_BURSTS, _BURST_S = 55, 0.25
_SEARCH_TRIALS = 12
_LIMITS_S = 8.0


@dataclass(frozen=True)
class Effort:
    """How many steps a part usually has, and how long all of them take."""

    steps: int
    seconds: float


def efforts(spec: BenchSpec, round_number: int) -> dict[str, Effort]:
    """What a round of a case takes, part by part; what is measured once is in the first round."""
    first = round_number == 1
    trial_s = spec.duration_s + _BESIDE_TRIAL_S
    goals = spec.search_goals()
    sums_s = sum(goal.duration_sum_s + goal.final_trial_s for goal in goals)
    search = Effort(_SEARCH_TRIALS * len(goals), 1.5 * sums_s + _SEARCH_TRIALS * _BESIDE_TRIAL_S)
    verdicts = sum(max(1, len(each.payload_bytes)) for each in spec.sla_profiles())
    hops = 2 if spec.telemetry and first else 0
    loaded_s = 4 * (trial_s + _BACKGROUND_S)
    if not spec.measures("throughput"):
        loaded_s += search.seconds
    found: Mapping[str, Effort] = {
        "latency": Effort(1 + hops, (1 + hops) * trial_s),
        "throughput": search,
        "loaded-latency": Effort(4, loaded_s),
        "back-to-back": Effort(_BURSTS, _BURSTS * _BURST_S),
        "sla": Effort(verdicts, verdicts * trial_s),
        "soak": Effort(1, trial_s),
        "cost": Effort(2, 2.0) if first else Effort(1, 1.0),
    }
    again = ("latency", "throughput", "cost")
    kept = {name: found[name] for name in spec.measurements if first or name in again}
    tools = {TOOLS: Effort(len(spec.tools), 3.0 * len(spec.tools))} if spec.tools and first else {}
    return {START: Effort(4, 1.5), **kept, **tools}


def limits_effort(spec: BenchSpec) -> dict[str, Effort]:
    """What measuring the bench itself takes, where nothing of it is known from before."""
    kinds = len({traffic.frames for traffic in spec.traffics()})
    return {LIMITS: Effort(_SEARCH_TRIALS * kinds, _LIMITS_S * kinds)}


class Progress:
    """How far a run has come, in seconds by the guesses above; it never goes back."""

    def __init__(self, rounds: list[dict[str, Effort]]) -> None:
        """Begin with nothing done.

        Args:
            rounds: what each round of each case takes, in the order in which they are measured.
        """
        self._rounds = rounds
        self.total_s = sum(_seconds(each) for each in rounds)
        self._done_s = 0.0
        self._within_s = 0.0
        self._part: Effort | None = None
        self._steps = 0

    @property
    def done_s(self) -> float:
        """A step counts when the next one begins; never more than ``total_s``."""
        done_s = self._done_s + self._within_s
        if self._part is not None:
            # Trials that had to be repeated take steps that nobody counted on.
            share = min(max(0, self._steps - 1), self._part.steps) / max(1, self._part.steps)
            done_s += share * self._part.seconds
        return min(done_s, self.total_s)

    def begin(self, part: str) -> None:
        """A part of the round begins; the one before it is over."""
        if self._part is not None:
            self._within_s += self._part.seconds
        self._part, self._steps = self._rounds[0].get(part), 0

    def step(self) -> None:
        """A step of the part begins."""
        self._steps += 1

    def end_round(self) -> None:
        """The round is over, whatever it came to."""
        self._done_s += _seconds(self._rounds.pop(0))
        self._within_s, self._part = 0.0, None


def _seconds(parts: Mapping[str, Effort]) -> float:
    return sum(each.seconds for each in parts.values())
