"""What a person reads of a certificate: for each direction of each link a table, and a verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emulator.wire.words import direction_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from emulator.wire.certificate import (
        Certificate,
        Check,
        DirectionCertificate,
        LinkCertificate,
        Unit,
    )

STYLES = {"pass": "green", "fail": "red", "not certified": "yellow"}

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_RATES = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
_NEARLY = 1e-9


def quantity(value: float | None, unit: Unit) -> str:
    """A number with its unit, with up to five digits."""
    if value is None:
        return "–"
    if unit == "ns":
        return _scaled(value, _TIMES)
    if unit == "bit/s":
        return _scaled(value, _RATES)
    if unit == "ratio":
        return f"{100 * value:.4g} %"
    if unit == "frames":
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}{' frames' if unit == 'length' else ''}"


def tolerance(check: Check) -> str:
    """Within which limits the measured value has to be."""
    low, high, asked = check.low, check.high, check.asked
    if low is None or high is None:
        return "–"
    if low == high:
        return "exactly"
    if low == 0 and not asked:
        return f"≤ {quantity(high, check.unit)}"
    if asked is not None and math.isclose(asked - low, high - asked, rel_tol=1e-6):
        return f"± {quantity(high - asked, check.unit)}"
    return f"{quantity(low, check.unit)} … {quantity(high, check.unit)}"


def summary(certificate: Certificate) -> str:
    """One line: how many links, and how many of them are as they should be."""
    links = certificate.links
    if not links:
        return "no link is impaired: there is nothing to certify"
    good = sum(link.verdict == "pass" for link in links)
    text = f"{good} of {len(links)} impaired link{'s' if len(links) > 1 else ''} certified"
    return f"{text} in {certificate.duration_s:.1f} s"


def complaints(certificate: Certificate) -> list[str]:
    """What is wrong, a line for each direction that is not certified."""
    lines = []
    for link in certificate.links:
        if not link.directions:
            lines.append(f"{link.link}: {link.verdict}: {link.reason}")
        for each in link.directions:
            if each.verdict == "pass":
                continue
            failed = [check for check in each.checks if check.verdict == "fail"]
            why = each.reason or ", ".join(
                f"{check.what} {quantity(check.measured, check.unit)} "
                f"(asked {quantity(check.asked, check.unit)}, {tolerance(check)})"
                for check in failed
            )
            word = "failed" if each.verdict == "fail" else each.verdict
            lines.append(f"{_way(link, each)}: {word}: {why}")
    return lines


def render(certificate: Certificate) -> RenderableType:
    """The whole certificate for a rich console."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for link in certificate.links:
        if not link.directions:
            parts.append(Text(f"{link.link}: {link.verdict}: {link.reason}", style="yellow"))
        for each in link.directions:
            parts += [_head(link, each), _table(each)]
            parts += [Text(f"  {line}", style="dim") for line in _below(link, each)]
            parts.append(Text(""))
    style = STYLES[certificate.verdict] if certificate.links else ""
    parts.append(Text(summary(certificate), style=style))
    if certificate.links and not certificate.dma_latency_held:
        parts.append(Text("the CPUs could not be kept out of deep idle states", style="dim"))
    return Group(*parts)


def _way(link: LinkCertificate, each: DirectionCertificate) -> str:
    plane = f" ({link.plane})" if link.plane else ""
    return f"{link.link} {each.direction}, {each.source} → {each.destination}{plane}"


def _head(link: LinkCertificate, each: DirectionCertificate) -> RenderableType:
    from rich.text import Text

    text = Text(_way(link, each), style="bold")
    text.append(f"  {direction_text(each.spec)}", style="not bold")
    text.append(f"  [{link.mechanism}, seed {each.spec.seed}]", style="not bold dim")
    return text


def _table(each: DirectionCertificate) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 1), pad_edge=True, show_edge=False)
    table.add_column("what")
    for name in ("asked", "measured"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("tolerance", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for check in each.checks:
        what = f"{check.what} ({check.note})" if check.note else check.what
        table.add_row(
            Text(what),
            quantity(check.asked, check.unit),
            quantity(check.measured, check.unit),
            tolerance(check),
            Text(check.verdict, style=STYLES[check.verdict]),
        )
    return table


def _below(link: LinkCertificate, each: DirectionCertificate) -> list[str]:
    lines = list(each.notes)
    if link.floor_ns is not None:
        floor = quantity(link.floor_ns, "ns")
        lines.append(f"the way with an unimpaired link takes {floor}, which is subtracted")
        spread = quantity(link.spread_ns, "ns")
        lines.append(f"at p99 it takes {spread} more, which the link may as well")
    if each.late_frames:
        late = f"{quantity(each.late_frames, 'frames')} of {quantity(each.frames, 'frames')}"
        most = quantity(each.late_most_ns, "ns")
        lines.append(f"{late} frames were released more than 100 µs late, by {most} at most")
    if each.attempts > 1:
        lines.append(f"it took {each.attempts} attempts")
    if each.reason:
        lines.append(f"{each.verdict}: {each.reason}")
    return lines


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    size = abs(value) * (1 + _NEARLY)
    scale, unit = next(((s, u) for s, u in units if size >= s), units[-1])
    return f"{value / scale:.5g} {unit}"
