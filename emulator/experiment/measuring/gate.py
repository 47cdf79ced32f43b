"""Trials behind the honesty gate: each one is watched, and what speaks against it is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.experiment.measured import FindingRecord, NodeResourcesRecord, ResourcesRecord
from emulator.experiment.measuring.context import Measured
from emulator.experiment.words import percent, rate
from emulator.measure.honesty import check_trial
from emulator.measure.meter import MeterTargets, ResourceMeter
from emulator.measure.sensors import Sensors
from emulator.traffic.probe_streams import lasted
from emulator.unavailable import Unavailable, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.experiment.measuring.path import MeasuredPath
    from emulator.measure.honesty import Finding
    from emulator.measure.resources import NodeUse, ResourceReading, TotalUse
    from emulator.traffic.probe import ProbeResult, ProbeSpec

_OF_ONE_STREAM = ("generator", "unsent", "overrun")
"""Rules about a stream of its own; the others are about the machine, which both streams share."""


def gated(path: MeasuredPath, probe: ProbeSpec, *, exact: bool = False) -> Measured:
    """One trial, and what the gate says of it.

    Args:
        path: where it is made.
        probe: the trial.
        exact: whether it is about the delay of packets at a rate that is known to pass.

    Raises:
        LabError: a VNF has died, or what impairs links.
        MeasurementError: the probe failed.
    """
    with ResourceMeter(targets=MeterTargets.of_network(path.network)) as meter:
        result = path.probe(probe)
    return judged(path, result, meter.reading(), exact=exact)


def gated_pair(
    path: MeasuredPath, measured: ProbeSpec, background: ProbeSpec
) -> tuple[Measured, Measured]:
    """The same of two streams at once: of the one that is measured, and of the load."""
    with ResourceMeter(targets=MeterTargets.of_network(path.network)) as meter:
        first, second = path.probe_loaded(measured, background)
    reading = meter.reading()
    load = judged(path, second, reading, exact=False)
    found = judged(path, first, reading, exact=True)
    return replace(found, findings=(*found.findings, *_of_load(load, first))), load


def _of_load(load: Measured, measured: ProbeResult) -> Iterator[FindingRecord]:
    """What a reader of the stream that was measured must know of the one beside it."""
    result = load.result
    if not lasted(result, measured):
        text = "the background load was not there all the time"
        yield FindingRecord(rule="background", severity="invalid", text=text)
    lost = percent(result.lost / result.sent) if result.sent else "nothing was sent"
    text = f"{rate(result.offered_pps)} of background load, of which {lost} were lost"
    yield FindingRecord(rule="background", severity="note", text=text)
    for finding in load.findings:
        if finding.rule in _OF_ONE_STREAM:
            # The stream that was measured may be valid beside less load than was meant.
            text = f"of the background load: {finding.text}"
            yield FindingRecord(rule=finding.rule, severity="warn", text=text)


def judged(
    path: MeasuredPath, result: ProbeResult, reading: ResourceReading, *, exact: bool
) -> Measured:
    """A trial with what the gate says of it."""
    trouble = path.wire_trouble
    if reading not in path.readings[-1:]:
        path.readings.append(reading)
    modes = {node.name: node.vnf.mode for node in path.vnfs if node.vnf is not None}
    sensors = Sensors.of_probe(
        result, reading, modes=modes, wire_late=trouble.late, wire_unasked=trouble.unasked
    )
    findings = check_trial(sensors, exact=exact)
    return Measured(result, _finding_records(findings), trouble, _resources(result, reading))


def _finding_records(findings: Sequence[Finding]) -> tuple[FindingRecord, ...]:
    return tuple(
        FindingRecord(rule=each.rule, severity=each.severity, text=each.text) for each in findings
    )


def _resources(result: ProbeResult, reading: ResourceReading) -> ResourcesRecord:
    machine = reading.machine
    unavailable: dict[str, str] = {}

    def told(what: str, value: float | Unavailable) -> float | None:
        if isinstance(value, Unavailable):
            unavailable[what] = value.because
        return known(value)

    energy = machine.energy_joules
    hertz = [known(cpu.end_hz) for cpu in machine.cpus]
    if machine.cpus:
        told("frequency", machine.cpus[0].end_hz)
    present = [each for each in hertz if each is not None]
    dropped = [known(cpu.dropped) for cpu in machine.cpus]
    squeezed = [known(cpu.squeezed) for cpu in machine.cpus]
    if isinstance(energy, Unavailable):
        unavailable["energy"] = energy.because
    for event, count in machine.perf.items():
        told(event, count)
    nodes = {}
    for name, use in reading.nodes.items():
        total = use.total
        if not isinstance(total, Unavailable):
            nodes[name] = _node_record(use, total, result.received)
        elif use.processes:
            unavailable[name] = total.because
    return ResourcesRecord(
        elapsed_ns=reading.elapsed_ns,
        nodes=nodes,
        steal_ns=sum(cpu.steal_ns for cpu in machine.cpus),
        softirq_ns=sum(cpu.softirq_ns for cpu in machine.cpus),
        softnet_dropped=_sum(dropped),
        softnet_squeezed=_sum(squeezed),
        energy_j=None if isinstance(energy, Unavailable) else sum(energy.values()),
        frequency_min_hz=min(present, default=None),
        frequency_max_hz=max(present, default=None),
        unavailable=unavailable,
    )


def _node_record(use: NodeUse, total: TotalUse, received: int) -> NodeResourcesRecord:
    cpu_ns = known(total.cpu_ns)
    return NodeResourcesRecord(
        cpu_ns=cpu_ns,
        cpu_ratio=None if cpu_ns is None else cpu_ns / use.elapsed_ns,
        cpu_ns_per_packet=cpu_ns / received if cpu_ns is not None and received else None,
        memory_bytes=known(use.memory_bytes) or total.rss_bytes,
        voluntary_switches=total.voluntary_switches,
        involuntary_switches=total.involuntary_switches,
        wait_ns=known(total.wait_ns),
        cycles=_perf(use, "cycles"),
        instructions=_perf(use, "instructions"),
        cache_misses=_perf(use, "llc_misses"),
    )


def _perf(use: NodeUse, event: str) -> int | None:
    return known(use.perf[event]) if event in use.perf else None


def _sum(values: Sequence[int | None]) -> int | None:
    present = [value for value in values if value is not None]
    return sum(present) if present else None
