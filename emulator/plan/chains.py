"""Chains of a topology: read, checked, and led along switches.

A VNF can stand *beside* the switches: two of its links end where frames could also go from one to
the other without it, so that flooding to it would have them go round for ever. The ports of
switches towards such a VNF are steered: nothing is flooded to them and nothing is learned from
them, and only chains lead there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.control import ParameterError
from emulator.errors import Problem
from emulator.match import parse_matches
from emulator.names import suggestion
from emulator.plan.chain_model import ChainPlan, LegPlan, TurnPlan
from emulator.plan.graph import Groups
from emulator.plan.model import EndPlan, Plan
from emulator.plan.ways import Ways
from emulator.plan.wiring import Interface, Node, Wiring
from emulator.written_chains import ChainEntry

if TYPE_CHECKING:
    from emulator.plan.ways import Way

_MEMBER = re.compile(r"([^:]+)(?::(\d+)-(\d+))?", re.ASCII)


@dataclass(frozen=True)
class _Member:
    """A node that traffic passes, and by which pairs of interfaces it may come in and go out."""

    node: Node
    passages: tuple[tuple[Interface, Interface], ...]


def mark_beside(
    wiring: Wiring, chains: Mapping[str, ChainEntry], previous: Plan | None = None
) -> None:
    """Find the VNFs that stand beside the switches, and mark the ports of switches towards them.

    That is so for a VNF with two links to one switch, and for a VNF of a chain if it would close
    a loop, or has only one link. In a running lab it stays so when its chain goes.
    """
    named = {_name_of(each) for entry in chains.values() for each in entry.via}
    was = {(end.node, end.interface) for end in previous.steered} if previous else set()
    clusters = _attachments(wiring)
    hanging: Groups[str] = Groups()
    for a, b in wiring.links:
        if a.owner.kind == b.owner.kind == "switch":
            hanging.join(a.owner.name, b.owner.name)
    doubtful = []
    for members, ports in clusters:
        switches = [port.owner.name for port in ports]
        stood = any((port.owner.name, port.name) in was for port in ports)
        alone = len(members) == 1 and len(set(switches)) < len(switches)
        if stood or alone or named & set(members):
            doubtful.append((members, ports))
        else:
            _join_all(hanging, switches)
    for members, ports in doubtful:
        switches = [port.owner.name for port in ports]
        closes = len({hanging.find(switch) for switch in switches}) < len(switches)
        if closes or (len(ports) == 1 and named & set(members)):
            for port in ports:
                port.steered = True
        else:
            _join_all(hanging, switches)


def _attachments(wiring: Wiring) -> list[tuple[list[str], list[Interface]]]:
    """VNFs that pass frames on, those linked to each other together, and their switches' ports."""
    vnfs = {
        name: node
        for name, node in wiring.nodes.items()
        if node.kind == "vnf" and node.wish.forwards_frames
    }
    together: Groups[str] = Groups()
    for a, b in wiring.links:
        if a.owner.name in vnfs and b.owner.name in vnfs:
            together.join(a.owner.name, b.owner.name)
    clusters: dict[str, tuple[list[str], list[Interface]]] = {}
    for name, node in vnfs.items():
        members, ports = clusters.setdefault(together.find(name), ([], []))
        members.append(name)
        ports += [each.peer for each in node.interfaces if each.peer.owner.kind == "switch"]
    return list(clusters.values())


def _join_all(groups: Groups[str], items: Sequence[str]) -> None:
    for item in items[1:]:
        groups.join(item, items[0])


def steered_ends(wiring: Wiring) -> tuple[EndPlan, ...]:
    """The ports of switches that lead to VNFs beside them."""
    ends = (
        EndPlan(node=node.name, interface=interface.name)
        for node in wiring.nodes.values()
        for interface in node.interfaces
        if interface.steered
    )
    return tuple(ends)


def check_beside(wiring: Wiring, problems: list[Problem]) -> None:
    """What is flooded does not come to a VNF beside a switch, nor does who asks for its address."""
    for node in wiring.nodes.values():
        switch = node.wish.switch
        if switch is not None and switch.kind == "ovs" and switch.controllers:
            limited = switch.protocols and "OpenFlow10" not in switch.protocols
            beside = [each.peer.owner.name for each in node.interfaces if each.steered]
            if limited and beside:
                text = f"only OpenFlow 1.0 can keep what its controllers flood from {beside[0]},"
                text += " which stands beside it"
                hint = 'add "OpenFlow10" to its protocols: controllers still speak the others'
                problems.append(Problem(node.wish.where, text, hint))
        for interface in node.interfaces:
            if interface.peer.steered and interface.ipv4 is not None:
                text = f"it stands beside {interface.peer.owner.name}, where only chains lead"
                text += ", so nobody would reach its address"
                problems.append(Problem(node.wish.where, text, "leave ip out"))


def compile_chains(
    wiring: Wiring, entries: Iterable[ChainEntry], problems: list[Problem]
) -> tuple[ChainPlan, ...]:
    """Lead chains along the switches; those that cannot be led are problems."""
    plans = []
    ways: Ways | None = None
    for entry in entries:
        ways = ways or Ways(wiring)
        found = _compile(wiring, entry, ways, problems)
        if found is not None:
            plans.append(found)
    return tuple(plans)


def _compile(
    wiring: Wiring, entry: ChainEntry, ways: Ways, problems: list[Problem]
) -> ChainPlan | None:
    before = len(problems)
    _check_match(entry, problems)
    ends = [_end(wiring, entry, what, problems) for what in ("src", "dst")]
    members = [_member(wiring, entry, each, problems) for each in entry.via]
    _check_names(entry, problems)
    src, dst = ends
    if len(problems) > before or src is None or dst is None:
        return None
    passed = [member for member in members if member is not None]
    forward: list[LegPlan] = []
    back: list[LegPlan] = []
    if passed:
        forward = _lead(entry, src, passed, dst, ways, problems)
        if entry.both_ways and forward:
            turned = _turned(passed, forward)
            back = _lead(entry, dst, turned, src, ways, problems)
    return ChainPlan(
        name=entry.name,
        src=entry.src,
        dst=entry.dst,
        via=entry.via,
        match=entry.match,
        both_ways=entry.both_ways,
        forward=tuple(forward),
        back=tuple(back),
    )


def _check_match(entry: ChainEntry, problems: list[Problem]) -> None:
    if not isinstance(entry.match, str):
        text = f"match is text, not {type(entry.match).__name__}"
        problems.append(Problem(entry.where, text, 'write match="udp dport 9999"'))
        return
    try:
        found = parse_matches(entry.match, parameter="match")
    except ParameterError as error:
        problems.append(Problem(entry.where, f"match: {error}", error.hint))
        return
    if not found:
        text = "match: there is none"
        problems.append(Problem(entry.where, text, 'match="any" is all traffic'))


def _end(
    wiring: Wiring, entry: ChainEntry, what: str, problems: list[Problem]
) -> tuple[Node, list[Interface]] | None:
    name = entry.src if what == "src" else entry.dst
    node = wiring.nodes.get(name)
    if node is None:
        text = f"there is no node {name}, its {what}"
        problems.append(Problem(entry.where, text, suggestion(name, wiring.nodes)))
    elif node.kind in ("switch", "app", "controller"):
        text = f"its {what} {name} is a {node.kind}, and traffic comes from hosts"
        problems.append(Problem(entry.where, text, "name a host, a router or a VNF"))
    else:
        able = _able(node)
        if able:
            return node, able
        text = f"its {what} {name} has no link that frames could take"
        problems.append(Problem(entry.where, text, f"link {name} to a switch"))
    return None


def _able(node: Node) -> list[Interface]:
    return [each for each in node.interfaces if each.wish.kind != "memif"]


def _member(
    wiring: Wiring, entry: ChainEntry, written: str, problems: list[Problem]
) -> _Member | None:
    read = _MEMBER.fullmatch(written)
    name = read[1] if read else written

    def wrong(text: str, hint: str) -> None:
        problems.append(Problem(entry.where, text, hint))

    if read is None:
        wrong(f"{written!r} is no member", "write fw, or fw:0-1 for in by port 0, out by port 1")
        return None
    node = wiring.nodes.get(name)
    if node is None:
        near = suggestion(name, [each.name for each in wiring.nodes.values()])
        wrong(f"there is no node {name}, which it is to pass", near or "add it with addVNF")
        return None
    if node.kind not in ("vnf", "host"):
        wrong(f"it cannot pass {name}, which is a {node.kind}", "name VNFs, or hosts")
        return None
    if node.kind == "vnf" and not node.wish.forwards_frames and node.wish.vnf is not None:
        others = "afxdp, dpdk, packet or xdp"
        text = f"{name} routes, and so takes only frames that are addressed to it"
        wrong(text, f"run it on another data plane: {others}")
        return None
    able = _able(node)
    if read[2] is not None:
        by_port = {each.port: each for each in able}
        try:
            return _Member(node, ((by_port[int(read[2])], by_port[int(read[3])]),))
        except KeyError as error:
            wrong(f"{name} has no port {error}", f"it has {', '.join(map(str, sorted(by_port)))}")
            return None
    if not able:
        wrong(f"{name} is not linked to a switch", f"add a link between {name} and a switch")
    elif len(able) > 2:
        text = f"{name} has {len(able)} links, so it is not known where frames go in and out"
        wrong(text, f"write {name}:0-1 for in by port 0 and out by port 1")
    elif len(able) == 1:
        return _Member(node, ((able[0], able[0]),))
    else:
        return _Member(node, ((able[0], able[1]), (able[1], able[0])))
    return None


def _check_names(entry: ChainEntry, problems: list[Problem]) -> None:
    if entry.src == entry.dst:
        text = f"it begins and ends at {entry.src}"
        problems.append(Problem(entry.where, text, "src and dst are two nodes"))
    names = [_name_of(each) for each in entry.via]
    for name in dict.fromkeys(names):
        if name in (entry.src, entry.dst):
            problems.append(Problem(entry.where, f"{name} is its end, and in via too", "leave out"))
        elif names.count(name) > 1:
            text = f"{name} is in it {names.count(name)} times, and what comes out of {name} "
            text += "could not be told apart"
            problems.append(Problem(entry.where, text, f"add a second VNF of {name}'s kind"))


def _lead(
    entry: ChainEntry,
    src: tuple[Node, list[Interface]],
    members: Sequence[_Member],
    dst: tuple[Node, list[Interface]],
    ways: Ways,
    problems: list[Problem],
) -> list[LegPlan]:
    """The legs with the fewest switches in all; of equal ones, those by the lower ports."""
    best: dict[Interface, tuple[int, list[Way]]] = {each: (0, []) for each in src[1]}
    stops: list[tuple[str, Sequence[tuple[Interface, Interface]]]]
    stops = [(each.node.name, each.passages) for each in members]
    stops.append((dst[0].name, [(each, each) for each in dst[1]]))
    before = src[0].name
    for name, passages in stops:
        onward: dict[Interface, tuple[int, list[Way]]] = {}
        for come_in, go_out in passages:
            for start, (cost, legs) in best.items():
                way = ways.between(start, come_in)
                if way is None:
                    continue
                total = cost + len(way.turns)
                if go_out not in onward or total < onward[go_out][0]:
                    onward[go_out] = (total, [*legs, way])
        if not onward:
            problems.append(_no_way(entry, before, name, passages))
            return []
        best, before = onward, name
    _, legs = min(best.values(), key=lambda each: each[0])
    if not any(way.turns for way in legs):
        text = "no switch lies on its way, so nothing could steer by its match"
        problems.append(Problem(entry.where, text, f"link {src[0].name} to a switch"))
    return [_leg(way) for way in legs]


def _no_way(
    entry: ChainEntry,
    before: str,
    name: str,
    passages: Sequence[tuple[Interface, Interface]],
) -> Problem:
    if not any(each.peer.owner.kind == "switch" for pair in passages for each in pair):
        text = f"{name} is not linked to a switch, and not to {before}"
        return Problem(entry.where, text, f"add a link between {name} and a switch")
    text = f"no way along switches leads from {before} to {name}"
    hint = "name a router between them as src or dst, or link their switches"
    return Problem(entry.where, text, hint)


def _leg(way: Way) -> LegPlan:
    return LegPlan(
        start=EndPlan(node=way.start.owner.name, interface=way.start.name),
        end=EndPlan(node=way.end.owner.name, interface=way.end.name),
        turns=tuple(
            TurnPlan(switch=come_in.owner.name, come_in=come_in.name, go_out=go_out.name)
            for come_in, go_out in way.turns
        ),
    )


def _turned(members: Sequence[_Member], forward: Sequence[LegPlan]) -> list[_Member]:
    """Members for the way back, which goes in where the way there came out."""
    turned = []
    for member, to, onward in zip(members, forward, forward[1:], strict=False):
        by_name = {each.name: each for pair in member.passages for each in pair}
        pair = (by_name[onward.start.interface], by_name[to.end.interface])
        turned.append(_Member(member.node, (pair,)))
    return turned[::-1]


def _name_of(written: str) -> str:
    return written.partition(":")[0]
