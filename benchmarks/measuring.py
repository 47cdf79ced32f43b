"""The measuring itself: what the bench can do, how well searches agree, how long it takes."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.commands import vnf
from benchmarks.live_frames import LiveFrames, live_frames
from benchmarks.model import Row, Series, Target
from benchmarks.probe import arrival_rate_pps
from benchmarks.session import ROOT, Session, user_environment
from benchmarks.yardstick import Yardstick
from emulator import Topo
from emulator.errors import MeasurementError
from emulator.experiment.bench import run_bench
from emulator.experiment.measured_throughput import BenchLimitsRecord, SearchRecord
from emulator.experiment.measuring.limits import bench_limits
from emulator.experiment.spec import BenchSpec
from emulator.kernel.parent import ending_with_us
from emulator.measure.hop_split import HopSplit
from emulator.measure.hop_taps import probe_hops, telemetry_cost
from emulator.measure.latency import percentile_ns
from emulator.measure.search import repeatability
from emulator.network import Network
from emulator.node import Node
from emulator.topofile import load_topology
from emulator.traffic.native import udp_frame
from emulator.traffic.probe import ProbeSpec, run_probe

_CHAIN = str(ROOT / "topologies" / "chain.py")
_FRAMES = "64"
_FRAME_BYTES = 60
"""The same without their frame check sequence, as a veth carries it."""
_LIVE_PACKETS = 8_000_000
_LATENCY_RATE_PPS, _LATENCY_S = 10_000.0, 1.0
_NEAR = 0.9
_QUICK_PER_ROUND = 2
_SPREADS = {"quick": 10.0, "csit-pdr": 5.0}
_HOP_RATE_PPS, _HOP_S = 2_000.0, 2.0
_PLANTED_MS = 1
_PLANES = ("kernel", "xdp", "packet", "afxdp", "dpdk")
_MOST_S = 300


def bench_ceiling(session: Session) -> list[Row]:
    """The bench's own ceiling and floor beside bare live frames and the probe alone."""
    spec = BenchSpec(_CHAIN)
    limits: list[BenchLimitsRecord] = []
    bare: list[float] = []
    alone: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="vnf-limits-") as folder,
        Network(load_topology("chain", {"dataplane": "none"})) as net,
    ):
        client, server = net["client"], net["server"]
        for number in session.rounds():
            session.step(number, "bare live frames")
            with live_frames(client, server, _frame(client, server)) as link:
                bare.append(_rate_pps(link, server) / 1e6)
            session.step(number, "the probe alone")
            alone.append(_p50_us(client, server))
            session.step(number, "the bench itself")
            limits.append(
                bench_limits(
                    spec,
                    _FRAMES,
                    partial(session.step, number),
                    # A file of its own, so that each round is measured.
                    cache=Path(folder) / str(number),
                )
            )
    _note_disturbed(session, [each.valid for each in limits], "measurements of the bench")
    session.note(
        "bare live frames: packets counted by the receiving interface; delays at "
        f"{_LATENCY_RATE_PPS:,.0f} packets/s"
    )
    return [
        Row(
            "ceiling on a direct link",
            "Mpps",
            Series.of([(each.ceiling_pps or 0.0) / 1e6 for each in limits]),
            Series.of(bare),
            "bare live frames",
            Target(at_least=5, ratio=_NEAR),
            more_is_better=True,
        ),
        Row(
            "floor on a direct link: one-way p50",
            "µs",
            Series.of([_known_us(each.floor_p50_ns) for each in limits]),
            Series.of(alone),
            "the probe alone",
            Target(at_most=1, ratio=_NEAR),
        ),
    ]


def ndr_spread(session: Session) -> list[Row]:
    """How far repeated throughput searches of forward on XDP are apart, each on a new network."""
    found: dict[str, list[SearchRecord]] = {goal: [] for goal in _SPREADS}
    yardsticks = {goal: Yardstick() for goal in _SPREADS}
    goals = [*["quick"] * _QUICK_PER_ROUND, "csit-pdr"]
    for number in session.rounds():
        for goal in goals:
            session.step(number, f"search by {goal}")
            with yardsticks[goal].window():
                found[goal].append(_search(goal))
    session.note(f"{_QUICK_PER_ROUND} searches by quick in each round and one by csit-pdr")
    session.note(
        "the machine itself: a fixed computation just before and after each search; what that "
        "varies by, a search varies by too"
    )
    rows = []
    for goal, searches in found.items():
        _note_disturbed(session, [each.valid for each in searches], f"searches by {goal}")
        settled = sum(each.converged for each in searches)
        if settled < len(searches):
            session.note(f"{len(searches) - settled} searches by {goal} did not settle")
        rates = [each.rate_pps for each in searches if each.rate_pps is not None]
        rows.append(Row(f"{goal}: packets per second", "Mpps", Series.of([r / 1e6 for r in rates])))
        if len(rates) > 1:
            spread = Series.of([_spread(rates)])
            target = Target(at_most=_SPREADS[goal])
            what = f"{goal}: largest less smallest of {len(rates)}, of the median"
            rows.append(Row(what, "%", spread, target=target))
            rows += [
                Row(f"the machine itself, {name}: the same", "%", Series.of([_spread(seconds)]))
                for name, seconds in yardsticks[goal].windows.items()
            ]
    return rows


def hop_sum(session: Session) -> list[Row]:
    """The one-way delay split by hops, with a wire of 1 ms planted in the middle."""
    errors: list[float] = []
    split_share: list[float] = []
    planted: list[float] = []
    elsewhere: list[float] = []
    with_it: list[float] = []
    without: list[float] = []
    probe = ProbeSpec(_HOP_RATE_PPS, _HOP_S)
    with Network(_Line(delay=f"{_PLANTED_MS}ms")) as delayed, Network(_Line()) as bare:
        for number in session.rounds():
            session.step(number, "hops")
            split = probe_hops(delayed, "client", "server", probe).split
            errors.append(split.worst_sum_error_ns / 1e3)
            split_share.append(100 * split.packets / max(1, split.received))
            in_wire_us, rest_us = _in_wire(split)
            planted.append(in_wire_us)
            elsewhere.append(rest_us)
            session.step(number, "what telemetry costs")
            cost = telemetry_cost(bare, "client", "server", probe, rounds=1, fastest_s=None)
            with_it.append(_known_us(cost.p50_with_ns))
            without.append(_known_us(cost.p50_without_ns))
    session.note(
        f"client, forward on XDP, a wire of {_PLANTED_MS} ms, forward on XDP, server; "
        "what telemetry costs: the same without the wire"
    )
    return [
        Row(
            "sum of hops less the delay, worst",
            "µs",
            Series.of(errors),
            target=Target(at_most=1),
        ),
        Row("packets that could be split", "%", Series.of(split_share), target=Target(at_least=99)),
        Row(
            f"p50 of the hop with {_PLANTED_MS} ms planted",
            "µs",
            Series.of(planted),
            target=Target(at_least=1000 * _PLANTED_MS, at_most=1100 * _PLANTED_MS),
        ),
        Row(
            "p50 of all other hops, added up", "µs", Series.of(elsewhere), target=Target(at_most=50)
        ),
        Row(
            "one-way p50 with telemetry",
            "µs",
            Series.of(with_it),
            Series.of(without),
            "without",
        ),
    ]


def planes_time(session: Session) -> list[Row]:
    """vnf bench of the chain on five data planes, with the goal quick, as a user runs it."""
    took: list[float] = []
    settled: list[float] = []
    command = vnf("bench", _CHAIN, "--vary", f"dataplane={','.join(_PLANES)}", "--json")
    for number in session.rounds():
        session.step(number, "vnf bench")
        with tempfile.TemporaryDirectory(prefix="vnf-planes-", dir="/var/tmp") as folder:
            began = time.perf_counter()
            summary = _printed([*command, "--goal", "quick", "--output", folder])
            took.append(time.perf_counter() - began)
        searches = [
            search
            for case in summary["cases"]
            for throughput in case["throughputs"]
            for search in throughput["searches"]
        ]
        settled.append(sum(search["converged"] for search in searches))
        _note_disturbed(session, [search["valid"] for search in searches], "searches")
    return [
        Row(f"{len(_PLANES)} data planes", "s", Series.of(took), target=Target(at_most=_MOST_S)),
        Row(f"searches that settled, of {len(_PLANES)}", "", Series.of(settled)),
    ]


class _Line(Topo):
    """client – forward – forward – server, with a delay between the two VNFs if asked for."""

    def build(self, delay: str | None = None) -> None:
        client, server = self.addHost("client"), self.addHost("server")
        one, two = (self.addVNF(f"vnf{n}", "forward", dataplane="xdp") for n in (1, 2))
        self.addLink(client, one)
        self.addLink(one, two, delay=delay)
        self.addLink(two, server)


def _frame(client: Node, server: Node) -> bytes:
    source, destination = client.IP(), server.IP()
    source_mac, destination_mac = client.MAC(), server.MAC()
    assert source is not None
    assert destination is not None
    assert source_mac is not None
    assert destination_mac is not None
    return udp_frame(
        source_mac=source_mac,
        destination_mac=destination_mac,
        source=source,
        destination=destination,
        flow=0,
        size_bytes=_FRAME_BYTES,
    )


def _rate_pps(link: LiveFrames, server: Node) -> float:
    return arrival_rate_pps(server, lambda: link.send(_LIVE_PACKETS))


def _p50_us(client: Node, server: Node) -> float:
    result = run_probe(client, server, ProbeSpec(_LATENCY_RATE_PPS, _LATENCY_S))
    return _known_us(percentile_ns(result.latency_ns(), 0.5))


def _known_us(value_ns: int | None) -> float:
    if value_ns is None:
        raise MeasurementError("too few packets arrived for a median")
    return value_ns / 1e3


def _search(goal: str) -> SearchRecord:
    with tempfile.TemporaryDirectory(prefix="vnf-spread-", dir="/var/tmp") as folder:
        result = run_bench(
            BenchSpec(
                _CHAIN,
                settings={"dataplane": "xdp"},
                measurements=("throughput",),
                goals=(goal,),
                output=Path(folder),
            )
        )
    for case in result.failed:
        raise MeasurementError(case.error or "the case failed", where=case.name)
    return result.summary.cases[0].throughputs[0].searches[0]


def _spread(values: Sequence[float]) -> float:
    """Largest less smallest, in percent of the median."""
    return 100 * repeatability(values)


def _in_wire(split: HopSplit) -> tuple[float, float]:
    """The p50 of the link between the VNFs, and those of all other hops added up, in µs."""
    wire: list[float] = []
    rest: list[float] = []
    for segment in split.summary():
        ours = segment.kind == "link" and segment.name.startswith("vnf1 → vnf2")
        (wire if ours else rest).append(_known_us(segment.p50_ns))
    return sum(wire), sum(rest)


def _printed(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(
        ending_with_us(command, signal.SIGKILL),
        env=user_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(f"it ended with code {done.returncode}: {said}", where="vnf bench")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _note_disturbed(session: Session, valid: Sequence[bool], what: str) -> None:
    disturbed = sum(not each for each in valid)
    if disturbed:
        session.note(f"{disturbed} of {len(valid)} {what} were disturbed by the machine's work")
