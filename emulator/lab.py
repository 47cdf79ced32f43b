"""One running lab: the nodes of a plan, what carries them, and the record others find it by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from emulator import labs
from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.fabric import Fabric, Progress
from emulator.kernel.limits import allow_open_files
from emulator.kernel.netns import Netns, ensure_root
from emulator.node import Node
from emulator.plan.difference import Difference
from emulator.plan.model import EndPlan, NodePlan, Plan
from emulator.readiness import wait_joined, wait_ready
from emulator.runtime.namespace import Processes
from emulator.vnfs import Vnfs

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.dataplane import RunningVnf

_FILES, _FILES_PER_NODE = 256, 8
"""Open files of the emulator: its own, and for a node its namespace, its shell and its VNF."""


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
        self._parts: list[Processes | Fabric | labs.LabFolder] = []
        _LABS.add(self)

    @classmethod
    def attach(cls, record: labs.LabRecord) -> Self:
        """A lab that another process owns; closing leaves it running.

        Raises:
            LabError: when it ends just now.
        """
        ensure_root("reaching a running lab")
        plan = Plan.model_validate(record.plan)
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
                    lab.nodes[node.name] = Node(node, netns, processes, lab, vnf)
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
            before, self.record = self.record.vnfs, labs.find_lab(self.record.id)
            self._followed_ns = written_ns
            for name, described in self.record.vnfs.items():
                if name in self.nodes and described != before.get(name):
                    self.nodes[name].stop_vnf()
                    self.nodes[name].running_vnf = _reach(described, self.netns(name))

    def restart_vnf(self, node: Node) -> None:
        """Start a node's VNF anew; see ``Node.restart``."""
        raise LabError(
            "only the process that runs the lab can restart its VNFs",
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


class OwnedLab(Lab):
    """A lab that lives and dies with this process."""

    def __init__(
        self,
        plan: Plan,
        folder: labs.LabFolder,
        catalog: Catalog | None,
        progress: Progress | None,
    ) -> None:
        record = labs.LabRecord(folder.id, plan.name, os.getpid(), labs.now())
        super().__init__(plan, record)
        self._folder = folder
        self._stack.callback(folder.close)
        with self._closed_on_failure():
            folder.write_hosts(_addresses(plan))
            self._fabric = Fabric(ipv6=plan.ipv6, progress=progress)
            self._stack.callback(self._fabric.close)
            self._processes = Processes.start(folder.hosts_file)
            self._stack.callback(self._processes.close)
            self._vnfs = Vnfs(catalog, self._processes, folder.path, progress)
            self._stack.callback(self._close_nodes)
        self._parts += [folder, self._fabric, self._processes]

    @classmethod
    def start(
        cls,
        plan: Plan,
        *,
        lab_id: str | None = None,
        catalog: Catalog | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Brings a plan to life; returns when packets can flow. Whatever fails, nothing stays.

        Raises:
            MachineError: when the machine lacks something.
            LabError: when the kernel refuses something.
        """
        ensure_root()
        allow_open_files(_FILES + _FILES_PER_NODE * len(plan.nodes))
        labs.clean()
        folder = labs.LabFolder.create(plan.name, lab_id)
        try:
            lab = cls(plan, folder, catalog, progress)
        except BaseException:
            folder.close()
            raise
        with lab._closed_on_failure():
            lab._fabric.add_nodes(plan.nodes)
            lab._fabric.add_links(plan, plan.links)
            lab._add_nodes(plan.nodes)
            wait_ready(plan, lab.netns)
            wait_joined(plan, lab.running_vnf)
            lab._write_record()
        return lab

    def apply(self, plan: Plan) -> None:
        """Changes the lab to another plan; on failure it goes back to the one it had.

        Raises:
            LabError: when the kernel refuses something.
        """
        before = self.plan
        try:
            self._carry_out(Difference.between(before, plan), plan)
        except BaseException:
            try:
                self._carry_out(Difference.between(plan, before), before)
            except BuildVnfError:
                # Neither the old state nor the new one can be had: better no lab than half a one.
                self.close()
            raise
        self._vnfs.forget_all_but(self.nodes)
        self._folder.write_hosts(_addresses(plan))
        self._write_record()

    def follow(self, node: Node) -> None:
        """Nobody else starts our VNFs."""
        self._require_ours()

    def restart_vnf(self, node: Node) -> None:
        self._require_ours()
        try:
            self._vnfs.restart(node)
        finally:
            self._write_record()
        ports = [EndPlan(node=node.name, interface=port.name) for port in node.plan.interfaces]
        wait_ready(self.plan, self.netns, ports)
        wait_joined(self.plan, self.running_vnf)

    def _carry_out(self, difference: Difference, plan: Plan) -> None:
        moved = (*difference.nodes_changed, *difference.nodes_gone)
        self._vnfs.stop(self.nodes[node.name] for node in moved if node.name in self.nodes)
        for node in difference.nodes_gone:
            self._drop_node(node.name)
        self._fabric.remove_links(difference.links_gone)
        self._fabric.remove_nodes(difference.nodes_gone)
        self._fabric.add_nodes(difference.nodes_new)
        self._fabric.add_links(plan, difference.links_new)
        self._add_nodes((*difference.nodes_new, *difference.nodes_changed))
        self.nodes = {node.name: self.nodes[node.name] for node in plan.nodes}
        self.plan = plan
        wait_ready(plan, self.netns)
        wait_joined(plan, self.running_vnf)

    def _add_nodes(self, plans: Iterable[NodePlan]) -> None:
        vnfs = []
        for plan in plans:
            node = self.nodes.get(plan.name)
            if node is None:
                netns = self._fabric.namespace(plan.name)
                node = self.nodes[plan.name] = Node(plan, netns, self._processes, self)
            node.plan = plan
            self._fabric.apply_offloads(plan)
            if plan.vnf is not None:
                vnfs.append(node)
        self._vnfs.start(vnfs)

    def _close_nodes(self) -> None:
        with ExitStack() as rest:
            rest.callback(super()._close_nodes)
            self._vnfs.stop(self.nodes.values(), for_good=True)

    def _write_record(self) -> None:
        nodes = self.nodes.values()
        self.record = replace(
            self.record,
            init_pid=self._processes.init_pid,
            netns={node.name: node.netns.fd for node in nodes},
            vnfs={
                node.name: node.running_vnf.describe()
                for node in nodes
                if node.running_vnf is not None
            },
            plan=self.plan.model_dump(mode="json"),
        )
        self._folder.write(self.record)


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


def _addresses(plan: Plan) -> dict[str, str]:
    found = ((node.name, plan.address_of(node.name)) for node in plan.nodes)
    return {name: address for name, address in found if address is not None}
