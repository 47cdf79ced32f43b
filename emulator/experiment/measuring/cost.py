"""Cost: the CPU time of the whole path per packet, at full load."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from emulator.experiment.measured import CostRecord
from emulator.experiment.measuring.gate import gated
from emulator.measure.cost import cost_of

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext

_COST_S = 0.5


def measure_cost(context: CaseContext) -> None:
    """Measure at full load; what a first round has found stays.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    if context.record.cost is not None:
        return
    probe = context.probe_spec(None, _COST_S, record=False)
    measured = context.best_of("measuring cost at full load", lambda: gated(context, probe))
    result, path = measured.result, context.path
    vnf_cpu_ns = {name: result.process_cpu_ns[pid] for name, pid in path.processes.items()}
    cost = {**asdict(cost_of(result)), "vnf_cpu_ns": vnf_cpu_ns, "valid": measured.valid}
    context.keep(cost=CostRecord(**cost, resources=measured.resources))
