"""What may be asked of the probe, and the frame it sends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from emulator.errors import UsageError
from emulator.traffic.frames import FrameMix
from emulator.traffic.native import udp_frame
from emulator.traffic.probe import MAX_RECORDED_PACKETS, ProbeResult, ProbeSpec
from emulator.traffic.schedule import Burst, Const, Pattern, Pcap, Poisson, offsets_ns


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"rate_pps": 0}, "rate_pps"),
        ({"rate_pps": -5}, "rate_pps"),
        ({"rate_pps": math.inf}, "rate_pps"),
        ({"rate_pps": math.nan}, "rate_pps"),
        ({"rate_pps": 1e-9}, "rate_pps"),
        ({"duration_s": 0}, "duration_s"),
        ({"duration_s": -1}, "duration_s"),
        ({"duration_s": math.nan}, "duration_s"),
        ({"duration_s": 1e6}, "duration_s"),
        ({"frame_size_bytes": 63}, "frame_size_bytes"),
        ({"frame_size_bytes": 4000}, "frame_size_bytes"),
        ({"frame_size_bytes": 10_000, "mechanism": "app"}, "frame_size_bytes"),
        ({"mechanism": "magic"}, "mechanism"),
        ({"core": -1}, "core"),
        ({"drain_s": 0}, "drain_s"),
        ({"drain_s": 61}, "drain_s"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        ProbeSpec(**{"rate_pps": 1000, "duration_s": 1.0, **wrong})
    assert caught.value.where == where
    assert caught.value.hint


@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024, 1280, 1518])
@pytest.mark.parametrize("mechanism", ["kernel", "app"])
def test_the_frame_sizes_of_rfc_2544_are_possible(size: int, mechanism: Any) -> None:
    assert ProbeSpec(1000, 1.0, frame_size_bytes=size, mechanism=mechanism).places == 1000


def test_jumbo_frames_take_the_app_mechanism() -> None:
    assert ProbeSpec(1000, 1.0, frame_size_bytes=9018, mechanism="app").frame_size_bytes == 9018
    with pytest.raises(UsageError, match="9018"):
        ProbeSpec(1000, 1.0, frame_size_bytes=9018)


def test_more_records_than_fit_are_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="too many to record") as caught:
        ProbeSpec(1_000_000, MAX_RECORDED_PACKETS / 1_000_000 + 1)
    assert "do not record" in caught.value.hint
    assert ProbeSpec(1_000_000, 60, record=False).places == 60_000_000


def test_more_packets_than_can_be_numbered_are_refused() -> None:
    with pytest.raises(UsageError, match="too many for one trial"):
        ProbeSpec(1_000_000, 3600 * 2, record=False)


@pytest.mark.parametrize("rate_pps", [1, 3, 10_000, 1_234_567, 5_000_000])
def test_the_schedule_keeps_to_the_rate(rate_pps: float) -> None:
    """The last of many packets is due when it should be, to a tenth of a microsecond."""
    spec = ProbeSpec(rate_pps, 9.0)
    last = spec.places - 1
    assert (last * spec.interval) / 2**20 == pytest.approx(last * 1e9 / rate_pps, abs=100)


def test_a_short_trial_sends_at_least_one_packet() -> None:
    assert ProbeSpec(1, 0.001).places == 1


@pytest.mark.parametrize("size_bytes", [60, 61, 1514])
def test_the_frame_is_udp_over_ipv4(size_bytes: int) -> None:
    frame = udp_frame(
        source_mac="02:00:0a:00:00:01",
        destination_mac="02:00:0a:00:00:02",
        source="10.0.0.1",
        destination="10.0.0.2",
        flow=0x1234,
        size_bytes=size_bytes,
    )
    assert len(frame) == size_bytes
    packet = Ether(frame)
    assert (packet.src, packet.dst) == ("02:00:0a:00:00:01", "02:00:0a:00:00:02")
    assert (packet[IP].src, packet[IP].dst, packet[IP].len) == (
        "10.0.0.1",
        "10.0.0.2",
        size_bytes - 14,
    )
    checksum = packet[IP].chksum
    del packet[IP].chksum
    assert Ether(bytes(packet))[IP].chksum == checksum
    assert (packet[UDP].sport, packet[UDP].dport) == (9998, 9999)
    assert (packet[UDP].len, packet[UDP].chksum) == (size_bytes - 34, 0)


def test_a_pattern_decides_how_many_packets_there_are() -> None:
    spec = ProbeSpec(1000, 2.0, pattern=Poisson(), seed=5)
    offsets = offsets_ns(Poisson(), 1000, 2.0, 5)
    assert spec.offsets_ns is not None
    np.testing.assert_array_equal(spec.offsets_ns, offsets)
    assert spec.places == len(offsets) != 2000
    assert (spec.interval, spec.lasting_ns) == (0, 2_000_000_000)
    assert ProbeSpec(1000, 2.0, pattern=Burst(7)).places == 2000


def test_equal_distances_are_due_by_the_interval() -> None:
    spec = ProbeSpec(3_000_000, 0.01)
    assert spec.offsets_ns is not None
    assert spec.offsets_ns.tolist() == [(place * spec.interval) >> 20 for place in range(30_000)]
    assert spec.lasting_ns == (30_000 * spec.interval) >> 20
    assert ProbeSpec(None, 1.0).offsets_ns is None
    assert ProbeSpec(None, 1.0).lasting_ns is None


@pytest.mark.parametrize("pattern", [Const(), Poisson(), Burst(32)])
def test_no_more_packets_are_sent_than_asked_for(pattern: Pattern) -> None:
    spec = ProbeSpec(1000, 2.0, pattern=pattern, packets=100)
    whole = ProbeSpec(1000, 2.0, pattern=pattern)
    assert spec.offsets_ns is not None
    assert whole.offsets_ns is not None
    assert spec.places == len(spec.offsets_ns) == 100
    assert spec.lasting_ns == max(1, int(whole.offsets_ns[100]))
    assert ProbeSpec(1000, 2.0, pattern=pattern, packets=10_000).places == whole.places
    assert ProbeSpec(None, 2.0, packets=100).places == 100


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"rate_pps": None, "pattern": Poisson()}, "rate_pps"),
        ({"rate_pps": 1e6, "duration_s": 100, "pattern": Poisson(), "record": False}, "pattern"),
        ({"seed": -1}, "seed"),
        ({"packets": 0}, "packets"),
        ({"frames": FrameMix.single(9000)}, "frames"),
        ({"frames": FrameMix.imix(), "frame_size_bytes": 512}, "frames"),
        ({"pattern": Pcap("/nowhere.pcap")}, "/nowhere.pcap"),
    ],
)
def test_what_makes_no_sense_of_patterns_and_frames_is_refused(
    wrong: dict[str, Any], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ProbeSpec(**{"rate_pps": 1000, "duration_s": 1.0, **wrong})
    assert caught.value.where == where


def test_a_mix_has_its_own_sizes() -> None:
    spec = ProbeSpec(1000, 1.0, frames=FrameMix.imix(), seed=2)
    assert spec.frame_cycle is not None
    np.testing.assert_array_equal(spec.frame_cycle, FrameMix.imix().order(2))
    assert spec.largest_frame_bytes == 1518
    assert spec.mean_frame_bytes == pytest.approx(353.8, abs=0.1)
    single = ProbeSpec(1000, 1.0, frames=FrameMix.single(512))
    assert single.frame_cycle is None
    assert (single.largest_frame_bytes, single.mean_frame_bytes) == (512, 512)


def test_a_capture_brings_sizes_and_pace(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with PcapWriter(str(path)) as writer:
        for number, size_bytes in enumerate((60, 1514, 20, 300)):
            packet = Ether() / Raw(bytes(size_bytes - 14))
            packet.time = number / 1000
            writer.write(packet)
    pattern = Pcap(str(path))
    # A size that nobody asked for does not matter.
    spec = ProbeSpec(None, 0.1, pattern=pattern, frames=FrameMix.single(64))
    assert spec.frame_cycle is not None
    assert spec.frame_cycle.tolist() == [64, 1518, 64, 304]
    assert (spec.places, spec.has_pace, spec.largest_frame_bytes) == (100, True, 1518)
    assert ProbeSpec(500, 0.1, pattern=pattern).places == 50
    with pytest.raises(UsageError, match="brings the sizes"):
        ProbeSpec(500, 0.1, pattern=pattern, frame_size_bytes=128)
    with pytest.raises(UsageError, match="brings the sizes"):
        ProbeSpec(500, 0.1, pattern=pattern, frames=FrameMix.imix())
    with pytest.raises(UsageError, match="too many to record|too many for a schedule"):
        ProbeSpec(1e6, 100, pattern=pattern)


def test_a_result_knows_bytes_and_due_times_of_a_mix() -> None:
    spec = ProbeSpec(1000, 1.0, frames=FrameMix.imix(), pattern=Burst(10), packets=60)
    sent_ns = np.arange(60, dtype=np.uint64)
    result = a_result(spec, sent=59, sent_ns=sent_ns, mixed_bytes=(59_000, 58_000))
    assert (result.sent_bytes, result.received_bytes) == (59_000, 58_000)
    assert result.frame_bytes is not None
    assert result.frame_bytes.tolist() == FrameMix.imix().order()[:60].tolist()
    assert result.intended_ns is not None
    assert result.intended_ns.tolist() == [5 + place // 10 * 10_000_000 for place in range(60)]


def test_a_result_knows_bytes_of_frames_of_one_size() -> None:
    result = a_result(ProbeSpec(1000, 1.0, frames=FrameMix.single(128)), sent=1000, sent_ns=None)
    assert (result.sent_bytes, result.received_bytes) == (128_000, 128_000)
    assert result.frame_bytes is None
    assert result.intended_ns is None


def a_result(spec: ProbeSpec, *, sent: int, sent_ns: Any, mixed_bytes: Any = None) -> ProbeResult:
    return ProbeResult(
        spec=spec,
        source="a",
        destination="b",
        sent=sent,
        unsent=0,
        received=sent,
        lost=0,
        duplicated=0,
        reordered=0,
        damaged=0,
        overrun=0,
        reflected=None,
        start_ns=5,
        elapsed_ns=1,
        cpu_ns=1,
        process_cpu_ns={},
        wait_ns=0,
        softirq_accounting="in-task",
        dma_latency_held=True,
        sent_ns=sent_ns,
        received_ns=None,
        reflected_ns=None,
        copies=None,
        arrival=None,
        mixed_bytes=mixed_bytes,
    )
