"""Cost: CPU time per packet, a proxy for energy that is called a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import MeasurementError

if TYPE_CHECKING:
    from emulator.traffic.machine import SoftirqAccounting
    from emulator.traffic.probe import ProbeResult


@dataclass(frozen=True)
class PacketCost:
    """CPU time of the whole path per packet that arrived: generator, links, VNFs and receiver.

    In the kernel a packet is mostly carried on the back of the thread that sent it, so the time of
    the generator's thread and of the kernel's packet threads is the time of the path. A VNF's own
    share is what it costs more than the same path without it, see :func:`share_ns_per_packet`. A
    process that forwards packets in user space is not part of it.

    Attributes:
        cpu_ns_per_packet: CPU time by packets that arrived.
        softirq_accounting: "in-task" where the kernel counts softirqs in the time of the tasks they
            interrupt; "separate" where the time of all interrupts of the machine was added;
            "unknown" where either may be the case.
    """

    cpu_ns_per_packet: float
    cpu_ns: int
    received: int
    elapsed_ns: int
    softirq_accounting: SoftirqAccounting


def cost_of(result: ProbeResult) -> PacketCost:
    """The cost per packet in a trial, which should send as fast as possible.

    A generator on a schedule spends the time between packets looking at the clock, which would be
    counted too.

    Raises:
        MeasurementError: no packet arrived.
    """
    if not result.received:
        raise MeasurementError(
            "no packet arrived, so there is no cost per packet",
            where=f"{result.source} → {result.destination}",
        )
    return PacketCost(
        cpu_ns_per_packet=result.cpu_ns / result.received,
        cpu_ns=result.cpu_ns,
        received=result.received,
        elapsed_ns=result.elapsed_ns,
        softirq_accounting=result.softirq_accounting,
    )


def share_ns_per_packet(with_vnf: PacketCost, without: PacketCost) -> float:
    """What a VNF adds to the cost of a packet; both measured in the same run on the same path.

    It may come out negative where the difference is smaller than the noise of the machine.
    """
    return with_vnf.cpu_ns_per_packet - without.cpu_ns_per_packet
