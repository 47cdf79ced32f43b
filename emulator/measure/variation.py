"""How much the delay varies: packet delay variation and inter-packet delay variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.measure.latency import percentile_ns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DelayVariation:
    """PDV and IPDV of one trial, as RFC 8219, section 7.3 asks for them.

    RFC 8219 wants them of a stream of 60 s and more.

    Attributes:
        pdv_ns: the 99.9th percentile of the delays less the shortest of them; None with too few
            packets for that percentile.
        ipdv_min_ns, ipdv_median_ns, ipdv_max_ns: of the differences between the delay of a packet
            and that of the one sent before it; None where no two packets in a row arrived. A
            negative one came closer to its predecessor than it was sent.
    """

    pdv_ns: int | None
    ipdv_min_ns: int | None
    ipdv_median_ns: float | None
    ipdv_max_ns: int | None


def delay_variation(
    intended_ns: NDArray[np.uint64] | None, received_ns: NDArray[np.uint64] | None
) -> DelayVariation:
    """How much the delay of a recorded trial varies.

    A pair of packets counts when both arrived: where one of the two is lost, RFC 3393, section 2.2
    calls the difference undefined. So the packets on either side of a lost one make no pair.

    Args:
        intended_ns: when each packet was due, in the order of their numbers.
        received_ns: when it arrived; 0: it never did.

    Raises:
        UsageError: the trial kept no times of packets, or the arrays are not equally long.
    """
    import numpy as np

    if intended_ns is None or received_ns is None:
        raise UsageError("this trial kept no times of packets", hint="probe with record=True")
    if len(intended_ns) != len(received_ns):
        raise UsageError(
            f"{len(intended_ns)} packets were due and {len(received_ns)} have a time of arrival",
            where="delay_variation",
            hint="give both for every packet, 0 for one that never arrived",
        )
    arrived = received_ns != 0
    delays = (received_ns - intended_ns).astype(np.int64)
    differences = np.diff(delays)[arrived[1:] & arrived[:-1]]
    in_time = delays[arrived]
    p999_ns = percentile_ns(in_time, 0.999)
    found = len(differences) > 0
    return DelayVariation(
        pdv_ns=None if p999_ns is None else p999_ns - int(in_time.min()),
        ipdv_min_ns=int(differences.min()) if found else None,
        ipdv_median_ns=float(np.median(differences)) if found else None,
        ipdv_max_ns=int(differences.max()) if found else None,
    )
