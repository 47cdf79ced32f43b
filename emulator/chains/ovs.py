"""Steering in Open vSwitch bridges, by flows above all that a controller would set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.chains.flows import flow_matches
from emulator.chains.openflow import VERSIONS, read_bridges
from emulator.chains.steering import Count
from emulator.errors import LabError
from emulator.plan.model import EndPlan, NodePlan, Plan
from emulator.plan.steering_rules import SteeringRule
from emulator.switches.ovsdb import Row, map_of, mutate, set_of, update

if TYPE_CHECKING:
    from emulator.switches.ovs import Ovs
    from emulator.switches.ovs_daemons import OvsDaemons

_HIGHEST, _STEP = 60000, 16
"""Priorities of rules: the first has the highest, and others fit between two that were there."""
_ASIDE, _ASIDE_REST = 20001, 20000
"""Of what comes out of a VNF beside the bridge and is no chain's: to whom it is for, or nobody."""
_COOKIES = 0x766E6600_00000000
"""Ours; those of legs are counted up from there."""
_ASIDE_COOKIE = _COOKIES | 0xFFFFFFFF
_ASIDE_VLAN = 4095
"""A VLAN that no frame can be in (IEEE 802.1Q), and so one that nothing is flooded in."""


@dataclass
class _Bridge:
    """What one bridge has been told."""

    priorities: dict[SteeringRule, int] = field(default_factory=dict)
    flows: dict[str, str] = field(default_factory=dict)
    """Priority and match of each flow -> its cookie and its actions."""
    cookies: dict[str, int] = field(default_factory=dict)
    """By the labels of legs that are counted here."""
    aside: dict[str, str] = field(default_factory=dict)
    quiet: set[int] = field(default_factory=set)
    """Numbers of the ports that it floods nothing to."""


class OvsSteerer:
    """What steers in all Open vSwitch bridges of a lab.

    Of bridges that have failed it takes note what they are to do when they are started anew.
    """

    def __init__(self, ovs: Ovs) -> None:
        self._ovs = ovs
        self._bridges: dict[str, _Bridge] = {}
        self._plan: Plan | None = None
        self._next_cookie = _COOKIES + 1

    def set_rules(self, plan: Plan, rules: Mapping[str, Sequence[SteeringRule]]) -> None:
        """Steer by these rules; see ``Steerer``."""
        self._follow(plan)
        for name in {*rules, *self._bridges}:
            node = plan.node(name)
            bridge = self._bridges.setdefault(name, _Bridge())
            some = rules.get(name, ())
            bridge.priorities = _ordered(some, bridge.priorities)
            bridge.cookies = {
                rule.leg.label: bridge.cookies.get(rule.leg.label) or self._take_cookie()
                for rule in dict.fromkeys(some)
                if rule.counts
            }
            self._put(node, bridge, dict(_flows(node, bridge)), bridge.aside)

    def set_aside(self, plan: Plan, ports: Collection[EndPlan]) -> None:
        """Flood nothing to these ports and learn nothing from them; see ``Steerer``."""
        self._follow(plan)
        wanted: dict[str, set[int]] = {name: set() for name in self._bridges}
        for end in ports:
            wanted.setdefault(end.node, set()).add(plan.interface(end).port)
        for name, numbers in wanted.items():
            node, bridge = plan.node(name), self._bridges.setdefault(name, _Bridge())
            self._quieten(node, numbers, bridge.quiet - numbers)
            bridge.quiet = numbers
            aside = dict(_aside(plan, node, numbers)) if numbers else {}
            self._put(node, bridge, bridge.flows, aside)

    def counts(self) -> dict[str, Count]:
        """By the labels of legs, what has been steered so far."""
        return read_bridges(self.describe())

    def describe(self) -> dict[str, Any]:
        """What ``read_counts`` needs."""
        plan = self._plan
        if plan is None or self._ovs.daemons is None:
            return {"folder": "", "bridges": []}
        folder = self._ovs.daemons.folder
        return {
            "folder": str(folder),
            "bridges": [
                {
                    "path": str(folder / f"{_name(plan.node(name))}.mgmt"),
                    "version": _version(plan.node(name)),
                    "cookies": dict(bridge.cookies),
                }
                for name, bridge in self._bridges.items()
                if bridge.cookies
            ],
        }

    def renew(self) -> None:
        """Tell bridges that have been started anew what they are to do."""
        plan = self._plan
        for name, bridge in self._bridges.items() if plan is not None else ():
            assert plan is not None
            node = plan.node(name)
            self._quieten(node, bridge.quiet, set())
            self._put(node, bridge, bridge.flows, bridge.aside)

    def let_go(self) -> None:
        """There is nothing of it to close."""

    def close(self) -> None:
        """The bridges hold all that there is, and end with their flows."""

    def _follow(self, plan: Plan) -> None:
        """Forget bridges that the lab has no more."""
        there = {node.name for node in plan.switches()}
        self._bridges = {name: each for name, each in self._bridges.items() if name in there}
        self._plan = plan

    def _take_cookie(self) -> int:
        self._next_cookie += 1
        return self._next_cookie - 1

    def _put(
        self, node: NodePlan, bridge: _Bridge, flows: dict[str, str], aside: dict[str, str]
    ) -> None:
        """Have a bridge take flows all at once, in place of those that it has of ours.

        Those that stay are told too: a bridge that gets its first controller has dropped all.
        """
        before = {**bridge.aside, **bridge.flows}
        now = {**aside, **flows}
        gone = [each for each in before if each not in now]
        lines = [f"delete_strict {each}" for each in gone]
        lines += [f"add {told}" for told in map(_line, now.items())]
        if lines and self._ovs.failure() is None:
            self._tell(
                node, "--bundle", "add-flows", _name(node), "-", text="\n".join(lines) + "\n"
            )
        bridge.flows, bridge.aside = flows, aside

    def _quieten(self, node: NodePlan, quiet: Collection[int], loud: Collection[int]) -> None:
        """Have a bridge flood nothing to some of its ports, and to others again.

        A bridge that learns by itself floods within VLANs. Controllers have it flood to all ports
        that are not forbidden, which OpenFlow 1.0 can forbid and later versions cannot.
        """
        told = {each.port: each.kernel_name for each in node.interfaces}
        changes = [
            change
            for number in sorted({*quiet, *loud} & told.keys())
            for change in _aside_port(told[number], number in quiet)
        ]
        if not changes or self._ovs.failure() is not None:
            return
        daemons = self._daemons(node)
        daemons.configure(changes)
        assert node.switch is not None
        assert node.switch.ovs is not None
        if node.switch.ovs.protocols and "OpenFlow10" not in node.switch.ovs.protocols:
            return
        for number in sorted({*quiet, *loud} & told.keys()):
            word = "no-flood" if number in quiet else "flood"
            command = ("-O", "OpenFlow10", "mod-port", _name(node), str(number), word)
            daemons.run(daemons.ofctl, *command)

    def _daemons(self, node: NodePlan) -> OvsDaemons:
        if self._ovs.daemons is None:
            raise LabError("its Open vSwitch does not run", where=node.name)
        return self._ovs.daemons

    def _tell(self, node: NodePlan, *words: str, text: str = "") -> None:
        daemons = self._daemons(node)
        version = next(name for name, each in VERSIONS.items() if each == _version(node))
        try:
            daemons.run(daemons.ofctl, "-O", version, *words, text=text)
        except LabError as error:
            error.where = error.where or node.name
            raise


def _aside_port(name: str, quiet: bool) -> tuple[Row, Row]:
    """What a port is to be in the database.

    In a spanning tree it takes no part: the bridge would hear itself by way of the VNF.
    """
    alone = {"rstp-enable": "false", "stp-enable": "false"}
    how = ("insert", map_of(alone)) if quiet else ("delete", set_of(alone))
    return (
        update("Port", name, {"tag": _ASIDE_VLAN if quiet else set_of([])}),
        mutate("Port", name, ("other_config", *how)),
    )


def _line(flow: tuple[str, str]) -> str:
    which, what = flow
    cookie, _, actions = what.partition(" ")
    return f"cookie={cookie},{which},actions={actions}"


def _name(node: NodePlan) -> str:
    return node.kernel_name or node.name


def _version(node: NodePlan) -> int:
    """A version of OpenFlow that a bridge speaks, and which can do what is needed here."""
    assert node.switch is not None
    assert node.switch.ovs is not None
    allowed = node.switch.ovs.protocols or tuple(VERSIONS)
    return next(number for name, number in VERSIONS.items() if name in allowed)


def _ordered(
    rules: Sequence[SteeringRule], before: Mapping[SteeringRule, int]
) -> dict[SteeringRule, int]:
    """Priorities that fall from rule to rule; where it can, a rule keeps that which it had."""
    left = [before[rule] for rule in rules if rule in before]
    found: dict[SteeringRule, int] = {}
    last = _HIGHEST + _STEP
    for rule in dict.fromkeys(rules):
        known = before.get(rule)
        if known is not None:
            left.remove(known)
        if known is not None and known < last:
            last = known
        else:
            room = last - max(left, default=0)
            last -= _STEP if not left or room > _STEP else 1
        found[rule] = last
    return found


def _flows(node: NodePlan, bridge: _Bridge) -> Iterator[tuple[str, str]]:
    for rule, priority in bridge.priorities.items():
        come_in, go_out = (node.interface(each).port for each in (rule.come_in, rule.go_out))
        cookie = bridge.cookies[rule.leg.label] if rule.counts else _COOKIES
        # To send a frame back where it came from takes a word of its own.
        output = "in_port" if come_in == go_out else f"output:{go_out}"
        for match in flow_matches(rule.match):
            words = (f"priority={priority}", f"in_port={come_in}", match)
            yield ",".join(word for word in words if word), f"{cookie:#x} {output}"


def _aside(plan: Plan, node: NodePlan, ports: Collection[int]) -> Iterator[tuple[str, str]]:
    """What comes out of VNFs beside a bridge without being a chain's.

    The bridge would learn from it who is behind that port; so it goes by what the plan knows.
    """
    ways = dict(_known(plan, node))
    for number in sorted(ports):
        for mac, out in ways.items():
            which = f"priority={_ASIDE},in_port={number},dl_dst={mac}"
            yield which, f"{_ASIDE_COOKIE:#x} output:{out}"
        yield f"priority={_ASIDE_REST},in_port={number}", f"{_ASIDE_COOKIE:#x} drop"


def _known(plan: Plan, node: NodePlan) -> Iterator[tuple[str, int]]:
    """Whose interfaces are behind which port of a switch."""
    seen = {node.name}
    waiting: list[tuple[str, int | None]] = [(node.name, None)]
    steered = set(plan.steered)
    while waiting:
        name, first = waiting.pop(0)
        for interface in plan.node(name).interfaces:
            here = EndPlan(node=name, interface=interface.name)
            far = plan.peer(name, interface.name)
            out = interface.port if first is None else first
            if here in steered or far.node in seen:
                continue
            if plan.node(far.node).kind == "switch":
                seen.add(far.node)
                waiting.append((far.node, out))
            else:
                yield plan.interface(far).mac, out
