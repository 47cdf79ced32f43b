"""testpmd as a forwarder: what its ports have taken in and sent on while something was going on.

The tool is the VNF ``testpmd`` of a running lab, asked through DPDK's telemetry, which every DPDK
program has. Nothing is sent by it: measure while another tool, or the probe, does.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.dataplane.telemetry import Telemetry
from emulator.errors import LabError, MeasurementError, UsageError
from emulator.traffic.adapters.base import NodeTool, ToolResult, impossible, told_version

if TYPE_CHECKING:
    from emulator.node import Node

_VNF = "testpmd"
_LOST = ("imissed", "ierrors", "oerrors")
_STATS, _LIST = "/ethdev/stats", "/ethdev/list"


@dataclass(frozen=True)
class PmdSpec:
    """For how long to count.

    Raises:
        UsageError: the time is not above 0.
    """

    duration_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.duration_s < math.inf:
            raise impossible(_VNF, "duration_s", self.duration_s, "it is above 0")


class Pmd(NodeTool[PmdSpec]):
    """The counters of a testpmd that runs as a VNF."""

    name = "testpmd"
    summary = "what DPDK's forwarder takes in and sends on"
    program = "dpdk-testpmd"
    remedy = "apt-get install dpdk"
    spec = PmdSpec

    def _version(self) -> str:
        command = [self.program, "--in-memory", "--no-pci", "-v", "-h"]
        return told_version(command, r"RTE Version: 'DPDK ([^']+)'")

    def measure(self, node: Node, spec: PmdSpec | None = None) -> ToolResult:
        spec = spec or PmdSpec()
        with forwarding(node) as statistics:
            time.sleep(spec.duration_s)
        return statistics.result()


class ForwardStatistics:
    """The counters of a testpmd at the beginning and, once ``end`` was called, at the end."""

    def __init__(self, name: str, telemetry: Telemetry, pid: int) -> None:
        self._name, self._telemetry = name, telemetry
        self._command = _command_line(pid)
        self._began, self._before = time.monotonic(), self._now()
        self._ended: float | None = None
        self._after: list[dict[str, Any]] = []

    def end(self) -> None:
        """Take the counters a second time.

        Raises:
            MeasurementError: the program does not run any more.
        """
        self._after = self._now()
        self._ended = time.monotonic()

    def result(self) -> ToolResult:
        """What went by in between.

        Raises:
            MeasurementError: it has not ended yet.
        """
        if self._ended is None:
            raise MeasurementError(
                "testpmd's counters are still being taken",
                where=self._name,
                hint="ask for the result after the with block",
            )
        return result_of(
            self._name,
            self._telemetry.version,
            self._command,
            self._before,
            self._after,
            self._ended - self._began,
        )

    def _now(self) -> list[dict[str, Any]]:
        try:
            ports = self._telemetry.ask(_LIST)
            return [dict(self._telemetry.ask(_STATS, port)) for port in ports]
        except LabError as error:
            raise MeasurementError(f"testpmd is gone: {error.message}", where=self._name) from error


@contextmanager
def forwarding(node: Node) -> Iterator[ForwardStatistics]:
    """Count what a testpmd forwards during the block; ``result()`` tells afterwards.

    Raises:
        UsageError: the node is no testpmd.
        MeasurementError: it does not run, or not any more.
    """
    description = _description(node)
    try:
        telemetry = Telemetry(Path(description["telemetry"]))
    except OSError as error:
        raise MeasurementError(
            f"testpmd cannot be asked: {error.strerror}", where=node.name
        ) from error
    with telemetry:
        statistics = ForwardStatistics(node.name, telemetry, int(description["pid"]))
        yield statistics
        statistics.end()


def result_of(
    node: str,
    version: str,
    command: tuple[str, ...],
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    duration_s: float,
) -> ToolResult:
    """From the counters of each port, as ``/ethdev/stats`` tells them, before and after.

    Received is what all ports took in, sent what they sent on; lost is what a port could not take
    or send. What the forwarding itself drops on purpose testpmd tells nobody, so received less
    sent may be more than lost.
    """
    changes = [_difference(first, second) for first, second in zip(before, after, strict=True)]
    total = {name: sum(each.get(name, 0) for each in changes) for name in changes[0]}
    return ToolResult(
        tool=_VNF,
        version=version.removeprefix("DPDK "),
        source=node,
        destination=node,
        command=command,
        protocol="frames",
        duration_s=duration_s,
        sent_packets=total["opackets"],
        received_packets=total["ipackets"],
        lost_packets=sum(total[name] for name in _LOST),
        sent_bytes=total["obytes"],
        received_bytes=total["ibytes"],
        bytes_of="frame",
        facts={"ports": changes},
        output={"testpmd.json": json.dumps({"before": before, "after": after}, indent=1)},
        notes=("a forwarder: received is what came in, sent what went on, of all ports together",),
    )


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: value - before[name]
        for name, value in after.items()
        if isinstance(value, int) and isinstance(before.get(name), int)
    }


def _description(node: Node) -> Mapping[str, Any]:
    vnf = node.plan.vnf
    if vnf is None or vnf.vnf != _VNF:
        raise UsageError(
            f"it is no {_VNF}", where=node.name, hint='addVNF(name, "testpmd", dataplane="dpdk")'
        )
    running, failure = node.vnf, node.failure
    if running is None or failure is not None:
        raise MeasurementError(
            f"testpmd does not run: {failure or 'it has been stopped'}",
            where=node.name,
            hint="restart starts it",
        )
    return running.describe()


def _command_line(pid: int) -> tuple[str, ...]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:  # it has just ended, as its telemetry will tell
        return ()
    return tuple(words)
