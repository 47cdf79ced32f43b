"""The report as one HTML page that needs nothing else: no network, no scripts, no other file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.experiment.answer import answer
from emulator.experiment.html import evidence
from emulator.experiment.html.pictures import Gallery
from emulator.experiment.html.svg import inline_svg
from emulator.experiment.report_notes import findings, notes, title
from emulator.experiment.sections import sections
from emulator.experiment.sections.table import labels_for

if TYPE_CHECKING:
    from jinja2 import Template

    from emulator.experiment.bundle import Bundle
    from emulator.experiment.canvas import Picture
    from emulator.experiment.sections.table import Section

_HERE = Path(__file__).parent
_NARROW = ("throughput", "loaded", "soak", "hops")
_WITHIN_NUMBERS = re.compile(r"(?<=\d) (?=\d{3}(?!\d)|%|[µmn]?s\b|[kM]pps\b|B\b)")


@dataclass
class _Part:
    """A part of the page: its heading, tables, and figures as they stand in it."""

    name: str
    title: str
    tables: list[Section] = field(default_factory=list)
    figures: list[tuple[Picture, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def beside(self) -> bool:
        """Whether the tables are narrow enough to stand beside the figure."""
        return self.name in _NARROW and bool(self.tables) and len(self.figures) == 1


def render_page(bundle: Bundle, gallery: Gallery | None = None) -> str:
    """The page of a bundle.

    What cannot be shown, because a file of samples is missing or broken, is named in it.

    Args:
        bundle: what was measured.
        gallery: its pictures, where they were made already.
    """
    gallery = gallery or Gallery(bundle)
    summary = bundle.summary
    certificates, uncertified = evidence.certificates(bundle)
    tables = {section.name: section for section in sections(summary)}
    keys, labels = labels_for(summary.cases) if summary.cases else ([], [])

    def part(name: str, heading: str, *names: str, extra: Iterable[Section] = ()) -> _Part:
        pictures = gallery.by_part.get(name, [])
        return _Part(
            name,
            heading,
            [tables[each] for each in names if each in tables] + list(extra),
            [(picture, inline_svg(picture)) for picture in pictures],
        )

    parts = [
        part("results", "Results", "results", "intervals", "shares"),
        part("latency", "Latency"),
        part("throughput", "Throughput", "goals", "back-to-back"),
        part("loaded", "Latency under load", "loaded"),
        part("sla", "Service levels", "sla"),
        part("soak", "Soak", "soak"),
        part("hops", "Where the time goes", "hops"),
        part(
            "cost",
            "CPU and other resources",
            extra=[*evidence.resources(summary), *evidence.containers(summary)],
        ),
        part("certificates", "Impaired links, measured", extra=certificates),
        part("network", "Network"),
    ]
    for each in parts:
        if each.name == "results":
            each.lines = notes(summary)
        elif each.name == "certificates":
            each.lines = uncertified
    return _template().render(
        head=title(summary),
        topology=summary.topology,
        started=bundle.run.started_at,
        outcome=bundle.run.outcome,
        name=bundle.folder.resolve().name,
        answer=answer(summary),
        parts=[each for each in parts if each.tables or each.figures or each.lines],
        findings=findings(summary),
        missing=gallery.missing,
        machine=evidence.machine(bundle),
        run=evidence.run(bundle),
        command=evidence.command_line(bundle),
        keys=keys,
        labels=labels,
        style=(_HERE / "style.css").read_text(),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        # Names are the user's, and a bundle may come from anybody.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    return environment.get_template("report.html.j2")


def _unbroken(text: str) -> str:
    """The text with its numbers kept on one line, each with its unit."""
    return _WITHIN_NUMBERS.sub("\N{NO-BREAK SPACE}", text)
