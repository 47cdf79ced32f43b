"""What nodes of a lab do, as a table; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator.cli.container_format import size_text

if TYPE_CHECKING:
    from emulator.measure.lab_watch import NodeRates

TOP_COLUMNS = ("node", "what", "in/s", "out/s", "in bit/s", "out bit/s", "cpu", "memory", "frames")
TOP_RIGHT = TOP_COLUMNS[2:8]
"""The columns of numbers."""


def top_row(rates: NodeRates) -> tuple[str, ...]:
    """A node below ``TOP_COLUMNS``."""
    return (
        rates.node,
        _what(rates),
        scaled(rates.rx_pps),
        scaled(rates.tx_pps),
        scaled(rates.rx_bps),
        scaled(rates.tx_bps),
        "-" if rates.cpu_percent is None else f"{rates.cpu_percent:.1f} %",
        "-" if rates.memory_bytes is None else size_text(rates.memory_bytes),
        _frames(rates),
    )


def busiest(rates: Sequence[NodeRates], count: int) -> list[NodeRates]:
    """As many of the nodes as there is room for, in their order: failed ones first of all, then
    those with most packets, then those with most CPU."""
    ranked = sorted(
        range(len(rates)),
        key=lambda place: (
            rates[place].status != "failed",
            -(rates[place].rx_pps + rates[place].tx_pps),
            -(rates[place].cpu_percent or 0.0),
        ),
    )
    return [rates[place] for place in sorted(ranked[: max(0, count)])]


def scaled(value: float) -> str:
    """A number with three significant digits and its scale: ``0``, ``12.5``, ``1.23 M``."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # Rounded first, so that 999.9 k is 1 M and not 1000 k.
        if float(f"{value:.3g}") >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g}"


def _what(rates: NodeRates) -> str:
    what = rates.kind if rates.vnf is None else f"{rates.vnf}, {rates.dataplane}"
    return what if rates.status == "running" else f"{what}: failed"


def _frames(rates: NodeRates) -> str:
    counted = (rates.verdicts or {}).items()
    texts = [
        f"{name.removesuffix('_packets').replace('_', ' ')} {scaled(rate)}/s"
        for name, rate in counted
        if rate
    ]
    return ", ".join(texts) or "-"
