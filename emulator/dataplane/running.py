"""What every data plane gives back when it starts a VNF."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.closing import Closing
from emulator.kernel.bpf import BpfId

Description = Mapping[str, Any]
"""A running VNF as plain JSON data, from which another process can find it."""


@dataclass(frozen=True)
class PortCounters:
    """Frames and bytes of one port of a VNF since it started.

    Bytes include the Ethernet header and leave out the frame check sequence. ``tx`` counts what
    the VNF handed to the port; ``dropped_packets`` what came in by the port and went nowhere.
    """

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    dropped_packets: int = 0
    own: Mapping[str, int] = field(default_factory=dict)
    """The counters that the VNF's manifest declares."""


class RunningVnf(Closing):
    """A VNF at work in a node's namespace, until it is closed.

    One that was attached to from another process only reads; closing it changes nothing for the
    VNF.
    """

    dataplane: str
    mode: str
    """How the data plane works here, as the kernel reports it: ``native``, ``bridge``, …"""

    @abstractmethod
    def counters(self) -> dict[str, PortCounters]:
        """The counters of each port, by the interface's name in the plan."""

    @abstractmethod
    def bpf_ids(self) -> list[BpfId]:
        """The BPF programs, maps and links that exist because of this VNF."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What ``attach_vnf`` needs to read this VNF's counters from another process."""

    @abstractmethod
    def close(self) -> None:
        """Stop the VNF and undo what starting it did; a second call does nothing."""
