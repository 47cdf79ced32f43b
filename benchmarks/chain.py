"""A chain with one forwarding VNF: XDP beside the kernel's bridge in the same place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator import Topo
from emulator.errors import LabError, MeasurementError
from emulator.measure.cost import cost_of
from emulator.measure.latency import summarise
from emulator.network import Network
from emulator.node import Node
from emulator.topofile import load_topology
from emulator.traffic.probe import ProbeResult, ProbeSpec, run_probe

_DURATION_S = 1.0
_LATENCY_RATE_PPS = 10_000.0
_LOSS_WORTH_A_WORD = 0.001
_OURS = "xdp"
_STOCK = "stock Linux bridge"
_TUNED = "our kernel plane"


@dataclass
class _Found:
    """What was measured of one chain, round by round."""

    rate_mpps: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    cost_ns: list[float] = field(default_factory=list)


class _BridgeInBetween(Topo):
    """A node between client and server, for a bridge made by hand in it."""

    def build(self) -> None:
        client, server = self.addHost("client"), self.addHost("server")
        middle = self.addHost("middle", ip=None)
        self.addLink(client, middle)
        self.addLink(middle, server)


def chain(session: Session) -> list[Row]:
    """A chain with one forward VNF on XDP, 64-byte frames."""
    found: dict[str, _Found] = {}
    with ExitStack() as stack:
        nets = {name: stack.enter_context(make()) for name, make in _CHAINS.items()}
        make_bridge(nets[_STOCK]["middle"])
        for net in nets.values():
            _send(net, None)  # compiles, learns addresses, warms up
        for number in session.rounds():
            for name, net in nets.items():
                session.step(number, name)
                _measure(session, name, net, found.setdefault(name, _Found()))
    session.note(
        f"probe: kernel; latency at {_LATENCY_RATE_PPS:.0f} packets/s, all else at full load; CPU: "
        "generator, links and receiver included"
    )
    session.note(
        "both peers are Linux bridges: a stock one as `ip link add` makes it, and that of our "
        "kernel plane, which skips iptables and multicast snooping"
    )
    return [row for peer in (_STOCK, _TUNED) for row in _rows(found[_OURS], found[peer], peer)]


def _rows(ours: _Found, peer: _Found, name: str) -> list[Row]:
    """The targets hold beside a bridge as everybody has it, not beside one of our making."""
    wanted = name == _STOCK
    return [
        Row(
            "packets per second",
            "Mpps",
            Series.of(ours.rate_mpps),
            Series.of(peer.rate_mpps),
            name,
            Target(ratio=5) if wanted else None,
            more_is_better=True,
        ),
        Row(
            "one-way p50",
            "µs",
            Series.of(ours.p50_us),
            Series.of(peer.p50_us),
            name,
            Target(ratio=2) if wanted else None,
        ),
        Row(
            "CPU time per packet",
            "ns",
            Series.of(ours.cost_ns),
            Series.of(peer.cost_ns),
            name,
            Target(ratio=1, strictly=True) if wanted else None,
        ),
    ]


def _plane(dataplane: str) -> Callable[[], Network]:
    return lambda: Network(load_topology("chain", {"dataplane": dataplane}))


_CHAINS: dict[str, Callable[[], Network]] = {
    _OURS: _plane("xdp"),
    _STOCK: lambda: Network(_BridgeInBetween()),
    _TUNED: _plane("kernel"),
}


def make_bridge(node: Node) -> None:
    """Join a node's interfaces to a Linux bridge as `ip link add` makes it.

    Raises:
        LabError: there is none to be had.
    """
    ports = " ; ".join(
        f"ip link set {interface.kernel_name} master br0" for interface in node.intfs
    )
    said = node.cmd(f"set -e ; ip link add br0 type bridge ; {ports} ; ip link set br0 up")
    if node.exit_status:
        raise LabError(f"no bridge could be made: {said.strip()}", where=node.name)


def _send(net: Network, rate_pps: float | None, *, record: bool = False) -> ProbeResult:
    spec = ProbeSpec(rate_pps, _DURATION_S, record=record)
    return run_probe(net["client"], net["server"], spec)


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
