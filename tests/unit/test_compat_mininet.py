"""Topologies made with the real mininet.topo.Topo."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from mininet.node import CPULimitedHost, Node, OVSKernelSwitch
from mininet.topo import (
    LinearTopo,
    MinimalTopo,
    SingleSwitchReversedTopo,
    SingleSwitchTopo,
)
from mininet.topo import Topo as MininetTopo
from mininet.topolib import TorusTopo, TreeTopo

from emulator.errors import TopologyError
from emulator.foreign_topo import from_mininet, is_mininet_topo
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from emulator.topofile import builtin_topology
from tests.strategies import Recipe, recipes


class LinuxRouter(Node):
    """As in the example that comes with Mininet."""


class Bare(MininetTopo):
    def build(self) -> None:
        """Everything is added from outside."""


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        ("minimal", MinimalTopo()),
        ("single,5", SingleSwitchTopo(5)),
        ("reversed,5", SingleSwitchReversedTopo(5)),
        ("linear,5", LinearTopo(5)),
        ("linear,3,2", LinearTopo(3, 2)),
        ("tree,2,3", TreeTopo(2, 3)),
        ("torus,3,4", TorusTopo(3, 4)),
        ("torus,3,3,2", TorusTopo(3, 3, 2)),
    ],
)
def test_our_topologies_are_those_of_mininet(spec: str, theirs: Any) -> None:
    ours = builtin_topology(spec, {})
    assert ours.nodes() == theirs.nodes()
    assert ours.hosts() == theirs.hosts()
    assert ours.switches() == theirs.switches()
    assert by_name(ours) == by_name(theirs)


def by_name(topo: Any) -> list[dict[str, Any]]:
    links = [info for *_, info in topo.links(withInfo=True)]
    return sorted(links, key=lambda info: [str(value) for value in info.values()])


@given(recipes(vnfs=False))
def test_a_topology_has_the_same_plan_whoever_s_class_it_is(recipe: Recipe) -> None:
    ours = compile_plan(recipe.topo(), name="x")
    theirs = compile_plan(recipe.build(Bare()), name="x")
    assert theirs.nodes == ours.nodes
    # Mininet gives links in the order of their nodes.
    assert {link.id: link for link in theirs.links} == {link.id: link for link in ours.links}


@given(recipes(vnfs=False))
def test_methods_answer_as_those_of_mininet(recipe: Recipe) -> None:
    ours, theirs = recipe.topo(), recipe.build(Bare())
    assert ours.nodes() == theirs.nodes()
    assert ours.hosts(sort=False) == theirs.hosts(sort=False)
    assert ours.switches() == theirs.switches()
    assert ours.ports == theirs.ports
    for name in ours.nodes():
        assert ours.nodeInfo(name) == theirs.nodeInfo(name)
        assert ours.isSwitch(name) == theirs.isSwitch(name)
    for node1, node2, key in ours.links(withKeys=True):
        assert ours.linkInfo(node1, node2, key) == theirs.linkInfo(node1, node2, key)
        assert ours.linkInfo(node1, node2) == theirs.linkInfo(node1, node2)
        assert ours.port(node1, node2) == theirs.port(node1, node2)


def test_what_is_a_topology_of_mininet() -> None:
    assert is_mininet_topo(MinimalTopo())
    for other in (MinimalTopo, Topo(), Topo, None, "minimal", object()):
        assert not is_mininet_topo(other)


def test_the_name_is_that_of_the_class() -> None:
    assert from_mininet(MinimalTopo()).name == "minimaltopo"


def test_a_linux_router_becomes_a_router() -> None:
    topo = Bare()
    topo.addNode("r0", cls=LinuxRouter, ip="192.168.1.1/24")
    topo.addSwitch("s1")
    topo.addLink("s1", "r0", intfName2="r0-eth1", params2={"ip": "192.168.1.1/24"})
    plan = compile_plan(topo)
    assert plan.node("r0").kind == "router"
    assert plan.node("r0").interface("r0-eth1").ipv4 == "192.168.1.1/24"


def test_what_mininet_s_classes_ask_for_is_told_with_the_node() -> None:
    topo = Bare()
    topo.addHost("h1", cls=CPULimitedHost, cpu=50)
    topo.addHost("h2", cls=Node)
    topo.addSwitch("s1", cls=OVSKernelSwitch, inband=True)
    topo.addLink("h1", "s1", bw=10, delay=5)
    with pytest.raises(TopologyError) as error:
        compile_plan(topo)
    assert [problem.where for problem in error.value.problems] == [
        "host h1",
        "switch s1",
        "link h1 - s1",
    ]


def test_loops_that_mininet_only_warns_of_are_mistakes() -> None:
    with pytest.raises(TopologyError, match="frames would go round in it for ever"):
        compile_plan(TorusTopo(3, 3))
