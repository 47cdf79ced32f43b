"""The lab that this process runs: a plan brought to life, changed, and taken back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from emulator import labs
from emulator.chains.steering import Count, Steering
from emulator.errors import BuildVnfError, LabError
from emulator.fabric import Fabric, Progress
from emulator.hosts.keeper import Hosts
from emulator.kernel.limits import allow_open_files
from emulator.kernel.netns import Netns, ensure_root
from emulator.lab import Lab
from emulator.node import Node
from emulator.plan.difference import Difference
from emulator.plan.model import EndPlan, LinkPlan, NodePlan, Plan
from emulator.plan.notices import notices
from emulator.readiness import wait_joined, wait_ready
from emulator.runtime.containers import Containers
from emulator.runtime.namespace import Processes
from emulator.switches.control import Control, check_control, is_controlled
from emulator.switches.xdp import XdpSwitches
from emulator.vnfs import Vnfs
from emulator.wire.manager import LinkCounters, Wires

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.dataplane import Site
    from emulator.switches.xdp_view import XdpSwitchView

OnFailure = Literal["stop", "keep"]
"""What a VNF or a container that does not start does to the lab: end it, or be marked and left."""

_FILES, _FILES_PER_NODE = 256, 8
"""Open files of the emulator: its own, and for a node its namespaces, its shell and its VNF."""


class OwnedLab(Lab):
    """A lab that lives and dies with this process.

    Attributes:
        ended: whether it is closed, as when a change can be neither made nor taken back.
    """

    def __init__(
        self,
        plan: Plan,
        folder: labs.LabFolder,
        catalog: Catalog | None,
        progress: Progress | None,
        on_failure: OnFailure,
    ) -> None:
        record = labs.LabRecord(folder.id, plan.name, os.getpid(), labs.now())
        super().__init__(plan, record)
        self._folder = folder
        self.ended = False
        self._on_failure = on_failure
        self._failed: dict[str, BuildVnfError] = {}
        self._stack.callback(folder.close)
        with self._closed_on_failure():
            folder.write_hosts(_addresses(plan))
            self._xdp_switches = XdpSwitches()
            self._stack.callback(self._xdp_switches.close)
            self._fabric = Fabric(ipv6=plan.ipv6, progress=progress)
            self._stack.callback(self._fabric.close)
            self._processes = Processes()
            # What holds for processes is taken back when they have ended.
            hosts_close = self._stack.enter_context(ExitStack())
            self._stack.callback(self._processes.close)
            self._processes.start(folder.hosts_file)
            self._hosts = Hosts(folder, self._processes, self._fabric)
            hosts_close.callback(self._hosts.close)
            self._stack.callback(self._hosts.close_ways)
            self._wires = Wires(self._processes, self._fabric, folder.path / "wires.log")
            self._stack.callback(self._wires.close)
            self._control = Control(
                self._processes, self._fabric.switch_netns, folder.path, self._on_uncontrolled
            )
            self._stack.callback(self._control.close)
            self._steering = Steering(self._fabric, self._xdp_switches, self._control.ovs)
            self._stack.callback(self._steering.close)
            self._containers = Containers(folder, catalog, progress, self._on_failed)
            self._stack.callback(self._containers.close)
            self._vnfs = Vnfs(catalog, self._site_of, progress, self._on_failed)
            self._stack.callback(self._close_nodes)
        self._parts += [folder, self._fabric, self._processes, self._containers, self._wires]
        self._parts += [self._xdp_switches, self._hosts, self._control, self._steering]

    def close(self) -> None:
        self.ended = True
        super().close()

    @classmethod
    def start(
        cls,
        plan: Plan,
        *,
        lab_id: str | None = None,
        catalog: Catalog | None = None,
        progress: Progress | None = None,
        on_failure: OnFailure = "stop",
        lock: AbstractContextManager[object] | None = None,
    ) -> Self:
        """Brings a plan to life; returns when packets can flow. Whatever fails, nothing stays.

        Args:
            on_failure: whether a VNF or a container that does not start ends the lab, or is kept
                as a node that has failed.
            lock: that of whoever changes the lab as a whole; one that can be taken again.

        Raises:
            MachineError: when the machine lacks something.
            LabError: when the kernel refuses something.
        """
        ensure_root()
        allow_open_files(_FILES + _FILES_PER_NODE * len(plan.nodes))
        check_control(plan)
        labs.clean()
        folder = labs.LabFolder()
        try:
            folder.create(plan.name, lab_id)
            lab = cls(plan, folder, catalog, progress, on_failure)
        except BaseException:
            folder.close()
            raise
        lab.lock = lock or lab.lock
        with lab._closed_on_failure():
            lab._containers.start(plan.nodes)
            lab._fabric.add_nodes(plan.nodes, lab._containers.namespaces(plan.nodes))
            lab._hosts.add(plan.nodes)
            lab._fabric.add_links(plan, plan.links)
            lab._hosts.settle(plan)
            lab._xdp_switches.add(plan, lab._fabric)
            lab._wires.add(plan, plan.links)
            lab._control.apply(plan)
            lab._steering.set_aside(plan)
            lab._add_nodes(plan, plan.nodes)
            lab._note_externals()
            lab._steering.apply(plan)
            wait_ready(plan, lab.netns, port_states=lab.port_states)
            wait_joined(plan, lab.running_vnf)
            lab._containers.run_programs(plan.nodes)
            lab._write_record()
        return lab

    def apply(self, plan: Plan) -> None:
        """Changes the lab to another plan; on failure it goes back to the one it had.

        Raises:
            LabError: when the kernel refuses something.
        """
        self._require_ours()
        before = self.plan
        try:
            self._carry_out(Difference.between(before, plan), plan)
        except BaseException as error:
            try:
                # What was there and does not start any more is marked, like in a lab that goes on.
                with self._going_on():
                    self._carry_out(Difference.between(plan, before), before)
            except BaseException as second:
                # Neither the old state nor the new one can be had: better no lab than half a one.
                self.close()
                if not isinstance(second, BuildVnfError):
                    raise
                if isinstance(error, BuildVnfError):
                    error.hint = f"it could not be taken back ({second.message}): the lab has ended"
            raise
        self._vnfs.forget_all_but(self.nodes)
        self._folder.write_hosts(_addresses(plan))
        self._write_record()

    def follow_links(self) -> None:
        """Nobody else changes our nodes and links."""
        self._require_ours()

    def restart(self, node: Node) -> None:
        self._require_ours()
        if is_controlled(node.plan):
            try:
                self._control.restart(self.plan, node.plan)
                self._steering.renew()
            finally:
                self._write_record()
            return
        renewed: list[NodePlan] = []
        self._failed.pop(node.name, None)
        node.start_failure = None
        try:
            alive = node.container is not None and node.container.alive
            if node.plan.container is not None and (node.plan.vnf is None or not alive):
                self._vnfs.stop([node])
                with self._going_on():
                    renewed = self._renew_containers(self.plan, [node.plan])
                self._raise_failure_of(node)
            if node.plan.vnf is not None:
                self._vnfs.restart(node)
            ports = [EndPlan(node=node.name, interface=port.name) for port in node.plan.interfaces]
            wait_ready(
                self.plan,
                self.netns,
                ports,
                down=self._wires.down(),
                port_states=self.port_states,
            )
            wait_joined(self.plan, self.running_vnf)
            with self._going_on():
                self._containers.run_programs(renewed)
            self._raise_failure_of(node)
        finally:
            # Others find the program of a container by what is written now.
            self._write_record()

    def control_failure(self, node: NodePlan) -> str | None:
        return self._control.failure(self.plan, node)

    def chain_counts(self) -> dict[str, Count]:
        return self._steering.counts()

    def xdp_switch(self, name: str) -> XdpSwitchView:
        return self._xdp_switches[name].view

    def wire_counters(self, link: str) -> LinkCounters:
        return self._wires.counters(link)

    def wires_failure(self) -> str | None:
        return self._wires.failure()

    def restart_wires(self) -> None:
        self._require_ours()
        self._wires.restart()
        self._write_record()

    def raise_wire(self, link: str, up: bool) -> None:
        self._require_ours()
        self._wires.raise_ports(link, up)

    def _wire_port(self, link: LinkPlan, end: EndPlan) -> tuple[Netns, str]:
        ports = self._fabric.wire_ports(link.id)
        assert self._fabric.wires_netns is not None
        return self._fabric.wires_netns, (ports.a if end == link.a else ports.b).name

    def change_links(
        self, links: Sequence[LinkPlan], *, at_ns: int = 0, recorded: bool = True
    ) -> None:
        self._require_ours()
        self._wires.change(links, at_ns)
        changed = {link.id: link for link in links}
        links = tuple(changed.get(link.id, link) for link in self.plan.links)
        self.plan = self.plan.model_copy(update={"links": links})
        if recorded:
            self._write_record()

    def record_links(self) -> None:
        self._require_ours()
        self._write_record()

    def update(self, node: Node, changes: Mapping[str, Any]) -> None:
        from emulator.runtime.limits import update_arguments

        self._require_ours()
        if node.plan.container is None:
            self.note_node(self._hosts.update(node.plan, node.netns, changes))
            return
        container = self._containers.get(node.name)
        if container is None:
            raise LabError(
                f"its container does not run: {node.start_failure or 'it was not started'}",
                where=node.name,
                hint="restart starts it; change its limits in the topology before",
            )
        arguments, limits = update_arguments(changes, node.plan.container, where=node.name)
        planned = node.plan.model_copy(update={"container": limits})
        container.update(arguments, planned)
        self.note_node(planned)

    @property
    def notes(self) -> Sequence[str]:
        return [*notices(self.plan), *self._hosts.notes]

    @property
    def limited_nodes(self) -> Hosts:
        self._require_ours()
        return self._hosts

    def ensure_changeable(self, name: str) -> None:
        self._require_ours()

    def note_node(self, plan: NodePlan) -> None:
        self._require_ours()
        self.nodes[plan.name].plan = plan
        nodes = tuple(plan if each.name == plan.name else each for each in self.plan.nodes)
        self.plan = self.plan.model_copy(update={"nodes": nodes})
        self._folder.write_hosts(_addresses(self.plan))
        if not self.record.plan:
            # The lab is still starting, and will be recorded as a whole.
            return
        # Not the whole plan anew, because scripts change hundreds of nodes one by one.
        changed = plan.to_values()
        recorded = [changed if n["name"] == plan.name else n for n in self.record.plan["nodes"]]
        self.record = replace(self.record, plan={**self.record.plan, "nodes": recorded})
        self._folder.write(self.record)

    def _carry_out(self, difference: Difference, plan: Plan) -> None:
        self._steering.prepare(plan, difference.links_gone)
        moved = (*difference.nodes_changed, *difference.nodes_gone)
        self._vnfs.stop(self.nodes[node.name] for node in moved if node.name in self.nodes)
        for node in difference.nodes_gone:
            self._drop_node(node.name)
        self._containers.remove([node.name for node in difference.nodes_gone], for_good=True)
        self._control.release(difference.links_gone, difference.nodes_gone)
        self._wires.remove(difference.links_gone)
        self._xdp_switches.remove(plan, difference.links_gone)
        self._fabric.remove_links(difference.links_gone)
        self._hosts.remove((*difference.nodes_gone, *difference.nodes_replaced))
        self._fabric.remove_nodes(difference.nodes_gone)
        self._containers.start(difference.nodes_new)
        self._fabric.add_nodes(
            difference.nodes_new, self._containers.namespaces(difference.nodes_new)
        )
        enclosed = self._renew_containers(plan, difference.nodes_replaced)
        self._hosts.add((*difference.nodes_new, *difference.nodes_changed))
        self._fabric.add_links(plan, difference.links_new)
        self._hosts.settle(plan, difference.nodes_changed, self.plan)
        self._xdp_switches.add(plan, self._fabric)
        self._wires.add(plan, difference.links_new)
        self._wires.change(difference.links_changed)
        self._control.apply(plan)
        self._steering.set_aside(plan)
        self._add_nodes(plan, (*difference.nodes_new, *difference.nodes_changed))
        self.nodes = {node.name: self.nodes[node.name] for node in plan.nodes}
        self.plan = plan
        self._note_externals()
        wait_ready(plan, self.netns, down=self._wires.down(), port_states=self.port_states)
        wait_joined(plan, self.running_vnf)
        self._steering.apply(plan)
        self._containers.run_programs([*difference.nodes_new, *enclosed])

    def _note_externals(self) -> None:
        for node in self.plan.nodes:
            present = self._hosts.as_it_is(node)
            if present is not node:
                self.note_node(present)

    def _renew_containers(self, plan: Plan, nodes: Iterable[NodePlan]) -> list[NodePlan]:
        """Give nodes that stay other containers, or none any more; their links stay too.

        App containers go with those of their hosts.

        Returns:
            The nodes that have a new one, whose programs are to be run.
        """
        names = {node.name for node in nodes}
        names |= {node.name for node in plan.nodes if node.host in names}
        renewed = [node for node in plan.nodes if node.name in names and node.name in self.nodes]
        for node in renewed:
            self.nodes[node.name].close_shell()
        # Their namespaces, and in them their interfaces, last because the fabric holds them.
        self._containers.remove(sorted(names))
        for node in renewed:
            self._failed.pop(node.name, None)
        self._containers.start(renewed)
        for node in renewed:
            if node.kind == "app":
                continue
            container = self._containers.get(node.name)
            if container is None:
                netns = Netns.create(ipv6=plan.ipv6)
            else:
                netns = container.netns.copy()
            self._fabric.move(node, netns)
        for node in renewed:
            self.nodes[node.name].plan = node
            self._settle(self.nodes[node.name], plan)
        return renewed

    def _settle(self, node: Node, whole: Plan) -> None:
        """Have a node live where it is planned to: in a container or as part of the lab."""
        plan = node.plan
        netns = self._fabric.namespace(plan.host or plan.name)
        node.move(netns, self._containers.get(plan.name))
        self._containers.publish(plan, netns, _addresses_of(whole, plan.host or plan.name))
        failed = self._failed.get(plan.name)
        node.start_failure = None if failed is None else failed.message

    def _site_of(self, node: Node) -> Site:
        from emulator.dataplane import Site

        meeting_place = self._containers.place.meeting_place
        container = self._containers.get(node.name)
        if container is None:
            processes = self._hosts.processes_of(node.name)
            return Site(processes, self._folder.path, meeting_place)
        return Site(container.processes, container.folder, meeting_place, container.entrypoint)

    def _on_failed(self, name: str, error: BuildVnfError) -> None:
        """Take note of a node that does not start, unless that is to end the lab."""
        if self._on_failure == "stop":
            raise error
        self._failed[name] = error
        if name in self.nodes:
            self.nodes[name].start_failure = error.message

    def _raise_failure_of(self, node: Node) -> None:
        if node.name in self._failed:
            raise self._failed[node.name]

    def _on_uncontrolled(self, name: str, error: BuildVnfError) -> None:
        """A controller without its switches ends the start, unless that goes on without it."""
        if self._on_failure == "stop":
            raise error

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Nodes that do not start in this block are no reason to end the lab."""
        before, self._on_failure = self._on_failure, "keep"
        try:
            yield
        finally:
            self._on_failure = before

    def _add_nodes(self, whole: Plan, plans: Iterable[NodePlan]) -> None:
        vnfs = []
        for plan in plans:
            node = self.nodes.get(plan.name)
            if node is None:
                netns = self._fabric.namespace(plan.host or plan.name)
                node = self.nodes[plan.name] = Node(
                    plan, netns, self._hosts.processes_of(plan.name), self
                )
                self._settle(node, whole)
            node.plan = plan
            if plan.kind != "app":
                self._fabric.apply_offloads(plan)
            if plan.vnf is None:
                continue
            if plan.container is not None and node.container is None:
                reason = LabError(node.start_failure or "its container does not run")
                node.running_vnf = self._vnfs.in_place_of(plan, reason)
            else:
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
            containers=self._containers.describe(),
            wires=self._wires.describe(),
            control=self._control.describe(),
            xdp_switches=self._xdp_switches.describe(),
            steering=self._steering.describe(),
            failed={name: error.message for name, error in self._failed.items()},
            plan=self.plan.to_values(),
        )
        self._folder.write(self.record)


def _addresses_of(plan: Plan, name: str) -> list[str]:
    interfaces = plan.node(name).interfaces
    return [each.ipv4.partition("/")[0] for each in interfaces if each.ipv4 is not None]


def _addresses(plan: Plan) -> dict[str, str]:
    found = ((node.name, plan.address_of(node.name)) for node in plan.nodes)
    return {name: address for name, address in found if address is not None}
