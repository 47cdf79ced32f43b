"""Frames of several sizes: exact proportions, a seeded order, and right headers in each of them."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from emulator.errors import UsageError
from emulator.traffic.flow import SIZE, Flow
from emulator.traffic.frames import ORDERED_CYCLES, FrameMix, parse_frames
from emulator.traffic.path import NetworkPath, ProbeNode
from emulator.traffic.probe import ProbeSpec

shares = st.dictionaries(st.integers(64, 9000), st.integers(1, 50), min_size=1, max_size=6)
mixes = shares.map(lambda counts: FrameMix(tuple(counts.items())))


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("64", FrameMix.single(64)),
        (" 1518 ", FrameMix(((1518, 1),))),
        ("imix", FrameMix.imix()),
        ("IMIX", FrameMix(((64, 28), (570, 16), (1518, 4)))),
        ("7x64 + 4×570+1518", FrameMix(((64, 7), (570, 4), (1518, 1)))),
    ],
)
def test_a_text_names_frames(text: str, mix: FrameMix) -> None:
    assert parse_frames(text) == mix


@given(mixes)
def test_the_text_of_a_mix_names_it(mix: FrameMix) -> None:
    assert parse_frames(str(mix)) == mix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write one size"),
        ("jumbo", "imix"),
        ("64,1518", "write one size"),
        ("64+", "write one size"),
        ("63", "64 to 65535 bytes"),
        ("2x63", "64 to 65535 bytes"),
        ("99999", "64 to 65535 bytes"),
        ("0x64", "one or more"),
        ("1x64+2x64", "each size once"),
        ("9999x64+2x65", "up to 10000 in all"),
    ],
)
def test_a_text_that_names_none_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_frames(text)
    assert caught.value.where == "frames"
    assert told in str(caught.value)


def test_the_mix_of_csit() -> None:
    mix = FrameMix.imix()
    assert mix.cycle_frames == 48
    assert mix.mean_bytes == pytest.approx((28 * 64 + 16 * 570 + 4 * 1518) / 48)
    assert (mix.largest_bytes, mix.is_single) == (1518, False)


@given(mixes, st.integers(0, 2**32))
def test_every_cycle_has_the_exact_proportions(mix: FrameMix, seed: int) -> None:
    order = mix.order(seed)
    assert len(order) == ORDERED_CYCLES * mix.cycle_frames
    for cycle in np.split(order, ORDERED_CYCLES):
        assert Counter(cycle.tolist()) == dict(mix.shares)
    np.testing.assert_array_equal(order, mix.order(seed))


def test_the_order_hangs_on_the_seed_and_differs_from_cycle_to_cycle() -> None:
    one, other = (FrameMix.imix().order(seed) for seed in (1, 2))
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[:48], one[48:96])


def test_where_a_frame_stands_in_its_cycle_is_even() -> None:
    """Each size comes about as often in either half of the cycle, over all cycles."""
    order = np.stack([FrameMix.imix().order(seed) for seed in range(20)]).reshape(-1, 48)
    first_half = np.count_nonzero(order[:, :24] == 1518) / np.count_nonzero(order == 1518)
    assert first_half == pytest.approx(0.5, abs=0.03)


def flow_of(spec: ProbeSpec) -> Flow:
    path = NetworkPath(
        source_address="10.0.0.1",
        source_mac="02:00:0a:00:00:01",
        source_interface="client-eth0",
        source_ifindex=2,
        next_hop_mac="02:00:0a:00:00:02",
        destination_address="10.0.255.254",
        destination_interface="server-eth0",
        destination_ifindex=2,
        mtu_bytes=1500,
    )
    nobody = cast(ProbeNode, None)
    return Flow(nobody, nobody, spec, path, number=0x1234)


def resized(flow: Flow, entry: Any) -> bytes:
    """What the generator makes of its largest frame, as emulator/native/probe.h says."""
    frame = bytearray(flow.frame()[: entry["frame_bytes"]])
    frame[16:18], frame[24:26], frame[38:40] = (
        bytes(entry[name]) for name in ("ip_length", "ip_checksum", "udp_length")
    )
    return bytes(frame)


@pytest.mark.parametrize("sizes", [((64, 1), (65, 1), (1518, 2)), FrameMix.imix().shares])
def test_the_headers_are_right_in_every_size(sizes: tuple[tuple[int, int], ...]) -> None:
    flow = flow_of(ProbeSpec(1000, 1.0, frames=FrameMix(sizes), seed=3))
    entries = flow.sizes()
    assert entries is not None
    assert SIZE.itemsize == 8
    assert (entries["frame_bytes"] + 4).tolist() == FrameMix(sizes).order(3).tolist()
    for entry in entries[:48]:
        frame = resized(flow, entry)
        packet = Ether(frame)
        assert (packet[IP].len, packet[UDP].len) == (len(frame) - 14, len(frame) - 34)
        checksum = packet[IP].chksum
        del packet[IP].chksum
        assert Ether(bytes(packet))[IP].chksum == checksum


@pytest.mark.parametrize("frames", [None, FrameMix.single(64), FrameMix(((64, 5),))])
def test_frames_of_one_size_need_no_table(frames: FrameMix | None) -> None:
    flow = flow_of(ProbeSpec(1000, 1.0, frames=frames))
    assert flow.sizes() is None
    assert len(flow.frame()) == 60
