"""A vnf-probe that sends one flow, whichever the mechanism."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from emulator.closing import Closing
from emulator.errors import MeasurementError
from emulator.traffic.flow import Flow
from emulator.traffic.native import ProbeProcess, Progress, SharedBlock, monotonic_ns
from emulator.traffic.outcome import CpuMeter, Sending

END_WITHIN_S = 10.0
"""How long a process of the probe may take to end beyond the time it is meant to run."""

_BEGIN_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.001


class Generator(Closing):
    """What sends one flow: ``start`` gets it ready, ``go`` has it send."""

    def __init__(
        self,
        flow: Flow,
        block: SharedBlock,
        descriptors: Sequence[int],
        *,
        progress: Progress,
        sent_ns: Any,
    ) -> None:
        """Fill in what any mechanism's block has to say of a flow.

        Args:
            descriptors: those that the block refers to.
            progress: how far it is, live.
            sent_ns: an array that it writes to; None: it records nothing.
        """
        self._flow = flow
        self._block = block
        self._descriptors = descriptors
        self._progress = progress
        self._sent_ns = sent_ns
        self._process: ProbeProcess | None = None
        self._meter: CpuMeter | None = None
        spec, value = flow.spec, block.value
        value.core = -1 if spec.core is None else spec.core
        value.schedule.interval, value.schedule.count = spec.interval, spec.places
        value.schedule.planned = spec.is_planned
        duration_ns = round(spec.duration_s * 1e9)
        value.duration_ns = min(duration_ns, spec.lasting_ns or duration_ns)
        value.set_frame(flow.frame())

    def start(self) -> None:
        """Be ready to send at once.

        Raises:
            MachineError: vnf-probe is not built, or the machine cannot do what was asked.
            UsageError: it cannot run on the core asked for.
            MeasurementError: it did not get ready.
        """
        self._process = ProbeProcess(self._flow.source, self._block, self._descriptors)

    def go(self) -> None:
        """Begin to send."""
        self._meter = CpuMeter(self._flow.processes)
        self._block.value.go = 1

    def await_beginning(self) -> None:
        """Wait until its schedule has begun, so that it sends whenever a packet is due.

        Raises:
            MeasurementError: it does not begin.
        """
        deadline = time.monotonic() + _BEGIN_WITHIN_S
        while not 0 < self._progress.start_ns <= monotonic_ns():
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"the probe did not begin to send within {_BEGIN_WITHIN_S:.0f} s",
                    where=self._flow.source.name,
                    hint="the machine may be overloaded",
                )
            time.sleep(_LOOK_EVERY_S)

    def wait(self) -> Sending:
        """Wait until it has sent everything.

        Raises:
            MeasurementError: it failed, or it has not ended in time.
        """
        assert self._process is not None
        assert self._meter is not None
        self._process.wait(self._flow.spec.duration_s + END_WITHIN_S)
        spent_ns, by_process_ns = self._meter.spent_ns(), self._meter.spent_by_process_ns()
        value = self._block.value
        progress = Progress.from_buffer_copy(value.progress)
        return Sending(
            progress, value.cpu_ns + spent_ns, value.wait_ns, self._sent_ns, by_process_ns
        )

    def close(self) -> None:
        """End it, if it has not ended."""
        process, self._process = self._process, None
        if process is not None:
            process.close()
