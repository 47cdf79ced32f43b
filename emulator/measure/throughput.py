"""Throughput: one trial at one load, and how many packets it takes to say anything about loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from emulator.traffic.probe import ProbeResult

LimitedBy = Literal["loss", "generator", "receiver"]


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
        valid: whether generator and receiver were left to their work, so that the trial counts.
            To send less than was asked for is no disturbance by itself: a search asks for more than
            a generator can give, to see what it can.
        disturbed_ratio: the share of packets or of time that they lost to something else, by which
            the least disturbed of several trials is found.
        only_hindered: whether all that disturbed it was such as keeps packets back: then a load
            that arrived all the same is carried, and would be the more so without.
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
    valid: bool = True
    disturbed_ratio: float = 0.0
    only_hindered: bool = False

    @classmethod
    def of(
        cls,
        result: ProbeResult,
        *,
        valid: bool = True,
        disturbed_ratio: float = 0.0,
        only_hindered: bool = False,
    ) -> Trial:
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
            valid=valid,
            disturbed_ratio=disturbed_ratio,
            only_hindered=only_hindered,
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
