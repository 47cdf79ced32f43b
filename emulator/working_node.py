"""What a node is there for: its VNF or its container, and what they do, print and count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.runtime.usage import INTERVAL_S
from emulator.switches.tables import SwitchNode

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters, RunningVnf
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import NodePlan
    from emulator.runtime.container import Container
    from emulator.runtime.usage import ContainerStats
    from emulator.vnf_stats import VnfStats


class WorkingNode(SwitchNode):
    """The part of a node that is about its work, and about its having failed at it."""

    plan: NodePlan
    netns: Netns
    running_vnf: RunningVnf | None
    container: Container | None
    start_failure: str | None
    _lab: Lab

    @property
    def vnf(self) -> RunningVnf | None:
        """The VNF at work; None for other nodes."""
        self._lab.follow_links()
        return self.running_vnf

    @property
    def failure(self) -> str | None:
        """Why the node does not do its work, with the last it printed; None while it does.

        A node fails when its VNF does not run any more, or its container, or when the container's
        program has ended with an error; a controller when it has ended or lacks one of its
        switches; an Open vSwitch bridge when its daemons have ended.
        """
        if self.plan.kind in ("switch", "controller"):
            return self._lab.control_failure(self.plan)
        if self.plan.kind != "vnf" and self.plan.container is None:
            return None
        self._lab.follow_links()
        if self.start_failure is not None:
            return self.start_failure
        if self.container is not None:
            failure = self.container.failure()
            if failure is not None:
                return failure
        if self.plan.kind != "vnf":
            return None
        vnf = self.running_vnf
        return "it has been stopped" if vnf is None else vnf.failure()

    @property
    def status(self) -> Literal["running", "failed"]:
        """``failed`` when the node does not do its work: see ``failure``."""
        return "running" if self.failure is None else "failed"

    @property
    def log(self) -> Path:
        """The file of what the program of the node's container, or its VNF, has printed.

        Raises:
            UsageError: when the node has neither.
            LabError: when its container could not be started.
        """
        self._lab.follow_links()
        log = None if self.running_vnf is None else self.running_vnf.log
        if log is None and self.container is not None:
            log = self.container.log
        if log is None:
            log = self._lab.control_log(self.plan)
        if log is None and self.plan.container is not None:
            raise LabError(self.start_failure or "its container does not run", where=self.plan.name)
        if log is None:
            raise UsageError(
                "what programs print in the node is kept nowhere",
                where=self.plan.name,
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
        if self.plan.container is None or self.plan.kind == "vnf":
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
            raise UsageError("the node is in no container", where=self.plan.name)
        self._lab.follow_links()
        if self.container is None:
            raise LabError(self.start_failure or "its container does not run", where=self.plan.name)
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
            if self.plan.kind == "switch":
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
            self._vnf("has no parameters").set(changes, where=self.plan.name)

    def stop_vnf(self) -> None:
        """Stops the node's VNF, if it runs one; its links then lead nowhere."""
        if self.running_vnf is not None:
            self.running_vnf.close()
            self.running_vnf = None

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Errors that name no place happen at this node."""
        try:
            yield
        except BuildVnfError as error:
            error.where = error.where or self.plan.name
            raise

    def _vnf(self, otherwise: str) -> RunningVnf:
        if self.plan.kind != "vnf":
            raise UsageError(
                f"{self.plan.name} is a {self.plan.kind} and {otherwise}",
                where=self.plan.name,
                hint="that is for VNFs",
            )
        vnf = self.vnf
        if vnf is None:
            raise LabError("the VNF has been stopped", where=self.plan.name)
        return vnf
