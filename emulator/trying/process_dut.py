"""A VNF's handler in a process, which takes frames on its standard input."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.dataplane.live import LiveParameters
from emulator.dataplane.process_memory import Connection, ProcessMemory
from emulator.dataplane.running import PortCounters
from emulator.errors import LabError
from emulator.trying.model import START_NS, Dut, Outcome, example_ports
from emulator.trying.sanitizer import read_report

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

_NO_PORT = 0xFFFFFFFF
_HEAD = struct.Struct("=II")
_DEADLINE_S = 5.0
_SANITIZERS = {
    # No summary of the machine's memory, which nobody reads, and no core file.
    "ASAN_OPTIONS": "print_legend=0:disable_coredump=1:detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=0",
}


class ProcessDut(Dut):
    """The handler in a process of its own, which takes frames on its standard input."""

    def __init__(
        self,
        manifest: Manifest,
        dataplane: str,
        values: Mapping[str, Value],
        ports: int,
        seed: int,
        command: Sequence[str],
    ) -> None:
        self.dataplane = dataplane
        self._source = manifest.source(dataplane)
        self._own = list(manifest.counters)
        self._ports = ports
        self._stack = ExitStack()
        try:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._log = folder / "log"
            self.memory: ProcessMemory = self._start(folder, command, seed)
            self.parameters = LiveParameters(
                manifest, example_ports(ports), values, self.memory, folder / "parameters.json"
            )
            self.set_clock_ns(START_NS)
            self.parameters.install()
        except BaseException:
            self._stack.close()
            raise

    def handle(self, port: int, frame: bytes) -> Outcome:
        assert self._process.stdin is not None
        sent: dict[int, bytes] = {}
        try:
            self._process.stdin.write(_HEAD.pack(port, len(frame)) + frame)
            self._process.stdin.flush()
            while True:
                out, length = _HEAD.unpack(self._read(_HEAD.size))
                if out == _NO_PORT:
                    break
                sent[out] = self._read(length)
        except (BrokenPipeError, EOFError):
            raise self._crash() from None
        try:
            to_host = self._host_paths[port].recv(1 << 17, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return Outcome(sent)
        return Outcome(sent, to_host)

    def counters(self) -> list[PortCounters]:
        return self.memory.counters(self._own)[: self._ports]

    def set_clock_ns(self, time_ns: int) -> None:
        self.memory.set_clock(time_ns)

    def close(self) -> None:
        self._stack.close()

    def _start(self, folder: Path, command: Sequence[str], seed: int) -> ProcessMemory:
        keep = self._stack
        shared = os.memfd_create("vnf", os.MFD_CLOEXEC)
        keep.callback(os.close, shared)
        listener = keep.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(folder / "control"))
        listener.listen()
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(self._ports)]
        self._host_paths = [keep.enter_context(near) for near, _ in pairs]
        far_ends = [keep.enter_context(far) for _, far in pairs]
        options = [
            *("--ports", ",".join(f"port{number}" for number in range(self._ports))),
            *("--shared", str(shared)),
            *("--control", str(listener.fileno())),
            *("--host", ",".join(str(far.fileno()) for far in far_ends)),
            *("--seed", str(seed)),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *options],
                pass_fds=(shared, listener.fileno(), *(far.fileno() for far in far_ends)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_SANITIZERS},
            )
        keep.callback(self._end)
        connection = keep.enter_context(Connection(str(folder / "control"), patience_s=_DEADLINE_S))
        listener.close()
        try:
            return keep.enter_context(ProcessMemory(shared, connection))
        except LabError:
            raise self._crash() from None

    def _read(self, length: int) -> bytes:
        assert self._process.stdout is not None
        found = b""
        while len(found) < length:
            if not select.select([self._process.stdout], [], [], _DEADLINE_S)[0]:
                raise LabError("the handler does not come back", where=self.dataplane)
            chunk = os.read(self._process.stdout.fileno(), length - len(found))
            if not chunk:
                raise EOFError
            found += chunk
        return found

    def _crash(self) -> LabError:
        try:
            status = self._process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            return LabError("the handler does not come back", where=self.dataplane)
        said = self._log.read_text(errors="replace").strip()
        report = read_report(said, self._source)
        if report is not None:
            return LabError(report.what, where=report.where, hint=report.hint)
        return LabError(f"the VNF ended with {status}: {said}", where=self.dataplane)

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        # A handler that goes round in circles would not notice anything gentler.
        self._process.kill()
        self._process.wait()
