"""A node of a running lab."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.hosts.addresses import AddressedNode
from emulator.hosts.limited import LimitedNode
from emulator.runtime.shell import NodeShell
from emulator.runtime.usage import INTERVAL_S
from emulator.switches.tables import SwitchNode

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters, RunningVnf
    from emulator.hosts.processes import NodeProcesses
    from emulator.kernel.cgroup import Cgroup
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import InterfacePlan, NodePlan
    from emulator.runtime.container import Container
    from emulator.runtime.container_processes import ContainerProcesses
    from emulator.runtime.usage import ContainerStats
    from emulator.vnf_stats import VnfStats


class Node(AddressedNode, LimitedNode, SwitchNode):
    """One node: commands, processes, addresses, and for a VNF its counters.

    Attributes:
        plan: what was decided for it.
        netns: its network namespace; the bridges of all switches share one.
        running_vnf: the VNF as this process last knew it; ``vnf`` asks for the one at work.
        container: what encloses it; None for a namespace of its own.
        start_failure: why it could not be started, in a lab that goes on without it.
        exit_status: that of the last ``cmd``.
    """

    def __init__(
        self,
        plan: NodePlan,
        netns: Netns,
        processes: NodeProcesses,
        lab: Lab,
        vnf: RunningVnf | None = None,
    ) -> None:
        self.plan = plan
        self.netns = netns
        self.running_vnf = vnf
        self.container: Container | None = None
        self.start_failure: str | None = None
        self._lab = lab
        self.exit_status = 0
        self._lab_processes = processes
        self._shell: NodeShell | None = None
        self._shell_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{self.plan.kind} {self.name}: {', '.join(self.intfNames())}>"

    @property
    def name(self) -> str:
        """The node's name in the topology."""
        return self.plan.name

    @property
    def kind(self) -> str:
        """``host``, ``switch``, ``router`` or ``vnf``."""
        return self.plan.kind

    def cmd(
        self,
        *command: str,
        timeout_s: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> str:
        """Runs a command line in the node's shell and returns what it printed, both streams.

        The shell is one bash per node, started with the first command: ``cd``, variables and
        background jobs carry over from call to call. Several arguments are joined by spaces. The
        exit status is left in ``exit_status``.

        Args:
            on_output: called with each piece of output as it comes; what is returned is then empty.

        Raises:
            LabError: when ``timeout_s`` is over; the command has then been interrupted.
        """
        text, self.exit_status = self._bash().run(
            " ".join(command), timeout_s=timeout_s, on_output=on_output
        )
        return text

    @property
    def shell_pid(self) -> int:
        """The process of the node's shell, which is started for it if need be.

        Its namespaces are those of the node's commands.
        """
        return self._bash().pid

    def popen(self, args: str | Sequence[str], *more: str, **options: Any) -> subprocess.Popen[Any]:
        """Starts a program in the node, as ``subprocess.Popen`` does, and returns at once.

        A string is split like a shell would, or given to a shell with ``shell=True``. The process
        ends with the lab at the latest.

        Raises:
            UsageError: when there is no such program.
        """
        if isinstance(args, str) and not options.get("shell"):
            args = [*shlex.split(args), *more]
        elif more:
            args = [*args, *more]
        if self._surroundings:
            options["extra_env"] = {**self._surroundings, **(options.get("extra_env") or {})}
        try:
            return self._processes.popen(self.netns, args, **options)
        except FileNotFoundError as error:
            raise UsageError(
                f"there is no program {error.filename}",
                where=self.name,
                hint="is it installed?" if self.container is None else "is it in the image?",
            ) from error
        except PermissionError as error:
            raise UsageError(f"{error.filename} is not executable", where=self.name) from error

    def dpctl(self, command: str, *more: str) -> str:
        """Runs ``ovs-ofctl`` on an Open vSwitch bridge; what it prints.

        Args:
            command: as ``ovs-ofctl`` takes it, without the bridge: ``dump-flows``, or
                ``"add-flow in_port=1,actions=output:2"``.

        Raises:
            UsageError: when the node is no such bridge.
            LabError: with what ``ovs-ofctl`` says, when it fails.
        """
        from emulator.switches.dpctl import dpctl

        return dpctl(self, command, *more)

    @property
    def _surroundings(self) -> dict[str, str]:
        return self._lab.surroundings(self.plan)

    def interact(
        self,
        command: str,
        *,
        echo: bool = True,
        on_unread: Callable[[str], None] | None = None,
    ) -> int:
        """Runs a command on the user's terminal, Ctrl-C included; returns its exit status.

        Args:
            echo: whether the terminal shows what is typed.
            on_unread: called with what was typed meanwhile and the command did not read.
        """
        self.exit_status = self._bash().interact(command, echo=echo, on_unread=on_unread)
        return self.exit_status

    def interrupt(self) -> None:
        """Sends Ctrl-C to the command running in the node's shell, for use by another thread."""
        if self._shell is not None:
            self._shell.interrupt()

    def IP(self, intf: str | None = None) -> str | None:
        """The IPv4 address of an interface, or the node's first one; None without any."""
        for interface in self._interfaces(intf):
            if interface.ipv4 is not None:
                return interface.ipv4.partition("/")[0]
        return None

    def MAC(self, intf: str | None = None) -> str | None:
        """The MAC address of an interface, or of the node's first one; None without any."""
        for interface in self._interfaces(intf):
            return interface.mac
        return None

    @property
    def intfs(self) -> tuple[InterfacePlan, ...]:
        """The node's interfaces, in the order of their ports."""
        return self.plan.interfaces

    def intfNames(self) -> list[str]:
        """The names of the node's interfaces, in the order of their ports."""
        return [interface.name for interface in self.plan.interfaces]

    @property
    def cgroup(self) -> Cgroup | None:
        """The control group of what runs in the node; None where it has none of its own."""
        if self.container is not None:
            return self.container.cgroup
        return None if self.plan.container is not None else self._lab_processes.reader

    def far_end(self, kernel_name: str) -> tuple[Netns, str]:
        """The namespace and the kernel name of the other end of an interface's link.

        Raises:
            UsageError: when the node has no such interface.
        """
        return self._lab.far_end(self.name, kernel_name)

    @property
    def vnf(self) -> RunningVnf | None:
        """The VNF at work; None for other nodes."""
        self._lab.follow(self)
        return self.running_vnf

    @property
    def failure(self) -> str | None:
        """Why the node does not do its work, with the last it printed; None while it does.

        A node fails when its VNF does not run any more, or its container, or when the container's
        program has ended with an error; a controller when it has ended or lacks one of its
        switches; an Open vSwitch bridge when its daemons have ended.
        """
        if self.kind in ("switch", "controller"):
            return self._lab.control_failure(self.plan)
        if self.kind != "vnf" and self.plan.container is None:
            return None
        self._lab.follow(self)
        if self.start_failure is not None:
            return self.start_failure
        if self.container is not None:
            failure = self.container.failure()
            if failure is not None:
                return failure
        if self.kind != "vnf":
            return None
        vnf = self.running_vnf
        return "it has been stopped" if vnf is None else vnf.failure()

    @property
    def status(self) -> Literal["running", "failed"]:
        """``failed`` when the node does not do its work: see ``failure``."""
        return "running" if self.failure is None else "failed"

    def restart(self) -> None:
        """Starts a VNF, a container or a controller anew, or Open vSwitch, on the same links.

        A VNF that runs is stopped first. It begins with the parameters in force, its counters at
        zero, and its tables with what its parameters make of them. Of a container, all that it has
        written is lost but what lies on volumes; its app containers are restarted with it. With a
        bridge of Open vSwitch all of the lab's are, and keep the flows of chains. When it
        does not start, the lab goes on without it.

        Raises:
            UsageError: when the node is neither.
            BuildVnfError: when it does not start.
        """
        can_be = self.kind in ("vnf", "controller") or self.plan.container is not None
        if not can_be and (self.plan.switch is None or self.plan.switch.kind != "ovs"):
            self._vnf("cannot be restarted")
        with self._lab.lock:
            self.close_shell()
            self._lab.restart(self)

    def update(self, **limits: Any) -> None:
        """Changes the limits of the node while it runs.

        ``cpus``, ``cpuset``, ``memory`` and ``pids`` are what they are in a topology, as are
        ``cpu`` for a node without a container, and ``cpu_shares`` and ``memory_swap`` for one in a
        container. What is not named stays; None takes a limit away.

        Raises:
            UsageError: when the node cannot be limited so.
        """
        with self._lab.lock:
            self._lab.update(self, limits)

    @property
    def log(self) -> Path:
        """The file of what the program of the node's container, or its VNF, has printed.

        Raises:
            UsageError: when the node has neither.
            LabError: when its container could not be started.
        """
        self._lab.follow(self)
        log = None if self.running_vnf is None else self.running_vnf.log
        if log is None and self.container is not None:
            log = self.container.log
        if log is None:
            log = self._lab.control_log(self.plan)
        if log is None and self.plan.container is not None:
            raise LabError(self.start_failure or "its container does not run", where=self.name)
        if log is None:
            raise UsageError(
                "what programs print in the node is kept nowhere",
                where=self.name,
                hint="that is for containers, controllers, and VNFs that run as processes",
            )
        return log

    def logs(self, lines: int | None = None) -> str:
        """What the program of the node's container, or its VNF, has printed.

        Args:
            lines: only so many of the last ones.

        Raises:
            UsageError: when the node has neither.
        """
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return (
            text
            if lines is None
            else "".join(text.splitlines(keepends=True)[-lines or len(text) :])
        )

    def stats(self, *, interval_s: float = INTERVAL_S) -> VnfStats | ContainerStats:
        """Everything there is to know of a VNF at this moment, or what a container uses.

        Args:
            interval_s: over which a container's use of the CPUs is measured.

        Raises:
            UsageError: when the node is neither.
            LabError: when its container has ended.
        """
        if self.plan.container is None or self.kind == "vnf":
            alive = self.container is not None and self.container.alive
            return self.vnf_stats(self.usage(interval_s=interval_s) if alive else None)
        return self.usage(interval_s=interval_s)

    def vnf_stats(self, usage: ContainerStats | None = None) -> VnfStats:
        """Everything there is to know of a VNF at this moment.

        Args:
            usage: what its container uses, to be told as well.

        Raises:
            UsageError: when the node is not a VNF.
        """
        from emulator.vnf_stats import VnfStats

        with self._placed():
            return VnfStats.of(self.plan, self._vnf("counts nothing itself"), usage)

    def usage(self, *, interval_s: float = INTERVAL_S) -> ContainerStats:
        """What the node's container uses: CPUs, memory, and packets on its interfaces.

        Args:
            interval_s: over which the use of the CPUs is measured.

        Raises:
            UsageError: when the node is in no container.
            LabError: when its container has ended.
        """
        from emulator.runtime.usage import measure, names_of

        if self.plan.container is None:
            raise UsageError("the node is in no container", where=self.name)
        self._lab.follow(self)
        if self.container is None:
            raise LabError(self.start_failure or "its container does not run", where=self.name)
        with self._placed():
            names = names_of(self.plan)
            return measure(self.container.cgroup, self.netns, names, interval_s=interval_s)

    def counters(self) -> dict[str, PortCounters]:
        """A VNF's or a switch's counters, by port.

        Those of a VNF that has died are its last ones, where this process started it.

        Raises:
            UsageError: when the node is neither.
            LabError: when it does not run, and nothing of it is left.
        """
        with self._placed():
            if self.kind == "switch":
                return self._port_counters()
            return self._vnf("counts nothing itself").counters()

    @property
    def parameters(self) -> dict[str, Any]:
        """A VNF's parameters, with their values in force.

        Raises:
            UsageError: when the node is not a VNF.
            LabError: when it has just been stopped by the lab's owner.
        """
        with self._placed():
            return self._vnf("has no parameters").parameters()

    def set(self, **changes: Any) -> None:
        """Changes parameters of a VNF while it runs: ``net["fw"].set(allow="udp")``.

        The next frame is handled with the new values, no frame is lost, and when a value is wrong
        nothing changes.

        Raises:
            UsageError: when the node is not a VNF, or has no such parameter or may not have it so.
            LabError: when the VNF has ended.
        """
        with self._placed():
            self._vnf("has no parameters").set(changes, where=self.name)

    def stop_vnf(self) -> None:
        """Stops the node's VNF, if it runs one; its links then lead nowhere."""
        if self.running_vnf is not None:
            self.running_vnf.close()
            self.running_vnf = None

    def move(self, netns: Netns, container: Container | None) -> None:
        """Have the node live elsewhere from now on; its shell ends."""
        self.close_shell()
        self.netns = netns
        self.container = container

    def close(self) -> None:
        """Ends the node's shell and its VNF."""
        self.close_shell()
        self.stop_vnf()

    def let_go(self) -> None:
        """Forgets the node's shell and its VNF without ending them; what a forked process does."""
        # A thread that is not in this process may have held it.
        self._shell_lock = threading.Lock()
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.let_go()
        vnf, self.running_vnf = self.running_vnf, None
        if vnf is not None:
            vnf.let_go()

    def reach_through(self, other: Node) -> None:
        """Have what this one does be done with what another one holds of the same node."""
        self.netns, self.container = other.netns, other.container
        self._lab_processes = other._lab_processes

    @property
    def _processes(self) -> NodeProcesses | ContainerProcesses:
        self._lab.reach_when_forked()
        if self.container is not None:
            return self.container.processes
        if self.plan.container is not None:
            raise LabError(
                f"its container does not run: {self.start_failure or 'it was not started'}",
                where=self.name,
                hint="restart starts it",
            )
        return self._lab_processes

    def close_shell(self) -> None:
        """Ends the node's shell; the next command starts another one."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Errors that name no place happen at this node."""
        try:
            yield
        except BuildVnfError as error:
            error.where = error.where or self.name
            raise

    def _vnf(self, otherwise: str) -> RunningVnf:
        if self.kind != "vnf":
            raise UsageError(
                f"{self.name} is a {self.kind} and {otherwise}",
                where=self.name,
                hint="that is for VNFs",
            )
        vnf = self.vnf
        if vnf is None:
            raise LabError("the VNF has been stopped", where=self.name)
        return vnf

    def _interfaces(self, intf: str | None) -> tuple[InterfacePlan, ...]:
        return self.plan.interfaces if intf is None else (self.plan.interface(intf),)

    def _bash(self) -> NodeShell:
        def spawn(*args: Any, **options: Any) -> subprocess.Popen[Any]:
            options["extra_env"] = {**self._surroundings, **options.get("extra_env", {})}
            return self._processes.popen(self.netns, *args, **options)

        with self._shell_lock:
            if self._shell is not None and not self._shell.alive:
                self._shell.close()
                self._shell = None
            if self._shell is None:
                bash = "bash" if self.container is None else self.container.bash
                self._shell = NodeShell(spawn, self.name, bash)
            return self._shell
