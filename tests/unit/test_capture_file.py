"""Files of captured frames, read back by others."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader, RawPcapReader

from emulator.errors import ResultsError, UsageError
from emulator.traffic.capture_file import CaptureFile
from emulator.traffic.sniffer import Frame, compiled

FRAMES = (
    Frame("h1-eth0", True, 1_700_000_000_123_456_789, bytes(range(60))),
    Frame("h1-eth1", False, 1_700_000_000_123_456_790, bytes(range(61))),
    Frame("h1-eth0", False, 1_700_000_001_000_000_001, bytes(9000)),
)


@pytest.mark.parametrize("suffix", ["pcapng", "pcap", "cap"])
def test_frames_and_their_nanoseconds_are_read_back(tmp_path: Path, suffix: str):
    path = str(tmp_path / f"x.{suffix}")
    with CaptureFile.create(path) as file:
        for frame in FRAMES:
            file.write(frame)
    found = []
    with open(path, "rb") as raw:
        if suffix == "pcapng":
            for data, about in RawPcapNgReader(raw):
                ticks = (about.tshigh << 32) + about.tslow
                found.append((data, ticks * (1_000_000_000 // about.tsresol)))
        else:
            for data, about in RawPcapReader(raw):
                found.append((data, about.sec * 1_000_000_000 + about.usec))
    assert found == [(frame.data, frame.time_ns) for frame in FRAMES]


def test_pcapng_names_interfaces_and_directions(tmp_path: Path):
    path = tmp_path / "x.pcapng"
    with CaptureFile.create(str(path)) as file:
        for frame in FRAMES:
            file.write(frame)
    with path.open("rb") as raw:
        found = [(about.ifname, about.direction) for _, about in RawPcapNgReader(raw)]
    assert found == [(b"h1-eth0", 2), (b"h1-eth1", 1), (b"h1-eth0", 1)]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(ResultsError, match="No such file"):
        CaptureFile.create(str(tmp_path / "nowhere" / "x.pcap"))
    with pytest.raises(ResultsError, match="/dev/full: it cannot be written: No space left"):
        CaptureFile.create("/dev/full")


def test_a_file_that_takes_the_place_of_another_knows_it(tmp_path: Path):
    path = tmp_path / "x.pcap"
    for replaced in (False, True):
        with CaptureFile.create(str(path)) as file:
            assert file.replaced == replaced


def test_what_was_made_for_a_capture_that_cannot_begin_goes_again(tmp_path: Path):
    new, old = tmp_path / "new.pcap", tmp_path / "old.pcap"
    old.touch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        for path in (new, old):
            with pytest.raises(ResultsError, match="File too large"):
                CaptureFile.create(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == [old]


def test_filters_are_compiled_or_refused():
    assert compiled("  ") is None
    program = compiled("udp port 9999")
    assert program is not None
    length, instructions = program
    assert len(instructions) == 8 * length
    with pytest.raises(UsageError, match="in tcpdump's language"):
        compiled("utter nonsense")
    with pytest.raises(UsageError, match="VLAN tags apart"):
        compiled("vlan 10 and icmp")
