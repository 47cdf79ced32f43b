"""What a switch knows and counts, whatever its kind: asked of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters
    from emulator.kernel.fdb import FdbEntry
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import LinkPlan, NodePlan


@dataclass(frozen=True)
class LearnedMac:
    """Where a switch has seen an address last.

    Attributes:
        mac: lower case, colon separated.
        vlan: in which VLAN; 0 where frames have none, or the switch does not tell them apart.
        port: the switch's interface.
        age_s: how long ago, as exact as a tenth of a second.
    """

    mac: str
    vlan: int
    port: str
    age_s: float


class SwitchNode:
    """The part of a node that is about what a switch has learnt."""

    plan: NodePlan
    netns: Netns
    _lab: Lab

    def macs(self) -> list[LearnedMac]:
        """The addresses that a switch has learnt, by port, VLAN and address.

        Raises:
            UsageError: the node is no switch, or an Open vSwitch bridge.
        """
        if self._switch_kind("has learnt nothing") == "xdp":
            with self._lab.xdp_switch(self.plan.name) as switch:
                return switch.macs()
        order = {port.name: place for place, port in enumerate(self.plan.interfaces)}
        found = [
            LearnedMac(entry.mac, entry.vlan, port, entry.age_s)
            for entry, port in self._learned_by_bridge()
        ]
        return sorted(found, key=lambda each: (order[each.port], each.vlan, each.mac))

    def flush_macs(self, port: str | None = None) -> None:
        """Has a switch forget what it has learnt; for somebody it does not know, it floods.

        Args:
            port: the interface behind which; None: all of them.

        Raises:
            UsageError: it has no such port; the node is no switch, or an Open vSwitch bridge.
        """
        from emulator.kernel.fdb import forget

        kind = self._switch_kind("has learnt nothing")
        if port is not None:
            self.plan.interface(port)
        if kind == "xdp":
            with self._lab.xdp_switch(self.plan.name) as switch:
                switch.flush(port)
            return
        entries = [entry for entry, where in self._learned_by_bridge() if port in (None, where)]
        forget(self.netns, entries)

    def _port_counters(self) -> dict[str, PortCounters]:
        """What a switch has counted; of other kinds than ``xdp`` the kernel's own numbers."""
        from emulator.dataplane.running import PortCounters
        from emulator.kernel.rtnl import link_states

        if self.plan.runs_xdp:
            with self._lab.xdp_switch(self.plan.name) as switch:
                return switch.counters()
        states = link_states(self.netns)
        return {
            port.name: PortCounters(
                rx_packets=state.rx_packets,
                rx_bytes=state.rx_bytes,
                tx_packets=state.tx_packets,
                tx_bytes=state.tx_bytes,
                dropped_packets=state.rx_dropped,
            )
            for port in self.plan.interfaces
            if (state := states.get(port.kernel_name)) is not None
        }

    def _learned_by_bridge(self) -> list[tuple[FdbEntry, str]]:
        from emulator.kernel.fdb import learned
        from emulator.kernel.rtnl import link_states

        states = link_states(self.netns)
        ports = {
            states[port.kernel_name].index: port.name
            for port in self.plan.interfaces
            if port.kernel_name in states
        }
        return [
            (entry, ports[entry.ifindex]) for entry in learned(self.netns) if entry.ifindex in ports
        ]

    def _switch_kind(self, otherwise: str) -> str:
        name, kind = self.plan.name, self.plan.kind
        if kind != "switch":
            raise UsageError(
                f"{name} is a {kind} and {otherwise}", where=name, hint="that is for switches"
            )
        found = "bridge" if self.plan.switch is None else self.plan.switch.kind
        if found == "ovs":
            raise UsageError(
                "what an Open vSwitch bridge has learnt is among its flows",
                where=name,
                hint=f'look with dpctl: {name} dpctl "dump-flows"',
            )
        return found


def forget_behind(lab: Lab, link: LinkPlan) -> None:
    """Have ``xdp`` switches forget whom they knew behind a link that is down; bridges do it too."""
    for end in (link.a, link.b):
        node = lab.plan.node(end.node)
        if node.kind == "switch" and node.runs_xdp:
            with lab.xdp_switch(end.node) as switch:
                switch.flush(end.interface)
