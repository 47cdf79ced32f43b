"""What the probe is asked to send."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from emulator.errors import UsageError
from emulator.traffic.frames import FCS_BYTES, MIN_FRAME_BYTES, FrameMix
from emulator.traffic.schedule import (
    CONST,
    FRACTION_BITS,
    Const,
    Pattern,
    Pcap,
    check_planned,
    even_places,
    interval_of,
    needs_a_rate,
    offsets_ns,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mechanism = Literal["kernel", "app"]

ETHERNET_BYTES = 14
MAX_RECORDED_PACKETS = 50_000_000
MAX_DURATION_S = 4 * 3600.0
"""The schedule counts in 2^-20 ns, and 64 bits of those last for 4.8 hours."""
MAX_LIVE_FRAME_BYTES = 3300
"""A live frame has to fit in a page of 4096 bytes, beside what the kernel keeps in it."""
_MAX_PACKETS = (1 << 32) - 1
# Room for the records of a trial without a rate: faster than the mechanism can be.
_FASTEST_PPS: dict[Mechanism, int] = {"kernel": 8_000_000, "app": 2_000_000}


@dataclass(frozen=True)
class ProbeSpec:
    """What to send.

    Args:
        rate_pps: packets per second; None sends as fast as possible, or a capture at its own pace.
        duration_s: how long to send.
        frame_size_bytes: size of the Ethernet frame with its 4 bytes of frame check sequence, as
            RFC 2544 counts; a veth carries frames without them.
        mechanism: ``kernel`` or ``app``, see the module.
        round_trip: send the packets back from the destination, and measure at the source.
        core: the core that the generator stays on; None leaves it to the kernel.
        record: keep the times of each packet; without, only counts are kept.
        drain_s: the trial is over when nothing has arrived for that long after sending ended. It
            must be longer than the delay of the path.
        pattern: when packets are due, see ``emulator.traffic.schedule``; a capture brings its own
            frame sizes.
        frames: frames of several sizes, instead of ``frame_size_bytes``.
        seed: decides what is random of the pattern, and the order of the frames of a mix.
        packets: send no more than so many, even if there is time left; None: until it is over.

    Raises:
        UsageError: a value makes no sense, a capture cannot be used, or the records would not fit
            into memory.
    """

    rate_pps: float | None
    duration_s: float
    frame_size_bytes: int = MIN_FRAME_BYTES
    mechanism: Mechanism = "kernel"
    round_trip: bool = False
    core: int | None = None
    record: bool = True
    drain_s: float = 0.2
    pattern: Pattern = CONST
    frames: FrameMix | None = None
    seed: int = 0
    packets: int | None = None

    def __post_init__(self) -> None:
        if self.rate_pps is not None and not 1 / MAX_DURATION_S <= self.rate_pps < math.inf:
            raise _bad(
                "rate_pps",
                self.rate_pps,
                f"a rate is a packet in {MAX_DURATION_S:.0f} s or more; None: as fast as possible",
            )
        if not 0 < self.duration_s <= MAX_DURATION_S:
            raise _bad("duration_s", self.duration_s, f"it is above 0, up to {MAX_DURATION_S:.0f}")
        if self.mechanism not in get_args(Mechanism):
            raise _bad("mechanism", self.mechanism, f"there are: {', '.join(get_args(Mechanism))}")
        if self.core is not None and self.core < 0:
            raise _bad("core", self.core, "cores are numbered from 0")
        if not 0 < self.drain_s <= 60:
            raise _bad("drain_s", self.drain_s, "it is above 0, up to 60")
        if self.seed < 0:
            raise _bad("seed", self.seed, "it is 0 or above")
        if self.packets is not None and self.packets < 1:
            raise _bad("packets", self.packets, "it is 1 or above; None: until the time is over")
        self._check_frames()
        self._check_packets()

    @property
    def interval(self) -> int:
        """From one packet to the next in units of 2^-20 ns; 0: not at equal distances."""
        if self.rate_pps is None or self.is_planned:
            return 0
        return interval_of(self.rate_pps)

    @property
    def is_planned(self) -> bool:
        """Whether each packet has a due time of its own, from a table."""
        return not isinstance(self.pattern, Const)

    @property
    def has_pace(self) -> bool:
        """Whether packets are due at all; otherwise they are sent as fast as possible."""
        return self.rate_pps is not None or self.is_planned

    @property
    def places(self) -> int:
        """Packets in the schedule; without a pace, as many as there is room for."""
        if self.is_planned:
            found = len(self._schedule)
        elif self.rate_pps is not None:
            found = even_places(self.rate_pps, self.duration_s)
        elif self.record:
            found = math.ceil(_FASTEST_PPS[self.mechanism] * self.duration_s)
        else:
            found = _MAX_PACKETS
        return found if self.packets is None else min(found, self.packets)

    @cached_property
    def offsets_ns(self) -> NDArray[np.uint64] | None:
        """When each packet is due, after the start; None: they are sent without a pace."""
        return self._schedule[: self.places] if self.has_pace else None

    @property
    def lasting_ns(self) -> int | None:
        """How long the schedule is; None: they are sent without a pace.

        To the next packet that would be due, or of patterns without equal distances to the end.
        """
        if not self.has_pace:
            return None
        if self.interval:
            return max(1, (self.places * self.interval) >> FRACTION_BITS)
        if self.places < len(self._schedule):
            return max(1, int(self._schedule[self.places]))
        return round(self.duration_s * 1e9)

    @cached_property
    def _schedule(self) -> NDArray[np.uint64]:
        return offsets_ns(self.pattern, self.rate_pps, self.duration_s, self.seed)

    @cached_property
    def frame_cycle(self) -> NDArray[np.uint16] | None:
        """The frame sizes in order, again and again; None: all have ``largest_frame_bytes``."""
        if isinstance(self.pattern, Pcap):
            return self.pattern.capture().frame_bytes
        if self.frames is None or self.frames.is_single:
            return None
        return self.frames.order(self.seed)

    @property
    def largest_frame_bytes(self) -> int:
        """The size of the largest frame, or of all of them."""
        if isinstance(self.pattern, Pcap):
            return int(self.pattern.capture().frame_bytes.max())
        return self.frame_size_bytes if self.frames is None else self.frames.largest_bytes

    @property
    def mean_frame_bytes(self) -> float:
        """The mean size of the frames."""
        if isinstance(self.pattern, Pcap):
            return float(self.pattern.capture().frame_bytes.mean())
        return self.frame_size_bytes if self.frames is None else self.frames.mean_bytes

    def _check_frames(self) -> None:
        one_size = self.frame_size_bytes != MIN_FRAME_BYTES
        if one_size and self.frames is not None:
            raise UsageError("frames have one size or several", where="frames", hint="give one")
        # Frames of the smallest size may be what nobody asked for.
        asked = one_size or self.frames not in (None, FrameMix.single(MIN_FRAME_BYTES))
        brought = isinstance(self.pattern, Pcap)
        if brought and asked:
            raise UsageError(
                "a capture brings the sizes of its frames", where="frames", hint="leave them out"
            )
        from emulator.traffic.native import MAX_FRAME_BYTES

        kernel = self.mechanism == "kernel"
        most = MAX_LIVE_FRAME_BYTES if kernel else MAX_FRAME_BYTES + FCS_BYTES
        if self.frame_size_bytes < MIN_FRAME_BYTES or self.largest_frame_bytes > most:
            where = "pattern" if brought else "frames" if self.frames else "frame_size_bytes"
            raise _bad(
                where,
                self.largest_frame_bytes,
                f"the {self.mechanism} mechanism sends {MIN_FRAME_BYTES} to {most} bytes, "
                "frame check sequence included",
            )

    def _check_packets(self) -> None:
        likely = self._likely_places()
        if self.is_planned:
            check_planned(likely)
        if self.record and likely > MAX_RECORDED_PACKETS:
            raise UsageError(
                f"{likely} packets are too many to record, at most {MAX_RECORDED_PACKETS} fit",
                where="probe",
                hint="use a shorter duration or a lower rate, or do not record",
            )
        if likely > _MAX_PACKETS:
            raise UsageError(
                f"{likely} packets are too many for one trial, at most {_MAX_PACKETS} "
                "can be numbered",
                where="probe",
                hint="use a shorter duration or a lower rate",
            )

    def _likely_places(self) -> int:
        """The packets in the schedule, without making one only to count them."""
        if not self.is_planned:
            return self.places
        if isinstance(self.pattern, Pcap):
            capture = self.pattern.capture()
            cycles = self.duration_s * 1e9 / capture.cycle_ns(self.rate_pps)
            return max(1, round(cycles * len(capture.times_ns)))
        if self.rate_pps is None:
            raise needs_a_rate(self.pattern)
        return even_places(self.rate_pps, self.duration_s)


def _bad(name: str, value: object, hint: str) -> UsageError:
    return UsageError(f"{value} is not possible", where=name, hint=hint)
