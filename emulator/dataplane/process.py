"""A VNF that runs as a process in its node: what every data plane in user space shares.

The process and the emulator share memory, in which the process counts and the emulator leaves
parameters and settings; requests for tables go over a socket. Both are described in
``vnfs/lib/run.h`` and ``vnfs/lib/control.h``.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.control import port_infos
from emulator.dataplane.build import MAX_PORTS, pack_text
from emulator.dataplane.ending import end_process, last_words, start_error, why_ended
from emulator.dataplane.live import LiveMemory, LiveParameters, pack_entries
from emulator.dataplane.running import FIXED_COUNTERS, Description, PortCounters, RunningVnf
from emulator.errors import LabError, UsageError
from emulator.idle import DEFAULT, parse_idle
from emulator.kernel.bpf import BpfId

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.hostpath import HostPath
    from emulator.kernel.netns import Netns
    from emulator.parameters import Value
    from emulator.plan.model import NodePlan
    from emulator.runtime.namespace import Processes

_DESCRIBE, _UPDATE, _DELETE, _DUMP, _START = range(5)
_REQUEST = struct.Struct("=III")
_MESSAGE_BYTES = 1 << 16
_ENDED = "the VNF has ended"
_ANSWER_S = 20.0
"""Starting DPDK takes seconds on a busy machine; everything else is answered in milliseconds."""


@dataclass(frozen=True)
class Site:
    """Where the processes of a lab's VNFs live.

    Attributes:
        processes: starts them.
        folder: takes their sockets and what they print; the lab's own, which goes with it.
    """

    processes: Processes
    folder: Path

    def file(self, node: str, suffix: str) -> Path:
        """A file of a VNF: its socket, what it prints, its parameters."""
        # By number: names of nodes may be longer than the path of a socket can be.
        return self.folder / f"vnf-{zlib.crc32(node.encode()):08x}.{suffix}"


@dataclass
class Launch:
    """How a data plane starts its process.

    Attributes:
        command: the program and its own options; the common ones are added.
        pass_fds: descriptors that it inherits.
        environment: variables in addition to ours.
        resources: what has to be closed once the process has ended.
        bpf: what of BPF exists for its sake.
        notes: what the user has to know beside the mode that the process reports.
    """

    command: list[str]
    pass_fds: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: ExitStack = field(default_factory=ExitStack)
    bpf: list[BpfId] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def use(self, path: HostPath) -> None:
        """Give the process a way into its node's stack, which closes with the resources."""
        self.resources.enter_context(path)
        self.command += path.options
        self.pass_fds += path.fds
        self.bpf += path.bpf
        self.notes += path.notes


class ProcessMemory(LiveMemory):
    """The memory and the socket shared with a VNF process.

    A VNF in Python takes its parameters as they are. It has neither settings nor tables: what the
    control module makes of the parameters is for handlers in C.
    """

    def __init__(
        self, shared_fd: int, connection: socket.socket, layout: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self.layout = layout
        self._memory = mmap.mmap(shared_fd, os.fstat(shared_fd).st_size)
        self._takes_text = layout["config"]["form"] == "text"

    def active_bank(self) -> int:
        return int(struct.unpack_from("=I", self._memory, self.layout["active_bank"])[0])

    def pack(self, manifest: Manifest, values: Mapping[str, Value]) -> bytes:
        if self._takes_text:
            return pack_text(values, self.layout["config"]["bytes"])
        return super().pack(manifest, values)

    def write_bank(self, bank: int, config: bytes, settings: Mapping[str, Sequence[bytes]]) -> None:
        if self._takes_text:
            settings = {}
        place = self.layout["config"]
        if len(config) != place["bytes"]:
            raise LabError(f"parameters of {len(config)} bytes for {place['bytes']} of the VNF's")
        known = self.layout["settings"]
        for name in settings:
            if name not in known:
                raise UsageError(f"the VNF has no settings {name}", hint=f"it has: {list(known)}")
        self._put(place["offset"] + bank * place["bytes"], config)
        for name, where in known.items():
            content = pack_entries(
                name, settings.get(name, ()), where["entry_bytes"], where["entries"]
            )
            self._put(where["offsets"][bank], content)

    def activate(self, bank: int) -> None:
        struct.pack_into("=I", self._memory, self.layout["active_bank"], bank)

    def set_clock(self, time_ns: int | None) -> None:
        """Let the VNF's time stand still at a value, or run."""
        clock = self.layout["clock"]
        struct.pack_into("=Q", self._memory, clock["ns"], time_ns or 0)
        struct.pack_into("=I", self._memory, clock["is_set"], time_ns is not None)

    def update(self, table: str, key: bytes, value: bytes) -> None:
        if self._takes_text:
            return
        self._ask_table(_UPDATE, table, key + value, key_bytes=len(key), value_bytes=len(value))

    def delete(self, table: str, key: bytes) -> None:
        if self._takes_text:
            return
        try:
            self._ask_table(_DELETE, table, key, key_bytes=len(key))
        except KeyError:
            return

    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        known = self._table(table)
        key_bytes = known["key_bytes"]
        width = key_bytes + known["value_bytes"]
        start = 0
        while chunk := self.ask(_DUMP, known["number"], start):
            for at in range(0, len(chunk), width):
                yield chunk[at : at + key_bytes], chunk[at + key_bytes : at + width]
            start += len(chunk) // width

    def counters(self, own: Sequence[str]) -> list[tuple[dict[str, int], dict[str, int]]]:
        """For each possible port, the fixed counters and the VNF's own."""
        place = self.layout["counters"]
        row = struct.Struct(f"={len(FIXED_COUNTERS) + len(own)}Q")
        found = []
        for port in range(MAX_PORTS):
            values = row.unpack_from(self._memory, place["offset"] + port * place["stride"])
            fixed = dict(zip(FIXED_COUNTERS, values, strict=False))
            found.append((fixed, dict(zip(own, values[len(FIXED_COUNTERS) :], strict=True))))
        return found

    def ask(self, operation: int, table: int = 0, start: int = 0, content: bytes = b"") -> bytes:
        """Send a request and wait for the answer's result.

        Raises:
            KeyError: what was asked for is not there.
            LabError: the VNF refuses, or has gone.
        """
        return ask(self._connection, operation, table, start, content)

    def close(self) -> None:
        self._connection.close()
        self._memory.close()

    def _ask_table(
        self, operation: int, table: str, content: bytes, *, key_bytes: int, value_bytes: int = 0
    ) -> None:
        known = self._table(table)
        if key_bytes != known["key_bytes"] or value_bytes not in (0, known["value_bytes"]):
            raise UsageError(
                f"a key of {key_bytes} and a value of {value_bytes} bytes do not fit "
                f"{known['key_bytes']} and {known['value_bytes']}",
                where=f"table {table}",
            )
        self.ask(operation, known["number"], 0, content)

    def _table(self, name: str) -> Mapping[str, int]:
        tables = self.layout["tables"]
        if name not in tables:
            raise UsageError(f"the VNF has no table {name}", hint=f"it has: {list(tables)}")
        found: Mapping[str, int] = tables[name]
        return found

    def _put(self, offset: int, content: bytes) -> None:
        self._memory[offset : offset + len(content)] = content


def ask(
    connection: socket.socket,
    operation: int,
    table: int = 0,
    start: int = 0,
    content: bytes = b"",
) -> bytes:
    """One request to a VNF process and the result of its answer; see ``ProcessMemory.ask``."""
    try:
        connection.send(_REQUEST.pack(operation, table, start) + content)
        answer = connection.recv(_MESSAGE_BYTES)
    except TimeoutError:
        raise LabError("the VNF does not answer") from None
    except (BrokenPipeError, ConnectionResetError):
        raise LabError(_ENDED) from None
    except OSError as error:
        raise LabError(f"the VNF cannot be asked: {error.strerror}") from error
    if not answer:
        raise LabError(_ENDED)
    (status,) = struct.unpack_from("=i", answer)
    if status == -errno.ENOENT:
        raise KeyError(table)
    if status == -errno.ENOSPC:
        raise LabError("the table is full")
    if status:
        raise LabError(f"the VNF refuses a request: {os.strerror(-status)}")
    return answer[4:]


class ProcessVnf(RunningVnf):
    """A VNF that runs as a process, or one of another emulator that we reach."""

    def __init__(
        self,
        description: dict[str, Any],
        manifest: Manifest,
        memory: ProcessMemory,
        parameters: LiveParameters,
        resources: ExitStack,
        process: subprocess.Popen[Any] | None = None,
        bpf: Sequence[BpfId] = (),
        left_behind: ExitStack | None = None,
    ) -> None:
        self.dataplane = description["dataplane"]
        self.mode = ", ".join([_common_mode(memory.layout), *description["notes"]])
        self.memory = memory
        self._description = description
        self._manifest = manifest
        self._parameters = parameters
        self._resources = resources
        self._process = process
        self._bpf = list(bpf)
        self._left_behind = left_behind or ExitStack()

    def learn(self, mode: str, bpf: Sequence[BpfId]) -> None:
        """Take note of what the kernel says of the VNF once its ports are open.

        Args:
            mode: how the data plane works here.
            bpf: what of BPF the process has made itself.
        """
        self.mode = ", ".join([mode, *self._description["notes"]])
        self._bpf += bpf

    @property
    def pid(self) -> int:
        """The process, as the machine's own PID namespace numbers it."""
        return int(self._description["pid"])

    def counters(self) -> dict[str, PortCounters]:
        rows = self.memory.counters(list(self._manifest.counters))
        ports = self._description["ports"]
        return {
            port: PortCounters(**fixed, own=own)
            for port, (fixed, own) in zip(ports, rows, strict=False)
        }

    def bpf_ids(self) -> list[BpfId]:
        return list(self._bpf)

    def parameters(self) -> dict[str, Any]:
        return self._parameters.values

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        failure = self.failure()
        if failure is not None:
            raise LabError(failure, where=where)
        self._parameters.set(changes, where=where)

    def apart(self) -> list[str]:
        ports = json.loads(self.memory.ask(_DESCRIBE))["ports"]
        names = {kernel_name: name for name, kernel_name in self._description["ports"].items()}
        return [names.get(port["name"], port["name"]) for port in ports if port["apart"]]

    def failure(self) -> str | None:
        if self._process is not None:
            status = self._process.poll()
            if status is not None:
                self._left_behind.close()
            return None if status is None else why_ended(status, *self._log)
        try:
            self.memory.ask(_DESCRIBE)
        except LabError as error:
            return error.message + last_words(*self._log)
        return None

    @property
    def _log(self) -> tuple[Path, int]:
        return Path(self._description["log"]), self._description["log_since"]

    def describe(self) -> dict[str, Any]:
        return {**self._description, "bpf": [[bpf.kind, bpf.id] for bpf in self._bpf]}

    def close(self) -> None:
        self._resources.close()


def start_process(
    node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None, launch: Launch
) -> ProcessVnf:
    """Start a VNF's process and wait until it handles frames.

    Raises:
        BuildVnfError: it ended instead; the message is its own.
    """
    assert node.vnf is not None
    with ExitStack() as undo:
        undo.callback(launch.resources.close)
        if site is None:
            raise UsageError("a VNF that is a process needs a lab to live in", where=node.name)
        ports = {interface.name: interface.kernel_name for interface in node.interfaces}
        if len(ports) > MAX_PORTS:
            raise UsageError(
                f"{len(ports)} ports are more than a VNF handles, {MAX_PORTS}", where=node.name
            )
        path, log = site.file(node.name, "sock"), site.file(node.name, "log")
        shared = os.memfd_create(f"vnf {node.name}", os.MFD_CLOEXEC)
        undo.callback(os.close, shared)
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        undo.callback(path.unlink, missing_ok=True)
        listener.listen()
        process = _spawn(node, netns, site, launch, ports, shared, listener, log)
        undo.callback(end_process, process)
        connection = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        connection.settimeout(_ANSWER_S)
        connection.connect(str(path))
        # Held by the process alone: when it ends, whoever waits for an answer learns of it.
        listener.close()
        try:
            layout = json.loads(ask(connection, _DESCRIBE))
            memory = undo.enter_context(ProcessMemory(shared, connection, layout))
            parameters = LiveParameters(
                manifest,
                port_infos(node.interfaces),
                node.vnf.parameters,
                memory,
                site.file(node.name, "json"),
            )
            parameters.install()
            undo.callback(parameters.forget)
            ask(connection, _START)
            memory.layout = json.loads(ask(connection, _DESCRIBE))
            # A process may have found more ports than those of the node's interfaces.
            ports |= {each["name"]: each["name"] for each in memory.layout["ports"][len(ports) :]}
        except LabError as error:
            raise start_error(process, log, node.name, error) from error
        description = {
            "dataplane": node.vnf.dataplane,
            "manifest": str(manifest.folder / "vnf.toml"),
            "ports": ports,
            "owner": os.getpid(),
            "pid": process.pid,
            "shared": shared,
            "socket": str(path),
            "log": str(log),
            "log_since": log.stat().st_size,
            "parameters": parameters.describe(),
            "notes": list(launch.notes),
        }
        return ProcessVnf(
            description,
            manifest,
            memory,
            parameters,
            undo.pop_all(),
            process,
            launch.bpf,
            launch.resources,
        )


def attach_process(description: Description, netns: Netns) -> ProcessVnf:
    """Reach a VNF process that another emulator runs; see ``attach_vnf``."""
    from emulator.catalog import read_manifest

    manifest = read_manifest(Path(description["manifest"]))
    with ExitStack() as undo:
        try:
            shared = os.open(f"/proc/{description['owner']}/fd/{description['shared']}", os.O_RDWR)
            undo.callback(os.close, shared)
            connection = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            connection.settimeout(_ANSWER_S)
            connection.connect(description["socket"])
        except (ConnectionRefusedError, FileNotFoundError) as error:
            said = last_words(Path(description["log"]), description["log_since"])
            raise LabError(_ENDED + said) from error
        except OSError as error:
            raise LabError(f"the VNF cannot be reached: {error.strerror}") from error
        layout = json.loads(ask(connection, _DESCRIBE))
        memory = undo.enter_context(ProcessMemory(shared, connection, layout))
        parameters = LiveParameters.attached(manifest, description["parameters"], memory)
        bpf = [BpfId(kind, number) for kind, number in description["bpf"]]
        return ProcessVnf(
            dict(description), manifest, memory, parameters, undo.pop_all(), None, bpf
        )


def _spawn(
    node: NodePlan,
    netns: Netns,
    site: Site,
    launch: Launch,
    ports: Mapping[str, str],
    shared: int,
    listener: socket.socket,
    log: Path,
) -> subprocess.Popen[Any]:
    assert node.vnf is not None
    options = [
        *("--ports", ",".join(ports.values())),
        *("--shared", str(shared)),
        *("--control", str(listener.fileno())),
        *("--idle", parse_idle(node.vnf.idle or DEFAULT).option),
        *("--seed", str(node.vnf.seed)),
    ]
    if node.vnf.cores:
        options += ["--cores", ",".join(map(str, node.vnf.cores))]
    with log.open("wb") as output:
        return site.processes.popen(
            netns,
            [*launch.command, *options],
            pass_fds=(shared, listener.fileno(), *launch.pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **launch.environment},
        )


def _common_mode(layout: Mapping[str, Any]) -> str:
    return "+".join(sorted({port["mode"] for port in layout["ports"]}))
