"""Readings of resources as a table in a CSV file; the names of its columns tell the units.

A row is about one thing: a node, the generator, a CPU, the machine, or another process that took
CPU time. A cell is empty where the column is not about that thing, or where the value is not known;
the last column says which ones are not known, and why.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from emulator.errors import ResultsError
from emulator.measure.resources import ResourceReading, TotalUse
from emulator.unavailable import Unavailable

COLUMNS = (
    "what",
    "name",
    "pid",
    "elapsed_ns",
    "cpu_ns",
    "cpu_percent",
    "cpu_ns_per_packet",
    "packets",
    "wait_ns",
    "voluntary_switches",
    "involuntary_switches",
    "rss_bytes",
    "memory_bytes",
    "cycles",
    "instructions",
    "llc_misses",
    "migrations",
    "softirq_ns",
    "irq_ns",
    "steal_ns",
    "dropped_frames",
    "squeezed_times",
    "begin_hz",
    "end_hz",
    "energy_joules",
)
_REASONS = "unavailable"

Row = Mapping[str, Any]


def resource_rows(reading: ResourceReading, **labels: object) -> list[Row]:
    """The rows of a reading.

    Args:
        reading: what was used.
        labels: columns to put before the others in each row, such as ``case`` and ``trial``.
    """
    about = {**labels, "elapsed_ns": reading.elapsed_ns}
    return [{**about, **row} for row in _rows(reading)]


def csv_text(rows: Iterable[Row], *, header: bool = True) -> str:
    """Rows as the text of a CSV file.

    Args:
        rows: all with the same labels.
        header: whether the names of the columns come first.
    """
    rows = list(rows)
    labels = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    if header:
        writer.writerow((*labels, *COLUMNS, _REASONS))
    for row in rows:
        cells = [row.get(name) for name in (*labels, *COLUMNS)]
        writer.writerow([*map(_cell, cells), _reasons(row)])
    return file.getvalue()


def resources_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a CSV file, with a header.

    Raises:
        ResultsError: the file cannot be written.
    """
    try:
        path.write_text(csv_text(rows), encoding="utf-8", newline="")
    except OSError as error:
        raise ResultsError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _rows(reading: ResourceReading) -> Iterator[Row]:
    for name, node in reading.nodes.items():
        yield {
            "what": "node",
            "name": name,
            "packets": node.packets,
            "memory_bytes": node.memory_bytes,
            **_total(node.total),
            **node.perf,
        }
    generator = reading.generator
    if not isinstance(generator, Unavailable):
        yield {
            "what": "generator",
            "name": generator.name,
            "pid": generator.pid,
            "cpu_ns": generator.cpu_ns,
            "wait_ns": generator.wait_ns,
            "voluntary_switches": generator.voluntary_switches,
            "involuntary_switches": generator.involuntary_switches,
            "rss_bytes": generator.rss_bytes,
        }
    children = reading.children
    yield {
        "what": "ended programs",
        "cpu_ns": children.cpu_ns,
        "voluntary_switches": children.voluntary_switches,
        "involuntary_switches": children.involuntary_switches,
    }
    machine = reading.machine
    for cpu in machine.cpus:
        yield {
            "what": "cpu",
            "name": cpu.cpu,
            "cpu_ns": cpu.busy_ns,
            "softirq_ns": cpu.softirq_ns,
            "irq_ns": cpu.irq_ns,
            "steal_ns": cpu.steal_ns,
            "dropped_frames": cpu.dropped,
            "squeezed_times": cpu.squeezed,
            "begin_hz": cpu.begin_hz,
            "end_hz": cpu.end_hz,
        }
    yield {
        "what": "machine",
        "cpu_ns": machine.busy_ns,
        "softirq_ns": sum(cpu.softirq_ns for cpu in machine.cpus),
        "irq_ns": sum(cpu.irq_ns for cpu in machine.cpus),
        "steal_ns": machine.steal_ns,
        "dropped_frames": machine.dropped,
        "squeezed_times": machine.squeezed,
        "energy_joules": machine.joules,
        **machine.perf,
    }
    for other in reading.others:
        yield {
            "what": "other process",
            "name": other.command,
            "pid": other.pid,
            "cpu_ns": other.cpu_ns,
            "cpu_percent": 100 * other.share,
        }


def _total(total: TotalUse | Unavailable) -> dict[str, Any]:
    if isinstance(total, Unavailable):
        return {"cpu_ns": total}
    return {
        "cpu_ns": total.cpu_ns,
        "cpu_percent": total.cpu_percent,
        "cpu_ns_per_packet": total.cpu_ns_per_packet,
        "wait_ns": total.wait_ns,
        "voluntary_switches": total.voluntary_switches,
        "involuntary_switches": total.involuntary_switches,
        "rss_bytes": total.rss_bytes,
    }


def _cell(value: Any) -> Any:
    if isinstance(value, Unavailable):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _reasons(row: Row) -> str:
    """Each reason once, with all that it is the reason for."""
    found: dict[str, list[str]] = {}
    for name, value in row.items():
        if isinstance(value, Unavailable):
            found.setdefault(value.because, []).append(name)
    return "; ".join(f"{' '.join(names)}: {why}" for why, names in found.items())
