"""What a process holds of a lab that another process runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from emulator import labs
from emulator.closing import Closing
from emulator.errors import LabError
from emulator.hosts.keeper import follow_limits, reached_processes
from emulator.kernel.netns import Netns
from emulator.node import Node
from emulator.paths import run_dir

if TYPE_CHECKING:
    from emulator.dataplane import RunningVnf
    from emulator.hosts.processes import NodeProcesses
    from emulator.lab import Lab
    from emulator.plan.model import EndPlan, LinkPlan, NodePlan
    from emulator.runtime.container import Container
    from emulator.runtime.namespace import Processes


class Reached(Closing):
    """The descriptors by which the nodes and the wires of a lab are reached.

    Args:
        lab: takes the nodes; its record says where they are.
        processes: the lab's.
        drop: takes a node from the lab and ends what this process runs in it.
    """

    def __init__(self, lab: Lab, processes: Processes, drop: Callable[[str], None]) -> None:
        self._lab = lab
        self._processes = processes
        self._drop = drop
        self._started: dict[str, NodeProcesses] = {}
        self._spaces: dict[str, Netns] = {}
        self._wires: Netns | None = None

    def reach(self, plan: NodePlan) -> None:
        """Reach a node.

        Raises:
            OSError: it is not there any more.
        """
        record, name = self._lab.record, plan.name
        netns = self._spaces[name] = Netns.from_path(record.netns_path(name))
        described = record.vnfs.get(name)
        vnf = None if described is None else _reach_vnf(described, netns)
        started = reached_processes(run_dir() / record.id, plan, self._processes)
        self._started[name] = started
        node = self._lab.nodes[name] = Node(plan, netns, started, self._lab, vnf)
        node.container = _container_of(record, name)
        node.start_failure = record.failed.get(name)

    def follow(self, before: labs.LabRecord) -> None:
        """Reach the nodes that the lab has now, as they are now; those that are gone, no more.

        Args:
            before: what was recorded of the lab when they were reached.

        Raises:
            OSError: one of them is not there any more.
        """
        nodes, record = self._lab.nodes, self._lab.record
        planned = {plan.name: plan for plan in self._lab.plan.nodes}
        for name, node in list(nodes.items()):
            if name not in planned or planned[name].kind != node.kind:
                self._leave(name)
        for name, plan in planned.items():
            if name not in nodes:
                self.reach(plan)
                continue
            node = nodes[name]
            if plan.limits != node.plan.limits:
                follow_limits(record.id, plan, self._started[name])
            node.plan = plan
            node.start_failure = record.failed.get(name)
            path = record.netns_path(name)
            is_another = not _leads_to(path, node.netns)
            if is_another or record.containers.get(name) != before.containers.get(name):
                left, self._spaces[name] = self._spaces[name], Netns.from_path(path)
                node.move(self._spaces[name], _container_of(record, name))
                left.close()
            described = record.vnfs.get(name)
            if described is not None and described != before.vnfs.get(name):
                node.stop_vnf()
                node.running_vnf = _reach_vnf(described, node.netns)
        self._lab.nodes = {name: nodes[name] for name in planned}

    def wire_port(self, link: LinkPlan, end: EndPlan) -> tuple[Netns, str]:
        """The inner end of one half of an impaired link.

        Raises:
            LabError: its wires have ended.
        """
        wires = self._lab.record.wires
        try:
            path = f"/proc/{wires['owner']}/fd/{wires['netns']}"
            if self._wires is None or not _leads_to(path, self._wires):
                self._wires = Netns.from_path(path)
        except (KeyError, OSError) as error:
            raise LabError("its wires are not there", where=link.id) from error
        return self._wires, wires["ports"][link.id][end != link.a]

    def close(self) -> None:
        """Closes the descriptors; the lab and what this process runs in it go on."""
        while self._started:
            self._started.popitem()[1].let_go()
        while self._spaces:
            self._spaces.popitem()[1].close()
        if self._wires is not None:
            self._wires.close()

    let_go = close

    def _leave(self, name: str) -> None:
        self._drop(name)
        self._started.pop(name).let_go()
        self._spaces.pop(name).close()


def _leads_to(path: str, netns: Netns) -> bool:
    return os.stat(path).st_ino == os.fstat(netns.fd).st_ino


def _container_of(record: labs.LabRecord, name: str) -> Container | None:
    described = record.containers.get(name)
    if described is None:
        return None
    from emulator.runtime.container import Container

    return Container(name, described)


def _reach_vnf(described: Mapping[str, Any], netns: Netns) -> RunningVnf:
    """A VNF that another process runs; one that has died is no reason to be without the lab."""
    from emulator.dataplane import attach_vnf
    from emulator.dataplane.failed import FailedVnf

    if "failure" in described:
        return FailedVnf.described(described, described["failure"])
    try:
        return attach_vnf(described, netns)
    except LabError as error:
        return FailedVnf.described(described, error.message)
