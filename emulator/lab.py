"""One running lab: the nodes of a plan, what carries them, and the record others find it by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from emulator import labs
from emulator.errors import LabError, UsageError
from emulator.fabric import Fabric
from emulator.kernel.netns import Netns, ensure_root
from emulator.node import Node
from emulator.plan.model import Plan
from emulator.runtime.containers import Containers
from emulator.runtime.namespace import Processes

if TYPE_CHECKING:
    from emulator.dataplane import RunningVnf
    from emulator.runtime.container import Container


class Lab:
    """The nodes of a running lab, whoever owns it.

    Made by ``OwnedLab.start`` or by ``Lab.attach``.

    Attributes:
        plan: what was decided for the topology.
        nodes: by name, in the plan's order.
        record: what other processes know of the lab.
    """

    def __init__(self, plan: Plan, record: labs.LabRecord) -> None:
        self.plan = plan
        self.record = record
        self.nodes: dict[str, Node] = {}
        self._followed_ns = 0
        self._is_ours = True
        self._stack = ExitStack()
        self._parts: list[Processes | Fabric | Containers | labs.LabFolder] = []
        _LABS.add(self)

    @classmethod
    def attach(cls, record: labs.LabRecord) -> Self:
        """A lab that another process owns; closing leaves it running.

        Raises:
            LabError: when it ends just now.
        """
        ensure_root("reaching a running lab")
        try:
            plan = Plan.model_validate(record.plan)
        except ValueError as error:
            raise LabError(
                "the lab was started by another version, whose plans are not known here",
                where=record.id,
                hint="reach it with that version",
            ) from error
        lab = cls(plan, record)
        lab._followed_ns = labs.record_written_ns(record.id)
        with lab._closed_on_failure():
            try:
                processes = Processes.join(record.init_pid)
                lab._parts.append(processes)
                lab._stack.callback(processes.close)
                lab._stack.callback(lab._close_nodes)
                for node in plan.nodes:
                    netns = Netns.from_path(record.netns_path(node.name))
                    lab._stack.callback(netns.close)
                    described = record.vnfs.get(node.name)
                    vnf = None if described is None else _reach(described, netns)
                    reached = lab.nodes[node.name] = Node(node, netns, processes, lab, vnf)
                    reached.container = _container_of(record, node.name)
                    reached.start_failure = record.failed.get(node.name)
            except OSError as error:
                raise LabError("the lab is just ending", where=record.id) from error
        return lab

    def follow(self, node: Node) -> None:
        """Reach the VNF that a node has now, should the lab's owner have started it anew.

        Raises:
            LabError: the lab has ended.
        """
        self._require_ours()
        written_ns = labs.record_written_ns(self.record.id)
        if written_ns != self._followed_ns:
            before, self.record = self.record, labs.find_lab(self.record.id)
            self._followed_ns = written_ns
            for name, each in self.nodes.items():
                each.start_failure = self.record.failed.get(name)
                if self.record.containers.get(name) != before.containers.get(name):
                    netns = Netns.from_path(self.record.netns_path(name))
                    each.move(netns, _container_of(self.record, name))
            for name, described in self.record.vnfs.items():
                if name in self.nodes and described != before.vnfs.get(name):
                    self.nodes[name].stop_vnf()
                    self.nodes[name].running_vnf = _reach(described, self.netns(name))

    def restart(self, node: Node) -> None:
        """Start a node's VNF or its container anew; see ``Node.restart``."""
        raise LabError(
            "only the process that runs the lab can restart its nodes",
            where=node.name,
            hint="do it in the terminal of vnf run, or in the script",
        )

    def update(self, node: Node, changes: Mapping[str, Any]) -> None:
        """Change the limits of a node's container; see ``Node.update``."""
        raise LabError(
            "only the process that runs the lab can change the limits of its containers",
            where=node.name,
            hint="do it in the terminal of vnf run, or in the script",
        )

    def netns(self, node: str) -> Netns:
        """The network namespace that holds a node's interfaces."""
        return self.nodes[node].netns

    def running_vnf(self, node: str) -> RunningVnf | None:
        """The VNF that a node runs, as far as this process knows."""
        return self.nodes[node].running_vnf

    def far_end(self, node: str, kernel_name: str) -> tuple[Netns, str]:
        """The namespace and the kernel name of the other end of an interface's link.

        Raises:
            UsageError: when the node has no such interface.
        """
        for interface in self.plan.node(node).interfaces:
            if interface.kernel_name == kernel_name:
                end = self.plan.peer(node, interface.name)
                return self.netns(end.node), self.plan.interface(end).kernel_name
        raise UsageError(f"there is no interface {kernel_name}", where=node)

    def close(self) -> None:
        """Ends what this process holds of the lab; closing twice is allowed."""
        self._stack.close()

    def let_go(self) -> None:
        """Gives up this process's part in the lab and leaves the lab to the one it was forked from.

        Copies of descriptors would keep the lab alive when its owner dies, and ending the lab is
        not for a child to do, which inherits even what is to happen at its exit.
        """
        self._is_ours = False
        self._stack.pop_all()
        for node in self.nodes.values():
            node.let_go()
            node.netns.close()
        for part in self._parts:
            part.let_go()

    def _require_ours(self) -> None:
        if not self._is_ours:
            raise LabError(
                "another process has the lab",
                where=self.record.id,
                hint="a forked process can reach it by Network.attach",
            )

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _close_nodes(self) -> None:
        with ExitStack() as each:  # goes on with the others whatever happens at one
            for name in list(self.nodes):
                each.callback(self._drop_node, name)

    def _drop_node(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is not None:
            node.close()


def _container_of(record: labs.LabRecord, name: str) -> Container | None:
    described = record.containers.get(name)
    if described is None:
        return None
    from emulator.runtime.container import Container

    return Container(name, described)


def _reach(described: Mapping[str, Any], netns: Netns) -> RunningVnf:
    """A VNF that another process runs; one that has died is no reason to be without the lab."""
    from emulator.dataplane import attach_vnf
    from emulator.dataplane.failed import FailedVnf

    if "failure" in described:
        return FailedVnf.described(described, described["failure"])
    try:
        return attach_vnf(described, netns)
    except LabError as error:
        return FailedVnf.described(described, error.message)


_LABS: WeakSet[Lab] = WeakSet()


def _let_go_of_all() -> None:
    for lab in _LABS:
        lab.let_go()


os.register_at_fork(after_in_child=_let_go_of_all)
