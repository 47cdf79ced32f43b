"""The longest burst without loss, against paths whose buffer is known."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import MeasurementError, UsageError
from emulator.measure.back_to_back import (
    BackToBackResult,
    longest_burst_frames,
    search_back_to_back,
)
from emulator.measure.throughput import Trial

RATE_PPS = 2e6


class Buffer:
    """A path that drains a buffer at its throughput while a burst comes in faster."""

    def __init__(self, frames: float, throughput_pps: float = 0.0, *, noise: float = 0.0) -> None:
        self.frames = frames
        self.throughput_pps = throughput_pps
        self.noise = noise
        self.random = random.Random(1)
        self.sent: list[int] = []
        self.elapsed_s = 0.0

    @property
    def longest(self) -> float:
        """The buffer, and what leaves it during the burst."""
        return self.frames / (1 - self.throughput_pps / RATE_PPS)

    def measure(self, frames: int) -> Trial:
        self.sent.append(frames)
        duration_s = frames / RATE_PPS
        self.elapsed_s += duration_s + 0.1
        holds = self.longest * (1 + self.random.uniform(-self.noise, self.noise))
        lost = max(0, frames - int(holds))
        return Trial(
            rate_pps=None,
            offered_pps=RATE_PPS,
            sent=frames,
            received=frames - lost,
            lost=lost,
            unsent=0,
            elapsed_ns=round(duration_s * 1e9),
            cpu_ns=0,
        )


def search(buffer: Buffer, **options: Any) -> BackToBackResult:
    chosen = {"max_frames": 4_000_000, "repeats": 3, "clock": lambda: buffer.elapsed_s, **options}
    return search_back_to_back(buffer.measure, **chosen)


@settings(max_examples=200)
@given(frames=st.integers(1, 3_000_000), width=st.floats(0, 0.1))
def test_the_longest_burst_is_found_within_the_width(frames: int, width: float) -> None:
    buffer = Buffer(frames)
    result = search(buffer, width=width, max_s=1e6)
    assert result.complete
    for length in result.lengths:
        assert length <= frames <= length + max(1, width * (length + 1) / (1 - width))
    assert result.limited_by == "loss"
    assert result.valid
    # Doubling from 1024 to 4 million, and halving what is left, each twice with loss.
    assert len(buffer.sent) <= 3 * (13 + 2 * 23)


def test_the_average_is_the_benchmark() -> None:
    result = search(Buffer(50_000, noise=0.1), repeats=20, verifications=0)
    assert len(set(result.lengths)) > 5
    assert result.mean_frames == pytest.approx(sum(result.lengths) / 20)
    assert (result.min_frames, result.max_frames) == (min(result.lengths), max(result.lengths))
    assert result.mean_frames == pytest.approx(50_000, rel=0.1)
    mean = sum(result.lengths) / 20
    variance = sum((length - mean) ** 2 for length in result.lengths) / 19
    assert result.stdev_frames == pytest.approx(variance**0.5)


def test_the_buffer_is_computed_back_from_what_it_held() -> None:
    """2000 frames of buffer at a throughput of half the rate: bursts of 4000 frames pass."""
    result = search(Buffer(2000, throughput_pps=RATE_PPS / 2), width=0.0)
    assert result.lengths == (4000, 4000, 4000)
    assert result.rate_pps == RATE_PPS
    assert result.implied_buffer_s == pytest.approx(4000 / RATE_PPS)
    assert result.corrected_buffer_s(RATE_PPS / 2) == pytest.approx(2000 / RATE_PPS)
    assert result.corrected_buffer_s(RATE_PPS) is None


def test_a_path_that_keeps_up_has_no_longest_burst() -> None:
    result = search(Buffer(float("1e12")), max_frames=10_000)
    assert result.lengths == (10_000,) * 3
    assert result.limited_by == "length"


def test_a_path_that_loses_a_single_frame_carries_no_burst() -> None:
    result = search(Buffer(0))
    assert result.lengths == (0, 0, 0)
    assert (result.mean_frames, result.rate_pps, result.implied_buffer_s) == (0, None, None)
    assert result.corrected_buffer_s(1.0) is None


def test_a_receiver_that_is_too_slow_is_told_from_a_path_that_loses() -> None:
    buffer = Buffer(5000)

    def measure(frames: int) -> Trial:
        trial = buffer.measure(frames)
        return replace(trial, overrun=trial.lost)

    result = search_back_to_back(measure, max_frames=100_000, repeats=1)
    assert result.limited_by == "receiver"


def test_a_burst_that_loses_something_once_is_sent_again() -> None:
    buffer = Buffer(50_000)

    def measure(frames: int) -> Trial:
        trial = buffer.measure(frames)
        if len(buffer.sent) % 4 or trial.lost:
            return trial
        return replace(trial, lost=1, received=trial.received - 1)

    found = search_back_to_back(measure, max_frames=100_000, repeats=5)
    assert found.mean_frames == pytest.approx(50_000, rel=0.01)
    not_verified = search_back_to_back(measure, max_frames=100_000, repeats=5, verifications=0)
    assert not_verified.mean_frames is not None
    assert not_verified.mean_frames < 40_000


@pytest.mark.parametrize("how", ["disturbed", "not sent in full"])
def test_a_disturbed_burst_is_sent_again_and_does_not_count(how: str) -> None:
    buffer = Buffer(50_000)

    def measure(frames: int) -> Trial:
        trial = buffer.measure(frames)
        if len(buffer.sent) not in (3, 4):
            return trial
        if how == "disturbed":
            return replace(trial, valid=False, lost=frames, received=0)
        return replace(trial, sent=frames // 2, received=frames // 2, unsent=frames - frames // 2)

    result = search_back_to_back(measure, max_frames=100_000, repeats=2)
    assert result.valid
    assert result.mean_frames == pytest.approx(50_000, rel=0.01)
    assert [number for number, burst in enumerate(result.bursts) if not burst.counted] == [2, 3]
    assert {burst.frames for burst in result.bursts[2:5]} == {4096}


def test_a_result_of_bursts_that_stay_disturbed_is_not_valid() -> None:
    buffer = Buffer(50_000)
    result = search_back_to_back(
        lambda frames: replace(buffer.measure(frames), valid=False), max_frames=100_000, repeats=1
    )
    assert not result.valid


def test_without_time_the_finished_searches_are_the_result() -> None:
    buffer = Buffer(50_000)
    one_s = search(buffer, repeats=1).elapsed_s
    result = search(Buffer(50_000), repeats=50, max_s=3.5 * one_s)
    assert not result.complete
    assert len(result.lengths) == 3
    assert result.repeats == 50
    assert result.elapsed_s <= 4 * one_s
    nothing = search(Buffer(50_000), max_s=1e-9)
    assert (nothing.lengths, nothing.mean_frames, nothing.min_frames) == ((), None, None)
    assert nothing.stdev_frames is None


def test_the_longest_burst_worth_trying_takes_two_seconds() -> None:
    assert longest_burst_frames(1_000_000) == 2_000_000
    assert longest_burst_frames(0.1) == 1


def test_a_generator_that_sends_nothing_is_told() -> None:
    buffer = Buffer(1)
    with pytest.raises(MeasurementError, match="sent nothing"):
        search_back_to_back(
            lambda frames: replace(buffer.measure(frames), sent=0, received=0, lost=0),
            max_frames=1,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_frames": 0},
        {"repeats": 0},
        {"width": 1.0},
        {"width": -0.1},
        {"verifications": -1},
        {"attempts": 0},
        {"max_s": 0.0},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        search(Buffer(10), **wrong)
    assert refused.value.hint
