"""One switch between two hosts: ours in BPF beside Linux bridges in the same place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.chain import make_bridge
from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator import Topo
from emulator.errors import MeasurementError
from emulator.measure.cost import cost_of
from emulator.measure.latency import summarise
from emulator.network import Network
from emulator.plan.switch_model import SwitchKind
from emulator.traffic.probe import ProbeResult, ProbeSpec, run_probe

_DURATION_S = 1.0
_LATENCY_RATE_PPS = 10_000.0
_LOSS_WORTH_A_WORD = 0.001
_OURS = "xdp"
_STOCK = "stock Linux bridge"
_BRIDGE = "our bridge"


@dataclass
class _Found:
    """What was measured through one switch, round by round."""

    rate_mpps: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    cost_ns: list[float] = field(default_factory=list)


class _OneSwitch(Topo):
    """Two hosts at a switch of some kind."""

    def build(self, kind: SwitchKind) -> None:
        switch = self.addSwitch("s1", kind=kind)
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), switch)


class _OneNode(Topo):
    """Two hosts at a node for a bridge that is made by hand."""

    def build(self) -> None:
        middle = self.addHost("middle", ip=None)
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), middle)


def switches(session: Session) -> list[Row]:
    """One switch between two hosts, 64-byte frames: xdp beside Linux bridges."""
    found: dict[str, _Found] = {}
    with ExitStack() as stack:
        nets = {name: stack.enter_context(make()) for name, make in _SWITCHES.items()}
        make_bridge(nets[_STOCK]["middle"])
        for net in nets.values():
            _send(net, None)  # learns addresses, warms up
        for number in session.rounds():
            for name, net in nets.items():
                session.step(number, name)
                _measure(session, name, net, found.setdefault(name, _Found()))
    session.note(
        f"probe: kernel; latency at {_LATENCY_RATE_PPS:.0f} packets/s, all else at full load; CPU: "
        "generator, links and receiver included"
    )
    session.note(
        "both peers are Linux bridges: a stock one as `ip link add` makes it, and that of switches "
        'of kind="bridge", which has no multicast snooping'
    )
    return [row for peer in (_STOCK, _BRIDGE) for row in _rows(found[_OURS], found[peer], peer)]


def _rows(ours: _Found, peer: _Found, name: str) -> list[Row]:
    wanted = Target(ratio=4) if name == _STOCK else None
    return [
        Row(
            "packets per second",
            "Mpps",
            Series.of(ours.rate_mpps),
            Series.of(peer.rate_mpps),
            name,
            wanted,
            more_is_better=True,
        ),
        Row("one-way p50", "µs", Series.of(ours.p50_us), Series.of(peer.p50_us), name),
        Row("CPU time per packet", "ns", Series.of(ours.cost_ns), Series.of(peer.cost_ns), name),
    ]


def _kind(kind: SwitchKind) -> Callable[[], Network]:
    return lambda: Network(_OneSwitch(kind=kind))


_SWITCHES: dict[str, Callable[[], Network]] = {
    _OURS: _kind("xdp"),
    _STOCK: lambda: Network(_OneNode()),
    _BRIDGE: _kind("bridge"),
}


def _send(net: Network, rate_pps: float | None, *, record: bool = False) -> ProbeResult:
    return run_probe(net["h1"], net["h2"], ProbeSpec(rate_pps, _DURATION_S, record=record))


def _measure(session: Session, name: str, net: Network, found: _Found) -> None:
    p50_ns = summarise(_send(net, _LATENCY_RATE_PPS, record=True)).p50_ns
    if p50_ns is None:
        raise MeasurementError("too few packets arrived", where=name)
    found.p50_us.append(p50_ns / 1e3)
    full = _send(net, None)
    if full.lost > full.sent * _LOSS_WORTH_A_WORD:
        session.note(f"{name}: lost {full.lost / full.sent:.1%} of what was sent at full load")
    found.rate_mpps.append(full.received_pps / 1e6)
    found.cost_ns.append(cost_of(full).cpu_ns_per_packet)
