"""What is watched during a trial for the honesty gate, see ``emulator.measure.honesty``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.measure.resources import ResourceReading
from emulator.unavailable import Unavailable

if TYPE_CHECKING:
    from emulator.traffic.probe import ProbeResult


@dataclass(frozen=True)
class Sensors:
    """What was watched during a trial.

    Attributes:
        asked_pps: the load that was asked for; None: as fast as possible.
        offered_pps: the load that the generator gave.
        sent, unsent, lost, overrun: packets, see ``ProbeResult``.
        elapsed_ns: how long packets were sent.
        generator_wait_ns: how long the generator was kept from running.
        generator_cpus: where the generator may run; empty: anywhere.
        generator_name: what did the sending, for messages.
        resources: what was used meanwhile, from a little before to a little after.
        modes: how the data plane of each VNF works.
        wire_late: frames that what impairs links released too late.
        wire_unasked: frames that it lost although nobody asked for that.
        idle_states_kept_out: whether CPUs were kept out of deep idle states; None: no matter.
    """

    asked_pps: float | None
    offered_pps: float
    sent: int
    unsent: int
    lost: int
    overrun: int
    elapsed_ns: int
    generator_wait_ns: int | Unavailable
    generator_cpus: tuple[int, ...]
    generator_name: str
    resources: ResourceReading
    modes: Mapping[str, str]
    wire_late: int = 0
    wire_unasked: int = 0
    idle_states_kept_out: bool | None = None

    @classmethod
    def of_probe(
        cls,
        result: ProbeResult,
        resources: ResourceReading,
        *,
        modes: Mapping[str, str] | None = None,
        wire_late: int = 0,
        wire_unasked: int = 0,
    ) -> Sensors:
        """Those of a trial that the probe made.

        Args:
            result: of the trial.
            resources: what a meter around it read.
            modes: for each VNF, ``RunningVnf.mode``.
            wire_late, wire_unasked: frames, from what impairs links.
        """
        core = result.spec.core
        return cls(
            asked_pps=result.spec.rate_pps,
            offered_pps=result.offered_pps,
            sent=result.sent,
            unsent=result.unsent,
            lost=result.lost,
            overrun=result.overrun,
            elapsed_ns=result.elapsed_ns,
            generator_wait_ns=result.wait_ns,
            generator_cpus=() if core is None else (core,),
            generator_name="the probe",
            resources=resources,
            modes=dict(modes or {}),
            wire_late=wire_late,
            wire_unasked=wire_unasked,
            idle_states_kept_out=result.dma_latency_held,
        )
