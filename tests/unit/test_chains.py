"""Chains: what a topology may ask for, the ways they take, and the rules that lead them there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emulator import Topo
from emulator.catalog import Catalog, read_manifest
from emulator.errors import TopologyError, UsageError
from emulator.match import Match, parse_match
from emulator.plan.chain_model import ChainPlan
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.plan.steering_rules import SteeringRule, rules_of, turned

UDP = "udp dport 9999"
GOLDEN_VNFS = Path(__file__).parents[1] / "golden" / "vnfs"


def beside(*vnfs: str, switches: int = 1, **links: tuple[str, str]) -> Topo:
    """h1, h2 and h3 at s1, h4 at the last switch of a row, and VNFs with two links to switches."""
    topo = Topo()
    names = [topo.addSwitch(f"s{number}") for number in range(1, switches + 1)]
    for a, b in pairwise(names):
        topo.addLink(a, b)
    for number in range(1, 5):
        topo.addLink(topo.addHost(f"h{number}"), names[0 if number < 4 else -1])
    for name in vnfs:
        topo.addVNF(name, "forward", dataplane="xdp")
        for switch in links.get(name, ("s1", "s1")):
            topo.addLink(name, switch)
    return topo


def mistakes(topo: Topo) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        compile_plan(topo)
    return [problem.message for problem in caught.value.problems]


def one_mistake(topo: Topo) -> str:
    (only,) = mistakes(topo)
    return only


def stops(chain: ChainPlan, *, back: bool = False) -> list[tuple[str, str, list[str]]]:
    """Each leg: where it starts and ends, and its switches."""
    return [
        (leg.start.interface, leg.end.interface, [turn.switch for turn in leg.turns])
        for leg in (chain.back if back else chain.forward)
    ]


def leaving(plan: Plan, node: str) -> list[SteeringRule]:
    """The rules for what comes from a node, of all switches."""
    ports = {
        (plan.peer(node, each.name).node, plan.peer(node, each.name).interface)
        for each in plan.node(node).interfaces
    }
    rules = [rule for some in rules_of(plan).values() for rule in some]
    return [rule for rule in rules if (rule.switch, rule.come_in) in ports]


def test_a_chain_goes_in_by_the_first_port_and_out_by_the_second() -> None:
    topo = beside("fw", "nc")
    topo.addChain("c1", "h1", "h2", ["fw", "nc"], UDP)
    (chain,) = compile_plan(topo).chains
    assert stops(chain) == [
        ("h1-eth0", "fw-eth0", ["s1"]),
        ("fw-eth1", "nc-eth0", ["s1"]),
        ("nc-eth1", "h2-eth0", ["s1"]),
    ]
    assert (chain.back, chain.match, chain.both_ways) == ((), UDP, False)


def test_the_way_back_is_the_way_there_reversed() -> None:
    topo = beside("fw", "nc", switches=2, nc=("s2", "s2"))
    topo.addChain("c1", "h1", "h4", ["fw", "nc"], UDP, both_ways=True)
    plan = compile_plan(topo)
    there, back = (stops(plan.chains[0], back=way) for way in (False, True))
    assert there == [
        ("h1-eth0", "fw-eth0", ["s1"]),
        ("fw-eth1", "nc-eth0", ["s1", "s2"]),
        ("nc-eth1", "h4-eth0", ["s2"]),
    ]
    assert back == [(end, start, switches[::-1]) for start, end, switches in there[::-1]]
    (rule,) = leaving(plan, "h4")
    h1 = plan.node("h1").interfaces[0].mac
    asked = parse_match(f"udp sport 9999 dmac {h1}", parameter="match")
    assert (rule.match, rule.leg.direction) == (asked, "back")


def test_a_member_says_which_ports_it_means() -> None:
    topo = beside("fw")
    topo.addChain("c1", "h1", "h2", "fw:1-0")
    ends = [stop[:2] for stop in stops(compile_plan(topo).chains[0])]
    assert ends == [("h1-eth0", "fw-eth1"), ("fw-eth0", "h2-eth0")]
    topo.setChain("c1", via=["fw:2-0"])
    assert one_mistake(topo) == "fw has no port 2"


def test_the_shorter_of_two_ways_through_a_vnf_is_taken() -> None:
    topo = beside("fw", switches=2, fw=("s2", "s1"))
    topo.addChain("c1", "h1", "h4", ["fw"])
    ends = [stop[:2] for stop in stops(compile_plan(topo).chains[0])]
    assert ends == [("h1-eth0", "fw-eth1"), ("fw-eth0", "h4-eth0")]


def test_a_link_between_two_members_is_taken_and_needs_no_rule() -> None:
    topo = beside("fw", "nc", fw=("s1",), nc=("s1",))
    topo.addLink("fw", "nc")
    topo.addChain("c1", "h1", "h2", ["fw", "nc"], UDP)
    plan = compile_plan(topo)
    assert [stop[2] for stop in stops(plan.chains[0])] == [["s1"], [], ["s1"]]
    assert {end.interface for end in plan.steered} == {"s1-eth5", "s1-eth6"}


def test_a_host_with_one_link_is_a_member_too_and_keeps_its_port() -> None:
    topo = beside()
    topo.addChain("c1", "h1", "h2", ["h3"], UDP)
    plan = compile_plan(topo)
    assert plan.steered == ()
    # What the host itself sends is not the chain's.
    (rule,) = leaving(plan, "h3")
    assert rule.match.source_mac == plan.node("h1").interfaces[0].mac


def test_only_a_chain_leads_to_a_vnf_beside_a_switch() -> None:
    plan = compile_plan(beside("fw"))
    assert [end.interface for end in plan.steered] == ["s1-eth5", "s1-eth6"]
    assert plan.chains == ()


def test_a_vnf_between_two_switches_stays_in_the_way_of_all() -> None:
    topo = Topo()
    for name in ("s1", "s2"):
        topo.addSwitch(name)
        topo.addLink(topo.addHost(name.replace("s", "h")), name)
    topo.addVNF("fw", "forward", dataplane="xdp")
    topo.addLink("s1", "fw")
    topo.addLink("fw", "s2")
    topo.addChain("c1", "h1", "h2", ["fw"], UDP)
    plan = compile_plan(topo)
    assert plan.steered == ()
    (rule,) = rules_of(plan)["s2"]
    assert rule.match.source_mac == plan.node("h1").interfaces[0].mac


def test_a_vnf_that_would_close_a_loop_needs_a_chain_and_keeps_its_place_without_it() -> None:
    topo = beside("fw", switches=2, fw=("s1", "s2"))
    assert one_mistake(topo) == "frames would go round in it for ever"
    topo.addChain("c1", "h1", "h4", ["fw"])
    running = compile_plan(topo)
    assert len(running.steered) == 2
    topo.removeChain("c1")
    assert compile_plan(topo, previous=running).steered == running.steered


def test_what_leaves_a_vnf_is_its_only_chain_s_whatever_it_has_become() -> None:
    topo = beside("fw")
    topo.addChain("c1", "h1", "h2", ["fw"], UDP)
    (alone,) = leaving(compile_plan(topo), "fw")
    assert alone.match == Match()
    topo.addChain("c2", "h3", "h2", ["fw"], UDP)
    plan = compile_plan(topo)
    sources = [rule.match.source_mac for rule in leaving(plan, "fw")]
    assert sources == [plan.node(name).interfaces[0].mac for name in ("h1", "h3")]


def test_each_match_of_a_list_has_a_rule() -> None:
    topo = beside("fw")
    topo.addChain("c1", "h1", "h2", ["fw"], f"{UDP}; tcp dport 80")
    ports = [rule.match.destination_ports for rule in leaving(compile_plan(topo), "h1")]
    assert ports == [(9999, 9999), (80, 80)]


def test_an_empty_chain_steers_nothing() -> None:
    topo = beside("fw")
    topo.addChain("c1", "h1", "h2", match=UDP)
    plan = compile_plan(topo)
    assert (plan.chains[0].forward, rules_of(plan)) == ((), {})


def test_a_plan_with_chains_goes_to_json_and_back() -> None:
    topo = beside("fw", switches=2)
    topo.addChain("c1", "h1", "h4", ["fw"], UDP, both_ways=True)
    plan = compile_plan(topo)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"src": "h9"}, "there is no node h9, its src"),
        ({"dst": "s1"}, "its dst s1 is a switch, and traffic comes from hosts"),
        ({"dst": "h1"}, "it begins and ends at h1"),
        ({"via": ["wall"]}, "there is no node wall, which it is to pass"),
        ({"via": ["s1"]}, "it cannot pass s1, which is a switch"),
        ({"via": ["fw", "h2"]}, "h2 is its end, and in via too"),
        ({"via": ["fw:a-b"]}, "'fw:a-b' is no member"),
        ({"match": "udp dprt 9"}, "match: in 'udp dprt 9': no match has the word dprt"),
        ({"match": ""}, "match: there is none"),
        ({"match": 9999}, "match is text, not int"),
        (
            {"via": ["fw", "fw"]},
            "fw is in it 2 times, and what comes out of fw could not be told apart",
        ),
    ],
)
def test_what_a_chain_cannot_be(asked: dict[str, Any], message: str) -> None:
    topo = beside("fw")
    topo.addChain("c1", **{"src": "h1", "dst": "h2", "via": ["fw"], **asked})
    assert one_mistake(topo) == message


def test_a_name_is_given_once() -> None:
    topo = beside("fw")
    for name in ("c1", "c1", "1 c"):
        topo.addChain(name, "h1", "h2", ["fw"])
    taken, unusable = mistakes(topo)
    assert taken.startswith("the name is already that of a chain added at test_chains.py:")
    assert unusable == "that is no usable name"


def test_a_member_without_a_switch_cannot_be_reached() -> None:
    topo = beside("fw", fw=())
    topo.addHost("h5")
    topo.addLink("fw", "h5")
    topo.addLink("fw", "h5")
    topo.addChain("c1", "h1", "h2", ["fw"])
    assert "fw is not linked to a switch, and not to h1" in mistakes(topo)


def test_no_way_leads_past_a_router() -> None:
    topo = beside("fw")
    topo.addRouter("r1")
    topo.addSwitch("s9")
    topo.addLink("s1", "r1")
    topo.addLink("r1", "s9")
    topo.addLink(topo.addHost("h9"), "s9")
    topo.addChain("c1", "h1", "h9", ["fw"])
    assert one_mistake(topo) == "no way along switches leads from fw to h9"


def test_nobody_could_tell_what_passes_one_link_twice() -> None:
    topo = beside("fw", "nc", "lb", switches=2, fw=("s2", "s2"), nc=("s1", "s1"), lb=("s2", "s2"))
    topo.addChain("c1", "h1", "h2", ["fw", "nc", "lb"], UDP)
    assert one_mistake(topo) == (
        "at s1 its frames on the way to nc come by the same link as those on the way to h2, "
        "and could not be told apart"
    )


@pytest.mark.parametrize(
    ("match", "options", "message"),
    [
        (
            "length 100",
            {},
            "s1 is an Open vSwitch, which does not tell frames by their length",
        ),
        (
            UDP,
            {"protocols": "OpenFlow10"},
            "s1 steers by OpenFlow 1.3 or 1.4, and its protocols have neither",
        ),
    ],
)
def test_what_open_vswitch_cannot_do_is_a_mistake(
    match: str, options: dict[str, Any], message: str
) -> None:
    topo = beside("fw")
    topo.nodeInfo("s1").update(kind="ovs", **options)
    topo.addChain("c1", "h1", "h2", ["fw"], match)
    assert set(mistakes(topo)) == {message}


def test_what_a_controller_floods_must_be_kept_from_vnfs_beside_its_switch() -> None:
    topo = beside("fw")
    topo.addController("c0", kind="learning")
    topo.nodeInfo("s1").update(kind="ovs", protocols="OpenFlow13")
    assert one_mistake(topo) == (
        "only OpenFlow 1.0 can keep what its controllers flood from fw, which stands beside it"
    )
    topo.nodeInfo("s1").update(protocols=["OpenFlow10", "OpenFlow13"])
    assert len(compile_plan(topo).steered) == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bridge", "chains have 65 rules at s1-eth1 of s1, where there can be 64"),
        ("xdp", "chains have 132 rules at s1, an xdp switch, which takes 128"),
    ],
)
def test_a_switch_takes_so_many_rules(kind: str, message: str) -> None:
    topo = beside("fw", "nc")
    topo.nodeInfo("s1").update(kind=kind)
    ports = "; ".join(f"udp dport {port}" for port in range(65))
    topo.addChain("c1", "h1", "h2", ["fw"], ports)
    # With another chain through it, what leaves the VNF is told by the match as well.
    topo.addChain("c2", "h3", "h2", ["fw"], "arp")
    assert message in mistakes(topo)


def test_two_chains_for_the_same_frames_are_a_mistake() -> None:
    topo = beside("fw", "nc")
    topo.addChain("c1", "h1", "h2", ["fw"], UDP)
    topo.addChain("c2", "h1", "h2", ["nc"], UDP)
    assert one_mistake(topo) == (
        "chain c1 takes all of its frames: its source, destination and match are the same"
    )


def test_a_vnf_that_routes_takes_no_frames_of_others() -> None:
    topo = beside()
    topo.addVNF("r", "gateway")
    topo.addLink("r", "s1")
    topo.addLink("r", "s1")
    topo.addChain("c1", "h1", "h2", ["r"])
    gateway = read_manifest(GOLDEN_VNFS / "gateway" / "vnf.toml")
    with pytest.raises(TopologyError, match="r routes, and so takes only frames that are addr"):
        compile_plan(topo, catalog=Catalog({"gateway": gateway}))


def test_nobody_reaches_the_address_of_a_vnf_beside_a_switch() -> None:
    topo = beside()
    topo.addVNF("fw", "forward", dataplane="xdp", ip="10.0.0.9/8")
    topo.addLink("fw", "s1")
    topo.addLink("fw", "s1")
    text = "it stands beside s1, where only chains lead, so nobody would reach its address"
    assert one_mistake(topo) == text


def test_what_cannot_be_changed_is_named() -> None:
    topo = beside("fw")
    with pytest.raises(UsageError, match="there is no chain c1"):
        topo.setChain("c1", via=[])
    topo.addChain("c1", "h1", "h2", ["fw"])
    with pytest.raises(UsageError, match="a chain has no mach"):
        topo.setChain("c1", mach=UDP)
    topo.removeChain("c1")
    assert topo.chains() == []


def test_a_match_turns_round() -> None:
    there = parse_match("tcp saddr 10.0.0.1 dport 80", parameter="match")
    assert turned(there) == parse_match("tcp daddr 10.0.0.1 sport 80", parameter="match")
    assert turned(turned(there)) == there
