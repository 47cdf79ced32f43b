"""Impaired links: how exactly they do what is asked, and how much they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator.errors import MeasurementError
from emulator.labs import list_labs
from emulator.network import Network
from emulator.plan.model import ImpairmentPlan
from emulator.topo import Topo
from emulator.traffic.machine import low_wakeup_latency, process_cpu_ns
from emulator.traffic.probe import ProbeSpec, run_probe
from emulator.wire import checks
from emulator.wire.certificate import Check
from emulator.wire.frames import LEAST_BYTES, Ends, Samples, Schedule
from emulator.wire.model import Decisions, Stream

_SLACK_NS = 50_000_000
_BRIEF_NS = 900_000_000
_SLOW_PPS, _SLOW_FRAMES = 1000, 5000
_FAST_PPS, _FAST_FRAMES = 100_000, 80_000
_CHANCES = 100_000
_CHANCE_PPS = 40_000
_IN_ORDER = 1_000_000
_LINKS = 64
_CAPACITIES_PPS = (200_000, 300_000, 400_000, 500_000, 600_000, 800_000)
_CARRIED_LOSS = 0.001
_TCP_S = 3
_REFERENCE = 200_000


@dataclass
class _Found:
    """Values by row, one for each round."""

    values: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, tuple[str, Target | None, bool]] = field(default_factory=dict)

    def add(
        self,
        what: str,
        unit: str,
        value: float,
        target: Target | None = None,
        *,
        more_is_better: bool = False,
    ) -> None:
        self.values.setdefault(what, []).append(value)
        self.rows[what] = unit, target, more_is_better

    def table(self) -> list[Row]:
        return [
            Row(what, unit, Series.of(self.values[what]), target=target, more_is_better=more)
            for what, (unit, target, more) in self.rows.items()
        ]


def wire_delay(session: Session) -> list[Row]:
    """Impaired links: the error of their delay, and what many of them cost."""
    found = _Found()
    limits = ((0.5, 10.0), (0.99, 50.0), (0.999, 500.0))
    for number in session.rounds():
        for delay in ("100us", "1ms", "10ms", "100ms"):
            session.step(number, f"{delay} at 1000 frames/s")
            with _link(delay=delay) as send:
                errors = checks.errors_ns(*send(_SLOW_PPS, _SLOW_FRAMES)) / 1e3
            for quantile, most in limits:
                name = f"{delay}, 1 kpps: error p{100 * quantile:g}"
                target = Target(at_most=most)
                found.add(name, "µs", float(np.quantile(np.abs(errors), quantile)), target)
        session.step(number, "10ms at 100 000 frames/s")
        with _link(delay="10ms") as send:
            errors = checks.errors_ns(*send(_FAST_PPS, _FAST_FRAMES)) / 1e3
        found.add(
            "10ms, 100 kpps: error p99",
            "µs",
            float(np.quantile(np.abs(errors), 0.99)),
            Target(at_most=100),
        )
        session.step(number, f"{_LINKS} links at 1000 frames/s each")
        share = _many_links()
        found.add(f"{_LINKS} links at 1 kpps: cores", "", share, Target(at_most=1))
    session.note("error: arrival by the kernel's stamp, minus when the model has the frame due")
    return found.table()


def wire_rate(session: Session) -> list[Row]:
    """Impaired links: how much they carry, and how exactly their rate."""
    found = _Found()
    for number in session.rounds():
        session.step(number, "frames of 64 bytes")
        most = _capacity_pps() / 1e3
        found.add("64 B: kpps", "", most, Target(at_least=400), more_is_better=True)
        session.step(number, "TCP")
        with Network(_pair(delay="1ms"), progress=None) as net:
            received = net.iperf(seconds=_TCP_S).received_bps / 1e9
        found.add("TCP", "Gbit/s", received, Target(at_least=2), more_is_better=True)
        for megabits in (1, 10, 100, 1000):
            session.step(number, f"{megabits} Mbit/s")
            found.add(f"{megabits} Mbit/s: off by", "%", _rate_error(megabits), Target(at_most=1))
    session.note(f"64 B: the highest of {len(_CAPACITIES_PPS)} rates with a loss below 0.1 %")
    return found.table()


def wire_chance(session: Session) -> list[Row]:
    """Impaired links: whether chance is as asked, and order is kept."""
    found = _Found()
    ratios: dict[str, dict[str, Any]] = {
        "loss 1 %": {"loss": "1%"},
        "bursts of loss": {"loss_model": "gemodel(p=1%, r=25%)"},
        "duplicates 1 %": {"duplicate": "1%"},
        "reordering 5 %": {"reorder": "5%", "delay": "10ms"},
        "corruption 1 %": {"corrupt": "1%"},
    }
    for number in session.rounds():
        for name, options in ratios.items():
            session.step(number, name)
            with _link(seed=number, **options) as send:
                samples, decisions = send(_CHANCE_PPS, _CHANCES)
                found_checks = checks.fate_checks(_link_spec(number, options), samples, decisions)
            found.add(f"{name}: checks that fail", "", _failures(found_checks), Target(at_most=0))
        for distribution in ("uniform", "normal", "pareto", "paretonormal"):
            session.step(number, f"jitter, {distribution}")
            failures = _jitter_failures(distribution, number)
            name = f"jitter, {distribution}: checks that fail"
            found.add(name, "", failures, Target(at_most=0))
        session.step(number, "order")
        with _link(delay="5ms", jitter="1ms", distribution="normal") as send:
            samples, decisions = send(_CHANCE_PPS, _IN_ORDER)
            certain = checks.certain_checks(ImpairmentPlan(), samples, decisions)
        overtaken = sum(c.measured or 0 for c in certain if c.what == "frames overtaken")
        found.add("frames overtaken, of a million", "", overtaken, Target(at_most=0))
    session.note(
        "ratios and lengths of bursts in 99 % intervals, and each frame's fate by its seed"
    )
    return found.table()


Send = Callable[[float, int], tuple[Samples, Decisions]]


def _pair(**options: Any) -> Topo:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **options)
    return topo


def _link_spec(seed: int, options: dict[str, Any]) -> ImpairmentPlan:
    up = Network(_pair(seed=seed, **options)).plan.links[0].up
    assert up is not None
    return up


@contextmanager
def _link(size_bytes: int = LEAST_BYTES, **options: Any) -> Iterator[Send]:
    """A fresh link, as a function that sends frames up it, once."""
    with Network(_pair(**options)) as net, low_wakeup_latency():
        spec = net.plan.links[0].up
        assert spec is not None
        near, far = ((node.netns, node.plan.interfaces[0].kernel_name) for node in net.hosts)
        with Ends(near, far) as ends:

            def send(pps: float, count: int) -> tuple[Samples, Decisions]:
                decisions: list[Decisions] = []

                def until(sent_ns: Any) -> int:
                    sent = sent_ns[sent_ns != 0]
                    decisions.append(Stream(spec).decide(sent, size_bytes))
                    last = decisions[0]
                    return int(max(last.due_ns.max(), last.copy_due_ns.max())) + _SLACK_NS

                interval_ns = 1e9 / pps
                batch = max(1, round(20_000 / interval_ns)) if interval_ns < 20_000 else 1
                rare = interval_ns >= 100_000 or count * interval_ns < _BRIEF_NS
                schedule = Schedule(
                    count, round(interval_ns * batch), size_bytes, batch, realtime=rare
                )
                samples = checks.sent_only(ends.run(schedule, back=False, until=until))
                counters = net.link("h1", "h2").counters().up
                sent = len(samples.sent_ns)
                if counters.unasked_packets or counters.in_packets != sent:
                    raise MeasurementError(
                        f"of {sent} frames, {counters.in_packets} came to the wire, "
                        f"which lost {counters.unasked_packets}"
                    )
                return samples, decisions[0]

            yield send


def _many_links() -> float:
    """Cores that the wires' process takes while so many links carry 1000 frames/s each."""
    topo = Topo()
    before = topo.addHost("h1")
    for number in range(1, _LINKS):
        switch = topo.addSwitch(f"s{number}")
        topo.addLink(before, switch, delay="1ms")
        before = switch
    topo.addLink(before, topo.addHost("h2"), delay="1ms")
    with Network(topo) as net, low_wakeup_latency():
        pid = next(lab.wires["pid"] for lab in list_labs() if lab.id == net.id)
        spec = ProbeSpec(_SLOW_PPS, 3.0, mechanism="kernel", record=False)
        before_ns = process_cpu_ns(pid)
        result = run_probe(net["h1"], net["h2"], spec)
        return (process_cpu_ns(pid) - before_ns) / result.elapsed_ns


def _capacity_pps() -> float:
    best = 0.0
    with Network(_pair(delay="1ms")) as net:
        for rate_pps in _CAPACITIES_PPS:
            spec = ProbeSpec(rate_pps, 1.0, mechanism="kernel", record=False)
            result = run_probe(net["h1"], net["h2"], spec)
            if result.sent - result.received > _CARRIED_LOSS * result.sent:
                break
            best = max(best, result.received_pps)
    return best


def _rate_error(megabits: int) -> float:
    asked_bps, size_bytes = 1e6 * megabits, 1514
    pps = 1.2 * asked_bps / (8 * (size_bytes + 24))
    with _link(size_bytes, rate=f"{megabits}mbit", queue="20p") as send:
        samples, _ = send(pps, max(100, int(0.7 * pps)))
    rate_bps = checks.rate_bps_of(samples.first_ns[samples.first_ns != 0], 8 * (size_bytes + 24))
    if rate_bps is None:
        raise MeasurementError("too few frames arrived")
    return 100 * abs(rate_bps / asked_bps - 1)


def _jitter_failures(distribution: str, seed: int) -> float:
    options: dict[str, Any] = {
        "delay": "20ms",
        "jitter": "2ms",
        "distribution": distribution,
        "keep_order": False,
    }
    with _link(seed=seed, **options) as send:
        samples, decisions = send(_CHANCE_PPS, _CHANCES)
    other = _link_spec(seed + 1000, options)
    arrivals = np.arange(1, _REFERENCE + 1, dtype=np.uint64)
    reference = (Stream(other).decide(arrivals, LEAST_BYTES).due_ns - arrivals).astype(np.float64)
    return _failures(checks.jitter_checks(samples, reference, decisions))


def _failures(found: list[Check]) -> float:
    return float(sum(check.verdict != "pass" for check in found))
