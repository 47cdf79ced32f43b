"""Cost: the CPU time of the whole path per packet, at full load."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.errors import MachineError
from emulator.experiment.measured import NodeResourcesRecord, ResourcesRecord
from emulator.experiment.measured_throughput import CostRecord, CostTrialRecord
from emulator.experiment.measuring.gate import gated
from emulator.kernel.run_time import bpf_statistics, run_time_between, run_times
from emulator.measure.cost import cost_of

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext

_COST_S = 0.5


def measure_cost(context: CaseContext) -> None:
    """Measure at full load, once in each round.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    known = context.record.cost.trials if context.record.cost else ()
    if any(trial.round == context.round for trial in known):
        return
    probe = context.probe_spec(None, _COST_S, record=False)
    measured = context.best_of("measuring cost at full load", lambda: gated(context.path, probe))
    result, path = measured.result, context.path
    resources = measured.resources
    if not known:
        resources = _with_run_times(context, resources)
    trial = CostTrialRecord(
        round=context.round,
        **asdict(cost_of(result)),
        vnf_cpu_ns={name: result.process_cpu_ns[pid] for name, pid in path.processes.items()},
        valid=measured.valid,
        resources=resources,
        findings=measured.findings,
    )
    context.keep(cost=CostRecord.over((*known, trial)))


def _with_run_times(context: CaseContext, resources: ResourcesRecord) -> ResourcesRecord:
    """With how long XDP programs run, from a pass of its own: counting that slows them down."""
    path = context.path
    programs = {
        node.name: [each.id for each in node.vnf.bpf_ids() if each.kind == "program"]
        for node in path.vnfs
        if node.vnf is not None
    }
    ids = [number for numbers in programs.values() for number in numbers]
    if not ids:
        return resources
    context.tell("measuring how long BPF programs run")
    try:
        with bpf_statistics():
            before = run_times(ids)
            path.probe(context.probe_spec(None, _COST_S, record=False))
            after = run_times(ids)
    except MachineError as error:
        unavailable = {**resources.unavailable, "XDP run time": error.message}
        return resources.model_copy(update={"unavailable": unavailable})
    times = run_time_between(before, after)
    nodes = dict(resources.nodes)
    for name, numbers in programs.items():
        found = [times[number] for number in numbers if number in times]
        update = {
            "xdp_run_time_ns": sum(each.run_time_ns for each in found),
            "xdp_runs": sum(each.runs for each in found),
        }
        if found:
            nodes[name] = nodes.get(name, NodeResourcesRecord()).model_copy(update=update)
    return resources.model_copy(update={"nodes": nodes})
