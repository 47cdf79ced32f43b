"""What may be asked of the probe, and the frame it sends."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from emulator.errors import UsageError
from emulator.traffic.native import udp_frame
from emulator.traffic.probe import MAX_RECORDED_PACKETS, ProbeSpec


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"rate_pps": 0}, "rate_pps"),
        ({"rate_pps": -5}, "rate_pps"),
        ({"rate_pps": math.inf}, "rate_pps"),
        ({"rate_pps": math.nan}, "rate_pps"),
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
