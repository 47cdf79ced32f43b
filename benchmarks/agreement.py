"""Our own measurements beside tools that people know, over the same direct link in the same run.

What makes it fair:

- Each tool goes beside the mechanism of ours that takes the same way. ping is answered by the far
  end's kernel and ends with the kernel's stamp, and no process is woken up in between: like our
  ``kernel`` mechanism. sockperf is a process that sends and one that answers, and both are woken up
  for each message: like our ``app`` mechanism.
- They send frames of the same size at the same rate for a second each, in turns whose order changes
  from one to the next. Differences are ours less the tool's, within a turn.
- Tools count from when a message was sent. So do we here, though our own reports count from when it
  was due; what that makes of it is in the table too.
- ``/dev/cpu_dma_latency`` is held all the time, for tools and ours alike.
- Ours goes by XDP, so the difference to ping holds its system call and the IP layer at both ends.
- UDP throughput is compared at iperf3's own limit, the highest rate at which it loses next to
  nothing. Beyond that, iperf3 counts what its own process took from its socket, and everybody else
  what arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator.errors import MeasurementError
from emulator.measure.latency import percentile_ns
from emulator.network import Network
from emulator.node import Node
from emulator.topofile import load_topology
from emulator.traffic.adapters.base import ToolResult
from emulator.traffic.adapters.iperf3 import Iperf3, Iperf3Spec, udp_limit
from emulator.traffic.adapters.ping import Ping, PingSpec
from emulator.traffic.adapters.running import ArrivalCounter
from emulator.traffic.adapters.sockperf import Sockperf, SockperfSpec
from emulator.traffic.machine import low_wakeup_latency
from emulator.traffic.probe import Mechanism, ProbeResult, ProbeSpec, run_probe

_RATE_PPS = 1000
_DURATION_S = 1
_TURNS = 4
_HEADERS_BYTES = 14 + 20 + 8
_FCS_BYTES = 4
_RTT_FRAME_BYTES = 64
_UDP_FRAME_BYTES = (64, 1518)
_LOSS_GOAL = 0.001
_STEPS_DOWN = (1.0, 0.9, 0.8, 0.7, 0.6)
_ATTEMPTS = 5
_RTT_TARGET = Target(at_least=-5, at_most=5)
_UDP_TARGET = Target(at_least=-3, at_most=3)
_PAIRS = (("kernel", "ping"), ("app", "sockperf"))


def agreement(session: Session) -> list[Row]:
    """Our round-trip times and throughput beside those of ping, sockperf and iperf3."""
    for tool in (Ping(), Sockperf(), Iperf3()):
        tool.require()
    found: dict[str, list[float]] = {}
    with (
        Network(load_topology("chain", {"dataplane": "none"})) as net,
        low_wakeup_latency() as held,
    ):
        client, server = net["client"], net["server"]
        for number in session.rounds():
            for turn in range(_TURNS):
                for name, measure in _round_trips(client, server, number + turn):
                    session.step(number, f"round trip by {name}")
                    for what, p50_us in measure().items():
                        found.setdefault(what, []).append(p50_us)
            for size_bytes in _UDP_FRAME_BYTES:
                session.step(number, f"UDP, frames of {size_bytes} bytes")
                for what, pps in _throughputs(session, client, server, size_bytes).items():
                    found.setdefault(f"{size_bytes} {what}", []).append(pps)
    session.note(
        f"round trips: {_RATE_PPS} packets/s of {_RTT_FRAME_BYTES} bytes, from when each was sent"
    )
    session.note(
        "UDP: at the highest rate where iperf3 loses at most "
        f"{_LOSS_GOAL:.1%}; the interface's counter at the receiver, our probe at the same rate"
    )
    if not held:
        session.note("the CPUs went to deep sleep meanwhile: /dev/cpu_dma_latency was refused")
    return _rtt_rows(found) + _udp_rows(found)


RoundTrip = tuple[str, Callable[[], dict[str, float]]]


def _round_trips(client: Node, server: Node, turn: int) -> list[RoundTrip]:
    """The measurements of one turn, in an order that changes from turn to turn."""

    def ours(mechanism: Mechanism) -> Callable[[], dict[str, float]]:
        spec = ProbeSpec(
            _RATE_PPS,
            _DURATION_S,
            frame_size_bytes=_RTT_FRAME_BYTES,
            mechanism=mechanism,
            round_trip=True,
        )
        return lambda: _our_p50s_us(mechanism, run_probe(client, server, spec))

    payload_bytes = _RTT_FRAME_BYTES - _FCS_BYTES - _HEADERS_BYTES
    pings = PingSpec(
        count=_RATE_PPS * _DURATION_S, interval_s=1 / _RATE_PPS, payload_bytes=payload_bytes
    )
    messages = SockperfSpec(duration_s=_DURATION_S, rate_mps=_RATE_PPS, message_bytes=payload_bytes)
    order: list[RoundTrip] = [
        ("kernel", ours("kernel")),
        ("ping", lambda: {"ping": _p50_us(Ping().measure(client, server, pings))}),
        ("app", ours("app")),
        ("sockperf", lambda: {"sockperf": _p50_us(Sockperf().measure(client, server, messages))}),
    ]
    return order if turn % 2 else order[::-1]


def _our_p50s_us(mechanism: Mechanism, result: ProbeResult) -> dict[str, float]:
    if result.received_ns is None or result.sent_ns is None:
        raise MeasurementError("the probe recorded nothing", where=mechanism)
    arrived = result.received_ns != 0
    since_sent = (result.received_ns[arrived] - result.sent_ns[arrived]).astype(np.int64)
    found = {}
    for what, delays_ns in (("", since_sent), (", since due", result.latency_ns())):
        p50_ns = percentile_ns(delays_ns, 0.5)
        if p50_ns is None:
            raise MeasurementError("too few packets came back", where=mechanism)
        found[f"{mechanism}{what}"] = p50_ns / 1e3
    return found


def _p50_us(result: ToolResult) -> float:
    if result.latency is None or result.latency.p50_ns is None:
        raise MeasurementError("too few packets came back", where=result.tool)
    return result.latency.p50_ns / 1e3


def _throughputs(session: Session, client: Node, server: Node, size_bytes: int) -> dict[str, float]:
    """Packets per second at iperf3's limit, as each one counts them."""
    length_bytes = size_bytes - _FCS_BYTES - _HEADERS_BYTES
    spec = Iperf3Spec(protocol="UDP", duration_s=1, length_bytes=length_bytes)
    best = udp_limit(client, server, spec, loss_goal=_LOSS_GOAL).best
    if best is None or not best.throughput_pps:
        raise MeasurementError("iperf3 loses packets at every rate", where="client → server")
    theirs, counted_pps = _at_limit(session, client, server, spec, best.throughput_pps)
    rate_pps = (theirs.sent_packets or 0) / theirs.duration_s
    found = {"iperf3": theirs.throughput_pps or 0.0, "counter": counted_pps}
    for mechanism in ("kernel", "app"):
        ours = ProbeSpec(
            rate_pps, 1.0, frame_size_bytes=size_bytes, mechanism=mechanism, record=False
        )
        found[mechanism] = _undisturbed(session, client, server, ours).received_pps
    return found


def _undisturbed(session: Session, client: Node, server: Node, spec: ProbeSpec) -> ProbeResult:
    """A trial in which the probe could send and take what it should, or the best of a few."""
    trials: list[ProbeResult] = []
    while len(trials) < _ATTEMPTS:
        result = run_probe(client, server, spec)
        if _spoilt(result) <= _LOSS_GOAL * spec.places:
            return result
        trials.append(result)
    best = min(trials, key=_spoilt)
    session.note(
        f"{spec.mechanism}: in each of {_ATTEMPTS} trials the machine kept the probe from its "
        f"work, at best for {_spoilt(best) / spec.places:.1%} of the packets"
    )
    return best


def _spoilt(result: ProbeResult) -> int:
    return result.unsent + result.overrun


def _at_limit(
    session: Session, client: Node, server: Node, spec: Iperf3Spec, limit_pps: float
) -> tuple[ToolResult, float]:
    """A trial at the limit, or as near below as the machine allows now, and what arrived of it."""
    trials: list[tuple[ToolResult, float]] = []
    for factor in _STEPS_DOWN:
        rate_bps = factor * limit_pps * 8 * (spec.length_bytes or 0)
        counter = ArrivalCounter(server, server.plan.interfaces[0].kernel_name)
        result = Iperf3().measure(client, server, replace(spec, duration_s=2, rate_bps=rate_bps))
        arrived = counter.when_quiet()
        trials.append((result, arrived.packets / result.duration_s))
        if (result.loss_ratio or 0.0) <= _LOSS_GOAL:
            return trials[-1]
    best = min(trials, key=lambda trial: trial[0].loss_ratio or 0.0)
    session.note(
        "iperf3: at the rates that it had just carried it lost packets in every trial, at best "
        f"{best[0].loss_ratio:.1%}"
    )
    return best


def _rtt_rows(found: dict[str, list[float]]) -> list[Row]:
    rows = []
    for ours, theirs in _PAIRS:
        differences = _differences(found[ours], found[theirs])
        rows += [
            Row(
                f"{ours}: round trip p50, from sending",
                "µs",
                Series.of(found[ours]),
                Series.of(found[theirs]),
                theirs,
            ),
            Row(
                f"{ours}: less that of {theirs}",
                "µs",
                Series.of(differences),
                target=_RTT_TARGET,
            ),
            Row(
                f"{ours}: round trip p50, from when it was due",
                "µs",
                Series.of(found[f"{ours}, since due"]),
            ),
        ]
    return rows


def _udp_rows(found: dict[str, list[float]]) -> list[Row]:
    rows = []
    for size_bytes in _UDP_FRAME_BYTES:
        theirs = found[f"{size_bytes} iperf3"]
        rows.append(Row(f"{size_bytes} B: iperf3 at its limit", "pps", Series.of(theirs)))
        for what, name in (
            ("counter", "the interface's counter"),
            ("kernel", "probe, kernel"),
            ("app", "probe, app"),
        ):
            ours = found[f"{size_bytes} {what}"]
            differences = [
                100 * difference / pps
                for difference, pps in zip(_differences(ours, theirs), theirs, strict=True)
            ]
            rows.append(
                Row(
                    f"{size_bytes} B: {name}, less iperf3",
                    "%",
                    Series.of(differences),
                    target=_UDP_TARGET,
                )
            )
    return rows


def _differences(ours: list[float], theirs: list[float]) -> list[float]:
    return [mine - other for mine, other in zip(ours, theirs, strict=True)]
