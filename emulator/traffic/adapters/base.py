"""What all adapters share: what a tool is, and what it says about a path.

A tool is a program that people know. An adapter runs it between nodes of a lab, reads what it
reports and says it in one form, so that our own measurements can be set beside it. The numbers are
the tool's: what it counts, and from when to when, is for each adapter to document.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from emulator.errors import MachineError, UsageError
from emulator.names import choice_hint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.node import Node
    from emulator.traffic.path import ProbeNode

BytesOf = Literal["payload", "frame"]
SpecT = TypeVar("SpecT")

_DOUBT = 0.05


def impossible(tool: str, option: str, value: object, hint: str) -> UsageError:
    """What to raise where a tool cannot be asked for a value; the hint says for which it can."""
    return UsageError(f"{value} is not possible", where=f"{tool} {option}", hint=hint)


def told_version(command: Sequence[str], pattern: str) -> str:
    """The version that a program tells, by the group of a pattern; ``unknown`` if it tells none."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else "unknown"


@dataclass(frozen=True)
class ToolLatency:
    """What is known of the delays, in ns; None: the tool does not tell, or has too few of them.

    Where a tool tells the delay of each packet, percentiles are computed from those and not copied
    from its summary: the smallest delay that at least that share did not exceed, and only with
    packets enough to support it, as everywhere in build-vnf (``emulator.measure.latency``, which
    lies above this package; a test holds the two together).
    """

    count: int | None
    min_ns: float | None
    mean_ns: float | None
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    p999_ns: float | None
    max_ns: float | None

    @classmethod
    def of(cls, samples_ns: NDArray[np.int64]) -> ToolLatency | None:
        """From the delay of each packet; None without any."""
        if not len(samples_ns):
            return None
        return cls(
            count=len(samples_ns),
            min_ns=int(samples_ns.min()),
            mean_ns=float(samples_ns.mean()),
            p50_ns=_percentile_ns(samples_ns, 0.5),
            p90_ns=_percentile_ns(samples_ns, 0.9),
            p99_ns=_percentile_ns(samples_ns, 0.99),
            p999_ns=_percentile_ns(samples_ns, 0.999),
            max_ns=int(samples_ns.max()),
        )


def _percentile_ns(samples_ns: NDArray[np.int64], quantile: float) -> int | None:
    import numpy as np

    if len(samples_ns) < math.ceil(math.log(_DOUBT) / math.log(quantile)):
        return None
    return int(np.quantile(samples_ns, quantile, method="inverted_cdf"))


@dataclass(frozen=True, eq=False)
class ToolResult:
    """What a tool measured.

    Attributes:
        tool, version: who says so.
        source, destination: names of the nodes; the same one for a tool that has both ends in one.
        command: the command line of the program that sent.
        protocol: ``UDP``, ``TCP``, ``ICMP``, or ``frames`` where the tool does not care.
        duration_s: over which it counted.
        sent_packets, received_packets: as the tool counted them; None: it does not.
        lost_packets: as the tool says, or the difference of the two where both are exact.
        sent_bytes, received_bytes: of what ``bytes_of`` says: the payload of datagrams or of the
            connection, or Ethernet frames without their check sequence.
        latency: None where the tool measures none.
        round_trip: whether latency is that of the way there and back.
        samples_ns: the latency of each packet, in the order the tool tells them; None: it does not.
        sent_ns: for each of these, when it was sent by the tool's own clock; None: it does not say.
        facts: what else the tool says, plain data by name, such as ``retransmits``.
        output: all that it said, as texts by file name, for a bundle to keep.
        notes: what a reader has to know beside the numbers.
    """

    tool: str
    version: str
    source: str
    destination: str
    command: tuple[str, ...]
    protocol: str
    duration_s: float
    sent_packets: int | None
    received_packets: int | None
    lost_packets: int | None
    sent_bytes: int | None
    received_bytes: int | None
    bytes_of: BytesOf
    latency: ToolLatency | None = None
    round_trip: bool = False
    samples_ns: NDArray[np.int64] | None = field(default=None, repr=False)
    sent_ns: NDArray[np.int64] | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def throughput_pps(self) -> float | None:
        """Packets received per second; None where they are not counted."""
        return self._per_second(self.received_packets)

    @property
    def throughput_bps(self) -> float | None:
        """Bits received per second, of what ``bytes_of`` says; None where they are not counted."""
        bits = None if self.received_bytes is None else 8 * self.received_bytes
        return self._per_second(bits)

    @property
    def loss_ratio(self) -> float | None:
        """Lost packets per packet sent; None where either is not known."""
        if self.lost_packets is None or self.sent_packets is None:
            return None
        return self.lost_packets / self.sent_packets if self.sent_packets else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON, without samples and the tool's own output."""
        apart = ("samples_ns", "sent_ns", "output", "latency")
        names = [each.name for each in dataclasses.fields(self) if each.name not in apart]
        return {
            **{name: getattr(self, name) for name in names},
            "command": list(self.command),
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "latency": None if self.latency is None else dataclasses.asdict(self.latency),
            "throughput_pps": self.throughput_pps,
            "throughput_bps": self.throughput_bps,
            "loss_ratio": self.loss_ratio,
            "output": sorted(self.output),
        }

    def _per_second(self, count: float | None) -> float | None:
        return None if count is None or self.duration_s <= 0 else count / self.duration_s


class Tool(ABC, Generic[SpecT]):
    """A program that people know, and what it takes to run it.

    Class attributes:
        name: what ``tool_named`` knows it by.
        summary: what it is good for, in a few words.
        program: what it is called in a folder of ``$PATH``.
        remedy: what to do where it is missing.
        spec: what it can be asked, a dataclass whose fields have defaults.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    program: ClassVar[str]
    remedy: ClassVar[str]
    spec: type[SpecT]

    def why_not(self) -> str:
        """Why it cannot be used on this machine; empty when it can."""
        return "" if shutil.which(self.program) else f"{self.program} is not installed"

    def version(self) -> str:
        """Of the program that is installed.

        Raises:
            MachineError: it is not.
        """
        self.require()
        return self._version()

    def require(self) -> None:
        """Raises ``MachineError``, with the remedy, unless the tool can be used here."""
        reason = self.why_not()
        if reason:
            raise MachineError(reason, where=self.name, hint=self.remedy)

    def specify(self, **options: Any) -> SpecT:
        """What to ask of the tool, from names and values such as those of a scenario file.

        Raises:
            UsageError: there is no such option, or a value makes no sense.
        """
        known = [each.name for each in dataclasses.fields(self.spec)]  # type: ignore[arg-type]
        for option in options:
            if option not in known:
                raise UsageError(
                    f"there is no option {option}",
                    where=self.name,
                    hint=choice_hint(option, known),
                )
        return self.spec(**options)

    @abstractmethod
    def _version(self) -> str: ...


class PathTool(Tool[SpecT]):
    """A tool that sends from one node to another."""

    @abstractmethod
    def measure(
        self, source: ProbeNode, destination: ProbeNode, spec: SpecT | None = None
    ) -> ToolResult:
        """Run the tool between two nodes; both must be in running labs.

        Args:
            spec: what to ask; None: the defaults.

        Raises:
            MachineError: the tool is missing, on the machine or in a node's container.
            MeasurementError: there is no way between the nodes, or the tool failed or did not end.
        """


class NodeTool(Tool[SpecT]):
    """A tool with both of its ends, or with what it counts, in one node."""

    @abstractmethod
    def measure(self, node: Node, spec: SpecT | None = None) -> ToolResult:
        """Run the tool in a node, or read what it counts there.

        Args:
            spec: what to ask; None: the defaults.

        Raises:
            UsageError: the node is none that the tool can be used with.
            MachineError: the tool is missing.
            MeasurementError: the tool failed or did not end.
        """
