"""A plan's nodes and links as kernel objects.

Every host, router and VNF is a network namespace of its own; all switches of a lab are Linux
bridges in one more, the fabric. Nothing is created in the machine's own namespace.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from emulator.bridges import Bridges
from emulator.errors import LabError
from emulator.interfaces import add_routes
from emulator.kernel.netns import Netns, configure_ipv6
from emulator.kernel.offload import Offloads, receive_unmerged, set_offloads
from emulator.kernel.rtnl import LOOPBACK_INDEX, End, Rtnl
from emulator.plan.model import EndPlan, InterfacePlan, LinkPlan, NodePlan, Plan
from emulator.wire_hops import WireHops, WirePorts

_FIRST_INDEX = 10
_SOCKETS_AT_ONCE = 64
_IN_FABRIC = ("switch", "controller")
"""Kinds of nodes that have no namespace of their own."""
_NEW_VETH = Offloads(receive_napi=False, frame_offload=True, segment_offload=True)
"""Offloads of a veth as the kernel makes it: frames may leave unfinished, GRO is off."""
_GONE_ALONE_S = 1.0
_GONE_DEADLINE_S = 10.0
_POLL_S = 0.002

Progress = Callable[[str, int, int], None]


class Fabric:
    """The namespaces, bridges and links of one lab; ``close`` gives all of them back."""

    def __init__(self, *, ipv6: bool = False, progress: Progress | None = None) -> None:
        self._ipv6 = ipv6
        self._progress = progress or (lambda stage, done, total: None)
        self._controllers: set[str] = set()
        self._next_index = _FIRST_INDEX
        self._index: dict[tuple[str, str], int] = {}
        self._leading_out: set[int] = set()
        self._offloads: dict[tuple[str, str], Offloads] = {}
        self._hops = WireHops(self.free_index)
        self.netns: dict[str, Netns] = {}
        self.switch_netns = Netns.create()
        self._rtnl = Rtnl.inside(self.switch_netns)
        self._bridges = Bridges(self.switch_netns, self._rtnl, self.free_index)

    def add_nodes(
        self, nodes: Iterable[NodePlan], given: Mapping[str, Netns] = MappingProxyType({})
    ) -> None:
        """Creates nodes, with their loopback up and without any link.

        Args:
            given: for nodes that have one already, their namespace, which is taken over.
        """
        known = {*self.netns, *self._bridges, *self._controllers}
        wanted = [node for node in nodes if node.name not in known and node.kind != "app"]
        spaces = [node for node in wanted if node.kind not in _IN_FABRIC]
        self._progress("nodes", 0, len(spaces))
        for name, netns in given.items():
            self.netns[name] = netns
            netns.run(configure_ipv6, self._ipv6)
        bare = [node.name for node in spaces if node.name not in given]
        made = Netns.create_many(len(bare), ipv6=self._ipv6)
        self.netns.update(zip(bare, made, strict=True))
        for name, rtnl in self._inside_each([node.name for node in spaces]):
            rtnl.set_up(LOOPBACK_INDEX, where=name)
            rtnl.commit()
        for node in spaces:
            if node.kind == "router":
                self.netns[node.name].run(_forward_ip, self._ipv6)
        for node in wanted:
            if node.kind == "switch":
                self._bridges.add(node)
            elif node.kind == "controller":
                self._controllers.add(node.name)
        self._rtnl.commit()
        self._progress("nodes", len(spaces), len(spaces))

    def add_links(self, plan: Plan, links: Iterable[LinkPlan]) -> None:
        """Creates links between nodes that exist, and gives their ends addresses."""
        wanted = [
            link
            for link in links
            # The VNFs at its ends make a memif link themselves.
            if link.kind == "veth" and (link.a.node, link.a.interface) not in self._index
        ]
        self._progress("links", 0, len(wanted))
        for link in wanted:
            self._add_link(plan, link)
        self._rtnl.commit()
        self._hops.open(plan, wanted)
        ends: dict[str, list[str]] = {}
        for link in wanted:
            for end in (link.a, link.b):
                if end.node in self.netns:
                    ends.setdefault(end.node, []).append(end.interface)
        for done, (name, rtnl) in enumerate(self._inside_each(list(ends))):
            if done % _SOCKETS_AT_ONCE == 0:
                self._progress("addresses", done, len(ends))
            node = plan.node(name)
            self._configure(rtnl, node, [node.interface(interface) for interface in ends[name]])
        self._progress("links", len(wanted), len(wanted))

    def remove_links(self, links: Iterable[LinkPlan]) -> None:
        """Removes links; their interfaces vanish from both ends."""
        for link in links:
            end, other = _switch_first(link, self._bridges)
            index = self._index.pop((end.node, end.interface), None)
            if index is None:
                continue
            far_index = self._index.pop((other.node, other.interface))
            for side in (end, other):
                self._offloads.pop((side.node, side.interface), None)
            self._leading_out.discard(index)
            with Rtnl.inside(self.namespace(end.node)) as rtnl:
                rtnl.delete_link(index, where=link.id)
                rtnl.commit()
            if link.id in self._hops:
                # Two pairs, of which one is left.
                self._leading_out.discard(far_index)
                with Rtnl.inside(self.namespace(other.node)) as rtnl:
                    rtnl.delete_link(far_index, where=link.id)
                    rtnl.commit()
                self._hops.forget(link.id)
            for side in (end, other):
                self._bridges.release(side.node, side.interface)

    def remove_nodes(self, nodes: Iterable[NodePlan]) -> None:
        """Removes nodes whose links have been removed."""
        for node in nodes:
            self._controllers.discard(node.name)
            if node.name in self._bridges:
                self._bridges.remove(node.name)
                self._rtnl.commit()
            elif node.name in self.netns:
                self.netns.pop(node.name).close()

    def move(self, node: NodePlan, netns: Netns) -> None:
        """Moves a node's interfaces, and their links with them, to another namespace.

        Args:
            netns: where to, which is taken over. The one that they leave is given back.
        """
        netns.run(configure_ipv6, self._ipv6)
        ends = [each for each in node.interfaces if (node.name, each.name) in self._index]
        before = self.netns[node.name]
        with Rtnl.inside(before) as rtnl:
            for interface in ends:
                index = self._index[node.name, interface.name]
                rtnl.move(index, netns, where=f"{node.name} {interface.name}")
            rtnl.commit()
        self.netns[node.name] = netns
        before.close()
        if node.kind == "router":
            netns.run(_forward_ip, self._ipv6)
        with Rtnl.inside(netns) as rtnl:
            rtnl.set_up(LOOPBACK_INDEX, where=node.name)
            self._configure(rtnl, node, ends)

    def apply_offloads(self, node: NodePlan) -> None:
        """Makes a node's interfaces finish their frames, or receive by NAPI, as the plan says."""
        wanted = {}
        for interface in node.interfaces:
            if interface.memif is not None:
                continue
            key = (node.name, interface.name)
            offloads = Offloads(
                interface.receive_napi, interface.frame_offload, interface.segment_offload
            )
            if offloads != self._offloads.get(key, _NEW_VETH):
                self._offloads[key] = wanted[interface.kernel_name] = offloads
        if not wanted:
            return
        set_offloads(self.namespace(node.name), wanted, where=node.name)
        if node.switch is not None and node.switch.kind == "ovs":
            # Its datapath in user space takes no packet that is longer than its port's frames.
            merging = {
                interface.kernel_name: self.index_of(node.name, interface.name)
                for interface in node.interfaces
                if interface.kernel_name in wanted and interface.receive_napi
            }
            if merging:
                receive_unmerged(self.namespace(node.name), merging, where=node.name)

    def namespace(self, node: str) -> Netns:
        """The namespace that holds a node's interfaces."""
        if node in self._bridges or node in self._controllers:
            return self.switch_netns
        return self.netns[node]

    @property
    def wires_netns(self) -> Netns | None:
        """The namespace of the wires; None until there is an impaired link."""
        return self._hops.netns

    def wire_ports(self, link: str) -> WirePorts:
        """The inner ends of an impaired link, in the namespace of the wires."""
        return self._hops[link]

    def index_of(self, node: str, interface: str) -> int:
        """The kernel's number of an interface."""
        return self._index[node, interface]

    def has_interface(self, node: str, interface: str) -> bool:
        """Whether an interface is there."""
        return (node, interface) in self._index

    def close(self) -> None:
        """Gives everything back; returns when the kernel has taken the links down."""
        try:
            for netns in self.netns.values():
                netns.close()
            self._hops.close()
            # With the namespaces go their links, all at once, unless another process, one that is
            # attached to the lab or was forked from us, holds on to a namespace.
            if not self._gone_within(_GONE_ALONE_S):
                for index in self._leading_out:
                    self._rtnl.delete_link(index, where="fabric")
                    with contextlib.suppress(LabError):  # it has gone meanwhile
                        self._rtnl.commit()
                self._gone_within(_GONE_DEADLINE_S)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Closes our descriptors and waits for nothing; what a forked process does."""
        for netns in (*self.netns.values(), self.switch_netns):
            netns.close()
        self._hops.close()
        self.netns.clear()
        self._rtnl.close()

    def _gone_within(self, time_s: float) -> bool:
        deadline = time.monotonic() + time_s
        while self._leading_out and time.monotonic() < deadline:
            # Not the list of all: the kernel cannot take links down while it writes that.
            index = self._leading_out.pop()
            if self._rtnl.has_link(index):
                self._leading_out.add(index)
                time.sleep(_POLL_S)
        return not self._leading_out

    def bridge_for(self, switch: str, interface: str) -> int | None:
        """The bridge that another port of a switch is to belong to; None where it has none."""
        bridge = self._bridges.port(switch, interface)
        self._rtnl.commit()
        return bridge

    def release_port(self, switch: str, interface: str) -> None:
        """Forget a port that :meth:`bridge_for` made room for."""
        self._bridges.release(switch, interface)

    def free_index(self) -> int:
        """A number that no interface of the lab has or will have."""
        self._next_index += 1
        return self._next_index

    def _add_link(self, plan: Plan, link: LinkPlan) -> None:
        if link.mechanism != "none":
            ends = self._end(plan, link.a), self._end(plan, link.b)
            self._hops.add(self._rtnl, link, ends)
            self._leading_out.update(end.index for end in ends if end.up)
            return
        near, far = _switch_first(link, self._bridges)
        near_end, far_end = self._end(plan, near), self._end(plan, far)
        if far.node in self._bridges:
            master, far_end = far_end.master, replace(far_end, master=None)
            self._rtnl.add_veth(near_end, far_end, where=link.id)
            if master is not None:
                self._rtnl.set_master(far_end.index, master, where=link.id)
            self._rtnl.set_up(far_end.index, where=link.id)
        else:
            self._rtnl.add_veth(near_end, far_end, where=link.id)
            if near.node in self._bridges:
                self._leading_out.add(near_end.index)

    def _end(self, plan: Plan, end: EndPlan) -> End:
        interface = plan.interface(end)
        index = self.free_index()
        self._index[end.node, end.interface] = index
        is_switch = end.node in self._bridges
        return End(
            name=interface.kernel_name,
            index=index,
            netns=self.namespace(end.node),
            mac=interface.mac,
            mtu=interface.mtu,
            master=self._bridges.port(end.node, end.interface) if is_switch else None,
            up=is_switch,
        )

    def _inside_each(self, names: Sequence[str]) -> Iterator[tuple[str, Rtnl]]:
        """Nodes with a netlink socket inside, which lasts until the next one is asked for."""
        for start in range(0, len(names), _SOCKETS_AT_ONCE):
            some = names[start : start + _SOCKETS_AT_ONCE]
            with ExitStack() as stack:
                sockets = Rtnl.inside_each([self.netns[name] for name in some])
                for rtnl in sockets:
                    stack.callback(rtnl.close)
                yield from zip(some, sockets, strict=True)

    def _configure(self, rtnl: Rtnl, node: NodePlan, interfaces: list[InterfacePlan]) -> None:
        for interface in interfaces:
            index = self._index[node.name, interface.name]
            where = f"{node.name} {interface.name}"
            rtnl.set_up(index, where=where)
            for address in interface.addresses:
                rtnl.add_address(index, address, where=where)
        add_routes(rtnl, node)
        rtnl.commit()


def _switch_first(link: LinkPlan, switches: Container[str]) -> tuple[EndPlan, EndPlan]:
    if link.a.node in switches or link.b.node not in switches:
        return link.a, link.b
    return link.b, link.a


def _forward_ip(ipv6: bool) -> None:
    paths = [Path("/proc/sys/net/ipv4/ip_forward")]
    if ipv6:
        paths.append(Path("/proc/sys/net/ipv6/conf/all/forwarding"))
    for path in paths:
        path.write_text("1")
