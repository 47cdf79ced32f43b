"""What is lost, copied, reordered and corrupted, and the numbers behind it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.plan.model import ImpairmentPlan
from emulator.wire.model import LOST, Stream, uniforms
from tests.impair_reference import PATIENT

FRAMES = 100_000
SEEDS = range(1, 101)
EVERY_MS = np.arange(FRAMES) * 1_000_000
MOST_OUTSIDE = 5
"""Of a hundred 99 % intervals: the chance of more is 1 in 2000, were all well."""
PURPOSES = range(9)
LOSS = 0


def losses(plan: ImpairmentPlan, arrivals: Any = EVERY_MS, sizes: Any = 100) -> NDArray[np.intp]:
    return np.flatnonzero(Stream(plan).decide(arrivals, sizes).fate == LOST)


def is_within_99_percent(hits: int, trials: int, ratio: float) -> bool:
    return abs(hits - trials * ratio) <= 2.5758 * math.sqrt(trials * ratio * (1 - ratio)) + 0.5


def chi_square(counts: NDArray[Any], expected: NDArray[Any] | float) -> float:
    return float(np.sum((counts - expected) ** 2 / expected))


def is_likely(square: float, freedom: int) -> bool:
    """Whether chi-square is where it is 998 times of 1000 (Wilson and Hilferty)."""
    z = ((square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return abs(z) < 3.09


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("seed", [0, 1, 2, 1 << 63])
def test_numbers_are_even(seed: int, purpose: int) -> None:
    numbers = uniforms(seed, purpose, 1_000_000)
    counts = np.bincount((numbers * 1024).astype(int), minlength=1024)
    assert is_likely(chi_square(counts, len(numbers) / 1024), 1023)
    ordered = np.sort(numbers)
    ranks = np.arange(1, len(numbers) + 1) / len(numbers)
    assert np.max(np.abs(ordered - ranks)) < 1.95 / math.sqrt(len(numbers))


def are_independent(a: NDArray[Any], b: NDArray[Any]) -> bool:
    pairs = (a * 32).astype(int) * 32 + (b * 32).astype(int)
    counts = np.bincount(pairs, minlength=1024)
    return is_likely(chi_square(counts, len(a) / 1024), 1023)


@pytest.mark.parametrize("purpose", PURPOSES[1:])
def test_numbers_of_different_purposes_have_nothing_in_common(purpose: int) -> None:
    for seed in range(4):
        assert are_independent(uniforms(seed, LOSS, FRAMES), uniforms(seed, purpose, FRAMES))


@pytest.mark.parametrize("apart", [1, 2, 3, 256, 1 << 32])
def test_numbers_of_neighbouring_seeds_have_nothing_in_common(apart: int) -> None:
    for seed in (0, 1, 1000, (1 << 64) - 1 - apart):
        assert are_independent(uniforms(seed, LOSS, FRAMES), uniforms(seed + apart, LOSS, FRAMES))


def test_a_number_does_not_hang_on_those_before() -> None:
    numbers = uniforms(7, LOSS, 1_000_000)
    for lag in (1, 2, 3, 7):
        assert are_independent(numbers[:-lag], numbers[lag:])
    assert (uniforms(7, LOSS, 10, first=500) == numbers[500:510]).all()


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.3])
@pytest.mark.parametrize("what", ["loss", "duplicate", "reorder", "corrupt"])
def test_as_many_frames_as_asked_for(what: str, ratio: float) -> None:
    outside = 0
    for seed in SEEDS:
        plan = ImpairmentPlan(delay_ns=1_000_000, seed=seed).model_copy(update={what: ratio})
        decided = Stream(plan).decide(EVERY_MS, 100)
        hits = {
            "loss": decided.fate == LOST,
            "duplicate": decided.copy_due_ns > 0,
            "reorder": decided.due_ns == EVERY_MS,
            "corrupt": decided.flip_bit >= 0,
        }[what]
        outside += not is_within_99_percent(int(hits.sum()), FRAMES, ratio)
    assert outside <= MOST_OUTSIDE


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("what", ["loss", "duplicate", "reorder", "corrupt"])
def test_none_and_all(what: str, ratio: float) -> None:
    plan = ImpairmentPlan(delay_ns=1_000_000).model_copy(update={what: ratio})
    decided = Stream(plan).decide(EVERY_MS + 1, 100)
    assert ((decided.fate == LOST) == (what == "loss" and ratio == 1)).all()
    if what != "loss" or ratio == 0:
        assert ((decided.copy_due_ns > 0) == (what == "duplicate" and ratio == 1)).all()
        assert ((decided.due_ns == EVERY_MS + 1) == (what == "reorder" and ratio == 1)).all()
        assert ((decided.flip_bit >= 0) == (what == "corrupt" and ratio == 1)).all()


def runs(lost: NDArray[np.intp]) -> NDArray[np.intp]:
    """How long each row of losses is."""
    ends = np.flatnonzero(np.diff(lost) > 1)
    edges = np.concatenate([[-1], ends, [len(lost) - 1]])
    return np.diff(edges)


@pytest.mark.parametrize(("p", "r"), [(0.01, 0.25), (0.05, 0.5), (0.001, 0.1)])
def test_bursts_of_loss_are_as_long_as_their_model_says(p: float, r: float) -> None:
    outside = 0
    lengths = []
    for seed in SEEDS:
        lost = losses(ImpairmentPlan(gemodel=(p, r, 1.0, 0.0), seed=seed))
        mean = p / (p + r)
        memory = 1 - p - r
        deviation = math.sqrt(FRAMES * mean * (1 - mean) * (1 + memory) / (1 - memory))
        outside += abs(len(lost) - FRAMES * mean) > 2.5758 * deviation + 1 / r
        lengths.append(runs(lost))
    assert outside <= MOST_OUTSIDE
    # Geometric, as long as there are enough of a length to tell.
    counted = np.concatenate(lengths)
    longest = 1
    while len(counted) * r * (1 - r) ** longest > 50:
        longest += 1
    counts = np.bincount(np.minimum(counted, longest), minlength=longest + 1)[1:]
    chances = r * (1 - r) ** np.arange(longest)
    chances[-1] = (1 - r) ** (longest - 1)
    assert is_likely(chi_square(counts, chances * len(counted)), longest - 1)


def test_the_states_of_the_burst_model_lose_in_their_own_ratio() -> None:
    p, r, in_bad, in_good = 0.02, 0.2, 0.6, 0.01
    bad = p / (p + r)
    mean = bad * in_bad + (1 - bad) * in_good
    memory = 1 - p - r
    spread = bad * (1 - bad) * (in_bad - in_good) ** 2 * (1 + memory) / (1 - memory)
    spread += bad * in_bad * (1 - in_bad) + (1 - bad) * in_good * (1 - in_good)
    outside = 0
    for seed in SEEDS:
        lost = losses(ImpairmentPlan(gemodel=(p, r, in_bad, in_good), seed=seed))
        outside += abs(len(lost) - FRAMES * mean) > 2.5758 * math.sqrt(FRAMES * spread) + 1
    assert outside <= MOST_OUTSIDE


any_arrivals = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 9000)), min_size=1, max_size=300
)
EVERYTHING = ImpairmentPlan(
    delay_ns=3_000_000,
    jitter_ns=500_000,
    gemodel=(0.1, 0.3, 0.9, 0.02),
    drop=(3, 5, 100),
    duplicate=0.2,
    corrupt=0.2,
    reorder=0.2,
    seed=11,
)


@PATIENT
@given(any_arrivals)
def test_a_seed_loses_the_same_frames_whenever_they_come(frames: list[tuple[int, int]]) -> None:
    gaps, sizes = np.array(frames, dtype=np.int64).T
    here = Stream(EVERYTHING).decide(np.cumsum(gaps), sizes)
    there = Stream(EVERYTHING).decide(np.arange(len(frames)) * 10**9, 100)
    assert (here.fate == there.fate).all()
    assert ((here.copy_due_ns > 0) == (there.copy_due_ns > 0)).all()
    flips = (here.flip_bit >= 0) == (there.flip_bit >= 0)
    assert (flips | (sizes == 0)).all()


@given(
    changed=st.sampled_from(
        [
            {"delay_ns": 1},
            {"jitter_ns": 0},
            {"distribution": "pareto"},
            {"keep_order": False},
            {"duplicate": 0.0},
            {"corrupt": 0.9},
            {"reorder": 0.0},
            {"rate_bps": 10**9},
        ]
    ),
    after=st.integers(0, 1000),
)
@settings(PATIENT, max_examples=30)
def test_other_settings_do_not_change_what_is_lost(changed: dict[str, Any], after: int) -> None:
    stream = Stream(EVERYTHING)
    arrivals = EVERY_MS[:3000]
    before = stream.decide(arrivals[:after], 100)
    stream.change(EVERYTHING.model_copy(update=changed))
    rest = stream.decide(arrivals[after:], 100)
    lost = np.concatenate([before.fate, rest.fate]) == LOST
    assert (lost == (Stream(EVERYTHING).decide(arrivals, 100).fate == LOST)).all()


@given(index0=st.integers(0, 2000))
@settings(PATIENT, max_examples=30)
def test_a_stream_can_begin_at_any_index(index0: int) -> None:
    arrivals = EVERY_MS[:3000]
    whole = Stream(EVERYTHING).decide(arrivals, 100)
    part = Stream(EVERYTHING, index0=index0).decide(arrivals[index0:], 100)
    assert (part.fate == whole.fate[index0:]).all()
    assert (part.flip_bit == whole.flip_bit[index0:]).all()


def test_seeds_differ() -> None:
    first, second = (losses(ImpairmentPlan(loss=0.5, seed=seed)) for seed in (1, 2))
    assert abs(len(np.intersect1d(first, second)) / FRAMES - 0.25) < 0.01


def test_listed_frames_are_lost_and_no_others() -> None:
    assert losses(ImpairmentPlan(drop=(0, 5, 9, 99_999))).tolist() == [0, 5, 9, 99_999]


def test_frames_are_listed_by_their_index_from_the_beginning() -> None:
    stream = Stream(ImpairmentPlan(drop=(5,)))
    stream.decide(EVERY_MS[:10], 100)
    stream.change(ImpairmentPlan(drop=(5, 12)))
    assert np.flatnonzero(stream.decide(EVERY_MS[:10], 100).fate).tolist() == [2]


def test_every_bit_of_a_frame_can_be_flipped() -> None:
    bits = Stream(ImpairmentPlan(corrupt=1.0)).decide(EVERY_MS, 64).flip_bit
    counts = np.bincount(bits, minlength=512)
    assert len(counts) == 512
    assert is_likely(chi_square(counts, FRAMES / 512), 511)


def test_the_copy_of_a_frame_has_a_delay_of_its_own() -> None:
    plan = ImpairmentPlan(delay_ns=5_000_000, jitter_ns=1_000_000, duplicate=1.0, keep_order=False)
    decided = Stream(plan).decide(EVERY_MS, 100)
    first, copy = ((due - EVERY_MS).astype(float) for due in (decided.due_ns, decided.copy_due_ns))
    assert abs(np.corrcoef(first, copy)[0, 1]) < 0.01
    alone = Stream(plan.model_copy(update={"duplicate": 0.0})).decide(EVERY_MS, 100)
    assert (alone.due_ns == decided.due_ns).all()
