"""TCP and UDP throughput by iperf3, read from its JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import UsageError
from emulator.node import Node
from emulator.plan.quantities import QuantityMistake, read_rate_bps
from emulator.traffic.adapters.iperf3 import Iperf3Spec, client_command, run_report

_UDP_BPS = 10e6


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
        UsageError: for an unknown protocol, a time that is not positive, a node without address or
            a port that is in use.
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
    spec = Iperf3Spec(
        protocol="UDP" if protocol == "UDP" else "TCP",
        duration_s=int(seconds),
        rate_bps=rate_bps or (_UDP_BPS if protocol == "UDP" else None),
        port=port,
    )
    command = client_command(spec, address)
    report = run_report(source, destination, port, command, seconds=seconds)
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
