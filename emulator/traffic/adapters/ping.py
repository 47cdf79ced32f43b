"""ping: round-trip times of ICMP echoes, as the program of iputils prints them.

The far end answers inside its kernel, and of the answer's arrival ping takes the kernel's stamp. So
its time holds the way there and back, one system call, and no wake-up: it goes beside the probe's
``kernel`` mechanism and not its ``app`` one. ``wake_up`` has ping read the clock when it has been
woken up instead (``-U``).

ping prints text and nothing else. What is read are the lines that its manual describes, in the C
locale: one for each reply, and the summary. They have four digits of a millisecond's number: below
10 ms the times are whole µs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from emulator.traffic.adapters.base import (
    PathTool,
    ToolLatency,
    ToolResult,
    impossible,
    told_version,
)
from emulator.traffic.adapters.running import Finished, failed, run, way
from emulator.traffic.path import ProbeNode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_BYTES, _MOST_BYTES = 16, 65507
_ICMP_BYTES = 8
_REPLY = re.compile(
    r"^\[[\d.]+\] \d+ bytes from .*icmp_seq=\d+ .*time=(?P<ms>[\d.]+) ms(?P<copy> \(DUP!\))?",
    re.MULTILINE,
)
_SUMMARY = re.compile(
    r"^(?P<sent>\d+) packets transmitted, (?P<received>\d+) received"
    r"(?:, \+(?P<copies>\d+) duplicates)?(?:, \+(?P<corrupted>\d+) corrupted)?"
    r"(?:, \+(?P<errors>\d+) errors)?, .*time (?P<ms>\d+)\s?ms",
    re.MULTILINE,
)
_bad = partial(impossible, "ping")


@dataclass(frozen=True)
class PingSpec:
    """What to ask of ping.

    Args:
        count: requests.
        interval_s: from one to the next; below 2 ms takes root, which labs have anyway.
        payload_bytes: of a request behind its header of 8; 18 makes a frame of 64 bytes.
        timeout_s: how long to wait for a reply.
        wake_up: end when ping has been woken up, not when the reply reached the kernel.

    Raises:
        UsageError: a value makes no sense.
    """

    count: int = 10
    interval_s: float = 0.2
    payload_bytes: int = 56
    timeout_s: float = 1.0
    wake_up: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.count < 1 << 31:
            raise _bad("count", self.count, "1 or more")
        if not 0.0005 <= self.interval_s < math.inf:
            raise _bad("interval_s", self.interval_s, "0.0005 or more")
        if not _LEAST_BYTES <= self.payload_bytes <= _MOST_BYTES:
            hint = f"{_LEAST_BYTES} to {_MOST_BYTES}: fewer have no room for ping's time"
            raise _bad("payload_bytes", self.payload_bytes, hint)
        if not 0 < self.timeout_s < math.inf:
            raise _bad("timeout_s", self.timeout_s, "it is above 0")


class Ping(PathTool[PingSpec]):
    """ping of iputils, from one node to another."""

    name = "ping"
    summary = "round-trip times of ICMP echoes"
    program = "ping"
    remedy = "apt-get install iputils-ping"
    spec = PingSpec

    def _version(self) -> str:
        return told_version([self.program, "-V"], r"iputils[ -](\S+)")

    def why_not(self) -> str:
        reason = super().why_not()
        if not reason and self._version() == "unknown":
            return "the ping that is installed is not that of iputils"
        return reason

    def measure(
        self, source: ProbeNode, destination: ProbeNode, spec: PingSpec | None = None
    ) -> ToolResult:
        spec = spec or PingSpec()
        command = command_for(spec, way(source, destination).destination_address)
        seconds = spec.count * spec.interval_s + spec.timeout_s
        done = run(source, command, seconds=seconds, remedy=self.remedy, extra_env={"LC_ALL": "C"})
        # 1 says that there was no reply, which is an answer too.
        if done.status not in (0, 1):
            raise failed(self.name, done, source)
        version = self._version() if not self.why_not() else "unknown"
        return result_of(done, spec, source, destination, command, version)


def command_for(spec: PingSpec, address: str) -> list[str]:
    """The command line that asks for what the specification says."""
    command = ["ping", "-n", "-D", "-c", str(spec.count), "-i", f"{spec.interval_s:g}"]
    command += ["-s", str(spec.payload_bytes), "-W", f"{spec.timeout_s:g}"]
    return [*command, *(["-U"] if spec.wake_up else []), address]


def result_of(
    done: Finished,
    spec: PingSpec,
    source: ProbeNode,
    destination: ProbeNode,
    command: list[str],
    version: str,
) -> ToolResult:
    """What ping's lines say.

    Raises:
        MeasurementError: there is no summary among them.
    """
    summary = _SUMMARY.search(done.output)
    if summary is None:
        raise failed("ping", done, source)
    sent, received = int(summary["sent"]), int(summary["received"])
    samples_ns = read_replies(done.output)
    size = spec.payload_bytes + _ICMP_BYTES
    ends = "ping has been woken up" if spec.wake_up else "the reply reached the kernel"
    return ToolResult(
        tool="ping",
        version=version,
        source=source.name,
        destination=destination.name,
        command=tuple(command),
        protocol="ICMP",
        duration_s=int(summary["ms"]) / 1e3,
        sent_packets=sent,
        received_packets=received,
        lost_packets=sent - received,
        sent_bytes=sent * size,
        received_bytes=received * size,
        bytes_of="payload",
        latency=ToolLatency.of(samples_ns),
        round_trip=True,
        samples_ns=samples_ns,
        facts={
            "duplicated": int(summary["copies"] or 0),
            "errors": int(summary["errors"] or 0),
            "corrupted": int(summary["corrupted"] or 0),
        },
        output={"ping.txt": done.output},
        notes=(
            f"answered by the far end's kernel; the time ends when {ends}",
            "ping tells times of less than 10 ms in whole µs",
        ),
    )


def read_replies(text: str) -> NDArray[np.int64]:
    """The round-trip time of each reply but copies, in the order of arrival, in ns."""
    import numpy as np

    return np.fromiter(_times_ns(text), np.int64)


def _times_ns(text: str) -> Iterator[int]:
    for reply in _REPLY.finditer(text):
        if reply["copy"] is None:
            yield round(float(reply["ms"]) * 1e6)
