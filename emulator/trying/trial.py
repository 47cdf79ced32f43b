"""A VNF that is handed one frame after another, and says what it makes of each.

Inside the kernel that is BPF_PROG_TEST_RUN on the very program that would be attached; for the data
planes in user space it is the handler compiled as for them, behind a port in memory. Time stands
still unless it is moved, and random numbers begin with a seed, so an outcome depends on the frames
alone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.control import PortInfo
from emulator.dataplane.bpf_memory import BpfMemory, random_state
from emulator.dataplane.build import FAST, MAX_PORTS, SANITIZED, build_program, build_xdp
from emulator.dataplane.live import LiveParameters
from emulator.dataplane.process import ProcessMemory, ask
from emulator.dataplane.running import FIXED_COUNTERS, PortCounters
from emulator.errors import LabError, UsageError
from emulator.kernel.bpf import BpfObject
from emulator.trying.sanitizer import read_report

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

USER_SPACE = ("afxdp", "dpdk", "packet")
"""Data planes that run the handler as the same compiled C code."""
START_NS = 1_000_000_000
"""The time on the VNF's clock at first."""
FRAGMENTS_FROM_BYTES = 3500
"""Longer frames reach an XDP program in several pieces."""

_XDP_ABORTED, _XDP_DROP, _XDP_PASS, _XDP_TX, _XDP_REDIRECT = range(5)
_DESCRIBE = 0
_NO_PORT = 0xFFFFFFFF
_HEAD = struct.Struct("=II")
_DEADLINE_S = 10.0
_SANITIZERS = {
    # No summary of the machine's memory, which nobody reads, and no core file.
    "ASAN_OPTIONS": "print_legend=0:disable_coredump=1:detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=0",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a frame.

    Attributes:
        sent: the frames that left, by port.
        to_host: the frame that went to the node's own network stack; None when none did.
    """

    sent: Mapping[int, bytes]
    to_host: bytes | None = None


class Trial(Closing):
    """A VNF on one data plane, without a network; made by ``open_trial``."""

    dataplane: str
    memory: BpfMemory | ProcessMemory
    parameters: LiveParameters

    @abstractmethod
    def handle(self, port: int, frame: bytes) -> Outcome:
        """Have the VNF handle a frame that comes in by a port.

        Raises:
            LabError: it cannot: the handler crashed, or the kernel takes no such frame.
        """

    @abstractmethod
    def counters(self) -> list[PortCounters]:
        """The counters of each port."""

    @abstractmethod
    def set_clock_ns(self, time_ns: int) -> None:
        """Move the VNF's clock."""

    def set(self, **changes: object) -> None:
        """Change parameters."""
        self.parameters.set(changes, where=self.dataplane)

    def entries(self, table: str) -> dict[bytes, bytes]:
        """What a table of the VNF contains."""
        return dict(self.memory.entries(table))


def example_ports(count: int) -> tuple[PortInfo, ...]:
    """Ports with the addresses that a VNF is tried with: 10.0.N.1/24, fd00:N::1/64, MAC …:0N."""
    return tuple(
        PortInfo(f"port{n}", f"02:00:00:00:01:{n:02x}", f"10.0.{n}.1/24", f"fd00:{n}::1/64")
        for n in range(count)
    )


def open_trial(
    manifest: Manifest,
    dataplane: str,
    parameters: Mapping[str, object] | None = None,
    *,
    ports: int | None = None,
    seed: int = 1,
    largest_bytes: int = 1518,
    sanitized: bool = False,
) -> Trial:
    """Load a VNF and give it its parameters.

    Args:
        dataplane: one that the manifest names.
        parameters: those that differ from their defaults.
        ports: how many; as few as the manifest allows by default.
        largest_bytes: the longest frame it will be handed.
        sanitized: in user space, stop at the first access out of bounds.

    Raises:
        UsageError: the VNF does not run there, does not compile, or refuses a parameter.
        MachineError: the machine lacks what is needed; trying XDP needs root.
    """
    where = manifest.name
    values, problems = manifest.check_parameters(parameters or {}, where=where)
    if problems:
        text = "; ".join(problem.message for problem in problems)
        raise UsageError(text, where=where, hint=problems[0].hint)
    count = manifest.ports.min if ports is None else ports
    if not manifest.ports.allow(count) or count > MAX_PORTS:
        raise UsageError(f"it needs {manifest.ports} ports, not {count}", where=where)
    if dataplane == "xdp":
        return XdpTrial(manifest, values, count, seed, largest_bytes > FRAGMENTS_FROM_BYTES)
    if dataplane == "python":
        return ProcessTrial(manifest, dataplane, values, count, seed, _python_command(manifest))
    if dataplane in USER_SPACE:
        program = _program(manifest, dataplane, sanitized)
        return ProcessTrial(manifest, dataplane, values, count, seed, [str(program)])
    raise UsageError(f"the data plane {dataplane} has no handler to try", where=where)


def prepare(manifest: Manifest, dataplane: str, *, sanitized: bool = False) -> None:
    """Compile what ``open_trial`` will want.

    Raises:
        UsageError: the VNF does not compile.
        MachineError: the compiler is missing.
    """
    if dataplane == "xdp":
        build_xdp(manifest)
    elif dataplane in USER_SPACE:
        _program(manifest, dataplane, sanitized)


def _program(manifest: Manifest, dataplane: str, sanitized: bool) -> Path:
    flags = SANITIZED if sanitized else FAST
    return build_program(manifest, dataplane, run_loop="memory", flags=flags)


def _python_command(manifest: Manifest) -> list[str]:
    from emulator.dataplane.python import memory_command

    return memory_command(manifest)


class XdpTrial(Trial):
    """The XDP programs of a VNF, run by BPF_PROG_TEST_RUN."""

    dataplane = "xdp"

    def __init__(
        self,
        manifest: Manifest,
        values: Mapping[str, Value],
        ports: int,
        seed: int,
        fragments: bool,
    ) -> None:
        self._own = list(manifest.counters)
        self._ports = ports
        self._stack = ExitStack()
        try:
            bpf = self._stack.enter_context(
                BpfObject(
                    build_xdp(manifest, fragments=fragments),
                    name=f"VNF {manifest.name}",
                    source=manifest.source("xdp"),
                )
            )
            bpf.set_global("port_count", struct.pack("=I", ports))
            # Nothing is sent, but no port may be the one that a frame came in by.
            bpf.set_global("port_ifindex", struct.pack(f"={MAX_PORTS}I", *range(1, MAX_PORTS + 1)))
            bpf.set_global("vnf_random_state", random_state(seed))
            bpf.set_global("vnf_clock_is_set", b"\1")
            for number in range(ports, MAX_PORTS):
                bpf.disable(f"port{number}")
            bpf.load()
            self._counters = bpf.map("counters")
            self._programs = [bpf.program(f"port{number}") for number in range(ports)]
            self.memory: BpfMemory = self._stack.enter_context(BpfMemory.of(bpf))
            self.parameters = LiveParameters(
                manifest, example_ports(ports), values, self.memory, None
            )
            self.parameters.install()
            self.set_clock_ns(START_NS)
        except BaseException:
            self._stack.close()
            raise

    def handle(self, port: int, frame: bytes) -> Outcome:
        before = self.counters()
        result = self._programs[port].test_run(frame)
        if result.verdict == _XDP_DROP:
            return Outcome({})
        if result.verdict == _XDP_TX:
            return Outcome({port: result.packet})
        if result.verdict == _XDP_PASS:
            return Outcome({}, result.packet)
        if result.verdict != _XDP_REDIRECT:
            raise LabError(f"the program ended with the code {result.verdict}", where=f"{port}")
        after = self.counters()
        return Outcome(
            {
                number: result.packet
                for number in range(self._ports)
                if after[number].tx_packets > before[number].tx_packets
            }
        )

    def counters(self) -> list[PortCounters]:
        width = len(FIXED_COUNTERS) + len(self._own)
        layout = struct.Struct(f"={MAX_PORTS * width}Q")
        per_cpu = map(layout.unpack_from, self._counters.lookup_percpu(bytes(4)))
        totals = [sum(column) for column in zip(*per_cpu, strict=True)]
        rows = (totals[n * width : (n + 1) * width] for n in range(self._ports))
        return [_port_counters(row, self._own) for row in rows]

    def set_clock_ns(self, time_ns: int) -> None:
        self.memory.set_clock_ns(time_ns)

    def close(self) -> None:
        self._stack.close()


class ProcessTrial(Trial):
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
            connection, layout, shared = self._start(folder, command, seed)
            self.memory: ProcessMemory = ProcessMemory(shared, connection, layout)
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
        rows = self.memory.counters(self._own)[: self._ports]
        return [PortCounters(**fixed, own=own) for fixed, own in rows]

    def set_clock_ns(self, time_ns: int) -> None:
        self.memory.set_clock(time_ns)

    def close(self) -> None:
        self._stack.close()

    def _start(
        self, folder: Path, command: Sequence[str], seed: int
    ) -> tuple[socket.socket, dict[str, Any], int]:
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
        connection = keep.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(folder / "control"))
        listener.close()
        try:
            return connection, json.loads(ask(connection, _DESCRIBE)), shared
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


def _port_counters(row: Sequence[int], own: Sequence[str]) -> PortCounters:
    fixed = dict(zip(FIXED_COUNTERS, row, strict=False))
    return PortCounters(**fixed, own=dict(zip(own, row[len(FIXED_COUNTERS) :], strict=True)))


def planes_to_try(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The data planes on which a VNF's handler differs, each with those that run the same code.

    Left out are those without a handler of the VNF's own: the kernel's, and ready programs.
    """
    found: dict[str, tuple[str, ...]] = {}
    sources: dict[Path, str] = {}
    for name in ("xdp", "python", *USER_SPACE):
        source = manifest.source(name) if name in manifest.dataplanes else None
        if source is None:
            continue
        first = sources.setdefault(source, name) if name in USER_SPACE else name
        found[first] = (*found.get(first, ()), name)
    return found
