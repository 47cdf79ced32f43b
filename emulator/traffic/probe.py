"""The probe: packets on an open-loop schedule, each one stamped, counted and, if wanted, recorded.

One-way delay is the time of arrival minus the *intended* time of sending, both CLOCK_MONOTONIC of
the one kernel that all nodes share. A generator that falls behind its schedule therefore cannot
hide a slow system by sending less (coordinated omission); what it could not send in time is counted
as unsent, which is never loss.

Two mechanisms send and receive:

``kernel``
    A BPF program makes the packets inside the kernel (BPF_PROG_TEST_RUN with live frames) and an
    XDP program records them where they arrive. No process has to wake up, so what is measured is
    the network. A round trip is turned round by an XDP program too.
``app``
    A process sends through an AF_PACKET socket and another one receives: what an application sees,
    its wake-ups included. A packet has arrived when the receiving process has it in its hands, read
    from the clock after the call that brought it. A receiver sleeps until the next packet comes;
    only at gaps of less than 20 µs it looks for it meanwhile, so above 50,000 packets/s it is
    rarely woken up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from emulator.errors import MeasurementError, UsageError
from emulator.traffic.frames import FCS_BYTES, MIN_FRAME_BYTES
from emulator.traffic.probe_spec import (
    ETHERNET_BYTES,
    MAX_LIVE_FRAME_BYTES,
    MAX_RECORDED_PACKETS,
    Mechanism,
    ProbeSpec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.machine import SoftirqAccounting
    from emulator.traffic.path import ProbeNode

__all__ = [
    "ETHERNET_BYTES",
    "FCS_BYTES",
    "MAX_LIVE_FRAME_BYTES",
    "MAX_RECORDED_PACKETS",
    "MIN_FRAME_BYTES",
    "Mechanism",
    "ProbeResult",
    "ProbeSpec",
    "run_loaded",
    "run_probe",
]


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What became of every packet of a trial.

    It always holds that ``sent + unsent`` is the number of packets in the schedule and that
    ``received + lost == sent``.

    Attributes:
        spec: what was asked for.
        source, destination: names of the nodes.
        sent: packets handed to the source's interface.
        unsent: packets the generator could not send within a millisecond of when they were due.
        received: packets that arrived, without their copies.
        lost: packets sent that never arrived.
        duplicated: copies that arrived beside the first one. Without records, a copy is not
            recognised once 65,536 later packets have arrived.
        reordered: packets that arrived after one that was sent later (RFC 4737, section 3).
        damaged: packets of this trial that bear a number it never used.
        overrun: packets lost at the very end: they arrived, and the process that receives, or turns
            round, was too slow to take them. Always 0 with the ``kernel`` mechanism.
        reflected: of a round trip: packets that arrived at the destination; None otherwise.
        start_ns: when the schedule began, CLOCK_MONOTONIC; at equal distances, when the first
            packet was due.
        elapsed_ns: how long packets were sent: the length of the schedule, or without a pace the
            time until the last one.
        cpu_ns: CPU time of the generator's thread and of the kernel threads that carry packets
            (ksoftirqd, threaded NAPI), for other streams too. A process that receives is not part
            of it. With ``softirq_accounting`` "separate" it includes the interrupts of the whole
            machine.
        process_cpu_ns: while packets were sent, the CPU time of each process that was asked for.
        wait_ns: how long the generator was kept from running by something else on its core.
        softirq_accounting: whether softirqs are in the CPU time of tasks on this machine.
        dma_latency_held: whether the CPUs were kept out of deep idle states meanwhile.
        sent_ns: when each packet was sent, 0: it was not. None: not recorded.
        received_ns: when each packet arrived first, 0: it never did. None: not recorded.
        reflected_ns: when each packet was turned round, 0: it never was. None: not recorded, or no
            round trip.
        copies: how often each packet arrived. None: not recorded.
        arrival: the place of each packet in the order of arrival. None: not recorded.
        mixed_bytes: of frames of several sizes: the bytes sent and received, as counted; None
            where all have one size.

    The arrays lie in the memory that the receiver wrote to; they are not copies.
    """

    spec: ProbeSpec
    source: str
    destination: str
    sent: int
    unsent: int
    received: int
    lost: int
    duplicated: int
    reordered: int
    damaged: int
    overrun: int
    reflected: int | None
    start_ns: int
    elapsed_ns: int
    cpu_ns: int
    process_cpu_ns: Mapping[int, int]
    wait_ns: int
    softirq_accounting: SoftirqAccounting
    dma_latency_held: bool
    sent_ns: NDArray[np.uint64] | None = field(repr=False)
    received_ns: NDArray[np.uint64] | None = field(repr=False)
    reflected_ns: NDArray[np.uint64] | None = field(repr=False)
    copies: NDArray[np.uint32] | None = field(repr=False)
    arrival: NDArray[np.uint32] | None = field(repr=False)
    mixed_bytes: tuple[int, int] | None = None

    @property
    def offered_pps(self) -> float:
        """Packets sent per second."""
        return self.sent * 1e9 / self.elapsed_ns

    @property
    def received_pps(self) -> float:
        """Packets received per second of sending."""
        return self.received * 1e9 / self.elapsed_ns

    @property
    def sent_bytes(self) -> int:
        """Bytes of the frames sent, their check sequences included."""
        if self.mixed_bytes is not None:
            return self.mixed_bytes[0]
        return self.sent * self.spec.largest_frame_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes of the frames received, without their copies, as ``sent_bytes`` counts them."""
        if self.mixed_bytes is not None:
            return self.mixed_bytes[1]
        return self.received * self.spec.largest_frame_bytes

    @cached_property
    def frame_bytes(self) -> NDArray[np.uint16] | None:
        """The size of each packet's frame. None: all have one size, or nothing was recorded."""
        import numpy as np

        cycle = self.spec.frame_cycle
        if cycle is None or self.sent_ns is None:
            return None
        return np.resize(cycle, len(self.sent_ns))

    @cached_property
    def intended_ns(self) -> NDArray[np.uint64] | None:
        """When each packet was due; without a pace that is when it was sent. None: not recorded."""
        import numpy as np

        offsets = self.spec.offsets_ns
        if self.sent_ns is None or offsets is None:
            return self.sent_ns
        return offsets + np.uint64(self.start_ns)

    def latency_ns(self) -> NDArray[np.int64]:
        """Arrival minus intended time of sending of the packets that arrived, by sequence number.

        Of a round trip it is the way there and back.

        Raises:
            UsageError: nothing was recorded.
        """
        import numpy as np

        intended = self.intended_ns
        if self.received_ns is None or intended is None:
            raise UsageError("this trial kept no times of packets", hint="probe with record=True")
        arrived = self.received_ns != 0
        latency: NDArray[np.int64] = (self.received_ns[arrived] - intended[arrived]).astype(
            np.int64
        )
        return latency


def run_probe(
    source: ProbeNode,
    destination: ProbeNode,
    spec: ProbeSpec,
    *,
    processes: Collection[int] = (),
    flow: int | None = None,
) -> ProbeResult:
    """Send packets from one node to another and say what became of each.

    Streams that shall be sent at the same time go through ``probe_streams.run_probes``.

    Args:
        source: the node that sends.
        destination: the node that receives.
        spec: what to send.
        processes: by number, those on the way whose CPU time shall be told: VNFs.
        flow: the number of 16 bits that the packets carry; drawn when None.

    Raises:
        UsageError: the two are the same node, or a frame is larger than the path carries.
        MeasurementError: there is no way between them, or the probe failed.
        MachineError: the kernel or the machine cannot do it, or the native parts are not built.
    """
    from emulator.traffic.probe_streams import ProbeStream, run_probes

    (result,) = run_probes([ProbeStream(source, destination, spec, flow)], processes=processes)
    return result


def run_loaded(
    source: ProbeNode,
    destination: ProbeNode,
    measured: ProbeSpec,
    background: ProbeSpec,
    *,
    processes: Collection[int] = (),
) -> tuple[ProbeResult, ProbeResult]:
    """Measure one stream while another loads the same path.

    The background is there before the measured stream begins and until it has ended, so its own
    duration is not looked at: it sends from 0.2 s before until up to 0.5 s after. Where there are
    two cores or more, the two generators get one each, unless the specifications say which. A
    generator of the ``kernel`` mechanism takes all of its core; on a machine with few, a VNF that
    is a process is better measured by a slow stream of the ``app`` mechanism.

    Args:
        source: the node that sends both.
        destination: the node that receives both.
        measured: the stream to look at, such as 9000 packets/s, recorded.
        background: the load; it is counted, and recorded only if it says so.
        processes: by number, those on the way whose CPU time shall be told: VNFs.

    Returns:
        What became of the measured stream, and of the background.

    Raises:
        UsageError: the two nodes are one, or a frame is larger than the path carries.
        MeasurementError: there is no way between them, the probe failed, or the background was not
            there all the time.
        MachineError: the kernel or the machine cannot do it, or the native parts are not built.
    """
    from emulator.traffic.probe_streams import lasted, run_under_load

    result, load = run_under_load(source, destination, measured, background, processes)
    if not lasted(load, result):
        raise MeasurementError(
            "the background stream was not there all the time",
            where=f"{source.name} → {destination.name}",
            hint="the machine may be overloaded; try again",
        )
    return result, load
