"""vnf-probe, the C program that sends and receives inside a node, and the memory shared with it.

The structures mirror ``emulator/native/probe.h``. Nothing is parsed from text: what vnf-probe is to
do is written into a block of shared memory, and its report, errors included, is read from there.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import BuildVnfError, MachineError, MeasurementError, UsageError
from emulator.kernel.bpf import BpfObject
from emulator.paths import native_dir

if TYPE_CHECKING:
    from emulator.traffic.path import ProbeNode

PROGRAM = "vnf-probe"
SOURCE_PORT, DESTINATION_PORT = 9998, 9999
STAMP_MAGIC = 0x564E
MAX_FRAME_BYTES = 9216
MAX_FLOWS = 4
"""How many flows a recorder serves."""

ROLE_GENERATE, ROLE_SEND, ROLE_RECEIVE, ROLE_REFLECT = 1, 2, 3, 4

_BLOCK_MAGIC = 0x50464E56
VERSION = 3
_STARTUP_S = 5.0
_STAGES = {
    0: "reading what to do",
    1: "holding on to the emulator",
    2: "moving to its core",
    3: "mapping memory for the records",
    4: "setting a timer",
    5: "running the BPF generator",
    6: "opening a packet socket",
    7: "sending or receiving packets",
}
_AT_CORE, _AT_MEMORY, _AT_RUN = 2, 3, 5


class Schedule(ctypes.Structure):
    """struct probe_schedule: the interval in units of 2^-20 ns."""

    _fields_ = [
        ("interval", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("planned", ctypes.c_uint64),
    ]


class Progress(ctypes.Structure):
    """struct probe_progress."""

    _fields_ = [
        ("start_ns", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
        ("sent", ctypes.c_uint64),
        ("last_sent_ns", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
    ]


class Counts(ctypes.Structure):
    """struct probe_counts."""

    _fields_ = [
        ("received", ctypes.c_uint64),
        ("duplicated", ctypes.c_uint64),
        ("reordered", ctypes.c_uint64),
        ("damaged", ctypes.c_uint64),
        ("expected", ctypes.c_uint64),
        ("last_ns", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
    ]


class FlowSettings(ctypes.Structure):
    """struct probe_flow."""

    _fields_ = [
        ("number", ctypes.c_uint32),
        ("recording", ctypes.c_uint32),
        ("reflecting", ctypes.c_uint32),
        ("mixed", ctypes.c_uint32),
        ("count", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
    ]


class Block(ctypes.Structure):
    """struct probe_block."""

    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("role", ctypes.c_uint32),
        ("lifeline_fd", ctypes.c_int32),
        ("program_fd", ctypes.c_int32),
        ("progress_fd", ctypes.c_int32),
        ("memory_fd", ctypes.c_int32),
        ("plan_fd", ctypes.c_int32),
        ("sizes_fd", ctypes.c_int32),
        ("core", ctypes.c_int32),
        ("ifindex", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
        ("flow", ctypes.c_uint32),
        ("batch", ctypes.c_uint32),
        ("frame_bytes", ctypes.c_uint32),
        ("sizes", ctypes.c_uint32),
        ("schedule", Schedule),
        ("duration_ns", ctypes.c_uint64),
        ("quiet_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("go", ctypes.c_uint64),
        ("sending_ended_ns", ctypes.c_uint64),
        ("stage", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("ended_ns", ctypes.c_uint64),
        ("cpu_ns", ctypes.c_uint64),
        ("wait_ns", ctypes.c_uint64),
        ("overrun", ctypes.c_uint64),
        ("progress", Progress),
        ("counts", Counts),
        ("frame", ctypes.c_uint8 * MAX_FRAME_BYTES),
    ]

    def set_frame(self, frame: bytes) -> None:
        ctypes.memmove(self.frame, frame, len(frame))
        self.frame_bytes = len(frame)


class SharedBlock:
    """A block in memory that a vnf-probe maps too; ``value`` is live."""

    def __init__(self, role: int) -> None:
        self.fd = os.memfd_create("vnf-probe", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, ctypes.sizeof(Block))
        self._map = mmap.mmap(self.fd, ctypes.sizeof(Block))
        self.value = Block.from_buffer(self._map)
        self.value.magic = _BLOCK_MAGIC
        self.value.version = VERSION
        self.value.bytes = ctypes.sizeof(Block)
        self.value.role = role
        self.value.lifeline_fd = self.value.program_fd = -1
        self.value.progress_fd = self.value.memory_fd = self.value.core = -1
        self.value.plan_fd = self.value.sizes_fd = -1

    def close(self) -> None:
        """Close the descriptor; ``value`` stays readable."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class ProbeProcess(Closing):
    """A running vnf-probe. Closing it ends the process, whatever it is doing.

    A socket pair ties it to us: it writes a byte when it is ready, and we see the end of the stream
    when it has ended. When we close our end, or die, the kernel kills it.
    """

    def __init__(self, node: ProbeNode, block: SharedBlock, descriptors: Sequence[int]) -> None:
        """Start it inside a node. ``descriptors`` are those that the block refers to.

        Raises:
            MachineError: vnf-probe is not built, or the machine cannot do what was asked.
            UsageError: it cannot run on the core asked for.
            MeasurementError: it did not get ready; the message says what it was doing and why not.
        """
        program = _built(PROGRAM)
        self._node = node
        self._block = block
        self._lifeline, theirs = socket.socketpair()
        try:
            block.value.lifeline_fd = theirs.fileno()
            self._process = node.popen(
                [str(program), str(block.fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[block.fd, theirs.fileno(), *descriptors],
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            theirs.close()
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended by itself.

        Raises:
            MeasurementError: it failed, or it has not ended in time.
        """
        if self._receive(timeout_s) is None:
            raise MeasurementError(
                f"the probe did not end within {timeout_s:.0f} s",
                where=self._node.name,
                hint="the machine may be overloaded; try again with a shorter duration",
            )
        self._process.wait()
        if self._block.value.error or self._process.returncode:
            raise self._failure()

    def close(self) -> None:
        """End it, if it has not ended, and take back what it held; a second call does nothing."""
        self._lifeline.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _await_ready(self) -> None:
        answer = self._receive(_STARTUP_S)
        if answer is None:
            raise MeasurementError(
                f"the probe did not start within {_STARTUP_S:.0f} s", where=self._node.name
            )
        if not answer:
            self._process.wait()
            raise self._failure()

    def _receive(self, timeout_s: float) -> bytes | None:
        """What it wrote; empty when it has ended, None when neither happened in time."""
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return None
        try:
            return self._lifeline.recv(1)
        except ConnectionResetError:
            return b""

    def _failure(self) -> BuildVnfError:
        number, stage = self._block.value.error, self._block.value.stage
        where = self._node.name
        if not number:
            return MeasurementError(
                f"the probe ended with code {self._process.returncode} and without a report",
                where=where,
                hint="after an update, build the native parts again: make -C emulator/native",
            )
        if stage == _AT_RUN and number in (errno.EINVAL, errno.EOPNOTSUPP):
            return MachineError(
                "this kernel cannot send live frames from BPF",
                where=where,
                hint="it takes Linux 5.18 or later; the app mechanism works without",
            )
        if stage == _AT_CORE:
            return UsageError(
                f"the generator cannot run on core {self._block.value.core}: {os.strerror(number)}",
                where=where,
                hint=f"cores are numbered from 0 to {(os.cpu_count() or 1) - 1}",
            )
        if stage == _AT_MEMORY:
            return MachineError(
                f"no memory for the records: {os.strerror(number)}",
                where=where,
                hint="use a shorter duration or a lower rate, or do not record",
            )
        doing = _STAGES.get(stage, f"step {stage}")
        return MeasurementError(
            f"the probe failed while {doing}: {os.strerror(number)}", where=where
        )


def open_bpf(name: str) -> BpfObject:
    """One of the probe's BPF objects.

    Raises:
        MachineError: it is not built, or libbpf is missing.
    """
    return BpfObject(_built(name), name=name)


def shared_memory(size_bytes: int) -> int:
    """A descriptor of that much zeroed memory that exists for certain, so that no write can fail.

    Raises:
        MachineError: there is not that much.
    """
    fd = os.memfd_create("vnf-probe-records", os.MFD_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError as error:
        os.close(fd)
        raise MachineError(
            f"no {size_bytes >> 20} MiB of memory for the records: {error.strerror}",
            hint="use a shorter duration or a lower rate, or do not record",
        ) from error
    return fd


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the clock of every stamp."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def udp_frame(
    *,
    source_mac: str,
    destination_mac: str,
    source: str,
    destination: str,
    flow: int,
    size_bytes: int,
) -> bytes:
    """An Ethernet frame with UDP over IPv4 and the probe's stamp, without frame check sequence.

    The UDP checksum is 0, which over IPv4 means that there is none (RFC 768), so that a stamp can
    be written without computing it anew.
    """
    ip_length = size_bytes - 14
    head = bytearray(20)
    head[0], head[8], head[9] = 0x45, 64, socket.IPPROTO_UDP
    head[2:4] = ip_length.to_bytes(2, "big")
    head[12:16], head[16:20] = socket.inet_aton(source), socket.inet_aton(destination)
    head[10:12] = _internet_checksum(head).to_bytes(2, "big")
    udp = b"".join(
        value.to_bytes(2, "big") for value in (SOURCE_PORT, DESTINATION_PORT, ip_length - 20, 0)
    )
    stamp = STAMP_MAGIC.to_bytes(2, "little") + flow.to_bytes(2, "little")
    ethernet = _mac_bytes(destination_mac) + _mac_bytes(source_mac) + b"\x08\x00"
    return (ethernet + head + udp + stamp).ljust(size_bytes, b"\0")


def _built(name: str) -> Path:
    path = native_dir() / name
    if not path.is_file():
        raise MachineError(
            "the native parts are not built",
            where=str(path),
            hint="run scripts/bootstrap, or make -C emulator/native",
        )
    return path


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _internet_checksum(data: bytes | bytearray) -> int:
    """RFC 1071."""
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
