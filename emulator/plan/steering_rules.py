"""What each switch has to do for the chains of a plan: a list of rules, of which the first holds.

A chain's frames are told at its source by the port they come from, by the match, and by the
destination's hardware address: what is for everybody, as ARP requests are, takes the usual way.
Between switches, and where several chains leave one VNF, they are told by the match and by both
hardware addresses. What comes out of a VNF beside a switch that is in one chain only is that
chain's, whatever the VNF has made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from emulator.errors import Problem
from emulator.match import HAS_LENGTH, Match, parse_matches
from emulator.plan.chain_model import ChainPlan, LegPlan
from emulator.plan.model import EndPlan, NodePlan, Plan

Direction = Literal["forward", "back"]

MOST_RULES = 64
"""How many rules a port of a switch can have: ``STEER_RULES`` of ``steer.h``."""
_MOST_XDP_RULES = 128
"""How many an xdp switch can have in all: ``SWITCH_RULES`` of ``switch.h``."""
_ABLE_PROTOCOLS = frozenset(("OpenFlow13", "OpenFlow14"))


@dataclass(frozen=True)
class LegKey:
    """One leg of one chain.

    Attributes:
        chain: the chain's name.
        direction: from its source to its destination, or back.
        number: which one, from 0.
        start, end: the interfaces between which the leg leads.
    """

    chain: str
    direction: Direction
    number: int
    start: EndPlan
    end: EndPlan

    @property
    def label(self) -> str:
        """What its frames are counted under; it stays when legs before it come or go."""
        return f"{self.chain} {self.direction} {self.start.interface}>{self.end.interface}"


@dataclass(frozen=True)
class SteeringRule:
    """What a switch does with some of the frames that come in by one of its interfaces.

    Attributes:
        switch: its name.
        come_in, go_out: names of its interfaces.
        match: what the frames are.
        leg: the leg that they are on.
        counts: whether this is where the leg's frames are counted: at its first switch.
    """

    switch: str
    come_in: str
    go_out: str
    match: Match
    leg: LegKey
    counts: bool


_FEWER = "have fewer chains, or shorter lists in match"

Rules = Mapping[str, tuple[SteeringRule, ...]]
"""By switch, in the order in which they hold."""


def rules_of(plan: Plan) -> Rules:
    """The rules that lead the chains of a plan, for each switch that has any."""
    steps = list(_steps(plan))
    alone = _alone(plan, steps)
    found: dict[str, list[SteeringRule]] = {}
    for step in steps:
        for rule in _rules(plan, step, alone):
            found.setdefault(rule.switch, []).append(rule)
    return {switch: tuple(rules) for switch, rules in found.items()}


def check_rules(plan: Plan, places: Mapping[str, str]) -> list[Problem]:
    """What cannot be told apart where it has to be.

    Args:
        places: for each chain, where it was written.
    """
    problems: dict[tuple[str, str], Problem] = {}
    for switch, rules in rules_of(plan).items():
        by_port: dict[str, list[SteeringRule]] = {}
        for rule in rules:
            by_port.setdefault(rule.come_in, []).append(rule)
        for port, some in by_port.items():
            problems = _contradictions(switch, some, places) | problems
            if len(some) > MOST_RULES:
                text = f"chains have {len(some)} rules at {port} of {switch}, "
                text += f"where there can be {MOST_RULES}"
                problems[switch, port] = Problem(places[some[-1].leg.chain], text, _FEWER)
        for problem in _unable(plan.node(switch), rules, places):
            problems.setdefault((problem.where, problem.message), problem)
    problems |= _hidden(plan, places)
    return list(problems.values())


def _unable(
    node: NodePlan, rules: Sequence[SteeringRule], places: Mapping[str, str]
) -> Iterator[Problem]:
    """What the kind of a switch cannot do."""
    switch = node.switch
    if switch is not None and switch.kind == "xdp" and len(rules) > _MOST_XDP_RULES:
        text = f"chains have {len(rules)} rules at {node.name}, an xdp switch, "
        text += f"which takes {_MOST_XDP_RULES}"
        yield Problem(places[rules[-1].leg.chain], text, _FEWER)
    if switch is None or switch.ovs is None:
        return
    for rule in rules:
        where = places[rule.leg.chain]
        if rule.match.needs & HAS_LENGTH:
            text = f"{node.name} is an Open vSwitch, which does not tell frames by their length"
            yield Problem(where, text, 'leave length out, or give the switch kind="bridge"')
        if switch.ovs.protocols and _ABLE_PROTOCOLS.isdisjoint(switch.ovs.protocols):
            text = f"{node.name} steers by OpenFlow 1.3 or 1.4, and its protocols have neither"
            yield Problem(where, text, f'add "OpenFlow13" to the protocols of {node.name}')


def _contradictions(
    switch: str, rules: list[SteeringRule], places: Mapping[str, str]
) -> dict[tuple[str, str], Problem]:
    """Legs of one chain that come to a switch by the same port and go on differently."""
    problems: dict[tuple[str, str], Problem] = {}
    seen: dict[tuple[str, Direction], SteeringRule] = {}
    for rule in rules:
        name = rule.leg.chain
        first = seen.setdefault((name, rule.leg.direction), rule)
        if first.go_out != rule.go_out:
            on_way = (first.leg.end.node, rule.leg.end.node)
            text = f"at {switch} its frames on the way to {on_way[0]} come by the same link as "
            text += f"those on the way to {on_way[1]}, and could not be told apart"
            hint = "put its VNFs into another order, or beside the same switch"
            problems.setdefault((name, ""), Problem(places[name], text, hint))
    return problems


def _hidden(plan: Plan, places: Mapping[str, str]) -> dict[tuple[str, str], Problem]:
    """Chains of whose frames an earlier chain takes every one."""
    problems = {}
    first: dict[tuple[object, ...], str] = {}
    for chain in plan.chains:
        for src, dst, matches in _asked(chain):
            taker = first.setdefault((src, dst, matches), chain.name)
            if taker != chain.name:
                text = f"chain {taker} takes all of its frames: "
                text += "its source, destination and match are the same"
                problems[chain.name, taker] = Problem(places[chain.name], text, "leave one out")
    return problems


def _asked(chain: ChainPlan) -> Iterator[tuple[str, str, frozenset[Match]]]:
    if chain.via:
        yield chain.src, chain.dst, frozenset(_matches(chain, "forward"))
        if chain.both_ways:
            yield chain.dst, chain.src, frozenset(_matches(chain, "back"))


@dataclass(frozen=True)
class _Step:
    """What one switch does for one leg."""

    chain: ChainPlan
    key: LegKey
    leg: LegPlan
    turn: int


def _legs(chain: ChainPlan, direction: Direction) -> tuple[LegPlan, ...]:
    return chain.forward if direction == "forward" else chain.back


def legs_of(chain: ChainPlan) -> Iterator[tuple[LegKey, LegPlan]]:
    """The legs of a chain, those of the way back behind the others."""
    directions: tuple[Direction, ...] = ("forward", "back")
    for direction in directions:
        for number, leg in enumerate(_legs(chain, direction)):
            yield LegKey(chain.name, direction, number, leg.start, leg.end), leg


def _steps(plan: Plan) -> Iterator[_Step]:
    for chain in plan.chains:
        for key, leg in legs_of(chain):
            for turn in range(len(leg.turns)):
                yield _Step(chain, key, leg, turn)


def _alone(plan: Plan, steps: list[_Step]) -> set[EndPlan]:
    """The ports of VNFs beside switches out of which come frames of one leg only."""
    leaving: dict[EndPlan, int] = {}
    for step in steps:
        if step.turn == 0:
            leaving[step.leg.start] = leaving.get(step.leg.start, 0) + 1
    steered = set(plan.steered)
    return {
        end
        for end, count in leaving.items()
        if count == 1 and plan.peer(end.node, end.interface) in steered
    }


def _rules(plan: Plan, step: _Step, alone: set[EndPlan]) -> Iterator[SteeringRule]:
    key, turn = step.key, step.leg.turns[step.turn]
    legs = _legs(step.chain, key.direction)
    matches = _matches(step.chain, key.direction)
    source: str | None = plan.interface(legs[0].start).mac
    destination: str | None = plan.interface(legs[-1].end).mac
    if step.turn == 0:
        # Without a switch before the first VNF, nobody has looked at the match yet.
        if key.number > 0 and key.start in alone and legs[0].turns:
            matches, source, destination = [Match()], None, None
        elif key.number == 0:
            # A source may pass on frames of others, which are its own to the network.
            source = None
    for match in matches:
        narrowed = replace(
            match,
            source_mac=match.source_mac or source,
            destination_mac=match.destination_mac or destination,
        )
        yield SteeringRule(
            turn.switch, turn.come_in, turn.go_out, narrowed, key, counts=step.turn == 0
        )


def _matches(chain: ChainPlan, direction: Direction) -> list[Match]:
    matches = parse_matches(chain.match, parameter="match")
    return matches if direction == "forward" else [turned(match) for match in matches]


def turned(match: Match) -> Match:
    """The match of what answers: source and destination change places."""
    return replace(
        match,
        source=match.destination,
        destination=match.source,
        source_mac=match.destination_mac,
        destination_mac=match.source_mac,
        source_ports=match.destination_ports,
        destination_ports=match.source_ports,
    )
