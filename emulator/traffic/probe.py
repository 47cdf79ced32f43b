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
    from the clock after the call that brought it. The receiver sleeps when it has looked for the
    next packet for 20 µs, so above 50,000 packets/s it is rarely woken up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from emulator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.machine import SoftirqAccounting
    from emulator.traffic.path import NetworkPath, ProbeNode

Mechanism = Literal["kernel", "app"]

MIN_FRAME_BYTES = 64
FCS_BYTES = 4
ETHERNET_BYTES = 14
MAX_RECORDED_PACKETS = 50_000_000
MAX_DURATION_S = 4 * 3600.0
"""The schedule counts in 2^-20 ns, and 64 bits of those last for 4.8 hours."""
MAX_LIVE_FRAME_BYTES = 3300
"""A live frame has to fit in a page of 4096 bytes, beside what the kernel keeps in it."""
_MAX_PACKETS = (1 << 32) - 1
_FRACTION_BITS = 20
# Room for the records of a trial without a rate: faster than the mechanism can be.
_FASTEST_PPS: dict[Mechanism, int] = {"kernel": 8_000_000, "app": 2_000_000}


@dataclass(frozen=True)
class ProbeSpec:
    """What to send.

    Args:
        rate_pps: packets per second on an even schedule; None sends as fast as possible.
        duration_s: how long to send.
        frame_size_bytes: size of the Ethernet frame with its 4 bytes of frame check sequence, as
            RFC 2544 counts; a veth carries frames without them.
        mechanism: ``kernel`` or ``app``, see the module.
        round_trip: send the packets back from the destination, and measure at the source.
        core: the core that the generator stays on; None leaves it to the kernel.
        record: keep the times of each packet; without, only counts are kept.
        drain_s: the trial is over when nothing has arrived for that long after sending ended. It
            must be longer than the delay of the path.

    Raises:
        UsageError: a value makes no sense, or the records would not fit into memory.
    """

    rate_pps: float | None
    duration_s: float
    frame_size_bytes: int = MIN_FRAME_BYTES
    mechanism: Mechanism = "kernel"
    round_trip: bool = False
    core: int | None = None
    record: bool = True
    drain_s: float = 0.2

    def __post_init__(self) -> None:
        if self.rate_pps is not None and not 0 < self.rate_pps < math.inf:
            raise _bad("rate_pps", self.rate_pps, "a rate is above 0; None: as fast as possible")
        if not 0 < self.duration_s <= MAX_DURATION_S:
            raise _bad("duration_s", self.duration_s, f"it is above 0, up to {MAX_DURATION_S:.0f}")
        if self.mechanism not in get_args(Mechanism):
            raise _bad("mechanism", self.mechanism, f"there are: {', '.join(get_args(Mechanism))}")
        if not MIN_FRAME_BYTES <= self.frame_size_bytes <= self._max_frame_bytes:
            raise _bad(
                "frame_size_bytes",
                self.frame_size_bytes,
                f"the {self.mechanism} mechanism sends {MIN_FRAME_BYTES} to "
                f"{self._max_frame_bytes} bytes, frame check sequence included",
            )
        if self.core is not None and self.core < 0:
            raise _bad("core", self.core, "cores are numbered from 0")
        if not 0 < self.drain_s <= 60:
            raise _bad("drain_s", self.drain_s, "it is above 0, up to 60")
        self._check_packets()

    @property
    def interval(self) -> int:
        """From one packet to the next in units of 2^-20 ns; 0: as fast as possible."""
        if self.rate_pps is None:
            return 0
        return max(1, round((1_000_000_000 << _FRACTION_BITS) / self.rate_pps))

    @property
    def places(self) -> int:
        """Packets in the schedule; without a rate, as many as there is room for."""
        if self.rate_pps is not None:
            return max(1, round(self.rate_pps * self.duration_s))
        if self.record:
            return math.ceil(_FASTEST_PPS[self.mechanism] * self.duration_s)
        return _MAX_PACKETS

    @property
    def _max_frame_bytes(self) -> int:
        from emulator.traffic.native import MAX_FRAME_BYTES

        return MAX_LIVE_FRAME_BYTES if self.mechanism == "kernel" else MAX_FRAME_BYTES + FCS_BYTES

    def _check_packets(self) -> None:
        if self.record and self.places > MAX_RECORDED_PACKETS:
            raise UsageError(
                f"{self.places} packets are too many to record, at most {MAX_RECORDED_PACKETS} fit",
                where="probe",
                hint="use a shorter duration or a lower rate, or do not record",
            )
        if self.places > _MAX_PACKETS:
            raise UsageError(
                f"{self.places} packets are too many for one trial, at most {_MAX_PACKETS} "
                "can be numbered",
                where="probe",
                hint="use a shorter duration or a lower rate",
            )


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
        start_ns: when the first packet was due, CLOCK_MONOTONIC.
        elapsed_ns: how long packets were sent: the length of the schedule, or without a rate the
            time until the last one.
        cpu_ns: CPU time of the generator's thread and of the kernel threads that carry packets
            (ksoftirqd, threaded NAPI). A process that receives is not part of it. With
            ``softirq_accounting`` "separate" it includes the interrupts of the whole machine.
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

    @property
    def offered_pps(self) -> float:
        """Packets sent per second."""
        return self.sent * 1e9 / self.elapsed_ns

    @property
    def received_pps(self) -> float:
        """Packets received per second of sending."""
        return self.received * 1e9 / self.elapsed_ns

    @cached_property
    def intended_ns(self) -> NDArray[np.uint64] | None:
        """When each packet was due; without a rate that is when it was sent. None: not recorded."""
        import numpy as np

        if self.sent_ns is None or not self.spec.interval:
            return self.sent_ns
        places = np.arange(len(self.sent_ns), dtype=np.uint64)
        offsets = (places * np.uint64(self.spec.interval)) >> np.uint64(_FRACTION_BITS)
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
    from emulator.traffic.machine import low_wakeup_latency
    from emulator.traffic.path import resolve_path
    from emulator.traffic.probe_app import probe_by_app
    from emulator.traffic.probe_kernel import probe_by_kernel

    if source.name == destination.name:
        raise UsageError("a probe goes from one node to another", where=source.name)
    path = resolve_path(source, destination)
    _check_frame_fits(spec, path)
    # Packets of an earlier trial that are still on their way must not count in this one.
    if flow is None:
        flow = random.SystemRandom().randrange(1 << 16)
    probe = probe_by_kernel if spec.mechanism == "kernel" else probe_by_app
    with low_wakeup_latency() as held:
        return probe(
            source,
            destination,
            spec,
            path,
            flow,
            processes=processes,
            dma_latency_held=held,
        )


def _check_frame_fits(spec: ProbeSpec, path: NetworkPath) -> None:
    largest = path.mtu_bytes + ETHERNET_BYTES + FCS_BYTES
    if spec.frame_size_bytes > largest:
        raise UsageError(
            f"frames of {spec.frame_size_bytes} bytes do not fit: the MTU of {path.mtu_bytes} "
            f"allows {largest}",
            where="frame_size_bytes",
            hint="use smaller frames, or links with a larger mtu",
        )


def _bad(name: str, value: object, hint: str) -> UsageError:
    return UsageError(f"{value} is not possible", where=name, hint=hint)
