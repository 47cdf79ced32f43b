"""Everything about a run that can be found wrong before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import Problem, TopologyError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.experiment.cases import Case
    from emulator.network import Network
    from emulator.plan.model import Plan
    from emulator.topo import Topo


@dataclass(frozen=True)
class PreparedCase:
    """A case whose topology is loaded and free of mistakes."""

    case: Case
    topo: Topo
    catalog: Catalog
    plan: Plan
    source: str
    destination: str
    network: Network | None = None
    """A lab that runs, to be measured as it is; None: one of its own for each round."""


RUNNING = "running lab "
"""What stands before the id of a lab that ran already, where a specification names a topology."""


def prepare_running(
    network: Network, cases: Sequence[Case], *, source: str | None, destination: str | None
) -> dict[str, PreparedCase]:
    """The cases of a lab that runs; by their names.

    Raises:
        UsageError: an end of the path does not exist.
    """
    from emulator.catalog import Catalog

    first, last = ends_of(network.plan, source, destination)
    catalog = Catalog.load()
    return {
        case.name: PreparedCase(case, network.topo, catalog, network.plan, first, last, network)
        for case in cases
    }


def prepare(
    target: str,
    cases: Sequence[Case],
    *,
    source: str | None,
    destination: str | None,
    schedule: Path | None = None,
) -> dict[str, PreparedCase]:
    """Load and compile the topology of every case; by the cases' names.

    Args:
        target: ``FILE[:NAME]``, or a built-in topology such as ``linear,4``.
        cases: what to prepare.
        source: the node that sends; the first host when None.
        destination: the node that receives; the last host when None.
        schedule: a file with a schedule of the links, beside what the topology has itself.

    Raises:
        UsageError: the target, a setting or an end of the path does not exist.
        TopologyError: the mistakes of all cases; one that all of them share is told once.
    """
    from emulator.plan.compile import compile_plan
    from emulator.topofile import load_topology

    if target.startswith(RUNNING):
        raise UsageError(
            "it was measured in a lab that ran already, and cannot be started again from here",
            where=target,
            hint="measure in the shell of such a lab once more, by bench",
        )
    catalog = catalog_for(target)
    prepared: dict[str, PreparedCase] = {}
    mistakes: dict[Problem, list[str]] = {}
    for case in cases:
        topo = load_topology(target, case.settings)
        if schedule is not None:
            topo.addSchedule(schedule)
        try:
            plan = compile_plan(topo, catalog=catalog)
        except TopologyError as error:
            for problem in error.problems:
                mistakes.setdefault(problem, []).append(case.name)
            continue
        first, last = ends_of(plan, source, destination)
        prepared[case.name] = PreparedCase(case, topo, catalog, plan, first, last)
    if mistakes:
        raise TopologyError(
            [_of_cases(problem, names, len(cases)) for problem, names in mistakes.items()],
            where=target,
        )
    return prepared


def catalog_for(target: str) -> Catalog:
    """The VNFs that are shipped, and those in a folder ``vnfs`` beside the topology's file.

    For a built-in topology it is the one in the working folder.
    """
    from emulator.catalog import Catalog

    file = Path(target.partition(":")[0])
    return Catalog.load([(file.parent if file.is_file() else Path()) / "vnfs"])


def ends_of(plan: Plan, source: str | None, destination: str | None) -> tuple[str, str]:
    """The nodes between which to measure: those asked for, or the first and the last host.

    Raises:
        UsageError: a node does not exist or has no address, or there are not two of them.
    """
    hosts = [host.name for host in plan.hosts()]
    if source is None:
        source = next((host for host in hosts if host != destination), None)
    if destination is None:
        destination = next((host for host in reversed(hosts) if host != source), None)
    if source is None or destination is None:
        raise UsageError(
            "measuring takes two hosts",
            where=plan.name,
            hint="add another with addHost, or name the ends with --from and --to",
        )
    for option, name in (("--from", source), ("--to", destination)):
        check_end(plan, name, option)
    return source, destination


def check_end(plan: Plan, name: str, option: str) -> None:
    """Check that a node can be an end of the path.

    Args:
        option: what named it.

    Raises:
        UsageError: it does not exist, or has no address.
    """
    node = plan.node(name)
    if node.kind not in ("host", "router") or plan.address_of(node.name) is None:
        lacks = "no address" if node.kind in ("host", "router") else "no traffic of its own"
        raise UsageError(
            f"{node.name} is a {node.kind} with {lacks}",
            where=f"{option} {node.name}",
            hint="choose one of "
            + ", ".join(host.name for host in plan.hosts() if plan.address_of(host.name)),
        )


def _of_cases(problem: Problem, names: Sequence[str], total: int) -> Problem:
    if len(names) == total:
        return problem
    return Problem(f"{' and '.join(names)}: {problem.where}", problem.message, problem.hint)
