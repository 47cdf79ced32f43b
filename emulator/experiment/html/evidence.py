"""The tables of a report that are evidence: resources, certificates, machine, how it was run."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emulator.errors import ResultsError
from emulator.experiment.sections.table import Column, Row, Section, labels_for
from emulator.experiment.words import (
    MISSING,
    duration,
    grouped,
    significant,
    size,
    whole,
)
from emulator.wire.certificate_report import quantity, tolerance

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle
    from emulator.experiment.measured import NodeResourcesRecord, ResourcesRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord

_MOST_DIRECTIONS = 12

_NODE: tuple[tuple[Column, str, Callable[[float], str]], ...] = (
    (Column("CPU", "ns/pkt"), "cpu_ns_per_packet", significant),
    (Column("CPU", "%"), "cpu_ratio", lambda value: significant(100 * value)),
    (Column("memory"), "memory_bytes", size),
    (Column("switches", "voluntary"), "voluntary_switches", whole),
    (Column("switches", "forced"), "involuntary_switches", whole),
    (Column("waited"), "wait_ns", duration),
    (Column("cycles"), "cycles", whole),
    (Column("instructions"), "instructions", whole),
    (Column("cache misses"), "cache_misses", whole),
    (Column("XDP", "ns/run"), "xdp_ns_per_run", significant),
)

_MACHINE: tuple[tuple[Column, str, Callable[[float], str]], ...] = (
    (Column("steal"), "steal_ns", duration),
    (Column("softirq"), "softirq_ns", duration),
    (Column("softnet", "dropped"), "softnet_dropped", whole),
    (Column("softnet", "squeezed"), "softnet_squeezed", whole),
    (Column("energy", "J"), "energy_j", significant),
    (Column("frequency", "min MHz"), "frequency_min_hz", lambda value: whole(value / 1e6)),
    (Column("frequency", "max MHz"), "frequency_max_hz", lambda value: whole(value / 1e6)),
)


def resources(summary: SummaryRecord) -> list[Section]:
    """What nodes, and the whole machine, took: medians over the trials that count."""
    nodes: list[tuple[tuple[str, ...], dict[str, float | None]]] = []
    machine: list[tuple[tuple[str, ...], dict[str, float | None]]] = []
    keys, labels = labels_for(summary.cases)
    unavailable: dict[str, str] = {}
    for case, label in zip(summary.cases, labels, strict=True):
        for doing, found in _occasions(case):
            for each in found:
                unavailable.update(each.unavailable)
            values = {
                name: _median(getattr(each, name) for each in found) for _, name, _ in _MACHINE
            }
            machine.append(((*label, doing), values))
            for node in dict.fromkeys(name for each in found for name in each.nodes):
                records = [each.nodes[node] for each in found if node in each.nodes]
                nodes.append(((*label, node, doing), _of_node(records)))
    heads = [Column(key, number=False) for key in keys]
    during = Column("during", number=False)
    notes = tuple(f"{what}: unavailable, because {why}." for what, why in unavailable.items())
    return [
        *_measured(
            "resources",
            "Resources of nodes",
            [*heads, Column("node", number=False), during],
            nodes,
            _NODE,
        ),
        *_measured(
            "machine-resources", "The machine meanwhile", [*heads, during], machine, _MACHINE, notes
        ),
    ]


def _occasions(case: CaseRecord) -> list[tuple[str, list[ResourcesRecord]]]:
    """When resources were measured."""
    trials = [trial.resources for trial in case.counted_trials if trial.resources]
    costs = case.cost.counted_trials if case.cost else ()
    full = [trial.resources for trial in costs if trial.resources]
    return [(name, found) for name, found in (("latency", trials), ("full load", full)) if found]


def _of_node(records: Sequence[NodeResourcesRecord]) -> dict[str, float | None]:
    names = [name for _, name, _ in _NODE if name != "xdp_ns_per_run"]
    values = {name: _median(getattr(each, name) for each in records) for name in names}
    values["xdp_ns_per_run"] = _median(
        each.xdp_run_time_ns / each.xdp_runs
        if each.xdp_run_time_ns is not None and each.xdp_runs
        else None
        for each in records
    )
    return values


def _measured(
    name: str,
    title: str,
    heads: Sequence[Column],
    rows: Sequence[tuple[tuple[str, ...], dict[str, float | None]]],
    columns: Sequence[tuple[Column, str, Callable[[float], str]]],
    notes: tuple[str, ...] = (),
) -> list[Section]:
    """A table with the columns that any row has something for; none where no row has."""
    kept = [each for each in columns if any(values[each[1]] is not None for _, values in rows)]
    if not kept:
        return []
    found = []
    for label, values in rows:
        cells = [
            MISSING if (value := values[field]) is None else text(value) for _, field, text in kept
        ]
        found.append(Row((*label, *cells)))
    every = (*heads, *(column for column, _, _ in kept))
    return [Section(name, title, every, tuple(found), len(heads), notes)]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def certificates(bundle: Bundle) -> tuple[list[Section], list[str]]:
    """What impaired links were measured to do; and why there is nothing to show of some."""
    try:
        record = bundle.certificates()
    except ResultsError as error:
        return [], [f"no certificates of links: {error}"]
    if record is None:
        return [], []
    found: list[Section] = []
    missing = []
    columns = (
        Column("what", number=False),
        Column("asked"),
        Column("measured"),
        Column("tolerance", number=False),
        Column("verdict", number=False),
    )
    for certified in record.certified:
        about = f" ({', '.join(certified.cases)})" if len(record.certified) > 1 else ""
        for link in certified.certificate.links:
            if not link.directions:
                missing.append(f"{link.link}: {link.verdict}: {link.reason}")
            for each in link.directions:
                rows = tuple(
                    Row(
                        (
                            check.what,
                            quantity(check.asked, check.unit),
                            quantity(check.measured, check.unit),
                            tolerance(check),
                            check.verdict,
                        ),
                        {"fail": "bad", "not certified": "doubtful"}.get(check.verdict, ""),
                    )
                    for check in each.checks
                )
                title = f"{link.link} {each.direction}, {each.source} → {each.destination}: "
                notes = [*each.notes, *(f"{c.what}: {c.note}" for c in each.checks if c.note)]
                if each.reason:
                    notes.append(each.reason)
                found.append(
                    Section("", title + each.verdict + about, columns, rows, 1, tuple(notes))
                )
    if len(found) > _MOST_DIRECTIONS:
        missing.append(
            f"{len(found) - _MOST_DIRECTIONS} more directions of links are in certificates.json"
        )
    # Those that are not as they should be come first.
    found.sort(key=lambda section: all(not row.tone for row in section.rows))
    return found[:_MOST_DIRECTIONS], missing


def machine(bundle: Bundle) -> Section:
    """The machine and the versions of what ran."""
    record = bundle.machine.model_dump(mode="json")
    versions = record.pop("versions", {})
    rows = [
        (_named(name), _said(name, value)) for name, value in record.items() if value is not None
    ]
    rows += [(f"version of {name}", str(value)) for name, value in versions.items()]
    return _pairs("machine", "Machine", rows)


def run(bundle: Bundle) -> Section:
    """When, from which source, and by which specification it was run."""
    about = bundle.run
    rows = [
        ("started", about.started_at.isoformat(sep=" ", timespec="seconds")),
        ("outcome", about.outcome),
        ("revision", about.revision or "unknown"),
        ("seed", str(about.seed)),
        ("order of the cases", ", ".join(dict.fromkeys(about.order))),
    ]
    if about.ended_at is not None:
        took = (about.ended_at - about.started_at).total_seconds()
        rows.insert(1, ("took", f"{grouped(round(took, 1))} s"))
    rows += [(_named(name), _said(name, value)) for name, value in about.spec.items()]
    return _pairs("run", "Specification", rows)


def command_line(bundle: Bundle) -> str:
    """What was typed, as a shell takes it."""
    words = list(bundle.run.command_line)
    if words and words[0].endswith("/vnf"):
        words[0] = "vnf"
    return shlex.join(words)


def _pairs(name: str, title: str, rows: Sequence[tuple[str, str]]) -> Section:
    columns = (Column("what", number=False), Column("value", number=False))
    return Section(name, title, columns, tuple(Row(row) for row in rows))


def _named(field: str) -> str:
    for ending in ("_bytes", "_ns", "_s", "_pps", "_hz"):
        field = field.removesuffix(ending)
    return field.replace("_", " ")


def _said(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_said('', each)}" for key, each in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(_said(name, each) for each in value) or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name.endswith("_bytes"):
            return size(value)
        unit = {"_s": " s", "_pps": " packets/s"}
        found = next((text for ending, text in unit.items() if name.endswith(ending)), "")
        return f"{grouped(value)}{found}"
    return MISSING if value in (None, "") else str(value)


def containers(summary: SummaryRecord) -> list[Section]:
    """What enclosed nodes, where it was a container."""
    keys, labels = labels_for(summary.cases)
    columns = (
        *(Column(key, number=False) for key in keys),
        Column("node", number=False),
        Column("image", number=False),
        Column("CPUs"),
        Column("memory", "peak"),
        Column("CPU", "s"),
        Column("throttled", "s"),
    )
    rows = tuple(
        Row(
            (
                *label,
                each.node,
                each.image,
                MISSING if each.cpus is None else f"{each.cpus:g}",
                MISSING if each.memory_peak_bytes is None else size(each.memory_peak_bytes),
                MISSING if each.cpu_ns is None else significant(each.cpu_ns / 1e9),
                MISSING if each.throttled_ns is None else significant(each.throttled_ns / 1e9),
            )
        )
        for case, label in zip(summary.cases, labels, strict=True)
        for each in case.containers
    )
    return [Section("containers", "Containers", columns, rows, len(keys) + 1)] if rows else []
