"""A VNF that runs as a process in its node: what every data plane in user space shares.

The process and the emulator share memory, in which the process counts and the emulator leaves
parameters and settings; requests for tables go over a socket. Both are described in
``vnfs/lib/run.h`` and ``vnfs/lib/control.h``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from emulator.control import port_infos
from emulator.dataplane.build import MAX_PORTS, build_program
from emulator.dataplane.ending import start_error, why_ended
from emulator.dataplane.live import LiveParameters
from emulator.dataplane.process_memory import ENDED, Connection, ProcessMemory
from emulator.dataplane.running import Description, PortCounters, RunningVnf
from emulator.errors import LabError, TableFullError, UsageError
from emulator.idle import DEFAULT, parse_idle
from emulator.kernel.bpf import BpfId
from emulator.runtime.ending import end_process, last_words

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.hostpath import HostPath
    from emulator.hosts.processes import NodeProcesses
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan
    from emulator.runtime.container_processes import ContainerProcesses
    from emulator.runtime.namespace import Processes


_SHARED = ("sock", "run", "dpdk")
"""The files of a VNF that it has to see itself, by their suffix."""


@dataclass(frozen=True)
class Site:
    """Where the processes of a lab's VNFs live.

    Attributes:
        processes: starts them.
        folder: takes their sockets and what they print; the lab's own, which goes with it, or
            a part of it that is the container's.
        meeting_place: the folder of the files by which VNFs find each other.
        entrypoint: in a container, whose folder is one VNF's alone: how its image names the
            program.
    """

    processes: Processes | NodeProcesses | ContainerProcesses
    folder: Path
    meeting_place: Path
    entrypoint: tuple[str, ...] | None = None

    @classmethod
    def of_lab(cls, processes: Processes, folder: Path) -> Self:
        """Where those live that are processes of the lab itself."""
        return cls(processes, folder, folder)

    def file(self, node: str, suffix: str) -> Path:
        """A file of a VNF: its socket, what it prints, its parameters."""
        if self.entrypoint is not None:
            if suffix not in _SHARED:
                # A container could put a link to any file of the machine in its place.
                return self.folder.with_name(f"{self.folder.name}-vnf.{suffix}")
            return self.folder / f"vnf.{suffix}"
        # By number: names of nodes may be longer than the path of a socket can be.
        number = hashlib.sha256(node.encode()).hexdigest()[:10]
        return self.folder / f"vnf-{number}.{suffix}"


def program_for(
    site: Site | None, manifest: Manifest, dataplane: str, libraries: Sequence[str] = ()
) -> list[str]:
    """The program of a VNF that runs at a site: compiled now, or in the image of its container.

    Raises:
        UsageError: the source is missing or does not compile.
        MachineError: the compiler or a library is missing.
    """
    if site is not None and site.entrypoint is not None:
        return [*site.entrypoint]
    return [str(build_program(manifest, dataplane, libraries=libraries))]


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
        inherited: what is the process's alone once it has started.
        held: what a forked process has to let go of, lest it lasts as long as that.
    """

    command: list[str]
    pass_fds: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: ExitStack = field(default_factory=ExitStack)
    bpf: list[BpfId] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    inherited: ExitStack = field(default_factory=ExitStack)
    held: ExitStack = field(default_factory=ExitStack)

    def use(self, path: HostPath) -> None:
        """Give the process a way into its node's stack, which closes with the resources."""
        self.resources.enter_context(path)
        self.inherited.callback(path.give_away)
        self.held.callback(path.let_go)
        self.command += path.options
        self.pass_fds += path.fds
        self.bpf += path.bpf
        self.notes += path.notes


class ProcessVnf(RunningVnf):
    """A VNF that runs as a process, or one of another emulator that we reach."""

    def __init__(
        self,
        description: dict[str, Any],
        manifest: Manifest,
        memory: ProcessMemory,
        parameters: LiveParameters,
        held: ExitStack,
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
        self._held = held
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
        found = self.memory.counters(list(self._manifest.counters))
        return dict(zip(self._description["ports"], found, strict=False))

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
        self.memory.look_again()
        names = {kernel_name: name for name, kernel_name in self._description["ports"].items()}
        ports = self.memory.layout["ports"]
        return [names.get(port["name"], port["name"]) for port in ports if port["apart"]]

    @property
    def log(self) -> Path:
        return Path(self._description["log"])

    def failure(self) -> str | None:
        if self._process is not None:
            status = self._process.poll()
            if status is not None:
                self._left_behind.close()
            return None if status is None else why_ended(status, *self._log)
        try:
            self.memory.look_again()
        except LabError as error:
            return error.message + last_words(*self._log)
        return None

    @property
    def _log(self) -> tuple[Path, int]:
        return Path(self._description["log"]), self._description["log_since"]

    def let_go(self) -> None:
        self.memory.close()
        self._held.close()

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
        held = undo.enter_context(launch.held)
        # The kernel takes names of up to 249 bytes.
        shared = os.memfd_create(f"vnf {node.name:.200}", os.MFD_CLOEXEC)
        held.callback(os.close, shared)
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        undo.callback(path.unlink, missing_ok=True)
        listener.listen()
        process = _spawn(node, netns, site, launch, ports, shared, listener, log)
        undo.callback(end_process, process)
        launch.inherited.close()
        connection = undo.enter_context(Connection(str(path)))
        # Held by the process alone: when it ends, whoever waits for an answer learns of it.
        listener.close()
        try:
            memory = undo.enter_context(ProcessMemory(shared, connection))
            parameters = LiveParameters(
                manifest,
                port_infos(node.interfaces),
                node.vnf.parameters,
                memory,
                site.file(node.name, "json"),
            )
            parameters.install()
            undo.callback(parameters.forget)
            memory.start()
            # A process may have found more ports than those of the node's interfaces.
            ports |= {each["name"]: each["name"] for each in memory.layout["ports"][len(ports) :]}
        except TableFullError:
            raise
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
            held,
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
        held = undo.enter_context(ExitStack())
        try:
            shared = os.open(f"/proc/{description['owner']}/fd/{description['shared']}", os.O_RDWR)
            held.callback(os.close, shared)
            connection = undo.enter_context(Connection(description["socket"]))
        except (ConnectionRefusedError, FileNotFoundError) as error:
            said = last_words(Path(description["log"]), description["log_since"])
            raise LabError(ENDED + said) from error
        except OSError as error:
            raise LabError(f"the VNF cannot be reached: {error.strerror}") from error
        memory = undo.enter_context(ProcessMemory(shared, connection))
        parameters = LiveParameters.attached(manifest, description["parameters"], memory)
        bpf = [BpfId(kind, number) for kind, number in description["bpf"]]
        return ProcessVnf(
            dict(description), manifest, memory, parameters, held, undo.pop_all(), None, bpf
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
        return site.processes.popen_logged(
            netns,
            [*launch.command, *options],
            output.fileno(),
            pass_fds=(shared, listener.fileno(), *launch.pass_fds),
            stdin=subprocess.DEVNULL,
            extra_env=launch.environment,
        )


def _common_mode(layout: Mapping[str, Any]) -> str:
    return "+".join(sorted({port["mode"] for port in layout["ports"]}))
