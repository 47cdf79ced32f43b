"""One ``xdp`` switch: its ports, whom it knows, and what it steers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel import libbpf
from emulator.kernel.maps import BpfMap
from emulator.kernel.xdp import attach_xdp_to_each
from emulator.match import Match
from emulator.switches import xdp_memory
from emulator.switches.xdp_memory import Port, Steered, number_key
from emulator.switches.xdp_view import (
    XdpMaps,
    XdpSwitchView,
    begin_generation,
    discard,
    known_port,
)

if TYPE_CHECKING:
    from emulator.kernel.link import BpfLink
    from emulator.plan.model import InterfacePlan
    from emulator.switches.xdp_program import Program

ADDRESSES = 8192
"""How many a switch remembers; then it forgets who was silent longest."""

_LEAST_FLOODED = 16


@dataclass(frozen=True)
class SteeringRule:
    """Frames that leave a switch by one port, whatever it has learnt.

    Attributes:
        match: which frames, as they come in; see ``emulator.match``.
        out_port: the switch's interface that they leave by. Where it is in their VLAN, they have
            the tag that its frames have, and otherwise they leave as they came in.
        in_port: the interface that they come in by; None: any.
        label: under what they are counted; several rules may have the same.
        learn: whether their senders are learnt, as those of any other frame. Only where a sender
            is really behind the port: on the way back from a VNF it is not.
    """

    match: Match
    out_port: str
    in_port: str | None = None
    label: str = ""
    learn: bool = False


class XdpSwitch(Closing):
    """One ``xdp`` switch, at work until it is closed.

    Attributes:
        name: the node's.
        number: by which the program knows it.
        places: the map of whom it knows.
        flooded: the map of the interfaces that it floods to.
    """

    def __init__(self, name: str, ageing_s: float, program: Program) -> None:
        self.name = name
        self._ageing_s = ageing_s
        self._program = program
        self.number = program.numbers.take()
        self._ports: dict[str, Port] = {}
        self._links: dict[str, BpfLink] = {}
        self._rules: tuple[SteeringRule, ...] = ()
        self._labels: dict[str, int] = {}
        self.places = BpfMap.create(
            "places",
            libbpf.LRU_HASH_MAP_TYPE,
            key_bytes=xdp_memory.ADDRESS_BYTES,
            value_bytes=xdp_memory.PLACE_BYTES,
            entries=ADDRESSES,
        )
        self.flooded = _new_flooded(_LEAST_FLOODED)

    @property
    def ports(self) -> list[str]:
        """The names of its ports."""
        return list(self._ports)

    def add_ports(self, wanted: Mapping[str, tuple[InterfacePlan, int]]) -> None:
        """Begin to switch on some of its interfaces.

        Args:
            wanted: by name, the plan of the interface and its number.

        Raises:
            MachineError: XDP is not possible here.
            LabError: an interface is gone, or has a program already.
        """
        if not wanted:
            return
        for name, (interface, ifindex) in wanted.items():
            slot = self._program.slots.take()
            self._program.zero(self._program.shares, slot)
            tagged = tuple(vlan for vlan in interface.trunk if vlan != interface.vlan)
            self._ports[name] = Port(ifindex, slot, _untagged(interface), tagged)
        # All of them, because with its first VLAN a switch begins to look at every frame's.
        self._write_ports()
        kernel_names = {name: interface.kernel_name for name, (interface, _) in wanted.items()}
        links = attach_xdp_to_each(
            self._program.forward, kernel_names.values(), self._program.netns
        )
        self._links |= {name: links[kernel_name] for name, kernel_name in kernel_names.items()}
        self._write_flooded()

    def remove_ports(self, names: Collection[str]) -> None:
        """Forget some of its interfaces, and all that was learnt there; others are not held up."""
        gone = {name: self._ports.pop(name) for name in names if name in self._ports}
        if not gone:
            return
        rules = [
            rule for rule in self._rules if rule.out_port not in gone and rule.in_port not in gone
        ]
        if len(rules) < len(self._rules):
            self.set_steering(rules)
        for name in gone:
            link = self._links.pop(name, None)
            if link is not None:
                link.close()
        for port in gone.values():
            discard(self.flooded, number_key(port.ifindex))
            self._program.take_away(port)
        self._forget(gone.values())
        self._write_ports()

    def set_ageing(self, ageing_s: float) -> None:
        """Believe what has been learnt for so long, and what was learnt before, too."""
        if ageing_s != self._ageing_s:
            self._ageing_s = ageing_s
            self._write_ports()

    def set_port(self, port: str, *, flood: bool | None = None, learn: bool | None = None) -> None:
        """Change what a port takes part in; what is None stays.

        Args:
            port: the name of its interface.
            flood: whether what is flooded leaves by it; True from the start.
            learn: whether senders are learnt from what comes in by it; True from the start. With
                False it also forgets whom it has learnt there.

        Raises:
            UsageError: it has no such port.
        """
        before = self._port(port)
        now = replace(
            before,
            floods=before.floods if flood is None else flood,
            learns=before.learns if learn is None else learn,
        )
        if now == before:
            return
        self._ports[port] = now
        self._write_ports()
        self._write_flooded()
        if not now.learns:
            self._forget([now])

    def set_steering(self, rules: Sequence[SteeringRule]) -> None:
        """Steer frames by these rules from now on, and by no others.

        The first rule that a frame matches decides, before anything that has been learnt. The
        change is one store in the kernel: every frame meets all of the old rules or all of the new
        ones, and one that no rule matches never notices. Labels that stay go on counting.

        Raises:
            UsageError: a rule names a port that is not there, or there are too many.
        """
        if len(rules) > xdp_memory.RULES:
            raise UsageError(
                f"{len(rules)} steering rules are more than a switch takes, {xdp_memory.RULES}",
                where=self.name,
                hint="use fewer chains, or matches with networks and ranges of ports",
            )
        if tuple(rules) == self._rules:
            return
        ends = [
            (
                0 if rule.in_port is None else self._port(rule.in_port).ifindex,
                self._port(rule.out_port),
            )
            for rule in rules
        ]
        labels = self._labelled(dict.fromkeys(rule.label for rule in rules))
        packed = [
            xdp_memory.pack_rule(rule.match, source, target, labels[rule.label], learns=rule.learn)
            for rule, (source, target) in zip(rules, ends, strict=True)
        ]
        if packed:
            with BpfMap.create(
                "rules",
                libbpf.ARRAY_MAP_TYPE,
                key_bytes=4,
                value_bytes=xdp_memory.RULE_BYTES,
                entries=xdp_memory.RULES,
            ) as table:
                for place, rule in enumerate(packed):
                    table.update(number_key(place), rule)
                self._program.rules.update(number_key(self.number), number_key(table.fd))
        else:
            discard(self._program.rules, number_key(self.number))
        for label in self._labels.keys() - labels.keys():
            self._program.labels.give(self._labels[label])
        self._rules, self._labels = tuple(rules), labels

    def steered(self) -> dict[str, Steered]:
        """What has been steered so far, by the labels of the rules in force."""
        return {
            label: xdp_memory.read_steered(self._program.steered, number)
            for label, number in self._labels.items()
        }

    def describe_steered(self) -> dict[str, Any]:
        """What another process needs to read what was steered: the map, and each label's place."""
        return {"map": self._program.steered.id, "numbers": dict(self._labels)}

    @property
    def view(self) -> XdpSwitchView:
        """What can be read of it at this moment: whom it knows, and what its ports have counted."""
        ports = {name: (port.ifindex, port.slot) for name, port in self._ports.items()}
        return XdpSwitchView(
            self.name,
            XdpMaps(self.places, self._program.shares, self._program.generations),
            self.number,
            ports,
            self._ageing_s,
        )

    def describe(self) -> dict[str, Any]:
        """What ``XdpSwitchView`` needs to read it from another process."""
        return {
            "places": self.places.id,
            "shares": self._program.shares.id,
            "generations": self._program.generations.id,
            "number": self.number,
            "ageing_s": self._ageing_s,
            "ports": {name: [port.ifindex, port.slot] for name, port in self._ports.items()},
        }

    def close(self) -> None:
        if self.number < 0:
            return
        number, self.number = self.number, -1
        for link in self._links.values():
            link.close()
        for port in self._ports.values():
            self._program.take_away(port)
        for label in self._labels.values():
            self._program.labels.give(label)
        for outer in (self._program.places, self._program.flooded, self._program.rules):
            discard(outer, number_key(number))
        self._program.numbers.give(number)
        self.let_go()

    def let_go(self) -> None:
        """Close our descriptors and change nothing; what a forked process does."""
        self.number = -1
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._ports.clear()
        self._labels.clear()
        self.places.close()
        self.flooded.close()

    def _port(self, name: str) -> Port:
        return known_port(self._ports, name, self.name)

    def _labelled(self, wanted: Iterable[str]) -> dict[str, int]:
        labels = {}
        for label in wanted:
            if label in self._labels:
                labels[label] = self._labels[label]
            else:
                labels[label] = self._program.labels.take()
                self._program.zero(self._program.steered, labels[label])
        return labels

    def _write_ports(self) -> None:
        vlan_aware = any(port.has_vlan for port in self._ports.values())
        for port in self._ports.values():
            value = port.pack(self.number, self._ageing_s, vlan_aware=vlan_aware)
            self._program.put(port, value)
        begin_generation(self._program.generations, self.number)

    def _write_flooded(self) -> None:
        members = [port.ifindex for port in self._ports.values() if port.floods]
        before, table = self.flooded, self.flooded
        if len(members) > table.max_entries:
            table = _new_flooded(1 << (len(members) - 1).bit_length())
        for port in self._ports.values():
            if not port.floods:
                discard(table, number_key(port.ifindex))
        # The kernel looks the interfaces' numbers up in the namespace of the thread that writes.
        self._program.netns.run(self._fill, table, members)
        if table is not before:
            self.flooded = table
            self._program.install([self])
            before.close()

    def _fill(self, flooded: BpfMap, members: Sequence[int]) -> None:
        for ifindex in members:
            device = xdp_memory.pack_device(ifindex, self._program.leave.fd)
            flooded.update(number_key(ifindex), device)

    def _forget(self, ports: Iterable[Port]) -> None:
        for key in xdp_memory.keys_behind(self.places, [port.ifindex for port in ports]):
            discard(self.places, key)
        begin_generation(self._program.generations, self.number)


def _new_flooded(entries: int) -> BpfMap:
    """An empty table of interfaces to flood to, no larger than needed: each flood reads it all."""
    return BpfMap.create(
        "flooded",
        libbpf.DEVMAP_HASH_MAP_TYPE,
        key_bytes=4,
        value_bytes=xdp_memory.DEVICE_BYTES,
        entries=entries,
    )


def _untagged(interface: InterfacePlan) -> int | None:
    """A trunk has no frames without a tag, unless it is told which VLAN those are of."""
    if interface.vlan is not None:
        return interface.vlan
    return None if interface.trunk else 0
