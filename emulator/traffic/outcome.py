"""From counters and memory that the probe wrote to a ProbeResult, the same for each mechanism."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.errors import MeasurementError
from emulator.traffic.flow import Flow
from emulator.traffic.frames import FCS_BYTES
from emulator.traffic.machine import (
    process_cpu_ns,
    separate_softirq_ns,
    softirq_accounting,
    softirq_thread_ns,
)
from emulator.traffic.native import Counts, Progress, monotonic_ns
from emulator.traffic.path import ProbeNode
from emulator.traffic.probe import ProbeResult

RECORD = np.dtype([("received_ns", "<u8"), ("arrival", "<u4"), ("copies", "<u4")])
"""struct probe_record."""

BRIEF_QUIET_S = 0.02
"""Silence to wait for when every packet is there already: only copies can still come."""

ENDLESS_S = 10.0
"""A path that still delivers packets that long after sending ended goes round in circles."""


class CpuMeter:
    """CPU time that the machine spends on carrying packets, outside of the generator's thread.

    Args:
        processes: those whose time is told apart.
    """

    def __init__(self, processes: Iterable[int] = ()) -> None:
        self._processes = {pid: process_cpu_ns(pid) for pid in processes}
        self._before = self._now()

    def spent_ns(self) -> int:
        """Of the kernel's threads and, where they are accounted for apart, of interrupts."""
        return self._now() - self._before

    def spent_by_process_ns(self) -> dict[int, int]:
        """Of each of the processes."""
        return {
            pid: max(0, process_cpu_ns(pid) - before) for pid, before in self._processes.items()
        }

    @staticmethod
    def _now() -> int:
        return softirq_thread_ns() + separate_softirq_ns()


@dataclass(frozen=True)
class Sending:
    """What the generator reported; ``cpu_ns`` of its thread and of the kernel's threads."""

    progress: Progress
    cpu_ns: int
    wait_ns: int
    sent_ns: NDArray[np.uint64] | None
    process_cpu_ns: Mapping[int, int]


@dataclass(frozen=True)
class Receiving:
    """What a receiver, or a reflector, counted and recorded."""

    counts: Counts
    records: NDArray[np.void] | None
    overrun: int = 0


def view(
    memory: mmap.mmap, dtype: np.dtype[np.generic] | type, count: int, *, first: int = 0
) -> NDArray[Any]:
    """Entries of mapped memory as an array; the map lives as long as the array."""
    return np.frombuffer(memory, dtype=dtype, count=count, offset=first * np.dtype(dtype).itemsize)


def drain(counts: Counts, sent: int, flow: Flow) -> None:
    """Wait until nothing of a flow has arrived for as long as its specification says.

    Raises:
        MeasurementError: packets go on arriving without end.
    """
    ended_ns = heard_ns = monotonic_ns()
    heard = _heard(counts)
    while True:
        now_ns = monotonic_ns()
        if (now_heard := _heard(counts)) != heard:
            heard, heard_ns = now_heard, now_ns
        quiet_s = BRIEF_QUIET_S if counts.received >= sent else flow.spec.drain_s
        if now_ns > heard_ns + quiet_s * 1e9:
            return
        if now_ns > ended_ns + ENDLESS_S * 1e9:
            raise endless(flow.destination)
        time.sleep(0.002)


def _heard(counts: Counts) -> int:
    """How many packets have arrived, of whatever kind."""
    return int(counts.received) + int(counts.duplicated) + int(counts.damaged)


def endless(destination: ProbeNode) -> MeasurementError:
    return MeasurementError(
        f"the probe's packets still arrive {ENDLESS_S:.0f} s after the last one was sent",
        where=destination.name,
        hint="is there a loop among the switches or VNFs on the way",
    )


def make_result(
    flow: Flow,
    sending: Sending,
    receiving: Receiving,
    reflecting: Receiving | None,
    *,
    dma_latency_held: bool,
) -> ProbeResult:
    """Put the parts together and check that they agree.

    Raises:
        MeasurementError: more packets were received than sent.
    """
    spec = flow.spec
    progress, counts = sending.progress, receiving.counts
    sent, received = int(progress.sent), int(counts.received)
    if received > sent:
        raise MeasurementError(
            f"{received} packets were received although only {sent} were sent",
            where=flow.destination.name,
            hint="copies that come very late are recognised only when packets are recorded",
        )
    places = spec.places if spec.has_pace else int(progress.next)
    sent_ns, records = sending.sent_ns, receiving.records
    reflected = reflecting.records if reflecting else None
    return ProbeResult(
        spec=spec,
        source=flow.source.name,
        destination=flow.destination.name,
        sent=sent,
        unsent=places - sent,
        received=received,
        lost=sent - received,
        duplicated=int(counts.duplicated),
        reordered=int(counts.reordered),
        damaged=int(counts.damaged),
        overrun=receiving.overrun + (reflecting.overrun if reflecting else 0),
        reflected=int(reflecting.counts.received) if reflecting else None,
        start_ns=int(progress.start_ns),
        elapsed_ns=spec.lasting_ns or max(1, int(progress.last_sent_ns) - int(progress.start_ns)),
        cpu_ns=sending.cpu_ns,
        process_cpu_ns=sending.process_cpu_ns,
        wait_ns=sending.wait_ns,
        softirq_accounting=softirq_accounting(),
        dma_latency_held=dma_latency_held,
        sent_ns=None if sent_ns is None else sent_ns[:places],
        received_ns=None if records is None else records["received_ns"][:places],
        reflected_ns=None if reflected is None else reflected["received_ns"][:places],
        copies=None if records is None else records["copies"][:places],
        arrival=None if records is None else records["arrival"][:places],
        mixed_bytes=None
        if spec.frame_cycle is None
        else (
            int(progress.bytes) + sent * FCS_BYTES,
            int(counts.bytes) + received * FCS_BYTES,
        ),
    )
