"""How far a bench has come, and how long it will still take."""

from __future__ import annotations

import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from emulator.cli.output import BenchProgress, Remaining
from emulator.experiment.bench import BenchEvent
from emulator.experiment.measuring.effort import (
    START,
    TOOLS,
    Effort,
    Progress,
    efforts,
    limits_effort,
)
from emulator.experiment.spec import MEASUREMENTS, BenchSpec

PARTS = {START: Effort(4, 2.0), "latency": Effort(1, 3.0), "throughput": Effort(10, 5.0)}


def everything(repeat: int = 2) -> BenchSpec:
    return BenchSpec(
        "chain", measurements=MEASUREMENTS, profiles=["detnet-m2m"], telemetry=True, repeat=repeat
    )


def test_what_is_measured_once_is_in_the_first_round_only() -> None:
    first, second = efforts(everything(), 1), efforts(everything(), 2)
    assert set(first) == {START, *MEASUREMENTS}
    assert set(second) == {START, "latency", "throughput", "cost"}
    assert second["cost"].steps < first["cost"].steps
    assert first["latency"].steps == 3
    assert second["latency"].steps == 1
    assert first["sla"].steps == 2
    assert all(each.seconds > 0 and each.steps > 0 for each in first.values())


def test_the_bench_itself_takes_its_time_for_each_kind_of_frames() -> None:
    one, two = (limits_effort(BenchSpec("chain", frames=each)) for each in (["64"], ["64", "imix"]))
    assert two["limits"].seconds == 2 * one["limits"].seconds > 0


def test_a_long_trial_is_more_to_do_than_a_short_one() -> None:
    short = efforts(BenchSpec("chain", measurements=["soak"], duration_s=1), 1)
    long = efforts(BenchSpec("chain", measurements=["soak"], duration_s=3600), 1)
    assert long["soak"].seconds - short["soak"].seconds == 3599


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([*PARTS, TOOLS]), st.integers(0, 30)), max_size=5),
        max_size=4,
    )
)
def test_progress_never_goes_back_nor_beyond_the_end(
    rounds: Sequence[Sequence[tuple[str, int]]],
) -> None:
    progress = Progress([dict(PARTS) for _ in rounds])
    seen = [progress.done_s]
    for parts in rounds:
        # However often a part is told of, and whatever is left out.
        for name in dict.fromkeys(name for name, _ in parts):
            progress.begin(name)
            for _ in range(dict(parts)[name]):
                progress.step()
                seen.append(progress.done_s)
        progress.end_round()
        seen.append(progress.done_s)
    assert seen == sorted(seen)
    assert seen[-1] == progress.total_s == len(rounds) * 10.0


def test_a_step_counts_when_the_next_one_begins() -> None:
    progress = Progress([dict(PARTS)])
    progress.begin(START)
    progress.begin("throughput")
    progress.step()
    assert progress.done_s == 2.0
    progress.step()
    assert progress.done_s == 2.5


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_takes_twice_as_long_as_was_thought_is_soon_known() -> None:
    clock = Clock()
    remaining = Remaining(clock)
    for done_s in range(101):
        clock.now_s = 100.0 + 2 * done_s
        remaining.update(done_s, 200)
    assert 180 < remaining.seconds() < 200
    clock.now_s += 50
    assert 130 < remaining.seconds() < 150
    clock.now_s += 1000
    assert remaining.seconds() == 0


def test_what_comes_before_does_not_count() -> None:
    clock = Clock()
    remaining = Remaining(clock)
    for _ in range(10):
        clock.now_s += 10
        remaining.update(0, 60)
    assert remaining.seconds() == 60


def test_without_a_terminal_a_line_says_how_far_it_is() -> None:
    stream = io.StringIO()
    with BenchProgress(stream) as progress:
        progress(BenchEvent("a=1", "measuring latency", 30.0, 120.0))
        progress(BenchEvent("a=1", "and again", 31.0, 120.0))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("vnf: a=1: measuring latency (25%, about ")
    assert line.endswith(" left)")


def test_what_a_lab_has_to_say_is_told_where_no_steps_are() -> None:
    stream = io.StringIO()
    with BenchProgress(stream) as progress:
        progress(BenchEvent("a", "starting", 0.0, 1.0))
        progress(BenchEvent("a", "starting", 0.0, 1.0, note="s1: no switch is here"))
    assert stream.getvalue().splitlines()[-1] == "vnf: s1: no switch is here"
