"""Patterns of traffic: what texts name them, and when packets are due, judged by scipy."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter
from scipy import stats

from emulator.errors import UsageError
from emulator.traffic import schedule
from emulator.traffic.schedule import (
    Burst,
    Const,
    OnOff,
    Pareto,
    Pattern,
    Pcap,
    Poisson,
    offsets_ns,
    parse_pattern,
)

MS = 1_000_000
SECOND = 1000 * MS


def patterns(longest_phase_ns: int) -> st.SearchStrategy[Pattern]:
    phases = st.integers(1000, longest_phase_ns)
    return st.one_of(
        st.just(Const()),
        st.just(Poisson()),
        st.builds(OnOff, phases, phases),
        st.builds(Pareto, st.floats(1.05, 100)),
        st.builds(Burst, st.integers(1, 65_536)),
    )


def gaps(pattern: Pattern, rate_pps: float, duration_s: float, seed: int = 1) -> Any:
    offsets = offsets_ns(pattern, rate_pps, duration_s, seed)
    return np.diff(offsets.astype(np.int64), prepend=0)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("const", Const()),
        (" poisson ", Poisson()),
        ("poisson()", Poisson()),
        ("onoff", OnOff(10 * MS, 90 * MS)),
        ("onoff(on=1ms, off=1.5s)", OnOff(MS, 1500 * MS)),
        ("onoff(off=5us)", OnOff(10 * MS, 5000)),
        ("pareto", Pareto(1.5)),
        ("pareto (shape=1.2)", Pareto(1.2)),
        ("burst(size=7)", Burst(7)),
        ("pcap:/tmp/a (b).pcap", Pcap("/tmp/a (b).pcap")),
    ],
)
def test_a_text_names_a_pattern(text: str, pattern: Pattern) -> None:
    assert parse_pattern(text) == pattern


@given(patterns(3600 * SECOND))
def test_the_text_of_a_pattern_names_it(pattern: Pattern) -> None:
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there are: const, poisson, onoff"),
        ("poison", "did you mean poisson"),
        ("constant(", "did you mean const"),
        ("const(rate=1)", "it has none"),
        ("onoff(on=5)", "has no unit"),
        ("onoff(on=-5ms)", "negative"),
        ("onoff(on=0s)", "above 0"),
        ("onoff(onn=5ms)", "did you mean on"),
        ("onoff(on)", "name=value"),
        ("burst(size=3, size=4)", "name=value"),
        ("burst(size=0)", "whole number from 1"),
        ("burst(size=1.5)", "whole number from 1"),
        ("pareto(shape=1)", "from 1.05"),
        ("pareto(shape=101)", "to 100"),
        ("pareto(shape=nan)", "shape"),
        ("pcap:", "pcap:traffic.pcap"),
    ],
)
def test_a_text_that_names_none_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_pattern(text)
    assert caught.value.where == "pattern"
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("make", "values"),
    [(OnOff, (0, 1)), (OnOff, (1, -1)), (Pareto, (1.0,)), (Burst, (0,)), (Burst, (65_537,))],
)
def test_parameters_are_checked_without_a_text_too(make: Any, values: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        make(*values)


def test_equal_distances_are_those_of_the_arithmetic_in_whole_numbers() -> None:
    interval = round((10**9 << 20) / 3_333_333)
    expected = [(place * interval) >> 20 for place in range(333_333)]
    assert offsets_ns(Const(), 3_333_333, 0.1).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_poisson_has_exponential_distances(seed: int) -> None:
    found = gaps(Poisson(), 1000, 20, seed)
    assert stats.kstest(found, stats.expon(scale=1e6).cdf).pvalue > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_poisson_has_poisson_distributed_counts(seed: int) -> None:
    offsets = offsets_ns(Poisson(), 1000, 20, seed)
    counts = np.bincount((offsets // (10 * MS)).astype(int), minlength=2000)
    # Sixteen classes, each of which is to be expected often enough.
    classes = np.clip(counts, 3, 18)
    expected = stats.poisson(10).pmf(np.arange(3, 19))
    expected[0], expected[-1] = stats.poisson(10).cdf(3), stats.poisson(10).sf(17)
    found = np.bincount(classes - 3, minlength=16)
    assert stats.chisquare(found, expected * 2000).pvalue > 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [1.2, 1.5, 3.0])
def test_pareto_has_pareto_distances_of_the_mean_asked_for(shape: float, seed: int) -> None:
    found = gaps(Pareto(shape), 1000, 10, seed)
    shortest = 1e6 * (shape - 1) / shape
    judge = stats.pareto(shape, scale=shortest)
    assert judge.mean() == pytest.approx(1e6)
    assert stats.kstest(found, judge.cdf).pvalue > 0.01


def test_distances_are_independent() -> None:
    found = gaps(Poisson(), 1000, 20)
    assert abs(stats.spearmanr(found[1:], found[:-1]).statistic) < 0.03


@settings(deadline=None)
@given(
    # A long cycle of which only the beginning fits has all its packets there.
    patterns(10 * MS),
    st.floats(1, 1e6),
    st.floats(1e-4, 1e-2),
    st.integers(0, 2**64),
)
def test_what_holds_of_every_schedule(
    pattern: Pattern, rate_pps: float, duration_s: float, seed: int
) -> None:
    offsets = offsets_ns(pattern, rate_pps, duration_s, seed)
    assert offsets.dtype == np.uint64
    assert len(offsets) >= 1
    assert np.all(np.diff(offsets.astype(np.int64)) >= 0)
    # The only packet of a schedule may be due at once.
    assert offsets[-1] < duration_s * 1e9 or len(offsets) == 1
    np.testing.assert_array_equal(offsets, offsets_ns(pattern, rate_pps, duration_s, seed))
    if isinstance(pattern, Const | Burst):
        assert len(offsets) == max(1, round(rate_pps * duration_s))


@pytest.mark.parametrize("pattern", [Poisson(), Pareto()])
def test_another_seed_is_another_schedule(pattern: Pattern) -> None:
    one, other = (offsets_ns(pattern, 1000, 1, seed)[:100] for seed in (1, 2))
    assert not np.array_equal(one, other)


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 30),
    st.floats(1000, 100_000),
)
def test_onoff_is_silent_while_it_is_off_and_has_the_rate_on_the_whole(
    on_ms: int, off_ms: int, cycles: int, rate_pps: float
) -> None:
    cycle_ns = (on_ms + off_ms) * MS
    duration_s = cycles * cycle_ns / SECOND
    offsets = offsets_ns(OnOff(on_ms * MS, off_ms * MS), rate_pps, duration_s)
    assert np.all(offsets % np.uint64(cycle_ns) < on_ms * MS)
    assert len(offsets) == pytest.approx(rate_pps * duration_s, abs=1)
    # While it is on, the distances are equal.
    within = np.diff(offsets.astype(np.int64))
    expected = SECOND / rate_pps * on_ms / (on_ms + off_ms)
    same_phase = np.diff((offsets // np.uint64(cycle_ns)).astype(np.int64)) == 0
    assert np.all(np.abs(within[same_phase] - expected) <= 1)


def test_bursts_are_due_at_once_and_at_equal_distances() -> None:
    offsets = offsets_ns(Burst(32), 1000, 1)
    times, sizes = np.unique(offsets, return_counts=True)
    assert sizes.tolist() == [32] * 31 + [8]
    assert times.tolist() == [group * 32 * MS for group in range(32)]


@pytest.mark.parametrize("pattern", [Poisson(), Pareto(1.05), OnOff(), Burst(2)])
def test_a_schedule_that_does_not_fit_is_refused(
    pattern: Pattern, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="too many for a schedule"):
        offsets_ns(pattern, 1e9, 3600)
    # Chance, or a phase, may bring more than the rate says.
    monkeypatch.setattr(schedule, "MAX_PLANNED_PACKETS", 10)
    with pytest.raises(UsageError, match="at most 10 fit"):
        offsets_ns(Pareto(1.05), 9.9, 1, 1)


@pytest.mark.parametrize("pattern", [Const(), Poisson(), OnOff(), Pareto(), Burst()])
def test_a_pattern_needs_a_rate(pattern: Pattern) -> None:
    with pytest.raises(UsageError, match="needs a rate"):
        offsets_ns(pattern, None, 1)


def write_pcap(path: Path, frames: list[tuple[int, int]], **more: Any) -> Pcap:
    """A capture of frames of so many bytes, of which none is kept, at these times in us."""
    magic, unit_ns = (0xA1B23C4D, 1) if more.get("nano") else (0xA1B2C3D4, 1000)
    data = struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 65535, more.get("link_type", 1))
    for time_us, size_bytes in frames:
        seconds, rest_ns = divmod(time_us * 1000 + 10**18, SECOND)
        data += struct.pack("<IIII", seconds, rest_ns // unit_ns, 0, size_bytes)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return Pcap(str(path))


FRAMES = [(0, 60), (1000, 1514), (4000, 124), (5000, 20)]


@pytest.mark.parametrize(("name", "nano"), [("a.pcap", False), ("a.pcap", True), ("a.gz", False)])
def test_a_capture_keeps_its_own_pace(tmp_path: Path, name: str, nano: bool) -> None:
    pattern = write_pcap(tmp_path / name, FRAMES, nano=nano)
    assert pattern.capture().frame_bytes.tolist() == [64, 1518, 128, 64]
    # Frames are 5/3 ms apart on average, and so is the first one of a turn from the last.
    cycle_ns = 4 * 5 * MS / 3
    offsets = offsets_ns(pattern, None, cycle_ns * 2.5 / 1e9)
    expected = [int(turn * cycle_ns + time_us * 1000) for turn in range(3) for time_us, _ in FRAMES]
    assert offsets.tolist() == expected[:10]


def test_a_capture_takes_on_a_rate(tmp_path: Path) -> None:
    pattern = write_pcap(tmp_path / "a.pcap", FRAMES)
    offsets = offsets_ns(pattern, 1000, 1).astype(float)
    assert len(offsets) == 1000
    own = np.array([0, 1000, 4000, 5000]) * (4 * MS) / (4 * 5000 / 3)
    np.testing.assert_allclose(offsets[:4], own, atol=1)
    np.testing.assert_allclose(offsets[4:] - offsets[:-4], 4 * MS, atol=1)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50),
    st.floats(10, 100_000),
    st.floats(0.001, 0.1),
)
def test_what_holds_of_every_capture(
    tmp_path_factory: pytest.TempPathFactory, times_us: list[int], rate: float, duration_s: float
) -> None:
    path = tmp_path_factory.mktemp("capture") / "a.pcap"
    pattern = write_pcap(path, [(time_us, 60) for time_us in times_us])
    offsets = offsets_ns(pattern, rate, duration_s)
    assert np.all(np.diff(offsets.astype(np.int64)) >= 0)
    assert offsets[-1] < duration_s * 1e9 or len(offsets) == 1
    # All but the last turn is whole.
    turns = rate * duration_s / len(times_us)
    assert abs(len(offsets) - turns * len(times_us)) <= len(times_us)


def test_frames_of_a_capture_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    pattern = write_pcap(tmp_path / "a.pcap", [(500, 100), (0, 200), (500, 300)])
    capture = pattern.capture()
    assert capture.times_ns.tolist() == [0, 500_000, 500_000]
    assert capture.frame_bytes.tolist() == [204, 104, 304]


def test_the_newer_format_of_captures_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    writer = PcapNgWriter(str(path))
    for time_s, size_bytes in ((1.5, 60), (1.75, 1514)):
        packet = Ether() / Raw(bytes(size_bytes - 14))
        packet.time = time_s
        writer.write(packet)
    writer.close()
    capture = Pcap(str(path)).capture()
    assert capture.times_ns.tolist() == [0, 250 * MS]
    assert capture.frame_bytes.tolist() == [64, 1518]


def test_a_changed_capture_is_read_again(tmp_path: Path) -> None:
    pattern = write_pcap(tmp_path / "a.pcap", FRAMES)
    assert len(pattern.capture().times_ns) == 4
    write_pcap(tmp_path / "a.pcap", FRAMES[:2])
    assert len(pattern.capture().times_ns) == 2


@pytest.mark.parametrize("frames", [[(0, 60)], [(7, 60), (7, 60)]])
def test_frames_seen_at_one_time_have_no_pace_of_their_own(
    tmp_path: Path, frames: list[tuple[int, int]]
) -> None:
    pattern = write_pcap(tmp_path / "a.pcap", frames)
    with pytest.raises(UsageError, match="no pace of its own") as caught:
        offsets_ns(pattern, None, 1)
    assert caught.value.hint == "give a rate"
    assert len(offsets_ns(pattern, 100, 1)) == 100


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no capture"),
        (b"this is no capture at all, but a text", "no capture"),
        (struct.pack("<IHH", 0xA1B2C3D4, 2, 4), "no capture"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1), "no frame"),
    ],
)
def test_what_is_no_capture_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as caught:
        Pcap(str(path)).capture()
    assert caught.value.where == str(path)


def test_a_capture_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Pcap(str(tmp_path / "none.pcap")).capture()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        Pcap(str(tmp_path)).capture()
    with pytest.raises(UsageError, match="link type 113"):
        write_pcap(tmp_path / "a.pcap", FRAMES, link_type=113).capture()
    with pytest.raises(UsageError, match="65550 bytes is longer") as caught:
        write_pcap(tmp_path / "b.pcap", [(0, 65_550)]).capture()
    assert "tso off" in caught.value.hint
