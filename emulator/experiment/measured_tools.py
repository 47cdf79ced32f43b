"""The typed records of what tools that people know have measured."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from emulator.experiment.measured import Record


class ToolLatencyRecord(Record):
    """Delays as another tool tells them; null: it does not, or has too few of them."""

    count: int | None
    min_ns: float | None
    mean_ns: float | None
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    p999_ns: float | None
    max_ns: float | None


class ToolRecord(Record):
    """What another tool measured on the same path; the numbers are the tool's.

    Attributes:
        asked: the tool and its options as they were written.
        sent, received, lost: packets, as it counts them.
        bytes_of: whether bits are those of ``payload`` or of a ``frame``.
        facts: what else it says.
        notes: what a reader has to know beside the numbers.
        files: all that it said, relative to the bundle.
    """

    asked: str
    tool: str
    version: str
    command: tuple[str, ...]
    protocol: str
    duration_s: float
    sent: int | None
    received: int | None
    lost: int | None
    throughput_pps: float | None
    throughput_bps: float | None
    bytes_of: Literal["payload", "frame"]
    round_trip: bool
    latency: ToolLatencyRecord | None
    facts: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
