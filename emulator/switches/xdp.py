"""Our own switch: a BPF program in the receive path of every port, native XDP.

The ports are the veths in the lab's fabric. One program serves all ``xdp`` switches of a lab; what
each has learnt, where it floods to and what it steers lies in maps of its own. Programs hang on
``bpf_link`` descriptors and maps on the programs, so the kernel takes all of it back when the
emulator ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.fabric import Fabric
    from emulator.kernel.bpf import BpfId
    from emulator.plan.model import LinkPlan, NodePlan, Plan
    from emulator.switches.xdp_program import Program
    from emulator.switches.xdp_switch import XdpSwitch

_LEAST_SLOTS = 1024


class XdpSwitches:
    """All ``xdp`` switches of a lab, made with the first one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._program: Program | None = None
        self._switches: dict[str, XdpSwitch] = {}

    def add(self, plan: Plan, fabric: Fabric) -> None:
        """Start the switches of a plan, and the ports of them, that are not at work yet.

        Their links must be there, and what ``remove`` was told to be gone.

        Raises:
            MachineError: XDP is not possible here.
            LabError: the kernel refuses something.
        """
        nodes = [node for node in plan.switches() if _is_xdp(node)]
        if not nodes:
            return
        from emulator.switches.xdp_program import Program
        from emulator.switches.xdp_switch import XdpSwitch

        if self._program is None:
            ports = sum(len(node.interfaces) for node in nodes)
            slots = max(_LEAST_SLOTS, 1 << (2 * ports).bit_length())
            self._program = Program(self._stack, fabric.switch_netns, slots)
        made = {}
        for node in nodes:
            assert node.switch is not None
            assert node.switch.xdp is not None
            ageing_s = node.switch.xdp.ageing_s
            if node.name in self._switches:
                self._switches[node.name].set_ageing(ageing_s)
            else:
                made[node.name] = XdpSwitch(node.name, ageing_s, self._program)
        self._switches |= made
        self._program.install(made.values())
        for node in nodes:
            switch = self._switches[node.name]
            there = set(switch.ports)
            switch.add_ports(
                {
                    each.name: (each, fabric.index_of(node.name, each.name))
                    for each in node.interfaces
                    if each.name not in there
                }
            )

    def remove(self, plan: Plan, links: Iterable[LinkPlan] = ()) -> None:
        """Stop the switches, and their ports, that a plan has no more.

        Args:
            links: those that are about to be removed, even if they are to be made anew.
        """
        touched = {(end.node, end.interface) for link in links for end in (link.a, link.b)}
        nodes = {node.name: node for node in plan.switches() if _is_xdp(node)}
        for name, switch in list(self._switches.items()):
            if name not in nodes:
                self._switches.pop(name).close()
                continue
            stay = {
                each.name for each in nodes[name].interfaces if (name, each.name) not in touched
            }
            switch.remove_ports([port for port in switch.ports if port not in stay])

    def __getitem__(self, name: str) -> XdpSwitch:
        """The switch of that name."""
        return self._switches[name]

    def describe(self) -> dict[str, Any]:
        """By name, what other processes need to read the switches."""
        return {name: switch.describe() for name, switch in self._switches.items()}

    def bpf_ids(self) -> list[BpfId]:
        """The programs and maps that the switches share."""
        return [] if self._program is None else self._program.ids()

    def let_go(self) -> None:
        """Close our descriptors and change nothing; what a forked process does."""
        for switch in self._switches.values():
            switch.let_go()
        self._switches.clear()
        self._stack.close()
        self._program = None

    def close(self) -> None:
        """Stop all switches; a second call does nothing.

        Faster when the fabric has gone before: nothing has to be taken off its interfaces then.
        """
        # The maps go with the last program, so nothing has to be taken out of them.
        self.let_go()


def _is_xdp(node: NodePlan) -> bool:
    return node.switch is not None and node.switch.kind == "xdp"
