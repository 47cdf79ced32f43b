"""The bench: every case of an experiment on networks of its own, measured, kept and summed up.

Importing this module costs little; what a run needs is imported when it runs.
"""

from __future__ import annotations

import dataclasses
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import ResultsError, UsageError
from emulator.experiment.cases import Unit, expand_cases, random_order
from emulator.experiment.spec import BenchSpec

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle
    from emulator.experiment.certificates import CertificatesRecord
    from emulator.experiment.prepare import PreparedCase
    from emulator.experiment.records import CaseRecord, SummaryRecord
    from emulator.network import Network

_BESIDE_SAMPLES_BYTES = 4 << 20


@dataclass(frozen=True)
class BenchEvent:
    """How far a run has come.

    Attributes:
        case: the case being measured.
        step: what is being done, in a few words.
        completed: what is done of all cases together, in seconds that it was expected to take.
        total: what there is to do.
        record: the whole case once a round of it ended, finished or failed; otherwise None.
        note: what a lab had to say when it started, told once; otherwise None.
    """

    case: str
    step: str
    completed: float
    total: float
    record: CaseRecord | None = None
    note: str | None = None


@dataclass(frozen=True)
class BenchResult:
    """What a run left: its summary, and the folder with everything that it rests on.

    Attributes:
        stopped: the rule of the specification by which not all was measured; None: none did.
        certificates: of its impaired links; None where none is, or they were not measured.
        refused: whether nothing was measured because they are not certified.
    """

    folder: Path
    summary: SummaryRecord
    certificates: CertificatesRecord | None = None
    refused: bool = False
    stopped: str | None = None

    @property
    def failed(self) -> list[CaseRecord]:
        """The cases that failed."""
        return [case for case in self.summary.cases if case.status == "failed"]

    @property
    def violated(self) -> list[CaseRecord]:
        """The cases that were measured and do not keep to a service level, or had an outage."""
        return [case for case in self.summary.cases if case.violated]

    @property
    def exit_code(self) -> int:
        """0 when no case failed and all are known to keep to their service levels, else 1; when
        nothing at all was measured, what the errors say, and 1 when the links are not as they
        should be. A rule to stop is no failure."""
        if self.refused:
            return 1
        if not self.failed:
            undecided = any(case.undecided for case in self.summary.cases)
            return 1 if self.violated or undecided else 0
        codes = {case.error_exit_code for case in self.summary.cases}
        return codes.pop() or 1 if len(codes) == 1 else 1


def partial_result(error: BaseException) -> BenchResult | None:
    """What a run had measured when it ended with ``error``; None when that was nothing."""
    result = error.__dict__.get("bench_result")
    return result if isinstance(result, BenchResult) else None


def run_bench(spec: BenchSpec, on_event: Callable[[BenchEvent], None] | None = None) -> BenchResult:
    """Measure every case and leave a bundle.

    Every topology is loaded and checked before anything is created. A case that fails is recorded
    with its reason and the others go on. When the run is stopped, by Ctrl-C or because results can
    no longer be written, the bundle keeps what was measured, :func:`partial_result` gives it, and
    :func:`resume_bench` goes on with it.

    Args:
        spec: what to measure.
        on_event: told of every step.

    Raises:
        UsageError: the target, a setting or a node does not exist, or a topology has mistakes.
        MachineError: root is missing.
        ResultsError: the results cannot be written.
        KeyboardInterrupt: as it came.
    """
    seed = secrets.randbelow(2**32) if spec.seed is None else spec.seed
    spec = dataclasses.replace(spec, seed=seed)
    order, prepared = _prepared(spec)
    return _measured(spec, order, prepared, on_event)


def _measured(
    spec: BenchSpec,
    order: list[Unit],
    prepared: dict[str, PreparedCase],
    on_event: Callable[[BenchEvent], None] | None,
) -> BenchResult:
    from emulator.experiment.bench_run import Run
    from emulator.experiment.bundle import BundleWriter
    from emulator.experiment.records import RunRecord
    from emulator.experiment.samples import estimated_bytes
    from emulator.kernel.netns import ensure_root
    from emulator.paths import share_dir
    from emulator.revision import source_revision

    assert spec.seed is not None
    ensure_root("measuring")
    about = RunRecord(
        command_line=tuple(sys.argv),
        spec=spec.record(),
        seed=spec.seed,
        order=tuple(dict.fromkeys(unit.case.name for unit in order)),
        started_at=datetime.now(UTC),
        revision=source_revision(share_dir()),
    )
    packets = sum(spec.recorded_packets(unit.case.traffic, unit.round) for unit in order)
    bundle = BundleWriter.create(
        spec.output,
        prepared[order[0].case.name].plan.name,
        started_at=about.started_at,
        needed_bytes=estimated_bytes(packets) + _BESIDE_SAMPLES_BYTES,
    )
    return Run(spec, order, prepared, about, bundle, on_event).measure()


def bench_running(
    network: Network, spec: BenchSpec, on_event: Callable[[BenchEvent], None] | None = None
) -> BenchResult:
    """Measure a lab that runs, as it is, and leave a bundle; the lab goes on.

    Rounds and kinds of traffic follow each other in the same lab. What else it carries meanwhile is
    in the results.

    Args:
        spec: what to measure; its target is to be :func:`running_target`, without any settings.

    Raises:
        UsageError, MachineError, ResultsError, KeyboardInterrupt: as :func:`run_bench`.
    """
    from emulator.experiment.prepare import prepare_running

    if spec.settings or spec.vary or spec.schedule is not None:
        raise UsageError(
            "a lab that runs is measured as it is",
            where=spec.target,
            hint="settings, what varies and a schedule are for vnf bench FILE",
        )
    seed = secrets.randbelow(2**32) if spec.seed is None else spec.seed
    spec = dataclasses.replace(spec, seed=seed)
    cases = expand_cases({}, {}, spec.traffics())
    prepared = prepare_running(network, cases, source=spec.source, destination=spec.destination)
    for ready in prepared.values():
        _check_frames_fit(ready, spec)
    return _measured(spec, random_order(cases, spec.repeat, seed), prepared, on_event)


def running_target(network: Network) -> str:
    """What a specification calls a lab that runs."""
    from emulator.experiment.prepare import RUNNING

    return f"{RUNNING}{network.id}"


def resume_bench(
    folder: Path | str, on_event: Callable[[BenchEvent], None] | None = None
) -> BenchResult:
    """Go on with a run that was stopped, in its bundle; what it has measured is not measured again.

    Raises:
        ResultsError: the bundle is damaged, or of another version.
        UsageError: there is no such bundle, it has come to its end, or a topology is not what it
            was.
    """
    from emulator.experiment.bench_run import Run
    from emulator.experiment.bundle import BundleWriter, load_bundle
    from emulator.kernel.netns import ensure_root

    bundle = load_bundle(folder)
    spec = dataclasses.replace(BenchSpec.from_record(bundle.run.spec), seed=bundle.run.seed)
    order, prepared = _prepared(spec)
    done = {(case.name, number) for case in bundle.summary.cases for number in case.rounds_done}
    left = [unit for unit in order if (unit.case.name, unit.round) not in done]
    # Of one that was stopped after its last trial, only the end is left to be written.
    if not left and bundle.run.outcome in ("finished", "stopped", "failed"):
        raise UsageError(
            "there is nothing left to measure",
            where=str(folder),
            hint="vnf replay measures all of it again, in a bundle of its own",
        )
    _check_unchanged(bundle, prepared)
    ensure_root("measuring")
    plans = {case.name: case.plan for case in bundle.summary.cases if case.plan is not None}
    _check_machine(bundle)
    writer = BundleWriter.reopen(bundle.folder, plans)
    about = bundle.run.model_copy(update={"ended_at": None, "outcome": "running"})
    run = Run(spec, left, prepared, about, writer, on_event)
    run.take_up(bundle)
    return run.measure()


def _prepared(spec: BenchSpec) -> tuple[list[Unit], dict[str, PreparedCase]]:
    from emulator.experiment.prepare import prepare

    assert spec.seed is not None
    cases = expand_cases(spec.settings, spec.vary, spec.traffics())
    prepared = prepare(
        spec.target,
        cases,
        source=spec.source,
        destination=spec.destination,
        schedule=spec.schedule,
    )
    for ready in prepared.values():
        _check_frames_fit(ready, spec)
    return random_order(cases, spec.repeat, spec.seed), prepared


def _check_frames_fit(ready: PreparedCase, spec: BenchSpec) -> None:
    """
    Raises:
        UsageError: what is to be sent is larger than a link of the two ends carries.
    """
    from emulator.experiment.measuring.sla import frame_bytes_of
    from emulator.traffic.probe import ETHERNET_BYTES, FCS_BYTES
    from emulator.traffic.schedule import is_capture

    ends = (ready.plan.node(name) for name in (ready.source, ready.destination))
    mtus = [min(port.mtu for port in end.interfaces) for end in ends if end.interfaces]
    traffic = ready.case.traffic
    option = "--pattern" if is_capture(traffic.frames) else "--size"
    wanted = {option: traffic.frame_mix().largest_bytes}
    for profile in spec.sla_profiles():
        for payload_bytes in profile.payload_bytes:
            wanted[f"profile {profile.name}"] = frame_bytes_of(payload_bytes)
    beside = ETHERNET_BYTES + FCS_BYTES
    for what, frame_bytes in wanted.items():
        if mtus and frame_bytes > min(mtus) + beside:
            raise UsageError(
                f"frames of {frame_bytes} bytes do not fit: the MTU of {min(mtus)} allows "
                f"{min(mtus) + beside}",
                where=f"{what}, {ready.case.name}",
                hint=f"links need mtu={frame_bytes - beside}; in topologies/chain.py it is "
                f"--set mtu={frame_bytes - beside}",
            )


def _check_unchanged(bundle: Bundle, prepared: Mapping[str, PreparedCase]) -> None:
    for case in bundle.summary.cases:
        if case.name not in prepared:
            raise ResultsError(
                f"the case {case.name!r} is none of its specification",
                where=str(bundle.folder),
                hint="it was changed since; measure anew with vnf bench",
            )
        if case.plan is not None and bundle.plan(case.name) != prepared[case.name].plan:
            raise UsageError(
                "the topology is not what it was when the run began",
                where=case.name,
                hint="measure it anew with vnf bench, or bring back the old file",
            )


def _check_machine(bundle: Bundle) -> None:
    """Numbers of two machines do not belong into one bundle."""
    from emulator.experiment.machine import describe_machine

    now = describe_machine()
    for field in ("cpu_model", "cpus_online", "kernel"):
        before, after = getattr(bundle.machine, field), getattr(now, field)
        if before != after:
            raise UsageError(
                f"the run began on another machine: its {field} was {before} and is {after} here",
                where=str(bundle.folder),
                hint="vnf replay measures all of it here, in a bundle of its own",
            )
