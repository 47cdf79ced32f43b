"""What a capture file says about traffic: when each frame was seen, and how long it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.traffic.frames import FCS_BYTES, MAX_CYCLE_FRAMES, MIN_FRAME_BYTES, FrameMix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NS_PER_S = 1_000_000_000
_ETHERNET = 1
"""LINKTYPE_ETHERNET, https://www.tcpdump.org/linktypes.html"""


@dataclass(frozen=True, eq=False)
class Capture:
    """The frames of a capture, in the order of their times.

    Attributes:
        file: where it lies.
        times_ns: when each was seen, after the first.
        frame_bytes: how long each was on the wire, with the frame check sequence that captures
            leave out, and at least 64: a capture has frames that were padded later.
    """

    file: str
    times_ns: NDArray[np.uint64]
    frame_bytes: NDArray[np.uint16]

    @property
    def span_ns(self) -> int:
        """From the first frame to the last."""
        return int(self.times_ns[-1])

    @property
    def rate_pps(self) -> float:
        """Its own mean rate.

        Raises:
            UsageError: it has none, because all frames were seen at the same time.
        """
        return len(self.times_ns) * _NS_PER_S / self.cycle_ns(None)

    def frame_mix(self) -> FrameMix:
        """Its frames by their shares: of more than 10,000 frames nearly, but with every size."""
        import numpy as np

        sizes, counts = np.unique(self.frame_bytes, return_counts=True)
        if (total := int(counts.sum())) > MAX_CYCLE_FRAMES:
            counts = np.maximum(1, counts * (MAX_CYCLE_FRAMES - len(sizes)) // total)
        return FrameMix(tuple(zip(sizes.tolist(), counts.tolist(), strict=True)))

    def cycle_ns(self, rate_pps: float | None) -> float:
        """How long one turn lasts at a mean rate; None: at its own.

        The last frame is as far from the first one of the next turn as frames are on average.

        Raises:
            UsageError: it has no pace of its own, because all frames were seen at the same time.
        """
        frames = len(self.times_ns)
        if rate_pps is not None:
            return frames * _NS_PER_S / rate_pps
        if not self.span_ns:
            raise UsageError(
                "all its frames were seen at the same time, so it has no pace of its own",
                where=self.file,
                hint="give a rate",
            )
        return self.span_ns * frames / (frames - 1)


def read_capture(path: str) -> Capture:
    """Read a file in the format pcap or pcapng, also compressed by gzip.

    Raises:
        UsageError: it cannot be read, is of no Ethernet, or holds no frame or one too long.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read(path, status.st_mtime_ns, status.st_size)


# A search makes many trials with one capture.
@lru_cache(maxsize=4)
def _read(path: str, _changed_ns: int, _size_bytes: int) -> Capture:
    import numpy as np

    times: list[int] = []
    lengths: list[int] = []
    try:
        _read_frames(path, times, lengths)
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    if not times:
        raise UsageError("there is no frame in this capture", where=path)
    if max(lengths) > np.iinfo(np.uint16).max - FCS_BYTES:
        raise UsageError(
            f"a frame of {max(lengths)} bytes is longer than any that can be sent",
            where=path,
            hint="capture with offloads switched off: ethtool -K IF tso off gso off gro off",
        )
    seen = np.array(times, dtype=np.int64)
    order = np.argsort(seen, kind="stable")
    frame_bytes = np.maximum(np.array(lengths) + FCS_BYTES, MIN_FRAME_BYTES).astype(np.uint16)
    return Capture(path, (seen - seen.min())[order].astype(np.uint64), frame_bytes[order])


def _read_frames(path: str, times: list[int], lengths: list[int]) -> None:
    """Append the time in ns and the length of each frame."""
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapNgReader, RawPcapReader

    # It takes an open file too, which its types do not say.
    reader_of: Any = RawPcapReader
    with open(path, "rb") as file:
        try:
            reader = reader_of(file)
        except (Scapy_Exception, EOFError) as error:
            raise UsageError(
                "this is no capture", where=path, hint="formats: pcap, pcapng, both also in gzip"
            ) from error
        newer = isinstance(reader, RawPcapNgReader)
        unit_ns = 1 if not newer and reader.nano else 1000
        for _, frame in reader:
            _check_link_type(frame.linktype if newer else reader.linktype, path)
            if newer:
                if frame.tshigh is None:
                    raise UsageError("it holds frames without a time", where=path)
                ticks = frame.tshigh << 32 | frame.tslow
                times.append(ticks * _NS_PER_S // frame.tsresol)
            else:
                times.append(frame.sec * _NS_PER_S + frame.usec * unit_ns)
            lengths.append(frame.wirelen)


def _check_link_type(kind: int, path: str) -> None:
    if kind != _ETHERNET:
        raise UsageError(
            f"its frames are of link type {kind}, not of an Ethernet",
            where=path,
            hint="capture at an Ethernet interface, not at 'any'",
        )


def _unreadable(path: str, error: OSError | EOFError) -> UsageError:
    reason = getattr(error, "strerror", None) or error
    return UsageError(f"the capture cannot be read: {reason}", where=path)
