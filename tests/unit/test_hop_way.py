"""Which nodes packets pass, found in a plan where there is only one way."""

from __future__ import annotations

from collections.abc import Callable

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import Topo, UsageError
from emulator.measure.hop_way import find_way
from emulator.plan.compile import compile_plan
from emulator.plan.model import EndPlan, InterfacePlan, LinkPlan, NodePlan, Plan


def plan(build: Callable[[Topo], None]) -> Plan:
    topo = Topo()
    build(topo)
    return compile_plan(topo)


def chain(topo: Topo) -> None:
    client, server, other = (topo.addHost(name) for name in ("client", "server", "other"))
    switch = topo.addSwitch("s1")
    first = topo.addVNF("fw", "forward", dataplane="xdp")
    topo.addLink(other, switch)
    topo.addLink(switch, client)
    topo.addLink(first, switch, delay="1ms")
    topo.addLink(server, first)


def steered(topo: Topo) -> None:
    """A VNF beside two switches, and one beside the first, through which a chain leads."""
    for name in ("s1", "s2"):
        topo.addSwitch(name)
    topo.addLink("s1", "s2")
    topo.addLink(topo.addHost("client"), "s1")
    topo.addLink(topo.addHost("server"), "s2")
    for name, switch in (("fw", "s2"), ("nc", "s1")):
        topo.addVNF(name, "forward", dataplane="xdp")
        topo.addLink(name, "s1")
        topo.addLink(name, switch)
    topo.addChain("c1", "client", "server", ["fw"], "tcp")
    topo.addChain("c2", "server", "client", ["nc"], "udp dport 9999", both_ways=True)


def test_only_a_chain_leads_by_way_of_a_vnf_beside_switches() -> None:
    assert find_way(plan(steered), "client", "server").nodes == ("client", "s1", "s2", "server")
    with pytest.raises(UsageError, match="chain c2 leads the probe's packets through switches"):
        find_way(plan(steered), "server", "client")


def two_ways_plan() -> Plan:
    """Such a plan is not compiled without a spanning tree, which is no matter here."""
    names = {"client": 1, "server": 1, "s1": 3, "s2": 2, "s3": 2, "s4": 3}
    edges = ["client s1", "s1 s2", "s1 s3", "s2 s4", "s3 s4", "s4 server"]
    return made(names, [tuple(edge.split()) for edge in edges])


def made(ports: dict[str, int], edges: list[tuple[str, ...]]) -> Plan:
    taken = dict.fromkeys(ports, 0)
    links = []
    for edge in edges:
        ends = []
        for name in edge:
            ends.append(EndPlan(node=name, interface=f"{name}-eth{taken[name]}"))
            taken[name] += 1
        links.append(LinkPlan(id=f"link{len(links)}", a=ends[0], b=ends[1]))
    nodes = tuple(
        NodePlan(
            name=name,
            kind="host" if name in ("client", "server") else "switch",
            interfaces=tuple(
                InterfacePlan(
                    name=f"{name}-eth{port}",
                    kernel_name=f"{name}-eth{port}",
                    mac="02:00:00:00:00:01",
                    port=port,
                )
                for port in range(taken[name])
            ),
        )
        for name in ports
    )
    return Plan(name="made", ip_base="10.0.0.0/8", nodes=nodes, links=tuple(links))


def test_the_way_through_switches_and_vnfs_is_found_with_its_ports() -> None:
    way = find_way(plan(chain), "client", "server")
    assert way.nodes == ("client", "s1", "fw", "server")
    assert [(stop.node, stop.in_port, stop.out_port) for stop in way.stops] == [
        ("s1", 1, 2),
        ("fw", 0, 1),
    ]
    assert [link.mechanism for link in way.links] == ["none", "wire", "none"]


def test_the_way_back_is_the_same_one_backwards() -> None:
    way = find_way(plan(chain), "server", "client")
    assert way.nodes == ("server", "fw", "s1", "client")
    assert [(stop.in_port, stop.out_port) for stop in way.stops] == [(1, 0), (2, 1)]


def test_hosts_pass_nothing_on() -> None:
    def build(topo: Topo) -> None:
        hosts = [topo.addHost(name) for name in ("client", "middle", "server")]
        topo.addLink(hosts[0], hosts[1])
        topo.addLink(hosts[1], hosts[2])

    with pytest.raises(UsageError, match="no way leads there"):
        find_way(plan(build), "client", "server")


def test_of_several_ways_one_is_chosen_by_a_node_on_it() -> None:
    with pytest.raises(UsageError, match="several ways") as raised:
        find_way(two_ways_plan(), "client", "server")
    assert "s2 or s3" in raised.value.hint
    way = find_way(two_ways_plan(), "client", "server", ["s3"])
    assert way.nodes == ("client", "s1", "s3", "s4", "server")


def test_parallel_links_cannot_be_told_apart() -> None:
    doubled = made(
        {"client": 1, "s1": 3, "s2": 3, "server": 1},
        [("client", "s1"), ("s1", "s2"), ("s1", "s2"), ("s2", "server")],
    )
    with pytest.raises(UsageError, match="several ways") as raised:
        find_way(doubled, "client", "server")
    assert "parallel" in raised.value.hint


@pytest.mark.parametrize(
    ("ends", "via", "words"),
    [
        (("client", "client"), [], "from one node to another"),
        (("client", "nobody"), [], "there is no node nobody"),
        (("client", "server"), ["nobody"], "there is no node nobody"),
        (("client", "server"), ["other"], "by way of other"),
        (("client", "server"), ["fw", "s1"], "by way of fw, s1"),
    ],
)
def test_what_is_no_way_is_refused(ends: tuple[str, str], via: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_way(plan(chain), *ends, via)


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda e: e[0] < e[1])))
def test_it_agrees_with_networkx(edges: set[tuple[int, int]]) -> None:
    names = ["client", *(f"s{number}" for number in range(1, 6)), "server"]
    chosen = [(names[a], names[b]) for a, b in sorted(edges)]
    graph = networkx.Graph(chosen)
    graph.add_nodes_from(names)
    ways = list(networkx.all_simple_paths(graph, "client", "server"))
    network = made(dict.fromkeys(names, 0), chosen)
    if len(ways) == 1:
        assert list(find_way(network, "client", "server").nodes) == ways[0]
    else:
        with pytest.raises(UsageError, match="several ways" if ways else "no way leads"):
            find_way(network, "client", "server")
