"""The tables of a report, as data: the terminal and the HTML page show the same ones.

Pure: everything comes from the summary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emulator.experiment.sections.delays import hops, loaded
from emulator.experiment.sections.numbers import goals, intervals, results, shares
from emulator.experiment.sections.table import Section
from emulator.experiment.sections.tools import tools
from emulator.experiment.sections.verdicts import back_to_back, sla, soak

if TYPE_CHECKING:
    from emulator.experiment.records import SummaryRecord

_MAKERS: tuple[Callable[[SummaryRecord], Section | None], ...] = (
    results,
    intervals,
    goals,
    shares,
    loaded,
    sla,
    soak,
    back_to_back,
    hops,
    tools,
)


def sections(summary: SummaryRecord) -> list[Section]:
    """Every table of which there is something to show, in the order to read them."""
    return [section for make in _MAKERS if (section := make(summary)) is not None]
