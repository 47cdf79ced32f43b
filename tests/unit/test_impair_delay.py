"""Delay and its jitter: how it is distributed, and that it keeps the order."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.errors import UsageError
from emulator.plan.model import ImpairmentPlan
from emulator.wire.model import Stream
from tests.impair_reference import PATIENT

FRAMES = 100_000
EVERY_MS = np.arange(FRAMES) * 1_000_000
DELAY_NS, JITTER_NS = 20_000_000, 1_000_000
KOLMOGOROV_1_PERCENT = 1.628
TABLE = (-2.0, -1.0, -1.0, 0.0, 0.5, 3.0)


def normal(places: NDArray[Any]) -> NDArray[Any]:
    inverse = NormalDist().inv_cdf
    return np.array([inverse(place) for place in places.tolist()])


def netem(distribution: str, places: NDArray[Any]) -> NDArray[Any]:
    """What the tables that come with tc hold, at any places of the distribution."""
    pareto = np.minimum(4 / 3 * ((1 - places) ** (-1 / 3) - 1.5), 4)
    if distribution == "pareto":
        return pareto
    bell = np.clip(normal(places), -4, 4)
    return bell if distribution == "normal" else 0.25 * bell + 0.75 * pareto


def expected_delays(distribution: str) -> NDArray[np.int64]:
    """Delays at places of the distribution that are close together and as likely, sorted."""
    places = (np.arange(200_000) + 0.5) / 200_000
    if distribution == "uniform":
        units = 2 * places - 1
    elif distribution == "table":
        units = np.interp(places, np.linspace(0, 1, len(TABLE)), TABLE)
    else:
        units = netem(distribution, places)
        units = (units - units.mean()) / units.std()
    return np.floor(DELAY_NS + JITTER_NS * units + 0.5).astype(np.int64)


def kolmogorov_distance(sample: NDArray[Any], expected: NDArray[Any]) -> float:
    values, counts = np.unique(sample, return_counts=True)
    reached = np.cumsum(counts) / len(sample)
    at, below = (
        np.searchsorted(expected, values, side=side) / len(expected) for side in ("right", "left")
    )
    return float(
        max(np.abs(at - reached).max(), np.abs(below - reached + counts / len(sample)).max())
    )


def delays(distribution: str, seed: int) -> NDArray[np.int64]:
    plan = ImpairmentPlan.model_validate(
        {
            "delay_ns": DELAY_NS,
            "jitter_ns": JITTER_NS,
            "distribution": distribution,
            "table": TABLE if distribution == "table" else (),
            "keep_order": False,
            "seed": seed,
        }
    )
    return Stream(plan).decide(EVERY_MS, 100).due_ns.astype(np.int64) - EVERY_MS


DISTRIBUTIONS = ["uniform", "normal", "pareto", "paretonormal", "table"]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_jitter_is_distributed_as_its_name_says(distribution: str) -> None:
    expected = expected_delays(distribution)
    # What is expected lies in steps of its own.
    most = KOLMOGOROV_1_PERCENT / math.sqrt(FRAMES) + 2 / len(expected)
    distances = [kolmogorov_distance(delays(distribution, seed), expected) for seed in range(1, 51)]
    # One of a hundred is beyond; of fifty more than three are with a chance of 1 in 600.
    assert sum(distance > most for distance in distances) <= 3


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_jitter_has_the_mean_and_the_spread_asked_for(distribution: str, seed: int) -> None:
    sample = delays(distribution, seed)
    spread, mean = 1.0, 0.0
    if distribution == "uniform":
        spread = 1 / math.sqrt(3)
    if distribution == "table":
        units = (expected_delays("table") - DELAY_NS) / JITTER_NS
        spread, mean = float(units.std()), float(units.mean())
    assert sample.mean() == pytest.approx(DELAY_NS + mean * JITTER_NS, abs=0.03 * JITTER_NS)
    assert sample.std() == pytest.approx(spread * JITTER_NS, rel=0.03)


def test_a_table_of_one_entry_is_always_off_by_as_much() -> None:
    plan = ImpairmentPlan(
        delay_ns=DELAY_NS, jitter_ns=JITTER_NS, distribution="table", table=(0.5,)
    )
    due = Stream(plan).decide(EVERY_MS[:100], 100).due_ns
    assert (due == EVERY_MS[:100] + DELAY_NS + JITTER_NS // 2).all()


def test_without_jitter_the_delay_is_exact() -> None:
    for delay_ns in (0, 1, 100_000, 10**9):
        due = Stream(ImpairmentPlan(delay_ns=delay_ns)).decide(EVERY_MS[:1000], 1500).due_ns
        assert (due == EVERY_MS[:1000] + delay_ns).all()


def test_no_frame_arrives_before_it_is_sent() -> None:
    plan = ImpairmentPlan(
        delay_ns=1000, jitter_ns=1_000_000, distribution="normal", keep_order=False
    )
    due = Stream(plan).decide(EVERY_MS, 100).due_ns
    assert (due >= EVERY_MS).all()
    assert (due == EVERY_MS).any()


frames = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 9000)), max_size=200)
plans = st.builds(
    ImpairmentPlan,
    delay_ns=st.integers(0, 10**7),
    jitter_ns=st.integers(0, 10**8),
    distribution=st.sampled_from(["uniform", "normal", "pareto", "paretonormal"]),
    loss=st.sampled_from([0.0, 0.2]),
    duplicate=st.sampled_from([0.0, 0.2]),
    rate_bps=st.sampled_from([None, 10**6, 10**9]),
    queue_packets=st.sampled_from([None, 3]),
    seed=st.integers(0, 2**64 - 1),
)


def out_of_order(stream: Stream, frames: list[tuple[int, int]], start_ns: int = 0) -> list[int]:
    gaps, sizes = np.array(frames, dtype=np.int64).reshape(-1, 2).T
    decided = stream.decide(start_ns + np.cumsum(gaps), sizes)
    dues = []
    for delivered, due, copy in zip(
        decided.delivered, decided.due_ns, decided.copy_due_ns, strict=True
    ):
        if delivered:
            dues += [int(due), int(copy)] if copy else [int(due)]
    return dues


@PATIENT
@given(st.lists(st.tuples(plans, frames), min_size=1, max_size=4))
def test_kept_order_is_kept_whatever_comes_and_changes(
    phases: list[tuple[ImpairmentPlan, list[tuple[int, int]]]],
) -> None:
    stream = Stream(phases[0][0])
    dues: list[int] = []
    now_ns = 0
    for plan, frames in phases:
        stream.change(plan)
        dues += out_of_order(stream, frames, now_ns)
        now_ns += sum(gap for gap, _ in frames)
    assert dues == sorted(dues)


def test_a_million_frames_keep_their_order() -> None:
    plan = ImpairmentPlan(delay_ns=DELAY_NS, jitter_ns=5_000_000, distribution="paretonormal")
    due = Stream(plan).decide(np.arange(1_000_000) * 10_000, 100).due_ns.astype(np.int64)
    assert (np.diff(due) >= 0).all()


def test_reordered_frames_go_at_once_even_where_the_order_is_kept() -> None:
    plan = ImpairmentPlan(delay_ns=DELAY_NS, reorder=0.1)
    waited = Stream(plan).decide(EVERY_MS, 100).due_ns.astype(np.int64) - EVERY_MS
    assert set(waited.tolist()) == {0, DELAY_NS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_ns": 1 << 61},
        {"jitter_ns": 1 << 61},
        {"loss": 1.5},
        {"loss": math.nan},
        {"duplicate": -0.1},
        {"gemodel": (0.1, 0.1, math.inf, 0.0)},
        {"drop": (5, 4)},
        {"drop": (5, 5)},
        {"jitter_ns": 1, "distribution": "table", "table": ()},
        {"jitter_ns": 1, "distribution": "table", "table": (1.0, 0.0)},
        {"jitter_ns": 1, "distribution": "table", "table": (0.0, math.nan)},
        {"aqm": "red", "red_min_bytes": 5, "red_max_bytes": 5},
        {"aqm": "codel", "codel_target_ns": 0},
        {"drop": tuple(range(5000))},
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    plan = ImpairmentPlan(delay_ns=7)
    stream = Stream(plan)
    with pytest.raises(UsageError):
        Stream(plan.model_copy(update=wrong))
    with pytest.raises(UsageError):
        stream.change(plan.model_copy(update=wrong))
    assert stream.decide([10], 100).due_ns.tolist() == [17]
