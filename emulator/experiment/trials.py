"""The measurements of one case, in the order they are made, on a network of its own."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Protocol

from emulator.errors import LabError, MeasurementError
from emulator.experiment.bench import MAX_SEARCH_TRIALS, BenchSpec
from emulator.experiment.bundle import BundleWriter
from emulator.experiment.prepare import PreparedCase
from emulator.experiment.records import (
    ContainerRecord,
    CostRecord,
    LatencyRecord,
    SearchTrialRecord,
    ThroughputRecord,
    TrialRecord,
    VnfRecord,
)
from emulator.experiment.samples import columns_of
from emulator.experiment.wires import WireTrouble, WireWatch
from emulator.measure.cost import cost_of
from emulator.measure.latency import summarise
from emulator.measure.throughput import ThroughputResult, Trial, search_throughput
from emulator.network import Network
from emulator.node import Node
from emulator.traffic.machine import process_cpu_ns
from emulator.traffic.probe import ProbeResult, ProbeSpec, run_probe
from emulator.wire.words import link_text

_READY_WITHIN_S = 10.0
# A bridge that runs the spanning tree protocol listens and learns for 15 s each (IEEE 802.1D-1998,
# table 8-3) before it forwards.
_READY_WITHIN_STP_S = 45.0
_READINESS_RATE_PPS, _READINESS_S = 1000.0, 0.01
_WARM_UP_S = 0.2
_IDLE_S = 0.5
_ATTEMPTS = 3
_MAX_DISTURBED_RATIO = 0.01
"""Of a latency trial: with more than one packet in a hundred unsent, overrun or released late by
what impairs links, or the generator kept waiting for more than a hundredth of the time, the 99th
percentile tells of the machine's other work."""
_MAX_WAIT_RATIO = 0.05
"""Rates and costs are off by about as much as the generator was kept from running: no more than the
noise between two runs anyway."""


class Recorder(Protocol):
    """Where a case tells what it does and leaves what it measured."""

    def tell(self, case: str, step: str) -> None:
        """Report the step that begins."""
        ...

    def detail(self, case: str, step: str) -> None:
        """Report how far the step has come that goes on."""
        ...

    def keep(self, case: str, **measured: object) -> None:
        """Add fields to the record of a case, and write the summary."""
        ...


class _Path:
    """The way that is measured, with the VNFs on it."""

    def __init__(self, network: Network, source: Node, destination: Node) -> None:
        self.source = source
        self.destination = destination
        self._vnfs = network.vnfs
        self._wires = WireWatch(network)
        self.wire_trouble = WireTrouble()
        """Of the last trial."""
        pids = {node.name: node.vnf.pid for node in self._vnfs if node.vnf is not None}
        self.processes = {name: pid for name, pid in pids.items() if pid is not None}

    def probe(self, spec: ProbeSpec) -> ProbeResult:
        """One trial, on a path that is whole before and after it.

        Raises:
            LabError: a VNF has died, or what impairs links.
            MeasurementError: the probe failed.
        """
        processes = self.processes.values()
        self._wires.begin()
        try:
            result = run_probe(self.source, self.destination, spec, processes=processes)
        except MeasurementError:
            self._check_vnfs()
            self._wires.trouble()
            raise
        self._check_vnfs()
        self.wire_trouble = self._wires.trouble()
        return result

    def vnf_records(self) -> tuple[VnfRecord, ...]:
        """What each VNF is and how it runs."""
        return tuple(_vnf_record(node) for node in self._vnfs)

    def idle_cpu_ratios(self) -> dict[str, float]:
        """The share of a core that each VNF's process takes while no packet comes."""
        before = {name: process_cpu_ns(pid) for name, pid in self.processes.items()}
        started_ns = time.monotonic_ns()
        time.sleep(_IDLE_S)
        elapsed_ns = time.monotonic_ns() - started_ns
        return {
            name: (process_cpu_ns(pid) - before[name]) / elapsed_ns
            for name, pid in self.processes.items()
        }

    def _check_vnfs(self) -> None:
        for node in self._vnfs:
            failure = node.failure
            if failure is not None:
                raise LabError(failure, where=node.name)


class CaseMeasurement:
    """Measures one case; :meth:`run` does it all."""

    def __init__(
        self, ready: PreparedCase, spec: BenchSpec, bundle: BundleWriter, recorder: Recorder
    ) -> None:
        self._ready = ready
        self._name = ready.case.name
        self._spec = spec
        self._bundle = bundle
        self._recorder = recorder
        self._trials: tuple[TrialRecord, ...] = ()

    def run(self) -> None:
        """Start the network, measure latency, throughput and cost, and take it down.

        What was measured is kept after every trial.

        Raises:
            BuildVnfError: the case cannot be measured.
            ResultsError: what was measured cannot be written.
        """
        spec = self._spec
        self._tell("starting the network")
        network = Network(self._ready.topo, catalog=self._ready.catalog, progress=self._starting)
        with network.start(schedule=False):
            ends = network[self._ready.source], network[self._ready.destination]
            path = _Path(network, *ends)
            self._recorder.keep(
                self._name,
                plan=self._bundle.write_plan(self._name, network.plan),
                vnfs=path.vnf_records(),
                impaired_links={
                    link.id: link_text(link) for link in network.links if link.mechanism != "none"
                },
                containers=_container_records(network),
            )
            self._tell("waiting until the path carries packets")
            _await_path(path, spec, stp=any(n.stp for n in network.plan.switches()))
            self._tell("warming up")
            path.probe(spec.probe(spec.rate_pps, _WARM_UP_S, record=False))
            self._idle(path)
            if network.plan.schedule:
                network.run_schedule()
            for round_number in range(1, spec.repeat + 1):
                self._latency(path, round_number)
            self._throughput(path)
            self._cost(path)
            self._recorder.keep(self._name, containers=_container_records(network, used=True))

    def _tell(self, step: str) -> None:
        self._recorder.tell(self._name, step)

    def _starting(self, stage: str, done: int, total: int) -> None:
        self._recorder.detail(self._name, f"starting the network: {stage} {done}/{total}")

    def _idle(self, path: _Path) -> None:
        if not path.processes:
            return
        self._tell("measuring idle CPU")
        ratios = path.idle_cpu_ratios()
        records = (
            record.model_copy(update={"idle_cpu_ratio": ratios.get(record.node)})
            for record in path.vnf_records()
        )
        self._recorder.keep(self._name, vnfs=tuple(records))

    def _latency(self, path: _Path, round_number: int) -> None:
        """Measure until the generator keeps to its schedule, within reason."""
        of = f" {round_number}/{self._spec.repeat}" if self._spec.repeat > 1 else ""
        spec = self._spec.probe(self._spec.rate_pps, self._spec.duration_s, record=True)
        for attempt in range(1, _ATTEMPTS + 1):
            again = f", attempt {attempt}" if attempt > 1 else ""
            self._tell(f"measuring latency{of}{again}")
            result = path.probe(spec)
            if self._keep_trial(result, path.wire_trouble, round_number).valid:
                return

    def _keep_trial(
        self, result: ProbeResult, trouble: WireTrouble, round_number: int
    ) -> TrialRecord:
        """Write the samples and keep the numbers, these also when the samples find no room."""
        number = len(self._trials) + 1
        samples = None
        try:
            samples = self._bundle.write_samples(
                self._name, number, columns_of(result), _about(result)
            )
        finally:
            record = _trial_record(result, trouble, number, round_number, samples)
            self._trials += (record,)
            self._recorder.keep(self._name, trials=self._trials)
        return record

    def _throughput(self, path: _Path) -> None:
        undisturbed, wires_lost = True, False

        def measure(rate_pps: float | None) -> Trial:
            nonlocal undisturbed, wires_lost
            load = "at full load" if rate_pps is None else f"at {rate_pps / 1e6:.3g} Mpps"
            self._tell(f"searching throughput, {load}")
            result, alone = self._loaded(path, rate_pps)
            undisturbed &= alone
            wires_lost |= bool(path.wire_trouble.unasked)
            return Trial.of(result)

        found = search_throughput(
            measure, loss_goal=self._spec.loss_goal, max_trials=MAX_SEARCH_TRIALS
        )
        record = _throughput_record(found, self._spec.frame_size_bytes, valid=undisturbed)
        record = record.model_copy(update={"wire_limited": wires_lost})
        self._recorder.keep(self._name, throughput=record)

    def _cost(self, path: _Path) -> None:
        self._tell("measuring cost at full load")
        result, undisturbed = self._loaded(path, None)
        vnf_cpu_ns = {name: result.process_cpu_ns[pid] for name, pid in path.processes.items()}
        cost = {**asdict(cost_of(result)), "vnf_cpu_ns": vnf_cpu_ns, "valid": undisturbed}
        self._recorder.keep(self._name, cost=CostRecord(**cost))

    def _loaded(self, path: _Path, rate_pps: float | None) -> tuple[ProbeResult, bool]:
        """A trial without records and whether the generator was left alone; the best of a few."""
        spec = self._spec.probe(rate_pps, self._spec.search_duration_s, record=False)
        results: list[ProbeResult] = []
        for _ in range(_ATTEMPTS):
            results.append(path.probe(spec))
            if _wait_ratio(results[-1]) <= _MAX_WAIT_RATIO:
                return results[-1], True
        return min(results, key=_wait_ratio), False


def _await_path(path: _Path, spec: BenchSpec, *, stp: bool) -> None:
    """Send a few packets again and again until some arrive.

    Raises:
        LabError: a VNF has died.
        MeasurementError: the path carries nothing.
    """
    within_s = _READY_WITHIN_STP_S if stp else _READY_WITHIN_S
    deadline_s = time.monotonic() + within_s
    probe = spec.probe(_READINESS_RATE_PPS, _READINESS_S, record=False)
    while True:
        try:
            if path.probe(probe).received:
                return
        except MeasurementError:
            if time.monotonic() > deadline_s:
                raise
        if time.monotonic() > deadline_s:
            raise MeasurementError(
                f"nothing that {path.source.name} sent has arrived at {path.destination.name} "
                f"within {within_s:.0f} s",
                where=f"{path.source.name} → {path.destination.name}",
                hint="is there a VNF on the way that drops everything, or a link that is down",
            )


def _vnf_record(node: Node) -> VnfRecord:
    stats = node.vnf_stats()
    return VnfRecord(
        node=stats.node,
        vnf=stats.vnf,
        dataplane=stats.dataplane,
        mode=stats.mode,
        parameters=dict(stats.parameters),
        runtime=node.plan.runtime,
        idle=stats.idle,
        cores=stats.cores,
        driver=stats.driver,
    )


def _container_records(network: Network, *, used: bool = False) -> tuple[ContainerRecord, ...]:
    """What encloses each node that is in a container, and if asked for, what it has used."""
    records = []
    for node in network.nodes:
        container, plan = node.container, node.plan.container
        if container is None or plan is None:
            continue
        usage = {}
        if used:
            reading = container.cgroup.read()
            usage = {
                "cpu_ns": reading.cpu_ns,
                "throttled_ns": reading.throttled_ns,
                "memory_peak_bytes": reading.memory_peak_bytes,
            }
        records.append(
            ContainerRecord(
                node=node.name,
                image=container.image,
                image_id=container.image_id,
                image_digest=container.image_digest,
                capabilities=plan.capabilities,
                cpus=plan.cpus,
                cpu_shares=plan.cpu_shares,
                cpuset=plan.cpuset,
                memory_bytes=plan.memory_bytes,
                memory_swap_bytes=plan.memory_swap_bytes,
                pids=plan.pids,
                **usage,
            )
        )
    return tuple(records)


def _trial_record(
    result: ProbeResult,
    trouble: WireTrouble,
    number: int,
    round_number: int,
    samples: str | None,
) -> TrialRecord:
    assert result.spec.rate_pps is not None
    record = TrialRecord(
        number=number,
        round=round_number,
        rate_pps=result.spec.rate_pps,
        sent=result.sent,
        unsent=result.unsent,
        received=result.received,
        lost=result.lost,
        duplicated=result.duplicated,
        reordered=result.reordered,
        damaged=result.damaged,
        overrun=result.overrun,
        elapsed_ns=result.elapsed_ns,
        offered_pps=result.offered_pps,
        received_pps=result.received_pps,
        wait_ns=result.wait_ns,
        dma_latency_held=result.dma_latency_held,
        wire_late=trouble.late,
        wire_unasked=trouble.unasked,
        valid=True,
        latency=LatencyRecord(**asdict(summarise(result))),
        samples=samples,
    )
    # A single loss that nobody asked for may be all there is of loss.
    valid = record.disturbed_ratio <= _MAX_DISTURBED_RATIO and not trouble.unasked
    return record.model_copy(update={"valid": valid})


def _wait_ratio(result: ProbeResult) -> float:
    """The share of the time in which something else had the generator's core."""
    return result.wait_ns / result.elapsed_ns


def _throughput_record(
    found: ThroughputResult, frame_size_bytes: int, *, valid: bool
) -> ThroughputRecord:
    return ThroughputRecord(
        rate_pps=found.throughput_pps,
        rate_bps=found.throughput_bps(frame_size_bytes),
        loss_ratio=found.best.loss_ratio if found.best else None,
        loss_goal=found.loss_goal,
        probe_limited=found.best is not None and found.limited_by != "loss",
        converged=found.converged,
        valid=valid,
        warm_up=_search_trial_record(found.warm_up),
        trials=tuple(_search_trial_record(trial) for trial in found.trials),
    )


def _search_trial_record(trial: Trial) -> SearchTrialRecord:
    return SearchTrialRecord(**asdict(trial), received_pps=trial.received_pps)


def _about(result: ProbeResult) -> dict[str, str]:
    """What a file of samples says of itself, should it ever be found alone."""
    return {
        "source": result.source,
        "destination": result.destination,
        "mechanism": result.spec.mechanism,
        "rate_pps": f"{result.spec.rate_pps:.12g}",
        "frame_size_bytes": str(result.spec.frame_size_bytes),
        "clock": "CLOCK_MONOTONIC",
    }
