"""TCP and UDP throughput by iperf3, read from its JSON report."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import MachineError, MeasurementError, UsageError
from emulator.node import Node
from emulator.plan.quantities import QuantityMistake, read_rate_bps

_CONNECT_DEADLINE_S = 3.0
_SPARE_S = 10.0
_RETRY_S = 0.02


@dataclass(frozen=True)
class IperfResult:
    """What iperf3 measured between two nodes.

    Attributes:
        source, destination: the nodes' names.
        protocol: ``TCP`` or ``UDP``.
        seconds: how long it sent.
        sent_bps, received_bps: payload bits per second at either end.
        retransmits: TCP segments sent again; None for UDP.
        lost_percent: UDP datagrams lost; None for TCP.
        report: iperf3's whole report.
    """

    source: str
    destination: str
    protocol: str
    seconds: float
    sent_bps: float
    received_bps: float
    retransmits: int | None
    lost_percent: float | None
    report: Mapping[str, Any] = field(repr=False)


def iperf(
    source: Node,
    destination: Node,
    *,
    protocol: str = "TCP",
    seconds: int = 5,
    rate_bps: float | None = None,
    port: int = 5001,
) -> IperfResult:
    """Sends from one node to the other for a while.

    Args:
        protocol: ``TCP`` or ``UDP``.
        seconds: how long; iperf3 knows whole seconds only.
        rate_bps: the rate to send at; None is as fast as possible for TCP and 10 Mbit/s for UDP.

    Raises:
        UsageError: for an unknown protocol, a time that is not positive, or a node without address.
        MachineError: without iperf3.
        MeasurementError: when the nodes cannot reach each other or iperf3 fails.
    """
    protocol = protocol.upper()
    if protocol not in ("TCP", "UDP"):
        raise UsageError(f"iperf knows no protocol {protocol}", hint="TCP or UDP")
    if seconds < 1 or seconds != int(seconds):
        raise UsageError(f"iperf3 cannot run for {seconds:g} s", hint="give it whole seconds")
    address = destination.IP()
    if address is None:
        raise UsageError("the node has no address to send to", where=destination.name)
    client = ["iperf3", "--json", "-c", address, "-p", str(port), "-t", str(int(seconds))]
    if protocol == "UDP":
        client += ["-u", "-b", f"{rate_bps or 10e6:.0f}"]
    elif rate_bps is not None:
        client += ["-b", f"{rate_bps:.0f}"]
    server = _popen(destination, ["iperf3", "--json", "-s", "-1", "-p", str(port)])
    try:
        report = _run_client(source, client, seconds, server)
    finally:
        server.kill()
        server.communicate()
    return _result(source.name, destination.name, protocol, report)


def parse_rate_bps(rate: str | float) -> float:
    """Bits per second from a number or from text such as ``10M`` or ``1.5G``.

    Raises:
        UsageError: when it is neither, or not positive.
    """
    try:
        with suppress(ValueError):
            rate = f"{float(rate):.0f}bit"
        return float(read_rate_bps(rate))
    except QuantityMistake as mistake:
        raise UsageError(str(mistake), hint="bits per second, such as 10M or 1.5G") from None


def _run_client(
    source: Node, client: list[str], seconds: float, server: subprocess.Popen[str]
) -> dict[str, Any]:
    deadline = time.monotonic() + _CONNECT_DEADLINE_S
    where = f"iperf3 from {source.name}"
    while True:
        process = _popen(source, client)
        try:
            output, _ = process.communicate(timeout=seconds + _SPARE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise MeasurementError(
                "iperf3 did not end", where=where, hint="is the path up? try pingpair"
            ) from None
        except BaseException:
            process.kill()
            process.communicate()
            raise
        report: dict[str, Any] = json.loads(output) if output.strip() else {}
        error = report.get("error", "" if report else "it reported nothing")
        if not error:
            return report
        # The server takes a moment to listen, and only a connection could tell.
        starting = "Connection refused" in error and server.poll() is None
        if not starting or time.monotonic() > deadline:
            raise MeasurementError(
                f"iperf3 failed: {error}", where=where, hint="is the path up? try pingpair"
            )
        time.sleep(_RETRY_S)


def _popen(node: Node, args: list[str]) -> subprocess.Popen[str]:
    try:
        return node.popen(
            args,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    except UsageError as error:
        raise MachineError("iperf3 is not installed", hint="apt-get install iperf3") from error


def _result(source: str, destination: str, protocol: str, report: dict[str, Any]) -> IperfResult:
    end = report["end"]
    sent = end.get("sum_sent") or end["sum"]
    received = end.get("sum_received") or end["sum"]
    return IperfResult(
        source=source,
        destination=destination,
        protocol=protocol,
        seconds=sent["seconds"],
        sent_bps=sent["bits_per_second"],
        received_bps=received["bits_per_second"],
        retransmits=sent.get("retransmits"),
        lost_percent=end["sum"]["lost_percent"] if protocol == "UDP" else None,
        report=report,
    )
