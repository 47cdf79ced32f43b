"""What every data plane gives back when it starts a VNF."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.bpf import BpfId

FIXED_COUNTERS = (
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
    "dropped_packets",
    "back_packets",
    "to_host_packets",
    "unsent_packets",
    "no_port_packets",
)
"""What every VNF counts for each of its ports, in the order of struct port_counters in C."""

Description = Mapping[str, Any]
"""A running VNF as plain JSON data, from which another process can find it."""


@dataclass(frozen=True)
class PortCounters:
    """Frames and bytes of one port of a VNF since it started.

    Bytes include the Ethernet header and leave out the frame check sequence. ``tx`` counts what
    the VNF handed to the port. Of what came in by it, ``dropped_packets`` went nowhere,
    ``back_packets`` out again, ``to_host_packets`` to the node's own network stack and the rest
    forward. ``unsent_packets`` could not be sent out of the port, because its queue was full; the
    kernel's own data planes cannot tell. ``no_port_packets`` are those of ``dropped_packets`` that
    the VNF sent to a port which it does not have.
    """

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    dropped_packets: int = 0
    back_packets: int = 0
    to_host_packets: int = 0
    unsent_packets: int = 0
    no_port_packets: int = 0
    own: Mapping[str, int] = field(default_factory=dict)
    """The counters that the VNF's manifest declares."""

    @classmethod
    def of_row(cls, row: Sequence[int], own: Sequence[str]) -> PortCounters:
        """Those of a struct port_counters; ``own`` names what follows the fixed ones in it."""
        fixed = dict(zip(FIXED_COUNTERS, row, strict=False))
        return cls(**fixed, own=dict(zip(own, row[len(FIXED_COUNTERS) :], strict=True)))


class RunningVnf(Closing):
    """A VNF at work in a node's namespace, until it is closed.

    Closing one that was attached to from another process changes nothing for the VNF.
    """

    dataplane: str
    mode: str
    """How the data plane works here, as the kernel reports it: ``native``, ``bridge``, …"""

    @property
    def pid(self) -> int | None:
        """The VNF's process, as the machine's own PID namespace numbers it; None without one."""
        return None

    @abstractmethod
    def counters(self) -> dict[str, PortCounters]:
        """The counters of each port, by the interface's name in the plan."""

    @abstractmethod
    def bpf_ids(self) -> list[BpfId]:
        """The BPF programs, maps and links that exist because of this VNF."""

    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value in force."""
        return {}

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        """Change parameters while the VNF runs; no frame is lost.

        Args:
            changes: parameter -> value.
            where: the place that errors name.

        Raises:
            UsageError: there is no such parameter, a value is not allowed, or the data plane
                has no parameters.
            LabError: the VNF has ended.
        """
        raise UsageError(
            f"a VNF on the data plane {self.dataplane} has no parameters to change", where=where
        )

    def apart(self) -> list[str]:
        """The ports whose links lead nowhere now, because the VNF at the far end is not there."""
        return []

    @property
    def log(self) -> Path | None:
        """The file of what its process prints; None for a VNF inside the kernel."""
        return None

    def failure(self) -> str | None:
        """Why the VNF does not run any more; None while it does."""
        return None

    def let_go(self) -> None:
        """Leave the VNF to the process we were forked from, and hold nothing of it any more."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What ``attach_vnf`` needs to read this VNF's counters from another process."""

    @abstractmethod
    def close(self) -> None:
        """Stop the VNF and undo what starting it did; a second call does nothing."""
