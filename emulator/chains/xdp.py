"""Steering in ``xdp`` switches, which have tables for that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emulator.chains.steering import Count
from emulator.plan.model import EndPlan, Plan
from emulator.plan.steering_rules import SteeringRule
from emulator.switches.xdp_memory import RULES
from emulator.switches.xdp_switch import SteeringRule as SwitchRule

if TYPE_CHECKING:
    from emulator.switches.xdp import XdpSwitches
    from emulator.switches.xdp_switch import XdpSwitch

_PASSING = ""
"""The label of all rules of switches that a leg only passes."""


class XdpSteerer:
    """What steers in all ``xdp`` switches of a lab."""

    def __init__(self, switches: XdpSwitches) -> None:
        self._switches = switches
        self._ruled: set[str] = set()
        self._aside: set[EndPlan] = set()

    def set_rules(self, plan: Plan, rules: Mapping[str, Sequence[SteeringRule]]) -> None:
        """Steer by these rules; see ``Steerer``."""
        for name in {*rules, *self._ruled}:
            switch = self._there(name)
            if switch is not None:
                # Too many are only those, at the end, for what is under way during a change.
                some = rules.get(name, ())[:RULES]
                switch.set_steering([_rule(each) for each in some])
        self._ruled = set(rules)

    def set_aside(self, plan: Plan, ports: Collection[EndPlan]) -> None:
        """Flood nothing to these ports and learn nothing from them; see ``Steerer``."""
        usual = self._aside - set(ports)
        for ends, normal in ((ports, False), (usual, True)):
            for end in ends:
                switch = self._there(end.node)
                # A port that was made anew is as usual, so it is told every time.
                if switch is not None and end.interface in switch.ports:
                    switch.set_port(end.interface, flood=normal, learn=normal)
        self._aside = set(ports)

    def counts(self) -> dict[str, Count]:
        """By the labels of legs, what has been steered so far."""
        found = {}
        for name in self._ruled:
            switch = self._there(name)
            if switch is not None:
                for label, count in switch.steered().items():
                    if label != _PASSING:
                        found[label] = Count(count.packets, count.bytes)
        return found

    def describe(self) -> dict[str, Any]:
        """What ``read_counts`` needs."""
        numbers: dict[str, int] = {}
        counts = 0
        for name in self._ruled:
            switch = self._there(name)
            if switch is not None:
                described = switch.describe_steered()
                counts = described["map"]
                numbers |= described["numbers"]
        numbers.pop(_PASSING, None)
        return {"map": counts, "numbers": numbers} if numbers else {}

    def renew(self) -> None:
        """The kernel's switches are not started anew."""

    def let_go(self) -> None:
        """The switches hold all that there is."""

    def close(self) -> None:
        """The switches hold all that there is, and end with their rules."""

    def _there(self, name: str) -> XdpSwitch | None:
        try:
            return self._switches[name]
        except KeyError:
            return None


def _rule(rule: SteeringRule) -> SwitchRule:
    return SwitchRule(
        match=rule.match,
        out_port=rule.go_out,
        in_port=rule.come_in,
        label=rule.leg.label if rule.counts else _PASSING,
        # On its first leg a frame comes from where its sender is, later on from a VNF.
        learn=rule.leg.number == 0,
    )
