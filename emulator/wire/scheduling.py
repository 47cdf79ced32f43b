"""Carries out a schedule: the steps that a plan holds, each at its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emulator.closing import Closing
from emulator.errors import BuildVnfError, LabError
from emulator.plan.model import StepPlan

_AHEAD_NS = 20_000_000
"""A step is sent so long before its time, and takes effect at its time."""
LATE_NS = 20_000_000
"""A step that is begun so long after its time counts as late: something else had the lab."""
_RECORD_NS = 500_000_000

CarryOut = Callable[[StepPlan, int], None]
"""Carries a step out, all of its changes at one moment of CLOCK_MONOTONIC."""


@dataclass(frozen=True)
class StepFailure:
    """What went wrong with a step, and when that was to happen, from the schedule's start."""

    at_ns: int
    message: str

    def __str__(self) -> str:
        return f"at {self.at_ns / 1e9:g}s: {self.message}"


class ScheduleRun(Closing):
    """A schedule under way, on a thread of its own; it ends with its last step.

    Times count from the beginning and not from one step to the next, so they do not drift. A step
    that fails is noted and the others go on.

    Args:
        steps: what to do, in the order of time.
        carry_out: does it.
        record: tells other processes what the links are like now; called at times.
        name: what errors name.

    Attributes:
        began_ns: the time that steps count from, CLOCK_MONOTONIC.
        done: how many steps are over.
        late_steps: how many of them came more than 20 ms late, while something else kept the lab
            busy, such as VNFs that were starting.
        late_most_ns: the latest.
    """

    def __init__(
        self,
        steps: Sequence[StepPlan],
        carry_out: CarryOut,
        record: Callable[[], None],
        *,
        name: str = "schedule",
    ) -> None:
        self.name = name
        self.began_ns = time.monotonic_ns()
        self._steps = steps
        self._carry_out = carry_out
        self._record = record
        self.done = 0
        self.late_steps = 0
        self.late_most_ns = 0
        self._failures: list[StepFailure] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self._steps)

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come."""
        return not self._thread.is_alive()

    @property
    def failures(self) -> tuple[StepFailure, ...]:
        """What has gone wrong so far."""
        return tuple(self._failures)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the last step is over; whether it is.

        Raises:
            LabError: a step failed.
        """
        self._thread.join(timeout_s)
        self.check()
        return self.finished

    def check(self) -> None:
        """Find out whether all went well so far.

        Raises:
            LabError: a step failed; the message is that of the first one.
        """
        if self._failures:
            more = len(self._failures) - 1
            others = f", and {more} more" if more else ""
            raise LabError(f"{self._failures[0]}{others}", where=self.name)

    def close(self) -> None:
        """Carry out no further step."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        before_ns = recorded_ns = self.began_ns
        for step in self._steps:
            due_ns = self.began_ns + step.at_ns
            # A wire keeps one change that is to come: the next is sent when that has taken effect.
            if self._sleeps_until(max(due_ns - _AHEAD_NS, before_ns)):
                break
            self._do(step, due_ns)
            before_ns = due_ns
            self.done += 1
            if time.monotonic_ns() - recorded_ns > _RECORD_NS:
                self._tell(step)
                recorded_ns = time.monotonic_ns()
        if self._steps and not self._stopped.is_set():
            self._sleeps_until(before_ns)
            self._tell(self._steps[-1])

    def _do(self, step: StepPlan, due_ns: int) -> None:
        late_ns = time.monotonic_ns() - due_ns
        self.late_most_ns = max(self.late_most_ns, late_ns)
        self.late_steps += late_ns > LATE_NS
        try:
            self._carry_out(step, due_ns)
        except BuildVnfError as error:
            self._failures.append(StepFailure(step.at_ns, str(error)))
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            text = f"internal error: {type(error).__name__}: {error}"
            self._failures.append(StepFailure(step.at_ns, text))

    def _tell(self, step: StepPlan) -> None:
        try:
            self._record()
        except (BuildVnfError, OSError) as error:
            self._failures.append(StepFailure(step.at_ns, str(error)))

    def _sleeps_until(self, time_ns: int) -> bool:
        """Wait for a time; whether the schedule was stopped meanwhile."""
        return self._stopped.wait(max(0, time_ns - time.monotonic_ns()) / 1e9)
