"""One stream of the probe on its way through a network, and what its packets look like."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.traffic.frames import FCS_BYTES
from emulator.traffic.native import udp_frame
from emulator.traffic.path import NetworkPath, ProbeNode
from emulator.traffic.probe_spec import ProbeSpec

SIZE = np.dtype(
    [("frame_bytes", "<u2"), ("ip_length", "V2"), ("ip_checksum", "V2"), ("udp_length", "V2")]
)
"""struct probe_size."""

# Where in the frame the length and the checksum of IPv4, and the length of UDP lie.
_IP_LENGTH, _IP_CHECKSUM, _UDP_LENGTH = slice(16, 18), slice(24, 26), slice(38, 40)


@dataclass(frozen=True, eq=False)
class Flow:
    """A stream from one node to another.

    Attributes:
        number: marks its packets; packets of an earlier trial that are still about have another.
        processes: those whose CPU time shall be told.
    """

    source: ProbeNode
    destination: ProbeNode
    spec: ProbeSpec
    path: NetworkPath
    number: int
    processes: Collection[int] = ()

    def frame(self) -> bytes:
        """Its largest frame, without frame check sequence."""
        return self._frame_of(self.spec.largest_frame_bytes)

    def sizes(self) -> NDArray[np.void] | None:
        """What differs from frame to frame, for each of the cycle; None: nothing does."""
        cycle = self.spec.frame_cycle
        if cycle is None:
            return None
        found, places = np.unique(cycle, return_inverse=True)
        entries = np.zeros(len(found), dtype=SIZE)
        for entry, size in zip(entries, found, strict=True):
            frame = self._frame_of(int(size))
            entry["frame_bytes"] = len(frame)
            entry["ip_length"] = frame[_IP_LENGTH]
            entry["ip_checksum"] = frame[_IP_CHECKSUM]
            entry["udp_length"] = frame[_UDP_LENGTH]
        return entries[places]

    def _frame_of(self, size_bytes: int) -> bytes:
        return udp_frame(
            source_mac=self.path.source_mac,
            destination_mac=self.path.next_hop_mac,
            source=self.path.source_address,
            destination=self.path.destination_address,
            flow=self.number,
            size_bytes=size_bytes - FCS_BYTES,
        )
