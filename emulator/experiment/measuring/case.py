"""One round of one case: a network is started, measured and taken down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.errors import MeasurementError
from emulator.experiment.measuring.context import CaseContext, Recorder
from emulator.experiment.measuring.effort import START, TOOLS
from emulator.experiment.measuring.path import MeasuredPath
from emulator.experiment.measuring.tools import measure_tools
from emulator.experiment.records import ContainerRecord, VnfRecord
from emulator.measure.resources_csv import resource_rows
from emulator.network import Network
from emulator.node import Node
from emulator.wire.words import link_text

if TYPE_CHECKING:
    from emulator.experiment.bundle import BundleWriter
    from emulator.experiment.prepare import PreparedCase
    from emulator.experiment.spec import BenchSpec, Measurement

_READINESS_RATE_PPS, _READINESS_S = 1000.0, 0.01
_WARM_UP_S = 0.2


def measure_case(
    ready: PreparedCase,
    round_number: int,
    spec: BenchSpec,
    bundle: BundleWriter,
    recorder: Recorder,
) -> None:
    """Start the network, make all measurements, and take it down.

    What was measured is kept after every trial.

    Raises:
        BuildVnfError: the case cannot be measured.
        ResultsError: what was measured cannot be written.
    """
    name = ready.case.name

    def starting(stage: str, done: int, total: int) -> None:
        recorder.detail(name, f"starting the network: {stage} {done}/{total}")

    recorder.begin(START)
    with ExitStack() as stack:
        if ready.network is not None:
            network = ready.network
        else:
            network = Network(ready.topo, catalog=ready.catalog, progress=starting)
            recorder.tell(name, "starting the network")
            stack.enter_context(network.start(schedule=False))
            for note in network.notes:
                recorder.note(name, note)
        path = MeasuredPath(network, network[ready.source], network[ready.destination])
        context = CaseContext(
            name=name,
            round=round_number,
            rounds=spec.repeat,
            traffic=ready.case.traffic,
            spec=spec,
            path=path,
            bundle=bundle,
            recorder=recorder,
        )
        if context.record.plan is None:
            _describe(context)
        context.tell("waiting until the path carries packets")
        path.await_packets(context.probe_spec(_READINESS_RATE_PPS, _READINESS_S, record=False))
        context.tell("warming up")
        path.probe(context.probe_spec(context.traffic.rate_pps, _WARM_UP_S, record=False))
        _idle(context)
        # That of a lab which ran already is under way, or over.
        if network.plan.schedule and ready.network is None:
            network.run_schedule()
        failed: list[MeasurementError] = []
        for kind, measure in _measures().items():
            if spec.measures(kind):
                recorder.begin(kind)
                path.readings.clear()
                try:
                    measure(context)
                except MeasurementError as error:
                    # What needs no result of this one can be measured all the same.
                    failed.append(error)
                recorder.add_resources(
                    resource_rows(
                        reading, case=name, round=round_number, measurement=kind, trial=number
                    )
                    for number, reading in enumerate(path.readings, 1)
                )
        recorder.begin(TOOLS)
        measure_tools(context)
        if failed:
            raise failed[0]
        context.keep(containers=_container_records(network, used=True))


def _measures() -> dict[Measurement, Callable[[CaseContext], None]]:
    """In the order in which they are made."""
    from emulator.experiment.measuring.back_to_back import measure_back_to_back
    from emulator.experiment.measuring.cost import measure_cost
    from emulator.experiment.measuring.latency import measure_latency
    from emulator.experiment.measuring.loaded import measure_loaded_latency
    from emulator.experiment.measuring.sla import measure_sla
    from emulator.experiment.measuring.soak import measure_soak
    from emulator.experiment.measuring.throughput import measure_throughput

    return {
        "latency": measure_latency,
        "throughput": measure_throughput,
        "loaded-latency": measure_loaded_latency,
        "back-to-back": measure_back_to_back,
        "sla": measure_sla,
        "soak": measure_soak,
        "cost": measure_cost,
    }


def _describe(context: CaseContext) -> None:
    network = context.path.network
    context.keep(
        plan=context.bundle.write_plan(context.name, network.plan),
        vnfs=tuple(_vnf_record(node) for node in context.path.vnfs),
        impaired_links={
            link.id: link_text(link) for link in network.links if link.mechanism != "none"
        },
        containers=_container_records(network),
    )


def _idle(context: CaseContext) -> None:
    path, known = context.path, context.record.vnfs
    if not path.processes or any(vnf.idle_cpu_ratio is not None for vnf in known):
        return
    context.tell("measuring idle CPU")
    ratios = path.idle_cpu_ratios()
    context.keep(
        vnfs=tuple(vnf.model_copy(update={"idle_cpu_ratio": ratios.get(vnf.node)}) for vnf in known)
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
