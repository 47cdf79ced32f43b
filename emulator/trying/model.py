"""A VNF as the device under test (DUT, RFC 2544), whatever its data plane."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.control import PortInfo
from emulator.dataplane.running import PortCounters

if TYPE_CHECKING:
    from emulator.dataplane.bpf_memory import BpfMemory
    from emulator.dataplane.live import LiveParameters
    from emulator.dataplane.process_memory import ProcessMemory

START_NS = 1_000_000_000
"""The time on the VNF's clock at first."""


@dataclass(frozen=True)
class Outcome:
    """What became of a frame.

    Attributes:
        sent: the frames that left, by port.
        to_host: the frame that went to the node's own network stack; None when none did.
    """

    sent: Mapping[int, bytes]
    to_host: bytes | None = None


class Dut(Closing):
    """A VNF on one data plane, without a network; made by ``open_dut``."""

    dataplane: str
    memory: BpfMemory | ProcessMemory
    parameters: LiveParameters

    @abstractmethod
    def handle(self, port: int, frame: bytes) -> Outcome:
        """Have the VNF handle a frame that comes in by a port.

        Raises:
            LabError: it cannot: the handler crashed, or the kernel takes no such frame.
        """

    @abstractmethod
    def counters(self) -> list[PortCounters]:
        """The counters of each port."""

    @abstractmethod
    def set_clock_ns(self, time_ns: int) -> None:
        """Move the VNF's clock."""

    def set(self, **changes: object) -> None:
        """Change parameters."""
        self.parameters.set(changes, where=self.dataplane)

    def entries(self, table: str) -> dict[bytes, bytes]:
        """What a table of the VNF contains."""
        return dict(self.memory.entries(table))


def example_ports(count: int) -> tuple[PortInfo, ...]:
    """Ports with the addresses that a VNF is tried with: 10.0.N.1/24, fd00:N::1/64, MAC …:0N."""
    return tuple(
        PortInfo(f"port{n}", f"02:00:00:00:01:{n:02x}", f"10.0.{n}.1/24", f"fd00:{n}::1/64")
        for n in range(count)
    )
