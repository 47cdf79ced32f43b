"""Schedules under way: in order, never early, and with what goes wrong told."""

from __future__ import annotations

import threading
import time

import pytest

from emulator.errors import LabError
from emulator.plan.model import LinkChangePlan, StepPlan
from emulator.wire.scheduling import ScheduleRun

MS = 1_000_000


def steps(*times_ms: float) -> list[StepPlan]:
    change = LinkChangePlan(link="a<->b", state="down")
    return [StepPlan(at_ns=round(at * MS), changes=(change,)) for at in times_ms]


def test_steps_come_in_order_and_are_told_their_own_time() -> None:
    seen: list[tuple[int, int]] = []
    told: list[int] = []
    run = ScheduleRun(
        steps(0, 40, 41, 90),
        lambda step, at_ns: seen.append((step.at_ns, at_ns)),
        lambda: told.append(time.monotonic_ns()),
    )
    assert run.wait(10)
    assert seen == [(at, run.began_ns + at) for at in (0, 40 * MS, 41 * MS, 90 * MS)]
    assert run.done == run.steps == 4
    # Others hear of the end of it when it is over.
    assert told
    assert told[-1] >= run.began_ns + 90 * MS


def test_a_step_that_fails_is_told_and_the_others_go_on() -> None:
    def carry_out(step: StepPlan, at_ns: int) -> None:
        if step.at_ns == 0:
            raise LabError("it cannot be", where="h1 - h2")
        if step.at_ns == MS:
            raise KeyError("oops")

    run = ScheduleRun(steps(0, 1, 2), carry_out, lambda: None, name="storm.yaml")
    with pytest.raises(LabError, match=r"storm.yaml: at 0s: h1 - h2: it cannot be, and 1 more"):
        run.wait(10)
    assert run.done == 3
    assert "internal error: KeyError" in run.failures[1].message


def test_what_is_closed_does_no_further_step() -> None:
    seen: list[int] = []
    first = threading.Event()

    def carry_out(step: StepPlan, at_ns: int) -> None:
        seen.append(step.at_ns)
        first.set()

    with ScheduleRun(steps(0, 3_600_000), carry_out, lambda: None) as run:
        assert first.wait(10)
        assert not run.wait(0.01)
    assert run.finished
    assert seen == [0]


def test_what_comes_late_is_counted() -> None:
    def carry_out(step: StepPlan, at_ns: int) -> None:
        if step.at_ns == 0:
            time.sleep(0.1)

    run = ScheduleRun(steps(0, 10), carry_out, lambda: None)
    assert run.wait(10)
    assert run.late_steps == 1
    assert run.late_most_ns >= 50 * MS
