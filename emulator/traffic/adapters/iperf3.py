"""iperf3: TCP and UDP throughput, read from its JSON report.

What it counts: payload. Of UDP, what was received is what its own server process took from the
socket; datagrams that arrived while that was too slow are lost to iperf3, though the path carried
them. On a machine with few cores that is most of its loss at full speed, so ``udp_limit`` looks for
the highest rate at which it loses next to nothing: what iperf3 can tell of a path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from emulator.errors import MeasurementError
from emulator.traffic.adapters.base import PathTool, ToolResult, impossible, told_version
from emulator.traffic.adapters.running import (
    Finished,
    await_port,
    failed,
    must_be_free,
    run,
    started,
    way,
)
from emulator.traffic.path import ProbeNode

_PATH_HINT = "is the path up? try pingpair"
_LEAST_DATAGRAM_BYTES, _MOST_DATAGRAM_BYTES = 16, 65507
_MOST_STREAMS = 128
_FIRST_FACTOR = 0.5
_bad = partial(impossible, "iperf3")


@dataclass(frozen=True)
class Iperf3Spec:
    """What to ask of iperf3.

    Args:
        protocol: ``TCP`` or ``UDP``.
        duration_s: whole seconds, which is all that iperf3 knows.
        rate_bps: payload bits per second of all streams together; None: as fast as it can.
        length_bytes: payload of a datagram, or of each write to a connection; None: iperf3's own.
        streams: at the same time.
        reverse: send from the destination to the source; the source still asks for it.
        buffer_bytes: of the sockets at either end; None: the system's own.
        port: of the server.

    Raises:
        UsageError: a value makes no sense.
    """

    protocol: Literal["TCP", "UDP"] = "TCP"
    duration_s: int = 5
    rate_bps: float | None = None
    length_bytes: int | None = None
    streams: int = 1
    reverse: bool = False
    buffer_bytes: int | None = None
    port: int = 5201

    def __post_init__(self) -> None:
        if self.protocol not in ("TCP", "UDP"):
            raise _bad("protocol", self.protocol, "TCP or UDP")
        if self.duration_s < 1 or self.duration_s != int(self.duration_s):
            raise _bad("duration_s", self.duration_s, "iperf3 knows whole seconds only, from 1 on")
        if self.rate_bps is not None and not 0 < self.rate_bps < math.inf:
            raise _bad("rate_bps", self.rate_bps, "a rate is above 0; None: as fast as it can")
        if self.length_bytes is not None and self.protocol == "UDP":
            low, high = _LEAST_DATAGRAM_BYTES, _MOST_DATAGRAM_BYTES
            if not low <= self.length_bytes <= high:
                raise _bad("length_bytes", self.length_bytes, f"datagrams have {low} to {high}")
        elif self.length_bytes is not None and not 1 <= self.length_bytes <= 1 << 20:
            raise _bad("length_bytes", self.length_bytes, "1 to 1048576")
        if not 1 <= self.streams <= _MOST_STREAMS:
            raise _bad("streams", self.streams, f"1 to {_MOST_STREAMS}")
        if self.buffer_bytes is not None and self.buffer_bytes < 1:
            raise _bad("buffer_bytes", self.buffer_bytes, "it is above 0")
        if not 1 <= self.port <= 65535:
            raise _bad("port", self.port, "1 to 65535")


class Iperf3(PathTool[Iperf3Spec]):
    """iperf3 between two nodes: a server at the destination, a client at the source."""

    name = "iperf3"
    summary = "TCP and UDP throughput"
    program = "iperf3"
    remedy = "apt-get install iperf3"
    spec = Iperf3Spec

    def _version(self) -> str:
        return told_version([self.program, "--version"], r"^iperf (\S+)")

    def measure(
        self, source: ProbeNode, destination: ProbeNode, spec: Iperf3Spec | None = None
    ) -> ToolResult:
        spec = spec or Iperf3Spec()
        command = client_command(spec, way(source, destination).destination_address)
        report = run_report(source, destination, spec.port, command, seconds=spec.duration_s)
        return result_of(report, spec, source.name, destination.name, command)


def run_report(
    source: ProbeNode, destination: ProbeNode, port: int, command: list[str], *, seconds: float
) -> dict[str, Any]:
    """Run a server and, once it listens, a client; what the client reports.

    Args:
        command: the client's command line.
        seconds: how long it is meant to take.

    Raises:
        UsageError: somebody listens at the port already.
        MachineError: iperf3 is missing.
        MeasurementError: it failed, or did not end.
    """
    remedy = Iperf3.remedy
    must_be_free(destination, port, "tcp", "iperf3")
    server = ["iperf3", "--json", "-s", "-1", "-p", str(port)]
    with started(destination, server, remedy=remedy) as listening:
        await_port(destination, listening, "iperf3", port, "tcp")
        done = run(source, command, seconds=seconds, remedy=remedy)
    return read_report(done, source)


def client_command(spec: Iperf3Spec, address: str) -> list[str]:
    """The command line that asks for what the specification says."""
    # Short names: some of the long ones have changed over the years.
    command = ["iperf3", "--json", "-c", address, "-p", str(spec.port)]
    command += ["-t", str(int(spec.duration_s))]
    if spec.protocol == "UDP":
        command.append("-u")
    if spec.rate_bps is not None or spec.protocol == "UDP":
        # Of each stream; 0 is as fast as it can, where UDP's default would be 1 Mbit/s.
        command += ["-b", f"{(spec.rate_bps or 0) / spec.streams:.0f}"]
    if spec.length_bytes is not None:
        command += ["-l", str(spec.length_bytes)]
    if spec.streams > 1:
        command += ["-P", str(spec.streams)]
    if spec.reverse:
        command.append("-R")
    if spec.buffer_bytes is not None:
        command += ["-w", str(spec.buffer_bytes)]
    return command


def read_report(done: Finished, source: ProbeNode) -> dict[str, Any]:
    """The client's report.

    Raises:
        MeasurementError: it has none, or it says that something went wrong.
    """
    try:
        report: dict[str, Any] = json.loads(done.output)
    except json.JSONDecodeError:
        raise failed("iperf3", done, source, _PATH_HINT) from None
    if "error" in report:
        raise MeasurementError(
            f"iperf3 failed: {report['error']}", where=source.name, hint=_PATH_HINT
        )
    return report


def result_of(
    report: Mapping[str, Any],
    spec: Iperf3Spec,
    source: str,
    destination: str,
    command: list[str],
) -> ToolResult:
    """What a report says. The format: https://github.com/esnet/iperf, ``iperf_api.c``."""
    end = report["end"]
    # Reports of UDP had only one sum before iperf3 3.2.
    sent = end.get("sum_sent") or end["sum"]
    received = end.get("sum_received") or end["sum"]
    sent_packets = received_packets = lost_packets = None
    notes = ["iperf3 counts payload"]
    facts: dict[str, Any] = {"cpu_percent": end.get("cpu_utilization_percent", {})}
    if spec.protocol == "UDP":
        sent_packets = int(sent["packets"])
        received_packets = _datagrams(report, received)
        lost_packets = max(0, sent_packets - received_packets)
        facts["jitter_ms"] = received.get("jitter_ms")
        notes.append("received is what iperf3's server took from its socket")
    else:
        facts["retransmits"] = sent.get("retransmits")
        facts["rtt_us"] = [each["sender"].get("mean_rtt") for each in end["streams"]]
    if spec.reverse:
        source, destination = destination, source
    return ToolResult(
        tool="iperf3",
        version=str(report["start"]["version"]).removeprefix("iperf "),
        source=source,
        destination=destination,
        command=tuple(command),
        protocol=spec.protocol,
        duration_s=float(received["seconds"]),
        sent_packets=sent_packets,
        received_packets=received_packets,
        lost_packets=lost_packets,
        sent_bytes=int(sent["bytes"]),
        received_bytes=int(received["bytes"]),
        bytes_of="payload",
        facts=facts,
        output={"iperf3.json": json.dumps(report, indent=1)},
        notes=tuple(notes),
    )


def _datagrams(report: Mapping[str, Any], received: Mapping[str, Any]) -> int:
    """Datagrams received: by their bytes, for ``packets`` is the highest number that was seen."""
    length = int(report["start"].get("test_start", {}).get("blksize", 0))
    if length and "sum_received" in report["end"]:
        return int(received["bytes"]) // length
    return int(received["packets"]) - int(received["lost_packets"])


@dataclass(frozen=True)
class UdpLimit:
    """How much UDP iperf3 itself can send and take, over a path.

    Attributes:
        best: the trial at the highest rate that lost no more than allowed; None: none did.
        failed_pps: the lowest rate known to lose more; None: iperf3 lost no more at full speed.
        loss_goal: lost datagrams per datagram sent that are allowed.
        trials: all of them, in the order they were made.
    """

    best: ToolResult | None
    failed_pps: float | None
    loss_goal: float
    trials: tuple[ToolResult, ...]


def udp_limit(
    source: ProbeNode,
    destination: ProbeNode,
    spec: Iperf3Spec | None = None,
    *,
    loss_goal: float = 0.001,
    width: float = 0.05,
    most_trials: int = 10,
) -> UdpLimit:
    """The highest rate at which iperf3 loses next to nothing.

    The first trial is as fast as iperf3 can send; each of the others halves what is not known yet.

    Args:
        spec: what to send; its rate does not matter.
        loss_goal: lost datagrams per datagram sent that are allowed.
        width: how near to each other the best rate and the lowest one that failed are to be.
        most_trials: when to stop at the latest; each takes the specification's time.
    """
    chosen = replace(spec or Iperf3Spec(duration_s=1), protocol="UDP", rate_bps=None)
    tool = Iperf3()
    trials: list[ToolResult] = []

    def trial(rate_pps: float | None) -> ToolResult:
        asked = chosen
        if rate_pps is not None:
            bits = 8 * (trials[0].sent_bytes or 0) / (trials[0].sent_packets or 1)
            asked = replace(chosen, rate_bps=rate_pps * bits)
        trials.append(tool.measure(source, destination, asked))
        return trials[-1]

    best, failed_pps = search_rate(trial, loss_goal=loss_goal, width=width, most_trials=most_trials)
    return UdpLimit(best, failed_pps, loss_goal, tuple(trials))


def search_rate(
    trial: Callable[[float | None], ToolResult],
    *,
    loss_goal: float,
    width: float,
    most_trials: int,
) -> tuple[ToolResult | None, float | None]:
    """Bisect between what is carried and what is not; see ``udp_limit``.

    Args:
        trial: sends at so many packets per second; None: as fast as it can.

    Returns:
        The best trial, and the lowest rate that failed.
    """
    first = trial(None)
    if (first.loss_ratio or 0.0) <= loss_goal:
        return first, None
    high_pps = _offered_pps(first)
    low_pps, best = 0.0, None
    # What was taken at full speed is as good a guess as any.
    rate_pps = min(first.throughput_pps or 0.0, high_pps * (1 - width)) or high_pps * _FIRST_FACTOR
    for _ in range(most_trials - 1):
        result = trial(rate_pps)
        if (result.loss_ratio or 0.0) <= loss_goal:
            low_pps, best = rate_pps, result
        else:
            high_pps = rate_pps
        if high_pps - low_pps <= width * high_pps:
            break
        rate_pps = (low_pps + high_pps) / 2
    return best, high_pps


def _offered_pps(result: ToolResult) -> float:
    return (result.sent_packets or 0) / result.duration_s
