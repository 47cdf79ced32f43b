"""Captures of a running lab: from the name of a node to a file of frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.traffic.capture_file import CaptureFile
from emulator.traffic.sniffer import Frame, Sniffer, compiled, find_ends, find_taps

if TYPE_CHECKING:
    from emulator.lab import Lab


def begin_capture(
    lab: Lab,
    target: str,
    file: str | None,
    filter: str,
    on_frame: Callable[[Frame], object] | None,
) -> Sniffer:
    """See ``Network.capture``."""
    if file is None and on_frame is None:
        raise UsageError("a capture for nobody", hint="give it a file, or on_frame")
    taps, unseen = find_taps(lab, find_ends(lab, target))
    if not taps:
        raise UsageError(
            "no frame of it can be seen: XDP programs take them at both ends of its links",
            where=target,
            hint="capture at a host before or behind it; the node's counters tell how many pass",
        )
    create = None if file is None else partial(CaptureFile.create, file)
    return Sniffer(taps, compiled(filter), on_frame, create, unseen)
