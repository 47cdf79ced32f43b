"""Steering in a running lab: has its switches do what the chains of its plan ask for.

Whatever the kind of a switch, it takes a list of rules as a whole and replaces the one it had in
one step. A change of chains goes in two of them: first come the new rules, with the old ones behind
them that lead on what is already under way; those go when that had time to arrive.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from emulator.closing import Closing
from emulator.plan.model import ChainPlan, EndPlan, LinkPlan, NodePlan, Plan
from emulator.plan.steering_rules import SteeringRule, legs_of, rules_of

if TYPE_CHECKING:
    from emulator.fabric import Fabric
    from emulator.switches.ovs import Ovs
    from emulator.switches.xdp import XdpSwitches

_UNDER_WAY_S = 0.02
"""So long frames take at most from one VNF of a chain to the next, where no link delays them."""
_UNDER_WAY_MOST_S = 2.0
_DEVIATIONS = 4
"""How many standard deviations of its jitter a link's delay is taken to stray."""


@dataclass(frozen=True)
class Count:
    """What of one leg of a chain has been steered."""

    packets: int = 0
    bytes: int = 0


class Steerer(Protocol):
    """What steers in the switches of one kind."""

    def set_rules(self, plan: Plan, rules: Mapping[str, Sequence[SteeringRule]]) -> None:
        """Steer by these rules, by switch, and by no others; a switch that is left out has none."""

    def set_aside(self, plan: Plan, ports: Collection[EndPlan]) -> None:
        """Flood nothing to these ports and learn nothing from them; as usual at all others."""

    def counts(self) -> dict[str, Count]:
        """By the labels of legs, what has been steered so far."""

    def describe(self) -> dict[str, Any]:
        """What ``read_counts`` needs to read the counts from another process."""

    def renew(self) -> None:
        """Tell switches that have been started anew what they are to do."""

    def let_go(self) -> None:
        """Close descriptors and change nothing; what a forked process does."""

    def close(self) -> None:
        """Steer nothing any more; a second call does nothing."""


class Steering(Closing):
    """The chains of one lab, as its switches carry them out.

    Args:
        fabric: the lab's links.
        xdp_switches: those of the lab.
        ovs: the lab's Open vSwitch.
    """

    def __init__(self, fabric: Fabric, xdp_switches: XdpSwitches, ovs: Ovs) -> None:
        self._fabric = fabric
        self._xdp_switches = xdp_switches
        self._ovs = ovs
        self._steerers: dict[str, Steerer] = {}
        self._plan: Plan | None = None

    def set_aside(self, plan: Plan) -> None:
        """Take the ports towards VNFs beside switches out of flooding and learning, and no others.

        Done before the VNFs start, or they would have frames go round.
        """
        kinds = {node.name: _kind(node) for node in plan.switches()}
        self._need(kinds[end.node] for end in plan.steered)
        for kind, steerer in self._steerers.items():
            steerer.set_aside(plan, {end for end in plan.steered if kinds[end.node] == kind})

    def prepare(self, plan: Plan, gone: Collection[LinkPlan]) -> None:
        """Before links come and go: steer by what of a plan's chains is possible without them.

        A chain whose way changes keeps its old one as long as that is there. Ports that are to be
        set aside are so from now on, or the new links would close a loop.
        """
        before = self._plan
        if before is None:
            return
        fresh = [each for each in plan.steered if each not in before.steered and self._has(each)]
        if fresh:
            self.set_aside(before.model_copy(update={"steered": (*before.steered, *fresh)}))
        if not before.chains or not gone:
            return
        lost = {end for link in gone for end in (link.a, link.b)}
        chains = {chain.name: chain for chain in before.chains}
        possible = []
        for chain in plan.chains:
            for each in (chain, chains.get(chain.name)):
                if each is not None and all(
                    self._has(end) and end not in lost for end in _ends(each)
                ):
                    possible.append(each)
                    break
        self.apply(before.model_copy(update={"chains": tuple(possible)}))

    def apply(self, plan: Plan) -> None:
        """Steer as a plan says; returns when what was under way has passed.

        Raises:
            MachineError: the machine lacks what it takes.
            LabError: the kernel refuses something.
        """
        kinds = {node.name: _kind(node) for node in plan.switches()}
        now = rules_of(plan)
        before = rules_of(self._plan) if self._plan is not None else {}
        self._need(kinds[switch] for switch in now)
        under_way = self._under_way(before, now)
        if any(under_way.values()):
            assert self._plan is not None
            both = {
                switch: (*now.get(switch, ()), *under_way.get(switch, ()))
                for switch in {*now, *under_way}
            }
            self._set(plan, both, kinds)
            time.sleep(_time_under_way_s(self._plan))
        self._set(plan, now, kinds)
        self._plan = plan

    def renew(self) -> None:
        """Tell switches that have been started anew what they are to do."""
        for steerer in self._steerers.values():
            steerer.renew()

    def counts(self) -> dict[str, Count]:
        """By the labels of legs, what has been steered so far."""
        found: dict[str, Count] = {}
        for steerer in self._steerers.values():
            found |= steerer.counts()
        return found

    def describe(self) -> dict[str, Any]:
        """By the kind of switches, how other processes read the counts."""
        return {kind: steerer.describe() for kind, steerer in self._steerers.items()}

    def let_go(self) -> None:
        """Close our descriptors and change nothing; what a forked process does."""
        for steerer in self._steerers.values():
            steerer.let_go()
        self._steerers.clear()

    def close(self) -> None:
        for steerer in self._steerers.values():
            steerer.close()
        self._steerers.clear()
        self._plan = None

    def _under_way(
        self,
        before: Mapping[str, Sequence[SteeringRule]],
        now: Mapping[str, Sequence[SteeringRule]],
    ) -> dict[str, list[SteeringRule]]:
        """Old rules for frames that have passed the first VNF already, and which are still good."""
        found: dict[str, list[SteeringRule]] = {}
        for switch, rules in before.items():
            new = set(now.get(switch, ()))
            found[switch] = [
                rule
                for rule in rules
                if rule.leg.number > 0
                and rule not in new
                and self._has(EndPlan(node=switch, interface=rule.come_in))
                and self._has(EndPlan(node=switch, interface=rule.go_out))
            ]
        return found

    def _set(
        self,
        plan: Plan,
        rules: Mapping[str, Sequence[SteeringRule]],
        kinds: Mapping[str, str],
    ) -> None:
        for kind, steerer in self._steerers.items():
            steerer.set_rules(
                plan, {switch: some for switch, some in rules.items() if kinds.get(switch) == kind}
            )

    def _has(self, end: EndPlan) -> bool:
        return self._fabric.has_interface(end.node, end.interface)

    def _need(self, kinds: Iterable[str]) -> None:
        for kind in set(kinds) - self._steerers.keys():
            self._steerers[kind] = self._made(kind)

    def _made(self, kind: str) -> Steerer:
        if kind == "xdp":
            from emulator.chains.xdp import XdpSteerer

            return XdpSteerer(self._xdp_switches)
        if kind == "ovs":
            from emulator.chains.ovs import OvsSteerer

            return OvsSteerer(self._ovs)
        from emulator.chains.bridges import BridgeSteerer

        return BridgeSteerer(self._fabric)


def read_counts(described: Mapping[str, Any]) -> dict[str, Count]:
    """What the chains of a lab that another process runs have steered, as ``describe`` tells.

    Raises:
        LabError: the lab has ended.
    """
    found: dict[str, Count] = {}
    for each in described.values():
        if "bridges" in each:
            from emulator.chains.openflow import read_bridges

            found |= read_bridges(each)
        elif each:
            from emulator.chains.counting import read_maps

            found |= read_maps(each)
    return found


def _kind(node: NodePlan) -> str:
    return node.switch.kind if node.switch is not None else "bridge"


def _ends(chain: ChainPlan) -> set[EndPlan]:
    """The interfaces that a chain needs."""
    legs = [leg for _, leg in legs_of(chain)]
    return {end for leg in legs for end in (leg.start, leg.end)} | {
        EndPlan(node=turn.switch, interface=name)
        for leg in legs
        for turn in leg.turns
        for name in (turn.come_in, turn.go_out)
    }


def _time_under_way_s(plan: Plan) -> float:
    """How long a frame of a chain takes from its first VNF to its destination."""
    links = {end: link for link in plan.links for end in (link.a, link.b)}
    longest = 0.0
    for chain in plan.chains:
        delay_ns = 0
        for key, leg in legs_of(chain):
            if key.number == 0:
                continue
            ends = {EndPlan(node=turn.switch, interface=turn.go_out) for turn in leg.turns}
            for link in (links[end] for end in (leg.start, *ends)):
                both = [each for each in (link.up, link.down) if each is not None]
                delay_ns += max(
                    (each.delay_ns + _DEVIATIONS * each.jitter_ns for each in both), default=0
                )
        longest = max(longest, delay_ns / 1e9)
    return min(_UNDER_WAY_S + longest, _UNDER_WAY_MOST_S)
