"""The delay of packets split by where they spent it: segments add up, and nothing is invented."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import MeasurementError
from emulator.measure.hop_split import (
    CLOCK_TOLERANCE_NS,
    HopSplit,
    Point,
    segments_between,
    split_delay,
)

ROOT = Path(__file__).resolve().parents[2]

NODES = ("client", "fw", "fwd", "server")
POINTS = (
    Point("client", "due"),
    Point("client", "sent"),
    Point("fw", "arrived", "afxdp"),
    Point("fw", "taken", "afxdp"),
    Point("fw", "sent", "afxdp"),
    Point("fwd", "arrived", "xdp"),
    Point("fwd", "sent", "xdp"),
    Point("server", "received"),
)
WAY_NS = [1_000_000, 1_000_100, 1_002_000, 1_030_000, 1_030_200, 1_033_000, 1_033_070, 1_034_000]


def columns(packets: list[list[int]]) -> list[np.ndarray]:
    """A row of stamps for each packet, turned into an array for each point."""
    return [np.array(column, dtype=np.uint64) for column in zip(*packets, strict=True)]


def split(packets: list[list[int]], points: tuple[Point, ...] = POINTS) -> HopSplit:
    stamps = columns(packets)
    arrived = stamps[-1] != 0
    delay_ns = (stamps[-1][arrived] - stamps[0][arrived]).astype(np.int64)
    return split_delay(points, stamps, delay_ns, NODES)


def test_segments_are_named_after_what_lies_between_points() -> None:
    segments = segments_between(POINTS, NODES)
    assert [(segment.name, segment.kind) for segment in segments] == [
        ("client generator", "end"),
        ("client → fw (link)", "link"),
        ("fw queue", "queue"),
        ("fw afxdp", "vnf"),
        ("fw → fwd (link)", "link"),
        ("fwd xdp", "vnf"),
        ("fwd → server (link)", "link"),
    ]


def test_a_segment_says_what_it_holds_that_is_not_told_apart() -> None:
    points = (
        Point("client", "due"),
        Point("client", "sent"),
        Point("fw", "taken", "dpdk"),
        Point("fw", "sent", "dpdk"),
        Point("server", "received", "receiver"),
    )
    names = [segment.name for segment in segments_between(points, NODES, [False, False, True])]
    assert names == [
        "client generator",
        "client → fw (link and queue)",
        "fw dpdk",
        "fw → fwd → server (impaired links, fwd and receiver)",
    ]


def test_a_way_without_a_node_between_has_its_link_alone() -> None:
    ends = (POINTS[0], POINTS[1], POINTS[-1])
    names = [each.name for each in segments_between(ends, ("client", "server"), [True])]
    assert names == ["client generator", "client → server (impaired link)"]


def test_each_segment_is_the_time_between_its_points() -> None:
    found = split([WAY_NS] * 400)
    assert found.times_ns[:, 0].tolist() == [100, 1_900, 28_000, 200, 2_800, 70, 930]
    assert (found.packets, found.left_out, found.worst_sum_error_ns) == (400, 0, 0)
    rows = found.summary()
    assert [row.mean_ns for row in rows] == [100, 1_900, 28_000, 200, 2_800, 70, 930]
    assert [row.p50_ns for row in rows] == [100, 1_900, 28_000, 200, 2_800, 70, 930]
    assert rows[2].share == pytest.approx(28_000 / 34_000)
    assert sum(row.share for row in rows) == pytest.approx(1)


def test_a_percentile_that_the_sample_does_not_support_is_not_given() -> None:
    rows = split([WAY_NS] * 298).summary()
    assert {row.p99_ns for row in rows} == {None}
    assert None not in {row.p50_ns for row in rows}


def test_packets_that_were_lost_or_not_noted_everywhere_are_left_out_and_counted() -> None:
    lost = [*WAY_NS[:-1], 0]
    unseen = [*WAY_NS]
    unseen[3] = 0
    found = split([WAY_NS, lost, unseen, WAY_NS])
    assert found.sequence.tolist() == [0, 3]
    assert (found.received, found.incomplete, found.disordered, found.left_out) == (3, 1, 0, 1)


def test_a_packet_that_its_copy_overtook_is_left_out() -> None:
    overtaken = [*WAY_NS]
    overtaken[3] = overtaken[2] - CLOCK_TOLERANCE_NS - 1
    tolerated = [*WAY_NS]
    tolerated[3] = tolerated[2] - CLOCK_TOLERANCE_NS
    found = split([WAY_NS, overtaken, tolerated])
    assert found.sequence.tolist() == [0, 2]
    assert (found.incomplete, found.disordered) == (0, 1)
    assert found.times_ns[2].tolist() == [28_000, -CLOCK_TOLERANCE_NS]
    assert found.worst_sum_error_ns == 0


def test_a_point_that_nobody_was_recognised_at_joins_the_segments_around_it() -> None:
    blind = [*WAY_NS]
    blind[4] = blind[5] = 0
    found = split([blind, blind])
    assert found.unnoted == (POINTS[4], POINTS[5])
    names = [segment.name for segment in found.segments]
    assert names[2:] == ["fw queue", "fw → fwd (link, fw and fwd)", "fwd → server (link)"]
    assert found.packets == 2
    assert found.worst_sum_error_ns == 0


def test_a_vnf_whose_taking_nobody_saw_has_its_queue_inside() -> None:
    blind = [*WAY_NS]
    blind[3] = 0
    names = [segment.name for segment in split([blind]).segments]
    assert "fw queue and afxdp" in names


def test_where_nothing_arrived_there_is_nothing_to_summarise() -> None:
    found = split([[*WAY_NS[:-1], 0]])
    assert (found.packets, found.received, found.worst_sum_error_ns) == (0, 0, 0)
    with pytest.raises(MeasurementError, match="no packet whose delay could be split"):
        found.summary()


def test_stamps_and_delays_of_different_trials_are_refused() -> None:
    with pytest.raises(MeasurementError, match="not those of the packets"):
        split_delay(POINTS, columns([WAY_NS] * 2), np.array([34_000]), NODES)
    unsent = [[0, *WAY_NS[1:]]]
    with pytest.raises(MeasurementError, match="kept no times"):
        split_delay(POINTS, columns(unsent), np.array([34_000]), NODES)


@st.composite
def journeys(draw: st.DrawFn) -> list[list[int]]:
    """Packets with any times between their points, some of which saw nothing."""
    packets = []
    for number in range(draw(st.integers(1, 12))):
        gaps = draw(st.lists(st.integers(0, 10**9), min_size=7, max_size=7))
        stamps = (np.cumsum([10**12 + number, *gaps])).tolist()
        for place in draw(st.sets(st.integers(2, 7), max_size=2)):
            stamps[place] = 0
        packets.append(stamps)
    return packets


@given(journeys())
def test_segments_of_every_packet_add_up_to_its_delay(packets: list[list[int]]) -> None:
    found = split(packets)
    received = [packet for packet in packets if packet[-1]]
    seen = [place for place in range(8) if any(packet[place] for packet in received)]
    whole = [packet for packet in received if all(packet[place] for place in seen)]
    assert found.received == len(received)
    assert found.packets == len(whole)
    assert found.incomplete == len(received) - len(whole)
    assert found.delay_ns.tolist() == [packet[-1] - packet[0] for packet in whole]
    assert found.times_ns.sum(axis=0).tolist() == found.delay_ns.tolist()
    assert found.worst_sum_error_ns == 0


def test_taps_look_for_what_the_probe_writes() -> None:
    probe = (ROOT / "emulator/native/probe.h").read_text()
    tap = (ROOT / "vnfs/lib/tap.h").read_text()

    def constant(text: str, name: str) -> int:
        found = re.search(rf"#define {name} +(\w+)", text)
        assert found is not None, name
        return int(found[1], 0)

    for ours, theirs in (
        ("TAP_STAMP_OFFSET", "PROBE_STAMP_OFFSET"),
        ("TAP_SEQ_OFFSET", "PROBE_SEQ_OFFSET"),
        ("TAP_HEAD_BYTES", "PROBE_HEAD_BYTES"),
        ("TAP_STAMP_MAGIC", "PROBE_STAMP_MAGIC"),
    ):
        assert constant(tap, ours) == constant(probe, theirs), ours
