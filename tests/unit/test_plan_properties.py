"""What holds for the plan of any topology."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.catalog import Catalog
from emulator.errors import Problem, TopologyError
from emulator.plan.compile import compile_plan
from emulator.plan.graph import loops
from emulator.plan.model import EndPlan, InterfacePlan, Plan
from tests.strategies import Recipe, careless_recipes, recipes

CATALOG = Catalog.load()


def compiled(recipe: Recipe, **options: object) -> Plan:
    return compile_plan(recipe.topo(), catalog=CATALOG, **options)


def interfaces(plan: Plan) -> dict[tuple[str, str], InterfacePlan]:
    return {(node.name, i.name): i for node in plan.nodes for i in node.interfaces}


def assert_unique(items: list[object]) -> None:
    assert [item for item, count in Counter(items).items() if count > 1] == []


@given(recipes(), st.booleans())
def test_everything_is_unique_where_it_must_be(recipe: Recipe, ipv6: bool) -> None:
    plan = compiled(recipe, ipv6=ipv6)
    everything = interfaces(plan)
    for address in ("ipv4", "ipv6", "mac"):
        values = [getattr(interface, address) for interface in everything.values()]
        assert_unique([value for value in values if value is not None])
    # The switches and their ports share one namespace, every other node has its own.
    kernel_names = [
        ("fabric" if node.kind == "switch" else node.name, interface.kernel_name)
        for node in plan.nodes
        for interface in node.interfaces
    ]
    kernel_names += [("fabric", node.kernel_name) for node in plan.switches()]
    assert_unique(kernel_names)
    assert all(0 < len(name.encode()) <= 15 and name != "lo" for _, name in kernel_names)
    assert_unique([(node.name, i.port) for node in plan.nodes for i in node.interfaces])
    assert_unique([link.id for link in plan.links])


@given(recipes(), st.booleans())
def test_a_plan_goes_to_json_and_back(recipe: Recipe, ipv6: bool) -> None:
    plan = compiled(recipe, ipv6=ipv6)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(plan.to_json(indent=None)).to_json() == plan.to_json()


@given(recipes())
def test_the_same_topology_gives_the_same_plan(recipe: Recipe) -> None:
    assert compiled(recipe) == compiled(recipe)


@given(recipes())
def test_every_interface_is_one_end_of_one_link(recipe: Recipe) -> None:
    plan = compiled(recipe)
    ends = [(end.node, end.interface) for link in plan.links for end in (link.a, link.b)]
    assert sorted(ends) == sorted(interfaces(plan))
    for link in plan.links:
        assert plan.peer(link.a.node, link.a.interface) == link.b
        assert plan.peer(link.b.node, link.b.interface) == link.a
        assert link in plan.links_between(link.a.node, link.b.node)
    assert len(plan.links) == len(recipe.links)


@given(recipes())
def test_every_host_with_a_link_has_the_address_it_was_promised(recipe: Recipe) -> None:
    plan = compiled(recipe)
    written = {name: options for _, name, options in recipe.nodes}
    for node in plan.nodes:
        address = plan.address_of(node.name)
        if node.kind in ("switch", "vnf"):
            continue
        if "ip" not in written[node.name]:
            assert (address is not None) == bool(node.interfaces)
        elif written[node.name]["ip"] is not None and node.interfaces:
            assert address == written[node.name]["ip"].partition("/")[0]


@given(recipes())
def test_frames_near_xdp_are_made_in_software(recipe: Recipe) -> None:
    plan = compiled(recipe)
    graph = networkx.MultiGraph()
    graph.add_nodes_from(node.name for node in plan.nodes)
    graph.add_edges_from((link.a.node, link.b.node) for link in plan.links)
    xdp = {node.name for node in plan.vnfs() if node.vnf and node.vnf.dataplane == "xdp"}
    near = set().union(*(networkx.node_connected_component(graph, name) for name in xdp))
    for (node, name), interface in interfaces(plan).items():
        assert interface.frame_offload == (node not in near or node in xdp)
        peer = plan.peer(node, name).node
        end = EndPlan(node=node, interface=name)
        link = next(link for link in plan.links if end in (link.a, link.b))
        impaired = link.mechanism != "none"
        assert interface.receive_napi == (peer in xdp and node not in xdp and not impaired)
        assert interface.segment_offload == (interface.frame_offload and not impaired)


@given(recipes(), recipes(vnfs=False, options=False), st.data())
def test_a_change_to_a_running_lab_leaves_what_is_there_alone(
    recipe: Recipe, more: Recipe, data: st.DataObject
) -> None:
    topo = recipe.topo()
    before = compile_plan(topo, catalog=CATALOG, ipv6=True)
    removable = [name for kind, name, _ in recipe.nodes if kind == "addHost"]
    removable = [
        name
        for name in removable
        if not any(n in topo.vnfs() for link in topo.links() if name in link for n in link)
    ]
    known = set(topo.nodes())
    if removable:
        topo.removeNode(data.draw(st.sampled_from(removable)))
    for method, name, options in more.nodes:
        if name not in known:
            getattr(topo, method)(name, **options)
    steady = [name for name in topo.nodes() if name not in (*topo.vnfs(), *topo.apps())]
    for _ in range(data.draw(st.integers(0, 4)) if len(steady) > 1 else 0):
        a, b = data.draw(st.lists(st.sampled_from(steady), min_size=2, max_size=2, unique=True))
        topo.addLink(a, b)
    after = compile_plan(topo, catalog=CATALOG, ipv6=True, previous=before)

    was, now = interfaces(before), interfaces(after)
    for key in was.keys() & now.keys():
        for what in ("ipv4", "ipv6", "mac", "kernel_name", "port"):
            assert getattr(was[key], what) == getattr(now[key], what)
    for node in before.switches():
        if node.name in topo.nodes():
            assert after.node(node.name).kernel_name == node.kernel_name
    for address in ("ipv4", "ipv6", "mac"):
        values = [getattr(interface, address) for interface in now.values()]
        assert_unique([value for value in values if value is not None])


@given(recipes())
def test_compiling_again_in_a_running_lab_changes_nothing(recipe: Recipe) -> None:
    plan = compiled(recipe)
    assert compiled(recipe, previous=plan) == plan


@settings(max_examples=300)
@given(careless_recipes(), st.booleans())
def test_whatever_is_written_gives_a_plan_or_its_mistakes(recipe: Recipe, ipv6: bool) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        plan = compiled(recipe, ipv6=ipv6)
    except TopologyError as error:
        problems = error.problems
    else:
        assert Plan.from_json(plan.to_json()) == plan
        return
    assert problems
    assert all(problem.where and problem.message for problem in problems)


@given(
    st.integers(1, 8).flatmap(
        lambda count: st.lists(st.tuples(st.integers(1, count), st.integers(1, count)))
    )
)
def test_loops_are_the_parts_that_no_single_cut_takes_apart(edges: list[tuple[int, int]]) -> None:
    named = [(f"s{a}", f"s{b}") for a, b in edges]
    nodes = [f"s{number}" for number in range(1, 9)]
    graph = networkx.MultiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((a, b) for a, b in named if a != b)
    cutting = []
    for edge in graph.edges(keys=True):
        without = graph.copy()
        without.remove_edge(*edge)
        if not networkx.has_path(without, edge[0], edge[1]):
            cutting.append(edge)
    graph.remove_edges_from(cutting)
    expected = [part for part in networkx.connected_components(graph) if len(part) > 1]
    assert {frozenset(part) for part in loops(nodes, named)} == {frozenset(p) for p in expected}


def test_a_long_row_of_switches_is_no_burden() -> None:
    names = [f"s{number}" for number in range(3000)]
    row = list(pairwise(names))
    assert loops(names, row) == []
    assert loops(names, [*row, (names[-1], names[0])]) == [names]
