"""A node of a running lab."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, UsageError
from emulator.hosts.addresses import AddressedNode
from emulator.hosts.limited import LimitedNode
from emulator.runtime.shell import NodeShell
from emulator.working_node import WorkingNode

if TYPE_CHECKING:
    from emulator.dataplane import RunningVnf
    from emulator.hosts.processes import NodeProcesses
    from emulator.kernel.cgroup import Cgroup
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import InterfacePlan, NodePlan
    from emulator.runtime.container import Container
    from emulator.runtime.container_processes import ContainerProcesses


class Node(AddressedNode, LimitedNode, WorkingNode):
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
