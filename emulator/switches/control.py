"""Open vSwitch and its controllers in one lab: what a lab asks of both together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError
from emulator.kernel.rtnl import LOOPBACK_INDEX, Rtnl
from emulator.plan.model import LinkPlan, NodePlan, Plan
from emulator.switches.controllers import Controllers, OnFailed, check_controllers, log_of
from emulator.switches.ovs import Ovs, apart, tell_anew
from emulator.switches.ovs_daemons import OVS_FOLDER, environment
from emulator.switches.ovs_machine import check_machine
from emulator.switches.ovsdb import Ovsdb

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.runtime.namespace import Processes


def check_control(plan: Plan) -> None:
    """Whether this machine has what the switches and controllers of a plan need.

    Raises:
        MachineError: it lacks something.
    """
    check_machine(plan)
    check_controllers(plan)


def is_controlled(node: NodePlan) -> bool:
    """Whether a node is an Open vSwitch bridge or a controller."""
    return node.kind == "controller" or (node.switch is not None and node.switch.kind == "ovs")


def surroundings(plan: Plan, node: NodePlan, folder: Path) -> dict[str, str]:
    """What the programs in a node find in their environment.

    Beside switches and controllers those of Open vSwitch find the lab's own daemons.

    Args:
        folder: the lab's.
    """
    if node.kind in ("switch", "controller") and any(map(is_controlled, plan.nodes)):
        return environment(folder / OVS_FOLDER)
    return {}


def control_log(folder: Path, node: NodePlan) -> Path | None:
    """What a controller or Open vSwitch has printed; None for other nodes.

    Args:
        folder: the lab's.
    """
    if node.controller is not None:
        own = node.controller.kind not in ("remote", "manual", "none")
        return log_of(folder, node.name) if own else None
    return folder / OVS_FOLDER / "ovs-vswitchd.log" if is_controlled(node) else None


def port_states(plan: Plan, folder: Path) -> dict[str, str]:
    """What Open vSwitch says of ports in the spanning tree: kernel name -> ``Forwarding``, ….

    Args:
        folder: the lab's.
    """
    if not any(node.stp and is_controlled(node) for node in plan.switches()):
        return {}
    rows = _database(folder).select("Port", ["name", "rstp_status"])
    return {row["name"]: row["rstp_status"].get("rstp_port_state", "") for row in rows}


def _database(folder: Path) -> Ovsdb:
    return Ovsdb(folder / OVS_FOLDER / "db.sock")


class ControlView:
    """The Open vSwitch and the controllers of a lab that another process runs.

    Args:
        plan: the lab's.
        folder: the lab's.
        described: what its owner says of them.
        alive: whether a process of the lab, by its number on the machine, lives.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        described: Mapping[str, Any],
        alive: Callable[[int], bool],
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._described = described
        self._alive = alive

    def failure(self, node: NodePlan) -> str | None:
        """Why a switch or a controller does not do its work; None while it does."""
        if not is_controlled(node):
            return None
        if node.kind == "switch":
            pids = self._described.get("ovs", {}).get("pids", ())
            return None if all(map(self._alive, pids)) else "Open vSwitch has ended"
        process = self._described.get("controllers", {}).get(node.name)
        if process is not None and not self._alive(process["pid"]):
            return "the controller has ended"
        database = _database(self._folder)
        if not database.path.exists():
            return None
        return _apart_text(node, database, self._plan)


class Control:
    """The Open vSwitch and the controllers of a lab we own.

    Args:
        processes: the lab's.
        netns: that of its fabric.
        folder: the lab's.
        on_failed: told of each controller that does not do its work at the start.
    """

    def __init__(
        self, processes: Processes, netns: Netns, folder: Path, on_failed: OnFailed
    ) -> None:
        self._netns = netns
        self.ovs = Ovs(processes, netns, folder / OVS_FOLDER)
        self.controllers = Controllers(processes, netns, folder, on_failed)

    def apply(self, plan: Plan) -> None:
        """Have the switches and controllers that a plan says; returns when they work together.

        Raises:
            MachineError: the machine lacks something.
            LabError: they do not.
        """
        check_control(plan)
        judged = self.controllers.at_work(self.ovs)
        if self.ovs.failure() is not None:
            self.controllers.forget_ready()
        if any(map(is_controlled, plan.nodes)):
            with Rtnl.inside(self._netns) as rtnl:  # switches find their controllers through it
                rtnl.set_up(LOOPBACK_INDEX, where="fabric")
                rtnl.commit()
            # Python takes longer to begin than all of Open vSwitch.
            judged |= self.controllers.apply(plan)
            if any(node.kind == "switch" and is_controlled(node) for node in plan.nodes):
                self.ovs.begin(plan)
        judged |= self.controllers.apply(plan)
        self.controllers.await_listening()
        self.ovs.apply(plan)
        self.controllers.await_connected(plan, self.ovs, judged)

    def release(self, links: Iterable[LinkPlan], nodes: Iterable[NodePlan]) -> None:
        """Let go of links and of switches that are just being removed."""
        self.ovs.release(links, nodes)

    def restart(self, plan: Plan, node: NodePlan) -> None:
        """Start a controller anew; or Open vSwitch, and with it all the lab's bridges.

        Raises:
            LabError: it does not start.
        """
        judged = {node.name}
        if node.kind == "switch":
            judged = self.controllers.at_work(self.ovs)
            self.ovs.halt()
            self.controllers.forget_ready()
            self.ovs.restart()
        else:
            self.controllers.restart(plan, node.name)
        self.controllers.await_connected(plan, self.ovs, judged)

    def failure(self, plan: Plan, node: NodePlan) -> str | None:
        """Why a switch or a controller does not do its work; None while it does."""
        if not is_controlled(node):
            return None
        if node.kind == "switch":
            return self.ovs.failure()
        failure = self.controllers.failure(node.name)
        if failure is not None or self.ovs.daemons is None:
            return failure
        return _apart_text(node, self.ovs.daemons.database, plan)

    def describe(self) -> dict[str, Any]:
        """What another process has to know of them."""
        return {"ovs": self.ovs.describe(), "controllers": self.controllers.describe()}

    def close(self) -> None:
        """Ends all of it."""
        try:
            self.controllers.close()
        finally:
            self.ovs.close()

    def let_go(self) -> None:
        """Closes our copies; what a forked process does."""
        self.controllers.let_go()


def _apart_text(node: NodePlan, database: Ovsdb, plan: Plan) -> str | None:
    try:
        away = apart(database, plan, node.name)
        if away:  # it may be that they were some seconds ago
            tell_anew(database)
            away = apart(database, plan, node.name)
    except LabError as error:
        return error.message
    if not away:
        return None
    described = node.controller
    remote = described is not None and described.kind in ("remote", "manual")
    whom = f"{described.ip}:{described.port}" if remote and described is not None else "it"
    verb = "is" if len(away) == 1 else "are"
    return f"{', '.join(away)} {verb} not connected to {whom}"
