"""What a container uses, as rows of text for the shell; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.plan.model import ContainerPlan, PublishedPortPlan
    from emulator.runtime.usage import ContainerStats

CONTAINER_COLUMNS = ("node", "image", "status", "cpu", "memory", "processes", "ports")


def usage_rows(stats: ContainerStats) -> list[tuple[str, str]]:
    """Its use of CPU, memory and processes: what each is called, and what to say of it."""
    return [("cpu", _cpu(stats)), ("memory", _memory(stats)), ("processes", _processes(stats))]


def interface_rows(stats: ContainerStats) -> list[Sequence[object]]:
    """What went through its interfaces, a column for each."""
    counted = list(stats.interfaces.values())
    rows: list[Sequence[object]] = [("", *stats.interfaces)]
    if counted:
        names = [field.name for field in fields(counted[0])]
        rows += [(name, *(getattr(each, name) for each in counted)) for name in names]
    return rows


def container_cells(
    node: str,
    image: str,
    status: str,
    stats: ContainerStats | None,
    ports: Sequence[str],
) -> tuple[str, ...]:
    """A container in one row, below ``CONTAINER_COLUMNS``.

    Args:
        node: the node's name.
        image: what it runs.
        status: how it is, in a word or two.
        stats: what it uses; None when it does not run.
        ports: those that are published, as :func:`published` has them.
    """
    cpu = memory = processes = "-"
    if stats is not None:
        if stats.cpu_percent is not None:
            cpu = f"{stats.cpu_percent:.1f} %{_of(stats.cpu_limit_percent, '{:g} %')}"
        if stats.memory_bytes is not None:
            limit = stats.memory_limit_bytes
            memory = size_text(stats.memory_bytes)
            memory += "" if limit is None else f" of {size_text(limit)}"
        if stats.processes is not None:
            processes = f"{stats.processes}{_of(stats.processes_limit, '{}')}"
    return (node, image, status, cpu, memory, processes, ", ".join(ports) or "-")


def published(port: PublishedPortPlan, address: str, bound: int | str) -> str:
    """A port of a container and where the machine's programs reach it: ``80/tcp at …:8080``."""
    shown = f"[{address}]" if ":" in address else address
    return f"{port.port}/{port.protocol} at {shown}:{bound}"


def limits_text(container: ContainerPlan) -> str:
    """The limits of a container as they are written after ``update``; empty without any."""
    values: dict[str, object] = {
        "cpus": container.cpus,
        "cpuset": ",".join(map(str, container.cpuset)) or None,
        "cpu_shares": container.cpu_shares,
        "memory": container.memory_bytes,
        "memory_swap": container.memory_swap_bytes,
        "pids": container.pids,
    }
    return " ".join(
        f"{name}={_short(value) if name.startswith('memory') else value}"
        for name, value in values.items()
        if value is not None
    )


def _short(value: object) -> object:
    """Bytes as they are written: ``64m``; a number that is no whole such stays."""
    for scale, unit in ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")):
        if isinstance(value, int) and value > 0 and value % scale == 0:
            return f"{value // scale}{unit}"
    return value


def _of(limit: float | None, form: str) -> str:
    return "" if limit is None else f" of {form.format(limit)}"


def size_text(size_bytes: int) -> str:
    """A number of bytes with three significant digits: ``1.5 MiB``."""
    for scale, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= scale:
            value = size_bytes / scale
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{size_bytes} B"


def _cpu(stats: ContainerStats) -> str:
    if stats.cpu_percent is None:
        parts = [_unknown(stats, "cpu_percent")]
    else:
        most = "" if stats.cpu_limit_percent is None else f" of {stats.cpu_limit_percent:g} %"
        parts = [f"{stats.cpu_percent:.1f} %{most}"]
    if stats.cpu_ns is not None:
        parts.append(f"{_seconds(stats.cpu_ns)} since its start")
    if stats.throttled_ns:
        parts.append(f"held back for {_seconds(stats.throttled_ns)}")
    if stats.cpuset is not None:
        parts.append(f"cores {','.join(map(str, stats.cpuset))}")
    return ", ".join(parts)


def _memory(stats: ContainerStats) -> str:
    if stats.memory_bytes is None:
        return _unknown(stats, "memory_bytes")
    limit = stats.memory_limit_bytes
    most = "" if limit is None else f" of {size_text(limit)}"
    parts = [f"{size_text(stats.memory_bytes)}{most}"]
    if stats.memory_peak_bytes is not None:
        parts.append(f"peak {size_text(stats.memory_peak_bytes)} with file cache")
    if stats.oom_kills:
        parts.append(f"processes killed for want of it: {stats.oom_kills}")
    return ", ".join(parts)


def _processes(stats: ContainerStats) -> str:
    if stats.processes is None:
        return _unknown(stats, "processes")
    most = "" if stats.processes_limit is None else f" of {stats.processes_limit}"
    return f"{stats.processes}{most}"


def _unknown(stats: ContainerStats, name: str) -> str:
    return f"unknown: {stats.unavailable[name]}"


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.2f} s"
