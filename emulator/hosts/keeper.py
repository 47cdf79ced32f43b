"""What the nodes of a lab have beyond namespaces and links, made and taken back with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from emulator.errors import BuildVnfError, UsageError
from emulator.fabric import Fabric
from emulator.hosts.addresses import drop_default_route, set_static_arp
from emulator.hosts.external import External
from emulator.hosts.groups import Group, find_group, groups_of
from emulator.hosts.leftovers import Leftovers
from emulator.hosts.limit_changes import updated
from emulator.hosts.limits import RT_PRIORITY, LabLimits, ensure_real_time
from emulator.hosts.nat import Nat
from emulator.hosts.node_mounts import NodeMounts
from emulator.hosts.private_dirs import PrivateDirs
from emulator.hosts.processes import NodeProcesses
from emulator.interfaces import restore_routes
from emulator.kernel.netns import Netns
from emulator.kernel.sysfs import sysfs_refusal
from emulator.labs import LabFolder
from emulator.plan.host_model import LimitsPlan
from emulator.plan.model import NodePlan, Plan
from emulator.runtime.namespace import Processes


class Hosts:
    """The limits and folders of a lab's nodes, and its ways to the outside.

    Have :meth:`close_ways` called before the lab's namespaces are given back, and :meth:`close`
    when its processes have ended.
    """

    def __init__(self, folder: LabFolder, processes: Processes, fabric: Fabric) -> None:
        self._processes = processes
        self._fabric = fabric
        self._leftovers = Leftovers(folder.path)
        self._limits = LabLimits(folder.id, self._leftovers)
        self._lab = folder.id
        self._folder = folder.path
        self._dirs: dict[str, PrivateDirs] = {}
        self._nats: dict[str, Nat] = {}
        self._externals: dict[tuple[str, str], External] = {}
        self._of_nodes: dict[str, NodeProcesses] = {}

    def add(self, nodes: Iterable[NodePlan]) -> None:
        """Limits nodes, and gives them folders of their own, before anything runs in them.

        Of nodes that are there already, with what runs in them: what is asked for otherwise is
        changed, and all else stays.
        """
        for node in nodes:
            if node.container is not None or node.kind in ("switch", "app"):
                continue
            self._settle_limits(node)
            if node.private_dirs and node.name not in self._dirs:
                dirs = PrivateDirs(node.name, node.private_dirs, self._leftovers)
                self._dirs[node.name] = dirs
                started = self.processes_of(node.name)
                started.mounts = NodeMounts(node.name, self._folder, dirs.mount)
                started.prepare(self._fabric.namespace(node.name))

    def processes_of(self, node: str) -> NodeProcesses:
        """What starts processes in a node that is in no container."""
        if node not in self._of_nodes:
            self._of_nodes[node] = NodeProcesses(self._processes, NodeMounts(node, self._folder))
        return self._of_nodes[node]

    def _settle_limits(self, node: NodePlan) -> None:
        before = self._limits.in_force(node.name)
        if node.limits == before:
            return
        lived = node.name in self._of_nodes
        self.limit(node.name, node.limits or LimitsPlan())
        if lived:
            self._limits.adopt(node.name, self._fabric.namespace(node.name).fd)

    def limit(self, node: str, limits: LimitsPlan) -> None:
        """Limits the processes that are started in a node from now on."""
        if limits.sched == "rt":
            ensure_real_time(node)
        started = self.processes_of(node)
        started.group = self._limits.apply(node, limits)
        started.rt_priority = RT_PRIORITY if limits.sched == "rt" else 0

    def update(self, node: NodePlan, netns: Netns, changes: Mapping[str, Any]) -> NodePlan:
        """Limits a node that runs otherwise, what runs in it already too; its plan from then on.

        Raises:
            UsageError: it cannot be limited, or not so.
        """
        if node.kind == "switch":
            raise UsageError(
                "a switch is the kernel's own work, which no limit holds for", where=node.name
            )
        limits = updated(node.limits, changes, where=node.name)
        before = node.limits or LimitsPlan()
        if before.sched == "rt" and limits.sched != "rt":
            # Real-time processes cannot be in a group without any of that time.
            self._limits.schedule(node.name, 0)
        try:
            self.limit(node.name, limits)
        except BuildVnfError:
            # The kernel may have taken a part of it.
            self.limit(node.name, before)
            raise
        self._limits.adopt(node.name, netns.fd)
        if limits.sched == "rt" and before.sched != "rt":
            self._limits.schedule(node.name, RT_PRIORITY)
        return node.model_copy(update={"limits": None if limits == LimitsPlan() else limits})

    def open_group(self, node: NodePlan, netns: Netns, resource: str) -> Group:
        """The control group of a node that runs, which has the parameters of a resource.

        Raises:
            MachineError: the machine has no such controller.
        """
        group = self._limits.open_group(node.name, resource)
        self.processes_of(node.name).group = group
        self._limits.adopt(node.name, netns.fd)
        return group

    def set_parameter(
        self, node: NodePlan, netns: Netns, resource: str, parameter: str, value: object
    ) -> NodePlan:
        """Sets a parameter of a node's control group; its plan from then on.

        Raises:
            UsageError: there is no such parameter.
            LabError: the kernel does not take the value.
        """
        self.open_group(node, netns, resource)
        limits = self._limits.set_parameter(node.name, resource, parameter, value)
        return node.model_copy(update={"limits": None if limits == LimitsPlan() else limits})

    def dissolve_group(self, node: NodePlan) -> bool:
        """Takes a node's control group away, and with it all its limits; whether it is gone."""
        started = self.processes_of(node.name)
        started.group, started.rt_priority = None, 0
        return self._limits.dissolve(node.name, groups_of(self._processes.init_pid))

    @property
    def notes(self) -> list[str]:
        """What the user should know of the ways out of the lab, and of what nodes see."""
        notes = [note for nat in self._nats.values() for note in nat.notes]
        refusal = sysfs_refusal()
        if refusal is not None:
            notes.append(f"/sys in the nodes is the machine's: no other can be had here: {refusal}")
        return notes

    def settle(
        self, plan: Plan, changed: Iterable[NodePlan] = (), before: Plan | None = None
    ) -> None:
        """Does what has to wait until the links of a lab are there.

        Args:
            changed: nodes that were there before, whose default route may be another one now.
            before: the plan until now.
        """
        earlier = {} if before is None else {node.name: node for node in before.nodes}
        for node in changed:
            if node.kind in ("host", "router", "vnf"):
                netns = self._fabric.namespace(node.name)
                old = earlier.get(node.name, node)
                for gateway, now in (
                    (old.default_route, node.default_route),
                    (old.default_route_ipv6, node.default_route_ipv6),
                ):
                    if gateway is not None and now is None:
                        drop_default_route(netns, gateway)
                restore_routes(netns, node)
        self._exchange_externals(plan)
        for node in plan.nodes:
            if node.nat is not None and node.name not in self._nats:
                netns, index = self._fabric.namespace(node.name), self._fabric.free_index()
                self._nats[node.name] = Nat(
                    self._lab, node, netns, index, self._leftovers, ipv6=plan.ipv6
                )
        if plan.static_arp:
            nodes = [node for node in plan.nodes if node.kind not in ("switch", "app")]
            spaces = {node.name: self._fabric.namespace(node.name) for node in nodes}
            set_static_arp(nodes, spaces)

    def as_it_is(self, node: NodePlan) -> NodePlan:
        """A node's plan, with the MAC addresses that its external interfaces brought along."""
        interfaces = tuple(
            each.model_copy(update={"mac": self._externals[node.name, each.name].mac})
            if (node.name, each.name) in self._externals
            else each
            for each in node.interfaces
        )
        if interfaces == node.interfaces:
            return node
        return node.model_copy(update={"interfaces": interfaces})

    def remove(self, nodes: Iterable[NodePlan]) -> None:
        """Takes back what nodes had that go, or are made anew."""
        for node in nodes:
            started = self._of_nodes.get(node.name)
            if started is not None:
                # A node that is made anew goes on with it.
                started.group, started.rt_priority = None, 0
                started.mounts.close()
                started.mounts = NodeMounts(node.name, self._folder)
            self._limits.remove(node.name)
            for key in [key for key in self._externals if key[0] == node.name]:
                self._return_external(key)
            nat = self._nats.pop(node.name, None)
            if nat is not None:
                nat.close()
            dirs = self._dirs.pop(node.name, None)
            if dirs is not None:
                dirs.close()

    def close_ways(self) -> None:
        """Closes the ways out of the lab."""
        with ExitStack() as each:
            ways: list[Nat | External] = [*self._nats.values(), *self._externals.values()]
            for way in ways:
                each.callback(way.close)
            self._nats.clear()
            self._externals.clear()

    def close(self) -> None:
        """Gives back everything else."""
        with ExitStack() as each:
            each.callback(self._limits.close)
            for dirs in self._dirs.values():
                each.callback(dirs.close)
            self._dirs.clear()
            for started in self._of_nodes.values():
                each.callback(started.mounts.let_go)

    def let_go(self) -> None:
        """Leaves everything to the process that we were forked from."""
        ways: list[Nat | External] = [*self._nats.values(), *self._externals.values()]
        for held in (*ways, *self._of_nodes.values()):
            held.let_go()
        self._dirs.clear()
        self._nats.clear()
        self._externals.clear()

    def _exchange_externals(self, plan: Plan) -> None:
        wanted = {(n.name, i.name): (n, i) for n in plan.nodes for i in n.interfaces if i.external}
        for key in [key for key in self._externals if key not in wanted]:
            self._return_external(key)
        for key, (node, interface) in wanted.items():
            if key in self._externals:
                continue
            netns, index = self._fabric.namespace(node.name), self._fabric.free_index()
            master = None
            if node.kind == "switch":
                master = self._fabric.bridge_for(node.name, interface.name)
            self._externals[key] = External(
                node.name, interface, netns, index, master, self._leftovers
            )

    def _return_external(self, key: tuple[str, str]) -> None:
        self._externals.pop(key).close()
        self._fabric.release_port(*key)


def reached_processes(lab: Path, node: NodePlan, processes: Processes) -> NodeProcesses:
    """What starts processes in a node of a lab that another process runs.

    Args:
        lab: the lab's folder.
    """
    mounts = NodeMounts(node.name, lab, owned=False, is_made=bool(node.private_dirs))
    started = NodeProcesses(processes, mounts)
    follow_limits(lab.name, node, started)
    return started


def follow_limits(lab: str, node: NodePlan, started: NodeProcesses) -> None:
    """Have what is started in a node be limited as the node is, by whoever runs the lab.

    Args:
        lab: the lab's id.
    """
    started.group, started.rt_priority = None, 0
    if node.limits is not None:
        started.group = find_group(lab, node.name)
        started.rt_priority = RT_PRIORITY if node.limits.sched == "rt" else 0
