"""What a trial tells of the path's own faults: loss at a rate that passes, and what comes back with
every n-th packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.experiment.measured import FindingRecord
from emulator.experiment.words import duration, grouped, percent
from emulator.measure.regular import regular_delay, regular_loss
from emulator.traffic.schedule import Const

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.probe import ProbeResult


def path_findings(result: ProbeResult) -> tuple[FindingRecord, ...]:
    """Those of a trial whose packets were recorded; none of them makes it invalid.

    Raises:
        UsageError: nothing was recorded.
    """
    return (*_loss(result), *_slow(result))


def _loss(result: ProbeResult) -> tuple[FindingRecord, ...]:
    lost = result.lost - result.overrun
    if lost <= 0:
        return ()
    text = f"{grouped(lost)} of {grouped(result.sent)} packets ({percent(lost / result.sent)})"
    text += " were lost on the path"
    # Which of them the receiver lost is not known, so what is regular may be the receiver's.
    regular = regular_loss(_delays_ns(result) < 0) if not result.overrun else None
    if regular is not None:
        text += f": every {grouped(regular.every)}th of them"
    return (FindingRecord(rule="loss", severity="warn", text=text),)


def _slow(result: ProbeResult) -> tuple[FindingRecord, ...]:
    # Packets that come at unequal distances, or in several sizes, have delays of their own making.
    if not isinstance(result.spec.pattern, Const) or result.spec.frame_cycle is not None:
        return ()
    found = regular_delay(_delays_ns(result))
    if found is None or found.excess_ns is None:
        return ()
    text = (
        f"every {grouped(found.every)}th packet took {duration(found.excess_ns)} longer than the "
        f"median one, {found.share:.0%} of {found.turns} times: something on the path stops for "
        "as long"
    )
    return (FindingRecord(rule="slow", severity="warn", text=text),)


def _delays_ns(result: ProbeResult) -> NDArray[np.int64]:
    """Of each packet that was sent, in order; -1: it was lost."""
    import numpy as np

    assert result.sent_ns is not None
    assert result.intended_ns is not None
    assert result.received_ns is not None
    sent = result.sent_ns != 0
    received_ns = result.received_ns[sent].astype(np.int64)
    delays_ns: NDArray[np.int64] = received_ns - result.intended_ns[sent].astype(np.int64)
    return np.where(received_ns != 0, delays_ns, -1)
