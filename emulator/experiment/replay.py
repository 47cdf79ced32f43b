"""Runs what a bundle holds once more, in a bundle of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import ResultsError, UsageError
from emulator.experiment.differences import Difference, plan_differences
from emulator.experiment.spec import BenchSpec

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle


@dataclass(frozen=True)
class Replay:
    """What is to be run again.

    Attributes:
        spec: what to give to :func:`emulator.experiment.bench.run_bench`; the seed is that of the
            first run, so that the order is the same too.
        differences: of the plans as they were and as they are now.
    """

    spec: BenchSpec
    differences: tuple[Difference, ...]


def prepare_replay(
    bundle: Bundle, *, target: str | None = None, output: Path | None = None
) -> Replay:
    """What to run to repeat a bundle, checked; nothing is started.

    Args:
        bundle: what was measured.
        target: the topology, where it is not where it was: ``FILE[:NAME]``.
        output: the folder for the new bundle; that of the old one when None.

    Raises:
        UsageError: the topology is not there any more, or has mistakes.
        ResultsError: the specification or a plan cannot be read.
    """
    from emulator.experiment.cases import expand_cases
    from emulator.experiment.prepare import prepare

    try:
        spec = BenchSpec.from_record(bundle.run.spec)
    except ResultsError as error:
        where = str(bundle.folder / error.where)
        raise ResultsError(error.message, where=where, hint=error.hint) from error
    spec = dataclasses.replace(
        spec,
        target=target or spec.target,
        output=output or bundle.folder.resolve().parent,
        seed=bundle.run.seed,
    )
    _check_target(spec.target, given=target is not None)
    cases = expand_cases(spec.settings, spec.vary, spec.traffics())
    prepared = prepare(
        spec.target,
        cases,
        source=spec.source,
        destination=spec.destination,
        schedule=spec.schedule,
    )
    differences: list[Difference] = []
    for case in bundle.summary.cases:
        if case.plan is not None and case.name in prepared:
            now = prepared[case.name].plan
            differences += plan_differences(case.name, bundle.plan(case.name), now)
    return Replay(spec, tuple(differences))


def tell_differences(tell: Callable[[str], None], replay: Replay, most: int = 8) -> None:
    """Tell what is not as it was, a line each."""
    for each in replay.differences[:most]:
        tell(f"the network is not as it was: {each}")
    if len(replay.differences) > most:
        tell(f"{len(replay.differences) - most} more differences of the network")


def _check_target(target: str, *, given: bool) -> None:
    """A file that is gone is better told of here than as a topology that nobody has heard of."""
    file = target.rpartition(":")[0] if not Path(target).is_file() else target
    path = Path(file or target)
    if path.suffix == ".py" and not path.is_file():
        hint = "check the name" if given else "go to the folder where it was run, or say --topology"
        raise UsageError("the topology's file is not there", where=str(path), hint=hint)
