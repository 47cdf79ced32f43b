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
    """CPU time of the whole path per packet: generator, links, VNFs and receiver.

    In the kernel a packet is mostly carried on the back of the thread that sent it, so the time of
    the generator's thread and of the kernel's packet threads is the time of the path, up to the
    first VNF that is a process. Such a VNF takes packets at a pace of its own, and at full load
    most of those that were sent are lost in front of it. So each part counts by the packets that
    it carried: the sender's side by those sent, the processes by those that arrived.

    A VNF's own share is what it costs more than the same path without it, see
    :func:`share_ns_per_packet`.

    Attributes:
        cpu_ns_per_packet: the sum of both parts.
        cpu_ns: of the generator's thread and of the kernel's packet threads.
        process_cpu_ns: of the VNFs' processes, polling included.
        softirq_accounting: "in-task" where the kernel counts softirqs in the time of the tasks they
            interrupt; "separate" where the time of all interrupts of the machine was added;
            "unknown" where either may be the case.
    """

    cpu_ns_per_packet: float
    cpu_ns: int
    process_cpu_ns: int
    sent: int
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
    process_cpu_ns = sum(result.process_cpu_ns.values())
    return PacketCost(
        cpu_ns_per_packet=result.cpu_ns / result.sent + process_cpu_ns / result.received,
        cpu_ns=result.cpu_ns,
        process_cpu_ns=process_cpu_ns,
        sent=result.sent,
        received=result.received,
        elapsed_ns=result.elapsed_ns,
        softirq_accounting=result.softirq_accounting,
    )


def share_ns_per_packet(with_vnf: PacketCost, without: PacketCost) -> float:
    """What a VNF adds to the cost of a packet; both measured in the same run on the same path.

    It may come out negative where the difference is smaller than the noise of the machine.
    """
    return with_vnf.cpu_ns_per_packet - without.cpu_ns_per_packet
