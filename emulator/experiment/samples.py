"""The raw samples of one trial as a Parquet file, nothing altered and nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from emulator.errors import ResultsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.probe import ProbeResult

COLUMNS: Mapping[str, tuple[str, str]] = {
    "seq": ("1", "position of the packet in the schedule, from 0"),
    "intended_ns": ("ns", "when the open-loop schedule wanted it sent"),
    "sent_ns": ("ns", "when the generator sent it; 0: it did not, which is no loss"),
    "received_ns": ("ns", "when it first arrived at its destination; 0: it never did"),
    "reflected_ns": ("ns", "when the far end sent it back; 0: it never got there"),
    "copies": ("1", "how often it arrived; 0: never, more than 1: duplicated"),
    "arrival": ("1", "its place in the order of arrival"),
}
"""Every column a file may have, with its unit and meaning; ``reflected_ns`` is of round trips."""

_RECORDED = ("intended_ns", "sent_ns", "received_ns", "reflected_ns", "copies", "arrival")
_ROWS_PER_GROUP = 1 << 20
_BYTES_PER_ROW = 56


def estimated_bytes(packets: float) -> int:
    """An upper bound of the size of a file of so many packets: its columns without compression."""
    return int(packets * _BYTES_PER_ROW)


def columns_of(result: ProbeResult) -> dict[str, NDArray[Any]]:
    """The recorded arrays of a trial by column name, as they are, with their sequence numbers."""
    import numpy as np

    recorded: dict[str, NDArray[Any]] = {
        name: values for name in _RECORDED if (values := getattr(result, name)) is not None
    }
    return {"seq": np.arange(len(recorded["intended_ns"]), dtype=np.uint32), **recorded}


def write_samples(
    file: BinaryIO, columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write columns named as in :data:`COLUMNS` to an open file.

    Raises:
        OSError: from the file, as it came.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, arrays = [], []
    for name, values in columns.items():
        unit, meaning = COLUMNS[name]
        array = pa.array(values)
        fields.append(
            pa.field(name, array.type, nullable=False, metadata={"unit": unit, "meaning": meaning})
        )
        arrays.append(array)
    schema = pa.schema(fields, metadata=dict(metadata))
    pq.write_table(
        pa.table(arrays, schema=schema),
        file,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
    )


def read_samples(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of a file of samples, by name.

    Raises:
        ResultsError: the file is missing, broken or no file of samples.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"cannot be read as Parquet: {str(error).splitlines()[0]}",
            where=str(path),
            hint="the other files of the bundle are not affected",
        ) from error
    missing = {"intended_ns", "received_ns"} - set(table.column_names)
    if missing:
        raise ResultsError(
            f"has no column {', '.join(sorted(missing))}",
            where=str(path),
            hint="it was not written by a bench",
        )
    return {name: table.column(name).to_numpy() for name in table.column_names}


def latency_ns(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Received minus intended send time of the packets that arrived, in order of sequence."""
    import numpy as np

    received_ns: NDArray[np.int64] = columns["received_ns"].astype(np.int64)
    arrived = received_ns != 0
    latency: NDArray[np.int64] = received_ns - columns["intended_ns"].astype(np.int64)
    of_arrived: NDArray[np.int64] = latency[arrived]
    return of_arrived
