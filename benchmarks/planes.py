"""The data planes: what a VNF costs on each of them, beside what others do in the same place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from benchmarks.chain import make_bridge
from benchmarks.engine import own_engine
from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator import Topo
from emulator.errors import LabError, MeasurementError
from emulator.measure.latency import summarise
from emulator.network import Network
from emulator.node import Node
from emulator.traffic.machine import process_cpu_ns
from emulator.traffic.probe import ProbeResult, ProbeSpec, run_probe

_DURATION_S = 1.0
_LATENCY_RATE_PPS = 1_000.0
_GENERATOR_CORE, _VNF_CORE = 0, 1
_HOPS = 4
_POLLING = ("afxdp", "dpdk")
_IDLE_S = 1.0
_CHANGES = 50
_NEVER = 4_000_000_000
_RUNTIMES = ("docker", "namespace")
_ALMOST_AS_GOOD = 0.95


class _Line(Topo):
    """client – VNFs – server, every VNF with the same options; links between VNFs of one kind."""

    def build(self, vnfs: int = 1, link: str = "veth", **options: Any) -> None:
        before, server = self.addHost("client"), self.addHost("server")
        for number in range(1, vnfs + 1):
            name = self.addVNF(f"vnf{number}", **options)
            between = {"kind": link} if link != "veth" and number > 1 else {}
            self.addLink(before, name, **between)
            before = name
        self.addLink(before, server)


class _Bridges(Topo):
    """client – nodes for bridges made by hand – server."""

    def build(self, bridges: int = 1) -> None:
        before, server = self.addHost("client"), self.addHost("server")
        for number in range(1, bridges + 1):
            name = self.addHost(f"middle{number}", ip=None)
            self.addLink(before, name)
            before = name
        self.addLink(before, server)


def xdp_chain(session: Session) -> list[Row]:
    """Four forward VNFs on XDP in a row beside four stock bridges; 64-byte frames."""
    rates: dict[str, list[float]] = {}
    p50s: dict[str, list[float]] = {}
    makers: dict[str, Callable[[], Network]] = {
        "one": lambda: Network(_Line(vnf="forward", dataplane="xdp")),
        "four": lambda: Network(_Line(vnfs=_HOPS, vnf="forward", dataplane="xdp")),
        "bridges": lambda: _with_bridges(_HOPS),
    }
    with ExitStack() as stack:
        nets = {name: stack.enter_context(make()) for name, make in makers.items()}
        for net in nets.values():
            _send(net, None)
        for number in session.rounds():
            for name, net in nets.items():
                session.step(number, name)
                p50s.setdefault(name, []).append(_p50_ns(net, 10_000))
                rates.setdefault(name, []).append(_send(net, None).received_pps / 1e6)
    costs = {name: [1e3 / rate for rate in rates[name]] for name in ("one", "four")}
    return [
        _rate(f"chain of {_HOPS}", rates["four"], rates["bridges"], "stock Linux bridges", 5),
        Row(
            "each further hop: time per packet at full load",
            "ns",
            _per_hop(costs["one"], costs["four"]),
            target=Target(at_most=200),
        ),
        Row("each further hop: one-way p50", "ns", _per_hop(p50s["one"], p50s["four"])),
    ]


def _per_hop(one: list[float], all_hops: list[float]) -> Series:
    pairs = zip(one, all_hops, strict=True)
    return Series.of([(longer - shorter) / (_HOPS - 1) for shorter, longer in pairs])


def polling(session: Session) -> list[Row]:
    """forward on the data planes that poll beside stock testpmd, on a core of their own."""
    pinned: dict[str, Any] = {"cores": [_VNF_CORE], "idle": "poll"}
    makers = {
        name: {"vnf": "forward", "dataplane": name, **pinned} for name in (*_POLLING, "packet")
    }
    makers["testpmd"] = {"vnf": "testpmd", "dataplane": "dpdk", **pinned}
    found = _take_turns(session, makers)
    session.note(
        f"generator on CPU {_GENERATOR_CORE}, VNF on CPU {_VNF_CORE}, both always busy; "
        "probe: kernel"
    )
    return [
        _rate(name, found[name], found["testpmd"], "stock testpmd, af_xdp", 0.95)
        for name in _POLLING
    ] + [_rate("packet", found["packet"], found["testpmd"], "stock testpmd, af_xdp", None)]


def handlers(session: Session) -> list[Row]:
    """xor beside forward on the same data plane; forward on DPDK's null port."""
    rows = []
    for dataplane in ("xdp", "dpdk"):
        options: dict[str, Any] = {"dataplane": dataplane}
        if dataplane != "xdp":
            options |= {"cores": [_VNF_CORE], "idle": "poll"}
        makers = {
            # The key 0 takes the same work as any other, and the probe knows its packets again.
            "xor": {"vnf": "xor", "key": 0, **options},
            "forward": {"vnf": "forward", **options},
        }
        found = _take_turns(session, makers)
        name = f"{dataplane}: xor"
        rows.append(_rate(name, found["xor"], found["forward"], "forward", 0.95))
    rates = []
    null: dict[str, Any] = {"dataplane": "dpdk", "driver": "null", "idle": "poll"}
    with Network(_Line(vnf="forward", cores=[_VNF_CORE], **null)) as net:
        for number in session.rounds():
            session.step(number, "null port")
            rates.append(_handled_pps(net["vnf1"]) / 1e6)
    target = Target(at_least=80)
    rows.append(Row("dpdk, null port: forward", "Mpps", Series.of(rates), target=target))
    return rows


def idle(session: Session) -> list[Row]:
    """Four polling VNFs on two cores, with the default idle policy and with pure polling."""
    rows = []
    for dataplane in _POLLING:
        found: dict[str, list[float]] = {}
        for policy in ("default", "poll"):
            options = {} if policy == "default" else {"idle": policy}
            net = Network(_Line(vnfs=_HOPS, vnf="forward", dataplane=dataplane, **options))
            with net:
                _send(net, _LATENCY_RATE_PPS)
                for number in session.rounds() if policy == "default" else range(1, 2):
                    session.step(number, f"{dataplane}, {policy}")
                    load = _idle_cpu_percent(net)
                    found.setdefault(f"{policy} cpu", []).append(load)
                    p50_us = _p50_ns(net, _LATENCY_RATE_PPS) / 1e3
                    found.setdefault(f"{policy} p50", []).append(p50_us)
        rows += [
            Row(
                f"{dataplane}: chain of {_HOPS}, one-way p50",
                "µs",
                Series.of(found["default p50"]),
                target=Target(at_most=200),
            ),
            Row(
                f"{dataplane}: CPU of all four while idle",
                "%",
                Series.of(found["default cpu"]),
                target=Target(at_most=2),
            ),
            Row(f"{dataplane}: pure polling, one-way p50", "µs", Series.of(found["poll p50"])),
            Row(f"{dataplane}: pure polling, CPU", "%", Series.of(found["poll cpu"])),
        ]
    session.note(f"latency at {_LATENCY_RATE_PPS:.0f} packets/s; nothing is pinned")
    return rows


def memif(session: Session) -> list[Row]:
    """A chain of four DPDK VNFs joined by memif beside the same chain over veth."""
    options = {"vnfs": _HOPS, "vnf": "forward", "dataplane": "dpdk", "cores": [_VNF_CORE]}
    found = _take_turns(session, {link: {"link": link, **options} for link in ("memif", "veth")})
    return [_rate(f"chain of {_HOPS} over memif", found["memif"], found["veth"], "over veth", 5)]


def python(session: Session) -> list[Row]:
    """forward in Python, a burst at a time, beside forward in C with the same input and output."""
    pinned: dict[str, Any] = {"vnf": "forward", "cores": [_VNF_CORE], "idle": "poll"}
    rows = []
    for driver in ("packet", "afxdp"):
        found = _take_turns(
            session,
            {
                "python": {"dataplane": "python", "driver": driver, **pinned},
                "c": {"dataplane": driver, **pinned},
            },
        )
        rows.append(_rate(f"python over {driver}", found["python"], found["c"], "C", 0.9))
    return rows


def live(session: Session) -> list[Row]:
    """A parameter changed while packets flow: how soon it counts, and what is lost."""
    rows = []
    for dataplane in ("xdp", "packet", *_POLLING):
        delays_ms: list[float] = []
        lost: list[float] = []
        with Network(_Line(vnf="drop", dataplane=dataplane, every=_NEVER)) as net:
            for number in session.rounds():
                session.step(number, dataplane)
                delays_ms.append(_change_ms(net))
                lost.append(_lost_while_changing(net))
        rows += [
            Row(
                f"{dataplane}: until a change counts",
                "ms",
                Series.of(delays_ms),
                target=Target(at_most=10),
            ),
            Row(
                f"{dataplane}: lost in {_CHANGES} changes",
                "packets",
                Series.of(lost),
                target=Target(at_most=0),
            ),
        ]
    return rows


def docker_planes(session: Session) -> list[Row]:
    """forward in a container beside forward in a namespace, on each of the data planes."""
    rates: dict[tuple[str, str], list[float]] = {}
    p50s: dict[tuple[str, str], list[float]] = {}
    with own_engine():
        for number in session.rounds():
            for dataplane in ("xdp", "packet", *_POLLING):
                pinned = {} if dataplane == "xdp" else {"cores": [_VNF_CORE], "idle": "poll"}
                options = {"vnf": "forward", "dataplane": dataplane, **pinned}
                # Each is first as often as the other.
                for runtime in _RUNTIMES if number % 2 else reversed(_RUNTIMES):
                    session.step(number, f"{dataplane}, {runtime}")
                    with Network(_Line(runtime=runtime, **options)) as net:
                        _send(net, None)
                        key = (dataplane, runtime)
                        p50s.setdefault(key, []).append(_p50_ns(net, _LATENCY_RATE_PPS) / 1e3)
                        rates.setdefault(key, []).append(_send(net, None).received_pps / 1e6)
    session.note(
        f"generator on CPU {_GENERATOR_CORE}, VNF on CPU {_VNF_CORE} where it is a process; "
        f"latency at {_LATENCY_RATE_PPS:.0f} packets/s"
    )
    rows = []
    for dataplane in ("xdp", "packet", *_POLLING):
        ours, peer = ((dataplane, runtime) for runtime in _RUNTIMES)
        rows += [
            _rate(dataplane, rates[ours], rates[peer], "in a namespace", _ALMOST_AS_GOOD),
            Row(
                f"{dataplane}: one-way p50",
                "µs",
                Series.of(p50s[ours]),
                Series.of(p50s[peer]),
                "in a namespace",
                Target(ratio=_ALMOST_AS_GOOD),
            ),
        ]
    return rows


def _take_turns(
    session: Session,
    makers: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[float]]:
    """The rate that each line carries, in Mpps; one network at a time, for a core polls on."""
    found: dict[str, list[float]] = {}
    for number in session.rounds():
        for name, options in makers.items():
            session.step(number, name)
            with Network(_Line(**options)) as net:
                _send(net, None)
                found.setdefault(name, []).append(_send(net, None).received_pps / 1e6)
    return found


def _rate(
    what: str, ours: list[float], peer: list[float], peer_name: str, ratio: float | None
) -> Row:
    return Row(
        f"{what}: packets per second",
        "Mpps",
        Series.of(ours),
        Series.of(peer),
        peer_name,
        None if ratio is None else Target(ratio=ratio),
        more_is_better=True,
    )


def _send(net: Network, rate_pps: float | None, *, record: bool = False) -> ProbeResult:
    spec = ProbeSpec(rate_pps, _DURATION_S, record=record, core=_GENERATOR_CORE)
    return run_probe(net["client"], net["server"], spec)


def _p50_ns(net: Network, rate_pps: float) -> float:
    p50_ns = summarise(_send(net, rate_pps, record=True)).p50_ns
    if p50_ns is None:
        raise MeasurementError("too few packets arrived", where=net.id)
    return float(p50_ns)


def _with_bridges(count: int) -> Network:
    net = Network(_Bridges(bridges=count)).start()
    try:
        for node in net.hosts:
            if node.name.startswith("middle"):
                make_bridge(node)
    except LabError:
        net.stop()
        raise
    return net


def _handled_pps(node: Node) -> float:
    def handled() -> int:
        return sum(port.rx_packets for port in node.counters().values())

    before, began_s = handled(), time.monotonic()
    time.sleep(_DURATION_S)
    return (handled() - before) / (time.monotonic() - began_s)


def _idle_cpu_percent(net: Network) -> float:
    pids = [node.vnf.pid for node in net.vnfs if node.vnf is not None]

    def spent_ns() -> int:
        return sum(process_cpu_ns(pid) for pid in pids if pid is not None)

    before_ns, began_ns = spent_ns(), time.monotonic_ns()
    time.sleep(_IDLE_S)
    return (spent_ns() - before_ns) / (time.monotonic_ns() - began_ns) * 100


def _change_ms(net: Network) -> float:
    """From the call of set() to the first frame that the new value decides."""
    vnf = net["vnf1"]

    def dropped() -> int:
        return sum(port.dropped_packets for port in vnf.counters().values())

    sender = threading.Thread(target=_send, args=(net, 50_000.0))
    sender.start()
    time.sleep(_DURATION_S / 2)
    before, began_s = dropped(), time.monotonic()
    vnf.set(every=1)
    while dropped() == before and time.monotonic() < began_s + 1:
        pass
    took_ms = (time.monotonic() - began_s) * 1e3
    vnf.set(every=_NEVER)
    sender.join()
    return took_ms


def _lost_while_changing(net: Network) -> float:
    vnf = net["vnf1"]
    results: list[ProbeResult] = []
    sender = threading.Thread(target=lambda: results.append(_send(net, 50_000.0)))
    sender.start()
    time.sleep(_DURATION_S / 4)
    for change in range(_CHANGES):
        vnf.set(every=_NEVER + change % 2)
        time.sleep(_DURATION_S / 2 / _CHANGES)
    sender.join()
    return float(results[0].lost)
