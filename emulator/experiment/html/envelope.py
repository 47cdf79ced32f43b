"""The delays of a trial over time, from its samples: few points that hide no packet.

A file of samples can be larger than memory, so it is read a part at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import ResultsError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_COLUMNS = ("intended_ns", "sent_ns", "received_ns")


@dataclass(frozen=True)
class Envelope:
    """A trial in slots of time.

    Attributes:
        time_s: the middle of each slot, since the first packet was to be sent.
        low_ns, middle_ns, high_ns: the smallest delay, the median and the largest of the packets
            that were to be sent in the slot; NaN where none arrived.
        lost: how many of them were sent and never arrived.
        length_s: of the trial.
        packets: how many there are in all.
    """

    time_s: NDArray[np.float64]
    low_ns: NDArray[np.float64]
    middle_ns: NDArray[np.float64]
    high_ns: NDArray[np.float64]
    lost: NDArray[np.int64]
    length_s: float
    packets: int


def read_envelope(path: Path, slots: int) -> Envelope:
    """The envelope of a file of samples, in at most so many slots.

    Raises:
        ResultsError: the file is missing, broken or no file of samples.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = {"intended_ns", "received_ns"} - set(file.schema_arrow.names)
            if missing:
                raise ResultsError(
                    f"has no column {', '.join(sorted(missing))}",
                    where=str(path),
                    hint="it was not written by a bench",
                )
            return _read(file, slots)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"cannot be read as Parquet: {str(error).splitlines()[0]}",
            where=str(path),
            hint="the other files of the bundle are not affected",
        ) from error


def _read(file: pq.ParquetFile, slots: int) -> Envelope:
    import numpy as np

    packets = file.metadata.num_rows
    groups = file.metadata.num_row_groups
    if not packets:
        nothing = np.empty(0)
        return Envelope(nothing, nothing, nothing, nothing, nothing.astype(np.int64), 0.0, 0)
    first_ns = int(_column(file, 0, "intended_ns")[0])
    last_ns = int(_column(file, groups - 1, "intended_ns")[-1])
    slots = max(1, min(slots, packets))
    # Up to and including the last packet.
    edges_ns = np.linspace(0, last_ns - first_ns + 1, slots + 1)
    filled = _Slots(slots)
    rest = np.empty((0, 2), dtype=np.int64)
    done = 0
    for number in range(groups):
        part = _delays(file, number, first_ns)
        rest = np.concatenate([rest, part]) if len(rest) else part
        # The last slot that this part reaches may go on in the next one.
        reached = slots if number == groups - 1 else _slots_before(edges_ns, int(rest[-1, 0]))
        ends = np.searchsorted(rest[:, 0], edges_ns[done + 1 : reached + 1])
        begin = 0
        for end in ends:
            filled.add(done, rest[begin:end, 1])
            begin, done = int(end), done + 1
        rest = rest[begin:]
    middle_s = (edges_ns[:-1] + edges_ns[1:]) / 2e9
    length_s = (last_ns - first_ns) / 1e9
    return Envelope(
        middle_s, filled.low, filled.middle, filled.high, filled.lost, length_s, packets
    )


class _Slots:
    """What is known of each slot."""

    def __init__(self, slots: int) -> None:
        import numpy as np

        self.low, self.middle, self.high = (np.full(slots, np.nan) for _ in range(3))
        self.lost = np.zeros(slots, dtype=np.int64)

    def add(self, slot: int, delays_ns: NDArray[np.int64]) -> None:
        import numpy as np

        arrived = delays_ns[delays_ns > _LOST]
        self.lost[slot] = int((delays_ns == _LOST).sum())
        if len(arrived):
            self.low[slot], self.high[slot] = arrived.min(), arrived.max()
            self.middle[slot] = np.median(arrived)


_LOST, _UNSENT = -(1 << 62), -(1 << 63)
"""Stand for the delay of a packet that has none; below any that a clock could give."""


def _delays(file: pq.ParquetFile, group: int, first_ns: int) -> NDArray[np.int64]:
    """Of each packet of a row group, when it was to be sent and its delay."""
    import numpy as np

    names = [name for name in _COLUMNS if name in file.schema_arrow.names]
    table = file.read_row_group(group, columns=names)
    columns = {name: table.column(name).to_numpy().astype(np.int64) for name in names}
    intended, received = columns["intended_ns"], columns["received_ns"]
    delays = received - intended
    sent = columns.get("sent_ns", intended)
    delays[received == 0] = _LOST
    delays[(received == 0) & (sent == 0)] = _UNSENT
    return np.column_stack([intended - first_ns, delays])


def _slots_before(edges_ns: NDArray[np.float64], reached_ns: int) -> int:
    import numpy as np

    return int(np.searchsorted(edges_ns, reached_ns, side="right")) - 1


def _column(file: pq.ParquetFile, group: int, name: str) -> NDArray[Any]:
    column: NDArray[Any] = file.read_row_group(group, columns=[name]).column(name).to_numpy()
    return column
