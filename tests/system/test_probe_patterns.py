"""Patterns of traffic and frames of several sizes, sent by both mechanisms over live links."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from emulator import Network
from emulator.traffic import native
from emulator.traffic.frames import FrameMix
from emulator.traffic.probe import Mechanism, ProbeResult, ProbeSpec, run_probe
from emulator.traffic.schedule import Burst, Pcap, Poisson, offsets_ns, parse_pattern
from tests.system.test_probe import (
    Direct,
    Switched,
    both_mechanisms,
    check_consistency,
    sanitized,
)

__all__ = ["sanitized"]

pytestmark = [pytest.mark.root, pytest.mark.xdp]

PATTERNS = ["poisson", "pareto(shape=1.5)", "onoff(on=10ms, off=40ms)", "burst(size=16)"]
SO_RCVBUFFORCE = 33
BEHIND_NS = 1_000_000
"""PROBE_BEHIND_NS: a packet later than this is not sent."""


@pytest.fixture(scope="module")
def direct() -> Iterator[Network]:
    with Network(Direct()) as net:
        yield net


@pytest.fixture(scope="module")
def switched() -> Iterator[Network]:
    with Network(Switched()) as net:
        yield net


def probe(net: Network, rate_pps: float | None, duration_s: float, **more: Any) -> ProbeResult:
    result = run_probe(net["client"], net["server"], ProbeSpec(rate_pps, duration_s, **more))
    check_consistency(result)
    return result


def check_due_times(result: ProbeResult) -> None:
    """Each packet was due when the schedule says, and was sent within a millisecond or not."""
    spec = result.spec
    assert result.sent_ns is not None
    assert result.intended_ns is not None
    offsets = offsets_ns(spec.pattern, spec.rate_pps, spec.duration_s, spec.seed)
    np.testing.assert_array_equal(result.intended_ns - np.uint64(result.start_ns), offsets)
    sent = result.sent_ns != 0
    behind = result.sent_ns[sent] - result.intended_ns[sent]
    assert behind.max() <= BEHIND_NS


@both_mechanisms
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("frames", [None, FrameMix.imix()])
def test_packets_follow_the_pattern(
    direct: Network, mechanism: Mechanism, pattern: str, frames: FrameMix | None
) -> None:
    more: dict[str, Any] = {"pattern": parse_pattern(pattern), "frames": frames, "seed": 3}
    result = probe(direct, 5000, 0.2, mechanism=mechanism, **more)
    assert result.sent > 0
    assert (result.lost, result.duplicated, result.reordered) == (0, 0, 0)
    check_due_times(result)


@both_mechanisms
def test_a_pattern_may_go_there_and_back_and_uncounted(
    direct: Network, mechanism: Mechanism
) -> None:
    more: dict[str, Any] = {"mechanism": mechanism, "pattern": Poisson()}
    result = probe(direct, 5000, 0.1, round_trip=True, frames=FrameMix.imix(), **more)
    assert result.received == result.reflected == result.sent > 0
    assert result.received_bytes == result.sent_bytes
    result = probe(direct, 5000, 0.1, record=False, frames=FrameMix.imix(), **more)
    assert result.received == result.sent > 0
    assert result.received_bytes == result.sent_bytes
    assert result.frame_bytes is None


@contextmanager
def captured(net: Network, frames: list[bytes]) -> Iterator[None]:
    """Collect what arrives at the switch from the client."""
    netns, name = net["client"].far_end("client-eth0")

    def listen() -> socket.socket:
        found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        found.settimeout(0.05)
        found.bind((name, 3))
        return found

    over = threading.Event()

    def collect() -> None:
        while True:
            try:
                frame, (_, _, kind, *_) = listener.recvfrom(1 << 14)
            except TimeoutError:
                if over.is_set():
                    return
                continue
            if kind != socket.PACKET_OUTGOING and frame[36:38] == b"\x27\x0f":
                frames.append(frame)

    with netns.run(listen) as listener:
        collector = threading.Thread(target=collect)
        collector.start()
        try:
            yield
        finally:
            over.set()
            collector.join()


def sum16(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@both_mechanisms
@pytest.mark.parametrize("pattern", ["const", "burst(size=50)"])
def test_every_frame_of_a_mix_is_what_it_should_be(
    switched: Network, mechanism: Mechanism, pattern: str
) -> None:
    """Also after the kernel has used its pages many times over."""
    frames: list[bytes] = []
    spec = ProbeSpec(
        10_000, 0.5, mechanism=mechanism, frames=FrameMix.imix(), pattern=parse_pattern(pattern)
    )
    with captured(switched, frames):
        result = run_probe(switched["client"], switched["server"], spec, flow=0x1234)
    check_consistency(result)
    assert len(frames) == result.sent > 0
    assert result.frame_bytes is not None
    assert result.sent_ns is not None
    assert result.intended_ns is not None
    numbers = []
    for frame in frames:
        magic, flow, number, intended_ns = struct.unpack("=HHIQ", frame[42:58])
        assert (magic, flow) == (native.STAMP_MAGIC, 0x1234)
        assert intended_ns == result.intended_ns[number]
        assert len(frame) == result.frame_bytes[number] - 4
        ip_length, udp_length = (int.from_bytes(frame[at : at + 2], "big") for at in (16, 38))
        assert (ip_length, udp_length) == (len(frame) - 14, len(frame) - 34)
        assert sum16(frame[14:34]) == 0xFFFF
        numbers.append(number)
    assert numbers == np.flatnonzero(result.sent_ns).tolist()


@both_mechanisms
def test_sizes_stay_right_over_many_packets(direct: Network, mechanism: Mechanism) -> None:
    many = {"kernel": 1_500_000, "app": 100_000}[mechanism]
    result = probe(direct, None, 20.0, mechanism=mechanism, frames=FrameMix.imix(), packets=many)
    assert result.sent == many
    assert result.frame_bytes is not None
    assert result.sent_ns is not None
    assert result.received_ns is not None
    sizes = result.frame_bytes.astype(np.uint64)
    assert result.sent_bytes == sizes[result.sent_ns != 0].sum()
    assert result.received_bytes == sizes[result.received_ns != 0].sum()


@both_mechanisms
def test_the_sizes_of_a_capture_are_sent_at_its_pace(
    direct: Network, mechanism: Mechanism, tmp_path: Path
) -> None:
    path = tmp_path / "traffic.pcap"
    with PcapWriter(str(path)) as writer:
        for number, size_bytes in enumerate((60, 1514, 120, 42, 900)):
            packet = Ether() / Raw(bytes(size_bytes - 14))
            packet.time = number**2 / 10_000
            writer.write(packet)
    for rate_pps in (None, 4000):
        result = probe(direct, rate_pps, 0.1, mechanism=mechanism, pattern=Pcap(str(path)))
        check_due_times(result)
        assert result.lost == 0
        assert result.frame_bytes is not None
        assert result.sent_ns is not None
        assert result.frame_bytes[:6].tolist() == [64, 1518, 124, 64, 904, 64]
        assert result.received_bytes == result.frame_bytes[result.sent_ns != 0].sum()


@both_mechanisms
@pytest.mark.parametrize("pattern", ["const", "poisson"])
@pytest.mark.parametrize("record", [True, False])
def test_no_more_packets_are_sent_than_asked_for(
    direct: Network, mechanism: Mechanism, pattern: str, record: bool
) -> None:
    for rate_pps in (None, 20_000) if pattern == "const" else (20_000,):
        begun = time.monotonic()
        result = probe(
            direct,
            rate_pps,
            60.0,
            mechanism=mechanism,
            pattern=parse_pattern(pattern),
            packets=300,
            record=record,
        )
        assert result.sent + result.unsent == 300
        # It does not wait for the time to be over.
        assert time.monotonic() - begun < 50


@both_mechanisms
def test_what_a_stopped_generator_misses_is_unsent(direct: Network, mechanism: Mechanism) -> None:
    class Client:
        """The client, whose generator is stopped again and again."""

        def __getattr__(self, name: str) -> Any:
            return getattr(direct["client"], name)

        def popen(self, args: list[str], **options: Any) -> subprocess.Popen[Any]:
            process = direct["client"].popen(args, **options)
            stopper.append(threading.Thread(target=self.stop, args=(process,)))
            stopper[0].start()
            return process

        @staticmethod
        def stop(process: subprocess.Popen[Any]) -> None:
            fd = os.pidfd_open(process.pid)
            try:
                while not over.wait(0.03):
                    signal.pidfd_send_signal(fd, signal.SIGSTOP)
                    time.sleep(0.03)
                    signal.pidfd_send_signal(fd, signal.SIGCONT)
            except ProcessLookupError:
                pass
            finally:
                os.close(fd)

    over = threading.Event()
    stopper: list[threading.Thread] = []
    spec = ProbeSpec(20_000, 0.5, mechanism=mechanism, pattern=Burst(4))
    try:
        result = run_probe(Client(), direct["server"], spec)
    finally:
        over.set()
        stopper[0].join()
    check_consistency(result)
    check_due_times(result)
    assert result.unsent > 0
    assert result.sent > 0


@both_mechanisms
@pytest.mark.parametrize("rate_pps", [5000, None])
def test_the_native_parts_make_no_wrong_access_with_tables(
    direct: Network,
    sanitized: Path,
    monkeypatch: pytest.MonkeyPatch,
    mechanism: Mechanism,
    rate_pps: float | None,
) -> None:
    monkeypatch.setattr(native, "native_dir", lambda: sanitized)
    # What the program still holds when it ends, the kernel takes back.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    pattern = parse_pattern("const" if rate_pps is None else "pareto")
    more: dict[str, Any] = {"mechanism": mechanism, "pattern": pattern}
    result = probe(direct, rate_pps, 0.05, frames=FrameMix.imix(), round_trip=True, **more)
    assert result.sent > 0
