"""Taps in the loop of a VNF that is a process, without any network: what is noted, and how long."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from emulator.catalog import Catalog
from emulator.dataplane.build import build_program
from emulator.dataplane.process_memory import TAP, Connection
from emulator.errors import LabError
from emulator.traffic.native import udp_frame

PLACES = 8
TAKEN, SENT = 0, 2
FLOW = 0x1234
NONE = 0xFFFFFFFF
REQUEST = struct.Struct("=Q7I4x")
DEADLINE_S = 20.0


class Forwarder:
    """The VNF ``forward`` as a process that takes frames on its standard input."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.address = str(folder / "control")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(self.address)
        listener.listen()
        program = build_program(Catalog.load()["forward"], "packet", run_loop="memory")
        options = ["--ports", "port0,port1", "--control", str(listener.fileno())]
        self.process = stack.enter_context(
            subprocess.Popen(
                [program, *options],
                pass_fds=(listener.fileno(),),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        stack.callback(self.process.kill)
        self.table = os.memfd_create("table", os.MFD_CLOEXEC)
        stack.callback(os.close, self.table)
        os.ftruncate(self.table, 3 * PLACES * 8)

    def forward(self, frame: bytes, port: int = 0) -> None:
        """Have a frame come by a port, and see it leave by the other one."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(struct.pack("=II", port, len(frame)) + frame)
        self.process.stdin.flush()
        head = self.process.stdout.read(8)
        assert struct.unpack("=II", head) == (1 - port, len(frame))
        assert self.process.stdout.read(len(frame)) == frame
        assert self.process.stdout.read(8) == struct.pack("=II", NONE, 0)

    def noted(self) -> np.ndarray:
        """The table: a row for each column of the request."""
        content = os.pread(self.table, 3 * PLACES * 8, 0)
        return np.frombuffer(content, np.uint64).reshape(3, PLACES)

    def tap(self, connection: Connection, **changes: int) -> None:
        wanted = {
            "bytes": 3 * PLACES * 8,
            "flow": FLOW,
            "places": PLACES,
            "in_port": 0,
            "out_port": 1,
            "arrived": NONE,
            "taken": TAKEN,
            "sent": SENT,
        } | changes
        connection.ask(TAP, content=REQUEST.pack(*wanted.values()), descriptor=self.table)


@pytest.fixture
def vnf(tmp_path: Path) -> Iterator[Forwarder]:
    with ExitStack() as stack:
        yield Forwarder(tmp_path, stack)


def packet(number: int, *, flow: int = FLOW) -> bytes:
    frame = bytearray(
        udp_frame(
            source_mac="02:00:00:00:00:01",
            destination_mac="02:00:00:00:00:02",
            source="10.0.0.1",
            destination="10.0.0.2",
            flow=flow,
            size_bytes=60,
        )
    )
    frame[46:50] = struct.pack("=I", number)
    return bytes(frame)


def test_packets_are_noted_when_they_are_taken_and_sent(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection:
        vnf.tap(connection)
        begun_ns = time.monotonic_ns()
        vnf.forward(packet(3))
        noted = vnf.noted()
        assert begun_ns <= noted[TAKEN, 3] <= noted[SENT, 3] <= time.monotonic_ns()
        assert np.flatnonzero(noted).tolist() == [TAKEN * PLACES + 3, SENT * PLACES + 3]
        vnf.forward(packet(3))
        assert np.array_equal(vnf.noted(), noted)


@pytest.mark.parametrize(
    "frame",
    [
        packet(3, flow=FLOW ^ 1),
        packet(PLACES),
        packet(NONE),
        packet(3)[:59],
        packet(3)[:12] + b"\x86\xdd" + packet(3)[14:],
        packet(3)[:14] + b"\x46" + packet(3)[15:],
        packet(3)[:23] + b"\x06" + packet(3)[24:],
        packet(3)[:42] + b"\0" + packet(3)[43:],
    ],
)
def test_other_frames_are_not_noted(vnf: Forwarder, frame: bytes) -> None:
    with Connection(vnf.address) as connection:
        vnf.tap(connection)
        vnf.forward(frame)
        assert not vnf.noted().any()
        vnf.forward(packet(PLACES - 1))
        assert np.count_nonzero(vnf.noted()) == 2


def test_only_the_ports_on_the_way_are_looked_at(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection:
        vnf.tap(connection)
        vnf.forward(packet(1), port=1)
        assert not vnf.noted().any()


def test_it_is_over_when_that_is_asked_for(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection, Connection(vnf.address) as stranger:
        vnf.tap(connection)
        stranger.ask(TAP)
        vnf.forward(packet(1))
        assert np.count_nonzero(vnf.noted()) == 2
        connection.ask(TAP)
        vnf.forward(packet(2))
        assert np.count_nonzero(vnf.noted()) == 2
        vnf.tap(stranger)
        vnf.forward(packet(2))
        assert np.count_nonzero(vnf.noted()) == 4


def test_it_is_over_when_the_one_who_asked_has_gone(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection:
        vnf.tap(connection)
    with Connection(vnf.address) as other:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                vnf.tap(other)
            except LabError:
                assert time.monotonic() < deadline
            else:
                break


def test_there_is_one_tap_at_a_time(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection, Connection(vnf.address) as other:
        vnf.tap(connection)
        with pytest.raises(LabError, match="busy"):
            vnf.tap(other)
        vnf.forward(packet(1))
        assert np.count_nonzero(vnf.noted()) == 2


@pytest.mark.parametrize(
    "changes",
    [{"places": 0}, {"places": PLACES + 1}, {"taken": 3}, {"sent": 3}, {"bytes": 0}],
)
def test_a_table_that_is_too_small_is_refused(vnf: Forwarder, changes: dict[str, int]) -> None:
    with Connection(vnf.address) as connection:
        with pytest.raises(LabError, match="refuses"):
            vnf.tap(connection, **changes)
        vnf.forward(packet(1))
        assert not vnf.noted().any()


def test_a_descriptor_that_nobody_wants_is_closed(vnf: Forwarder) -> None:
    with Connection(vnf.address) as connection:
        connection.ask(0)
        before = len(os.listdir(f"/proc/{vnf.process.pid}/fd"))
        for _ in range(5):
            connection.ask(0, descriptor=vnf.table)
        assert len(os.listdir(f"/proc/{vnf.process.pid}/fd")) == before
        vnf.tap(connection)
        assert len(os.listdir(f"/proc/{vnf.process.pid}/fd")) == before
