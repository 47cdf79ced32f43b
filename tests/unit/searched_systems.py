"""Paths and generators whose capacity is known, for the searches to find."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from emulator.measure.throughput import Trial


@dataclass
class System:
    """A path that forwards up to a capacity, behind a generator that has one too.

    Attributes:
        capacity_pps: what the path carries.
        generator_pps: what the generator gives in one burst; ``paced_pps`` when it keeps to a
            schedule.
        receiver_pps: what the receiver takes of that which arrives.
        noise: by which share the capacity moves from trial to trial.
        always_lost: the share of packets that is lost at any load.
        soft: the share that is lost at capacity; from half of it on the loss grows evenly.
        overload_pps: what is carried above capacity, where the path collapses.
        disturbed: numbers of the trials that something else disturbs, from 0.
        elapsed_s: how long it was tried in all.
    """

    capacity_pps: float
    generator_pps: float = 5e6
    paced_pps: float = float("inf")
    receiver_pps: float = float("inf")
    noise: float = 0.0
    always_lost: float = 0.0
    soft: float = 0.0
    overload_pps: float | None = None
    disturbed: tuple[int, ...] = ()
    seed: int = 1
    elapsed_s: float = 0.0
    asked: list[tuple[float | None, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def clock(self) -> float:
        """The time that trials have taken."""
        return self.elapsed_s

    def measure(self, rate_pps: float | None, duration_s: float) -> Trial:
        """One trial."""
        number = len(self.asked)
        self.asked.append((rate_pps, duration_s))
        self.elapsed_s += duration_s
        paced_pps = min(self.generator_pps, self.paced_pps)
        offered_pps = self.generator_pps if rate_pps is None else min(rate_pps, paced_pps)
        if number in self.disturbed:
            offered_pps /= 10
        sent = round(offered_pps * duration_s)
        capacity = self._capacity_pps() * duration_s
        carried = min(float(sent), capacity)
        if self.overload_pps is not None and sent > capacity:
            carried = self.overload_pps * duration_s
        if self.soft and capacity:
            carried = min(carried, sent * (1 - self.soft * max(0.0, 2 * sent / capacity - 1)))
        # To the nearest packet: a path does not lose one because we count in fractions.
        arrived = max(0, min(sent, round(carried * (1 - self.always_lost))))
        received = min(arrived, round(min(self.receiver_pps, 1e9) * duration_s))
        return Trial(
            rate_pps=rate_pps,
            offered_pps=sent / duration_s,
            sent=sent,
            received=received,
            lost=sent - received,
            unsent=0 if rate_pps is None else max(0, round(rate_pps * duration_s) - sent),
            elapsed_ns=round(duration_s * 1e9),
            cpu_ns=0,
            overrun=arrived - received,
            valid=number not in self.disturbed,
            disturbed_ratio=0.9 if number in self.disturbed else 0.0,
        )

    def _capacity_pps(self) -> float:
        return self.capacity_pps * (1 + self._random.uniform(-self.noise, self.noise))
