"""Steering in Linux bridges: a BPF program sees frames at a port before the bridge does.

It hangs on the ingress of those ports that any rule is about. All rules of a lab lie in one table,
which is filled before the program sees it, so changing chains is one store in the kernel.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emulator.chains.counting import described, key_of, read_count
from emulator.chains.steering import Count
from emulator.errors import LabError
from emulator.kernel import libbpf
from emulator.kernel.bpf import BpfObject, require_libbpf
from emulator.kernel.bridge_port import set_aside
from emulator.kernel.maps import BpfMap
from emulator.kernel.tc import attach_tc
from emulator.match import MATCH_BYTES
from emulator.native_parts import native_part
from emulator.plan.model import EndPlan, Plan
from emulator.plan.steering_rules import MOST_RULES, SteeringRule

if TYPE_CHECKING:
    from emulator.closing import Closing
    from emulator.fabric import Fabric

_LEGS = 4096
"""STEER_LEGS."""
_PRIORITY = 9
"""Behind whatever measures there."""
_RULE = struct.Struct(f"={MATCH_BYTES}sII")
_HEAD = struct.Struct("=II")
_IS_ASIDE = 1
"""STEER_ASIDE."""
_PORT_BYTES = _HEAD.size + MOST_RULES * _RULE.size


class BridgeSteerer:
    """What steers in all Linux bridges of a lab."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._object: BpfObject | None = None
        self._attached: dict[int, Closing] = {}
        self._numbers: dict[str, int] = {}
        self._free = list(range(_LEGS - 1, -1, -1))
        self._aside: dict[EndPlan, int] = {}
        self._deaf: set[int] = set()
        self._rules: dict[int, list[bytes]] = {}

    def set_rules(self, plan: Plan, rules: Mapping[str, Sequence[SteeringRule]]) -> None:
        """Steer by these rules; see ``Steerer``."""
        if not rules and self._object is None:
            return
        self._object = self._object or _loaded()
        numbers = self._numbered(rules)
        ports: dict[int, list[bytes]] = {}
        for switch, some in rules.items():
            for rule in some:
                port = self._fabric.index_of(switch, rule.come_in)
                out = self._fabric.index_of(switch, rule.go_out)
                number = numbers[rule.leg.label] if rule.counts else _LEGS
                packed = ports.setdefault(port, [])
                # Too many are only those, at the end, for what is under way during a change.
                if len(packed) < MOST_RULES:
                    packed.append(_RULE.pack(rule.match.pack(), out, number))
        self._rules = ports
        self._install()
        for label in self._numbers.keys() - numbers.keys():
            self._free.append(self._numbers[label])
        self._numbers = numbers

    def set_aside(self, plan: Plan, ports: Collection[EndPlan]) -> None:
        """Flood nothing to these ports and learn nothing from them; see ``Steerer``."""
        now = {end: self._fabric.index_of(end.node, end.interface) for end in ports}
        fresh = [index for end, index in now.items() if self._aside.get(end) != index]
        usual = [
            index
            for end, index in self._aside.items()
            if end not in now and self._fabric.has_interface(end.node, end.interface)
        ]
        set_aside(self._fabric.switch_netns, fresh, usual)
        self._aside = now
        # Where bridges talk to each other, a VNF would have them hear themselves, and think that
        # the way by the VNF is one for everybody.
        deaf = {index for end, index in now.items() if plan.node(end.node).stp}
        if deaf != self._deaf:
            self._object = self._object or _loaded()
            self._deaf = deaf
            self._install()

    def counts(self) -> dict[str, Count]:
        """By the labels of legs, what has been steered so far."""
        if self._object is None:
            return {}
        counts = self._object.map("counts")
        return {label: read_count(counts, number) for label, number in self._numbers.items()}

    def describe(self) -> dict[str, Any]:
        """What ``read_counts`` needs."""
        if self._object is None:
            return {}
        return described(self._object.map("counts"), self._numbers)

    def renew(self) -> None:
        """The kernel's switches are not started anew."""

    def let_go(self) -> None:
        """Close descriptors; where the program hangs, it hangs on."""
        self._attached.clear()
        if self._object is not None:
            self._object.close()
            self._object = None

    def close(self) -> None:
        """Steer nothing any more."""
        for attached in self._attached.values():
            attached.close()
        self._attached.clear()
        if self._object is not None:
            self._object.close()
            self._object = None

    def _numbered(self, rules: Mapping[str, Sequence[SteeringRule]]) -> dict[str, int]:
        """Where each leg is counted; those that stay go on counting, new ones begin with 0."""
        assert self._object is not None
        counts = self._object.map("counts")
        labels = [rule.leg.label for some in rules.values() for rule in some if rule.counts]
        numbers: dict[str, int] = {}
        for label in dict.fromkeys(labels):
            if label in self._numbers:
                numbers[label] = self._numbers[label]
                continue
            if not self._free:
                raise LabError(f"chains have more than {_LEGS} legs", hint="have fewer chains")
            numbers[label] = self._free.pop()
            counts.update(key_of(numbers[label]), bytes(counts.update_bytes))
        return numbers

    def _install(self) -> None:
        """Have the program in the kernel know the rules, at the ports that any are about."""
        assert self._object is not None
        program, netns = self._object.program("steer"), self._fabric.switch_netns
        ports = self._rules.keys() | self._deaf
        for port in ports - self._attached.keys():
            name = netns.run(socket.if_indextoname, port)
            # Without rules yet it lets everything pass.
            self._attached[port] = attach_tc(program, name, netns, "ingress", priority=_PRIORITY)
        with BpfMap.create(
            "ports",
            libbpf.HASH_MAP_TYPE,
            key_bytes=4,
            value_bytes=_PORT_BYTES,
            entries=max(1, len(ports)),
        ) as table:
            for port in ports:
                rules = self._rules.get(port, [])
                head = _HEAD.pack(len(rules), _IS_ASIDE if port in self._deaf else 0)
                table.update(key_of(port), (head + b"".join(rules)).ljust(_PORT_BYTES, b"\0"))
            self._object.map("table").update(key_of(0), key_of(table.fd))
        for port in self._attached.keys() - ports:
            self._attached.pop(port).close()


def _loaded() -> BpfObject:
    require_libbpf()
    bpf = BpfObject(native_part("steer.bpf.o"), name="steer")
    bpf.load()
    return bpf
