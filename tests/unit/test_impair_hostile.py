"""Whatever the model of links is told, it refuses it or copes; also under the sanitizers."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.wire.model import Stream
from emulator.wire.spec import Spec, TraceSpec
from tests.impair_reference import PATIENT

ROOT = Path(__file__).resolve().parents[2]

numbers = st.one_of(
    st.sampled_from([0, 1, 1500, 10**6, 10**9, 1 << 31, (1 << 32) - 1]),
    st.sampled_from([1 << 60, (1 << 60) + 1, 1 << 62, 1 << 63, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
)
sane = st.one_of(st.just(0), st.integers(0, 10**10))
small = st.one_of(st.just(0), st.integers(0, 10**5), numbers.map(lambda n: n & 0xFFFFFFFF))
ratios = st.one_of(
    st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.1, -0.0, 5e-324, -1.0, 1.0000001, 1e300, float("nan"), float("inf")]),
    st.floats(0, 1),
)
longs = st.one_of(sane, sane, sane, numbers)
kinds = st.one_of(st.integers(0, 5), st.integers(0, 2), st.just(0xFFFFFFFF))

# struct impairment: seed, delay, jitter; four kinds; eight ratios; and what comes after them.
impairments = st.tuples(
    numbers,
    longs,
    longs,
    st.integers(0, 5),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 2),
    *[st.sampled_from([0.0, 0.1, 0.5, 1.0])] * 8,
    longs,
    small,
    small,
    longs,
    longs,
    longs,
    st.integers(0, 1),
    small,
    small,
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
)
LAYOUT = struct.Struct("@3Q4I8dQ2I3Q3I2d2Q")
KINDS = {**dict.fromkeys((3, 4, 5, 6), kinds), **dict.fromkeys((*range(7, 15), 24, 25), ratios)}


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """An impairment with up to two fields that may be anything."""
    fields = list(draw(impairments))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(fields) - 1))
        is_word = place in (16, 17, 21, 22, 23)
        fields[place] = draw(KINDS.get(place, small if is_word else numbers))
    return LAYOUT.pack(*fields)


points = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 10**6), numbers),
        st.one_of(sane, numbers),
        st.one_of(sane, numbers),
        st.one_of(st.just(-1.0), ratios),
    ),
    min_size=0,
    max_size=10,
)


@st.composite
def traces(draw: st.DrawFn) -> TraceSpec | None:
    given = draw(points)
    if draw(st.booleans()):
        given = sorted((at % 10**7, *rest) for at, *rest in given)
    return TraceSpec(
        kind=draw(st.one_of(st.integers(0, 3), st.just(0xFFFFFFFF))),
        period_ns=draw(st.one_of(st.just(10**7), st.just(10**9), numbers)),
        opportunity_bytes=draw(small),
        count=len(given),
        points=b"".join(struct.pack("=3Qd", *point) for point in given),
    )


specs = st.builds(
    Spec,
    impairment=spoiled(),
    drops=st.one_of(st.just(()), st.lists(st.integers(0, 50)).map(lambda n: tuple(sorted(set(n))))),
    table=st.one_of(
        st.just(()), st.lists(st.floats(width=64), max_size=5).map(tuple), st.just((-1.0, 1.0))
    ),
    trace=st.one_of(st.none(), st.none(), traces()),
)
arrivals = st.lists(
    st.tuples(st.one_of(st.integers(0, 10**7), numbers), small, st.booleans()), max_size=60
)
LATEST_NS = 1 << 62


@PATIENT
@given(st.lists(st.tuples(specs, arrivals), min_size=1, max_size=4), st.booleans())
def test_nonsense_is_refused_or_survived(
    phases: list[tuple[Spec, list[tuple[int, int, bool]]]], rising: bool
) -> None:
    stream: Stream | None = None
    for spec, frames in phases:
        try:
            if stream is None:
                stream = Stream(spec)
            else:
                stream.change(spec)
        except UsageError:
            pass
        if stream is None:
            return
        times = [now % LATEST_NS for now, _, _ in frames]
        sizes = np.array([size for _, size, _ in frames], dtype=np.uint32)
        decided = stream.decide(
            np.array(sorted(times) if rising else times, dtype=np.uint64),
            sizes,
            can_mark=[mark for _, _, mark in frames],
        )
        assert (decided.fate <= 3).all()
        assert (decided.due_ns <= LATEST_NS).all()
        assert (decided.copy_due_ns <= LATEST_NS).all()
        assert (decided.flip_bit < 8 * sizes.astype(np.int64)).all()
        ordered = np.array(sorted(times) if rising else times, dtype=np.uint64)
        assert (decided.due_ns[decided.delivered] >= ordered[decided.delivered]).all()


@PATIENT
@given(st.binary(min_size=LAYOUT.size, max_size=LAYOUT.size))
def test_any_bytes_are_refused_or_survived(data: bytes) -> None:
    try:
        stream = Stream(Spec(data))
    except UsageError:
        return
    stream.decide(np.arange(100) * 1000, 1500)


def test_times_that_are_too_late_are_the_latest() -> None:
    stream = Stream(Spec(LAYOUT.pack(*[0] * 7, *[0.0] * 8, *[0] * 9, 0.0, 0.0, 0, 0)))
    assert stream.decide([(1 << 64) - 1], 64).due_ns.tolist() == [LATEST_NS]


SANITIZED_RUN = """
import sys
from pathlib import Path
import pytest
from emulator.wire import model
model.native_dir = lambda: Path(sys.argv[1])
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


def test_the_sanitizers_find_nothing(tmp_path: Path) -> None:
    """The tests here and those of queues and traces, with the library as they check it."""
    subprocess.run(
        [
            *("make", "--silent", "-C", ROOT / "emulator/native", f"BUILD={tmp_path}"),
            "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all",
            tmp_path / "libimpair.so",
        ],
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    runtime = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(runtime).is_absolute(), "AddressSanitizer's library is missing"
    here = Path(__file__)
    files = [here.with_name(f"test_impair_{name}.py") for name in ("queue", "traces")]
    others = [f"{here}::{name}" for name in HERE]
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED_RUN, tmp_path, *files, *others],
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": runtime,
            # Python keeps what it has until it ends.
            "ASAN_OPTIONS": "detect_leaks=0",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


HERE = (
    test_nonsense_is_refused_or_survived.__name__,
    test_any_bytes_are_refused_or_survived.__name__,
    test_times_that_are_too_late_are_the_latest.__name__,
)


def test_streams_give_their_memory_back() -> None:
    """A queue of this length takes 16 MiB as soon as it is used."""

    def resident_bytes() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    fields = [0] * 7 + [0.0] * 8 + [10**6, 0, 0, 1 << 20] + [0] * 5 + [0.0, 0.0, 0, 0]
    spec = Spec(LAYOUT.pack(*fields))
    times, before = np.zeros(1 << 20), resident_bytes()
    for _ in range(20):
        Stream(spec).decide(times, 100)
    ctypes.CDLL(None).malloc_trim(0)
    assert resident_bytes() - before < 200 << 20
