"""Where the delay of packets comes from: telemetry on a running network.

Taps at every node between two others note when each packet of a probe passes; with the probe's own
stamps that splits the delay of every single packet, see ``emulator.measure.hop_split``. Packets are
not changed by that, and nodes are as before when it is over. It costs a look at the clock at each
point, which :func:`telemetry_cost` measures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from emulator.closing import Closing
from emulator.dataplane.taps import STAMP_BYTES, Passage, StampTable
from emulator.errors import LabError, UsageError
from emulator.measure.hop_split import HopSplit, Point, split_delay
from emulator.measure.hop_way import Stop, Way, find_way

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.network import Network
    from emulator.node import Node
    from emulator.plan.model import NodePlan
    from emulator.traffic.probe import ProbeResult, ProbeSpec

MAX_TABLE_BYTES = 1 << 30


class HopTaps(Closing):
    """Taps on the way between two nodes, for one trial.

    Made by :meth:`attach`::

        with HopTaps.attach(net, "client", "server", spec) as taps:
            result = run_probe(net["client"], net["server"], spec, flow=taps.flow)
            split = taps.split(result)

    Attributes:
        flow: the number that the probe has to give its packets: others are not noted.
        way: the nodes and links that packets pass.
        points: where they are noted, the probe's own stamps included.
    """

    def __init__(self, way: Way, points: Sequence[Point], table: StampTable, held: ExitStack):
        self.flow = table.flow
        self.way = way
        self.points = tuple(points)
        self._table = table
        self._held = held

    @classmethod
    def attach(
        cls,
        network: Network,
        source: str | Node,
        destination: str | Node,
        spec: ProbeSpec,
        *,
        via: Sequence[str] = (),
    ) -> Self:
        """Begin to note packets.

        Args:
            network: one that runs, ours or another process's.
            spec: what will be sent.
            via: nodes on the way, needed where there are several ways.

        Raises:
            UsageError: there is no way, or more than one, or such a trial cannot be split.
            LabError: a VNF on the way does not run.
            MachineError: the machine lacks what it takes.
        """
        ends = [name if isinstance(name, str) else name.name for name in (source, destination)]
        _check(spec)
        way = find_way(network.plan, ends[0], ends[1], via)
        passages = [_passage(network[stop.node], stop) for stop in way.stops]
        inner = [
            Point(each.node.name, moment, _how(each.node))
            for each in passages
            for moment in each.moments
        ]
        table_bytes = STAMP_BYTES * len(inner) * spec.places
        if table_bytes > MAX_TABLE_BYTES:
            raise UsageError(
                f"{spec.places} packets at {len(inner)} points are too many to note",
                where="telemetry",
                hint=f"use a shorter duration or a lower rate: "
                f"{MAX_TABLE_BYTES // STAMP_BYTES // len(inner)} packets at most",
            )
        flow = random.SystemRandom().randrange(1 << 16)
        with ExitStack() as held:
            # With nothing between the two there is nothing to note, but no table is empty.
            table = held.enter_context(StampTable(max(1, len(inner)), spec.places, flow))
            first = 0
            for passage in passages:
                columns = {moment: first + i for i, moment in enumerate(passage.moments)}
                held.enter_context(passage.tap(table, columns))
                first += len(columns)
            receiver = "receiver" if spec.mechanism == "app" else ""
            points = [
                Point(ends[0], "due"),
                Point(ends[0], "sent"),
                *inner,
                Point(ends[1], "received", receiver),
            ]
            return cls(way, points, table, held.pop_all())

    def split(self, result: ProbeResult) -> HopSplit:
        """Split the delays of the trial's packets.

        Raises:
            UsageError: the trial kept no times of packets.
            MeasurementError: it is not the trial that the taps were for.
        """
        intended, sent, received = result.intended_ns, result.sent_ns, result.received_ns
        delay_ns = result.latency_ns()
        assert intended is not None
        assert sent is not None
        assert received is not None
        places = len(received)
        # Two of the points before the taps and one behind them are the probe's.
        noted = self._table.times_ns[: len(self.points) - 3, :places]
        return split_delay(
            self.points,
            [intended, sent, *noted, received],
            delay_ns,
            self.way.nodes,
            [link.mechanism != "none" for link in self.way.links],
        )

    def close(self) -> None:
        """Note nothing any more."""
        self._held.close()


@dataclass(frozen=True)
class HopTrial:
    """A trial with telemetry.

    Attributes:
        result: what the probe has measured.
        split: the delay of its packets, by segments.
    """

    result: ProbeResult
    split: HopSplit


@dataclass(frozen=True)
class TelemetryCost:
    """What telemetry costs, measured in turns without and with it.

    Attributes:
        p50_without_ns, p50_with_ns: median delays, of all rounds together; None where too few
            packets arrived.
        pps_without, pps_with: the most packets per second that arrived in any round, sent as fast
            as possible; None where that was not asked for.
    """

    p50_without_ns: int | None
    p50_with_ns: int | None
    pps_without: float | None
    pps_with: float | None

    def __str__(self) -> str:
        parts = []
        if self.p50_without_ns is not None and self.p50_with_ns is not None:
            more = (self.p50_with_ns - self.p50_without_ns) / 1e3
            parts.append(
                f"p50 {self.p50_without_ns / 1e3:.2f} µs without, "
                f"{self.p50_with_ns / 1e3:.2f} µs with ({more:+.2f} µs)"
            )
        if self.pps_without and self.pps_with is not None:
            less = 100 * (self.pps_with / self.pps_without - 1)
            parts.append(
                f"rate {self.pps_without / 1e3:.0f} kpps without, "
                f"{self.pps_with / 1e3:.0f} kpps with ({less:+.1f} %)"
            )
        return "; ".join(parts) or "not known: too few packets arrived"


def probe_hops(
    network: Network,
    source: str,
    destination: str,
    spec: ProbeSpec,
    *,
    via: Sequence[str] = (),
    processes: Sequence[int] = (),
) -> HopTrial:
    """Make a trial with telemetry; raises what :meth:`HopTaps.attach` and ``run_probe`` do.

    Args:
        via: nodes on the way, needed where there are several ways.
        processes: those whose CPU time shall be told.
    """
    from emulator.traffic.probe import run_probe

    with HopTaps.attach(network, source, destination, spec, via=via) as taps:
        result = run_probe(
            network[source], network[destination], spec, processes=processes, flow=taps.flow
        )
        return HopTrial(result, taps.split(result))


def telemetry_cost(
    network: Network,
    source: str,
    destination: str,
    spec: ProbeSpec,
    *,
    rounds: int = 3,
    fastest_s: float | None = 0.2,
    via: Sequence[str] = (),
) -> TelemetryCost:
    """Measure what telemetry costs on a way, in turns without and with it.

    Args:
        spec: a trial, for the delay.
        rounds: how many turns.
        fastest_s: how long to send frames of 64 bytes as fast as possible in each turn, for the
            rate; None: not at all.
    """
    import numpy as np

    from emulator.measure.latency import percentile_ns
    from emulator.traffic.probe import ProbeSpec, run_probe

    ends = network[source], network[destination]
    fastest = None
    if fastest_s is not None:
        fastest = ProbeSpec(None, fastest_s, mechanism=spec.mechanism, core=spec.core)
    delays: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        delays[0].append(run_probe(*ends, spec).latency_ns())
        trial = probe_hops(network, source, destination, spec, via=via)
        delays[1].append(trial.result.latency_ns())
        if fastest is not None:
            rates[0].append(run_probe(*ends, fastest).received_pps)
            trial = probe_hops(network, source, destination, fastest, via=via)
            rates[1].append(trial.result.received_pps)
    without_ns, with_ns = (percentile_ns(np.concatenate(each), 0.5) for each in delays)
    without_pps, with_pps = (max(each, default=None) for each in rates)
    return TelemetryCost(without_ns, with_ns, without_pps, with_pps)


def _check(spec: ProbeSpec) -> None:
    if spec.round_trip:
        raise UsageError(
            "a round trip cannot be split by hops", where="telemetry", hint="measure one way"
        )
    if not spec.record:
        raise UsageError(
            "without records there is nothing to split", where="telemetry", hint="record packets"
        )


def _passage(node: Node, stop: Stop) -> Passage:
    if node.kind == "vnf" and node.failure is not None:
        raise LabError(node.failure, where=node.name)
    return Passage(node.plan, node.netns, node.vnf, stop.in_port, stop.out_port)


def _how(node: NodePlan) -> str:
    """What a node is, in the names of segments."""
    if node.vnf is not None:
        return node.vnf.dataplane
    if node.kind != "switch":
        return "routing"
    return "bridge" if node.switch is None else node.switch.kind
