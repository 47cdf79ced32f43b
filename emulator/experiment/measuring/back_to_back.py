"""Back-to-back frames: the longest burst at full speed of which the path loses nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from emulator.experiment.measured_throughput import BackToBackRecord
from emulator.experiment.measuring.context import invalidating
from emulator.experiment.measuring.gate import gated
from emulator.measure.back_to_back import search_back_to_back

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext, Measured
    from emulator.measure.throughput import Trial

_REPEATS = 5
"""RFC 2544 asks for 50; a bench is to end within minutes, and says how many it made."""

_LONGEST_S = 2.0
_LONGEST_FRAMES = 1 << 20
_END_WITHIN_S = 30.0


def measure_back_to_back(context: CaseContext) -> None:
    """Search for the longest burst.

    Raises:
        BuildVnfError: it cannot be measured.
    """
    if context.record.back_to_back is not None:
        return

    def burst(frames: int) -> Trial:
        context.tell(f"sending bursts, {frames} frames")
        probe = context.probe_spec(None, _LONGEST_S, record=False)
        made.append(gated(context.path, dataclasses.replace(probe, packets=frames)))
        return made[-1].trial

    made: list[Measured] = []
    found = search_back_to_back(
        burst, max_frames=_LONGEST_FRAMES, repeats=_REPEATS, max_s=_END_WITHIN_S
    )
    context.keep(
        back_to_back=BackToBackRecord(
            frames=found.mean_frames,
            frames_min=found.min_frames,
            frames_max=found.max_frames,
            repeats=len(found.lengths),
            rate_pps=found.rate_pps,
            at_limit=found.limited_by != "loss",
            valid=found.valid,
            findings=() if found.valid else invalidating(made),
        )
    )
