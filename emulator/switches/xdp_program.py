"""The BPF program that all ``xdp`` switches of a lab share, and what it can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import LabError
from emulator.kernel.bpf import BpfId, BpfObject, require_libbpf
from emulator.native_parts import native_part
from emulator.switches import xdp_memory
from emulator.switches.xdp_memory import Port, number_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from emulator.kernel.maps import BpfMap
    from emulator.kernel.netns import Netns
    from emulator.switches.xdp_switch import XdpSwitch


class _Numbers:
    """The numbers below a limit; each is given out once until it comes back."""

    def __init__(self, limit: int, what: str) -> None:
        self._free = list(range(limit - 1, -1, -1))
        self._what = what

    def take(self) -> int:
        if not self._free:
            raise LabError(
                f"the lab has no room for more {self._what}", hint="start it anew with all of them"
            )
        return self._free.pop()

    def give(self, number: int) -> None:
        self._free.append(number)


class Program:
    """The program of a lab, with the maps that its switches share."""

    def __init__(self, stack: ExitStack, netns: Netns, slots: int) -> None:
        require_libbpf()
        self.netns = netns
        self._object = stack.enter_context(BpfObject(native_part("switch.bpf.o"), name="switch"))
        self._object.set_max_entries("ports", slots)
        self._object.set_max_entries("shares", slots)
        self._object.load()
        self.forward = self._object.program("forward")
        self.leave = self._object.program("leave")
        self.slot_of = self._object.map("slots")
        self.ports = self._object.map("ports")
        self.shares = self._object.map("shares")
        self.generations = self._object.map("generations")
        self.steered = self._object.map("steered")
        self.places = self._object.map("switch_places")
        self.flooded = self._object.map("switch_flooded")
        self.rules = self._object.map("switch_rules")
        self.numbers = _Numbers(xdp_memory.SWITCHES, "xdp switches")
        self.slots = _Numbers(slots, "ports of xdp switches")
        self.labels = _Numbers(xdp_memory.LABELS, "labels of steering rules")

    def install(self, switches: Iterable[XdpSwitch]) -> None:
        """Let the program know the maps of some switches."""
        switches = list(switches)
        for outer, inner in ((self.places, "places"), (self.flooded, "flooded")):
            outer.update_all(
                {number_key(each.number): number_key(getattr(each, inner).fd) for each in switches}
            )

    def put(self, port: Port, value: bytes) -> None:
        """Let the program know a port, or what has changed of it.

        Raises:
            LabError: the lab has had more interfaces than the program tells apart.
        """
        if port.ifindex >= self.slot_of.max_entries:
            raise LabError(
                f"the lab has had more than {self.slot_of.max_entries} interfaces",
                hint="start it anew, or use switches of another kind",
            )
        self.ports.update(number_key(port.slot), value)
        self.slot_of.update(number_key(port.ifindex), number_key(port.slot + 1))

    def take_away(self, port: Port) -> None:
        """Have the program drop what comes in by a port."""
        if port.ifindex < self.slot_of.max_entries:
            self.slot_of.update(number_key(port.ifindex), number_key(0))
        self.slots.give(port.slot)

    def zero(self, of: BpfMap, number: int) -> None:
        """Have something be counted from nothing again."""
        of.update(number_key(number), bytes(of.update_bytes))

    def ids(self) -> list[BpfId]:
        programs = [BpfId("program", each.id) for each in self._object.programs()]
        return programs + [BpfId("map", each.id) for each in self._object.maps()]
