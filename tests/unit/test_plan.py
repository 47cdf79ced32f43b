"""Compiling a topology: addresses, live changes, and limits."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from emulator.catalog import Catalog
from emulator.errors import TopologyError, UsageError
from emulator.plan.compile import compile_plan
from emulator.plan.model import EndPlan, InterfacePlan, Plan
from emulator.plan.wiring import CROWD
from emulator.topo import Topo


class Single(Topo):
    def build(self, hosts: int = 2) -> None:
        self.addSwitch("s1")
        for number in range(1, hosts + 1):
            self.addLink(self.addHost(f"h{number}"), "s1")


def addresses(plan: Plan) -> dict[str, str | None]:
    return {host.name: plan.address_of(host.name) for host in plan.hosts()}


def mistakes(topo: Topo, **options: object) -> list[str]:
    with pytest.raises(TopologyError) as error:
        compile_plan(topo, **options)
    return [problem.message for problem in error.value.problems]


def test_the_number_of_a_host_is_in_its_address() -> None:
    plan = compile_plan(Single(12))
    assert plan.address_of("h1") == "10.0.0.1"
    assert plan.address_of("h10") == "10.0.0.10"
    assert plan.node("h10").interfaces[0].mac == "02:00:0a:00:00:0a"
    assert plan.address_of("s1") is None


def test_an_address_in_the_way_moves_one_host_and_no_other() -> None:
    topo = Topo()
    for name, options in (("h1", {}), ("h2", {"ip": "10.0.0.3/8"}), ("h3", {}), ("h4", {})):
        topo.addLink(topo.addHost(name, **options), topo.addSwitch(f"s{name}"))
    assert addresses(compile_plan(topo)) == {
        "h1": "10.0.0.1",
        "h2": "10.0.0.3",
        "h3": "10.0.0.5",
        "h4": "10.0.0.4",
    }


def test_the_base_network_can_be_chosen() -> None:
    assert compile_plan(Single(1), ip_base="192.168.5.0/24").address_of("h1") == "192.168.5.1"
    # As Mininet does, a base with host bits starts there.
    plan = compile_plan(Single(2), ip_base="10.1.2.7/8")
    assert addresses(plan) == {"h1": "10.1.2.7", "h2": "10.1.2.8"}
    assert plan.ip_base == "10.0.0.0/8"


@pytest.mark.parametrize("base", ["10.0.0.0", "10.0.0.0/31", "10.0.0.0/33", "fd00::/64", "x", ""])
def test_a_base_network_that_cannot_be(base: str) -> None:
    with pytest.raises(TopologyError) as error:
        compile_plan(Single(1), ip_base=base)
    assert [problem.where for problem in error.value.problems] == ["ip_base"]


def test_a_base_network_that_is_too_small() -> None:
    assert mistakes(Single(4), ip_base="10.0.0.0/30") == [
        "no address is left in 10.0.0.0/30 for it",
        "no address is left in 10.0.0.0/30 for it",
    ]


@pytest.mark.parametrize("nothing", [None, "", "0.0.0.0"])
def test_a_host_may_have_no_address(nothing: str | None) -> None:
    topo = Single(1)
    topo.addLink(topo.addHost("h2", ip=nothing), "s1")
    topo.addLink(topo.addHost("h3"), "s1")
    assert addresses(compile_plan(topo)) == {"h1": "10.0.0.1", "h2": None, "h3": "10.0.0.3"}


def test_only_the_first_interface_of_a_host_gets_an_address_by_itself() -> None:
    topo = Single(1)
    topo.addSwitch("s2")
    topo.addLink("h1", "s2")
    first, second = compile_plan(topo).node("h1").interfaces
    assert (first.ipv4, second.ipv4) == ("10.0.0.1/8", None)


def test_the_same_address_may_come_again_behind_a_router() -> None:
    def homes(wall: str) -> Topo:
        topo = Topo()
        topo.addNode("wall", isSwitch=True) if wall == "switch" else topo.addRouter("wall")
        for name in ("h1", "h2"):
            topo.addLink(topo.addHost(name, ip="192.168.1.2/24"), "wall")
        return topo

    plan = compile_plan(homes("router"))
    assert plan.address_of("h1") == plan.address_of("h2") == "192.168.1.2"
    assert plan.node("h1").interfaces[0].mac != plan.node("h2").interfaces[0].mac
    assert mistakes(homes("switch")) == ["h2-eth0 has the address 192.168.1.2, as has h1-eth0"]


def test_ipv6_is_there_when_asked_for() -> None:
    topo = Single(2)
    topo.addLink(topo.addHost("h3", ip="192.168.1.7/24", ipv6="fd00:3::3"), "s1")
    plain = compile_plan(Single(2))
    assert not plain.ipv6
    assert plain.node("h1").interfaces[0].ipv6 is None
    plan = compile_plan(topo, ipv6=True)
    assert plan.ipv6
    assert plan.node("h2").interfaces[0].ipv6 == "fd00::2/64"
    assert plan.node("h3").interfaces[0].ipv6 == "fd00:3::3/64"
    assert plan.node("s1").interfaces[0].ipv6 is None


def test_a_large_network_has_large_numbers() -> None:
    plan = compile_plan(Single(300), ipv6=True)
    assert plan.address_of("h300") == "10.0.1.44"
    assert plan.node("h300").interfaces[0].ipv6 == "fd00::12c/64"


def test_a_default_route_leads_through_one_of_the_node_s_networks() -> None:
    topo = Single(1)
    topo.addLink(topo.addHost("h2", defaultRoute="via 10.0.0.1"), "s1")
    plan = compile_plan(topo, ipv6=True)
    assert plan.node("h2").default_route == "10.0.0.1"
    assert plan.node("h2").default_route_ipv6 == "fd00::1"


def test_a_switch_may_have_more_ports_than_a_bridge_takes() -> None:
    plan = compile_plan(Single(1500))
    assert len(plan.node("s1").interfaces) == 1500
    assert plan.address_of("h1500") == "10.0.5.220"


def test_nodes_without_links_are_no_mistake() -> None:
    topo = Topo()
    topo.addHost("h1")
    topo.addHost("h2", ip="10.0.0.3/8")
    topo.addSwitch("s1")
    plan = compile_plan(topo)
    assert [node.interfaces for node in plan.nodes] == [(), (), ()]
    assert plan.address_of("h1") is None


def test_an_empty_topology_is_a_plan() -> None:
    assert compile_plan(Topo()).nodes == ()


def test_the_plan_is_called_after_the_topology_or_as_asked() -> None:
    class _My(Topo):
        pass

    assert compile_plan(Single()).name == "single"
    assert compile_plan(_My()).name == "my"
    assert compile_plan(Single(), name="lab-1").name == "lab-1"
    assert mistakes(Single(), name="../x") == ["'../x' is not a usable name"]


def test_only_topologies_can_be_compiled() -> None:
    with pytest.raises(UsageError, match=r"Single: that is not a topology \(call it: Single\(\)\)"):
        compile_plan(Single)
    with pytest.raises(UsageError, match="that is not a topology"):
        compile_plan("chain.py")


# -- a running lab -------------------------------------------------------------------------------


def test_a_host_that_joins_later_moves_nobody() -> None:
    topo = Single(3)
    before = compile_plan(topo)
    topo.addLink(topo.addHost("a0"), "s1")
    after = compile_plan(topo, previous=before)
    assert addresses(after) == {
        "a0": "10.0.0.5",
        "h1": "10.0.0.1",
        "h2": "10.0.0.2",
        "h3": "10.0.0.3",
    }
    assert after.node("h1") == before.node("h1")


def test_a_host_keeps_its_address_when_it_moves_to_another_switch() -> None:
    topo = Single(2)
    topo.addSwitch("s2")
    before = compile_plan(topo)
    topo.removeLink("h1", "s1")
    between = compile_plan(topo, previous=before)
    assert between.address_of("h1") is None
    topo.addLink("h1", "s2")
    after = compile_plan(topo, previous=between)
    assert after.address_of("h1") == "10.0.0.1"
    assert after.node("h1").interfaces == before.node("h1").interfaces


def test_an_address_in_use_cannot_be_given_to_a_newcomer() -> None:
    topo = Single(2)
    before = compile_plan(topo)
    topo.addLink(topo.addHost("h3", ip="10.0.0.2/8"), "s1")
    assert mistakes(topo, previous=before) == ["h3-eth0 has the address 10.0.0.2, as has h2-eth0"]


def test_an_xdp_vnf_that_joins_later_changes_what_the_others_may_offload() -> None:
    topo = Single(2)
    before = compile_plan(topo)
    topo.addVNF("fw", "forward", dataplane="xdp")
    topo.addLink("fw", "s1")
    topo.addLink("fw", topo.addHost("h3"))
    after = compile_plan(topo, previous=before)
    assert before.node("h1").interfaces[0].frame_offload
    assert not after.node("h1").interfaces[0].frame_offload
    assert after.node("s1").interface("s1-eth3").receive_napi
    assert not after.node("fw").interfaces[0].receive_napi


# -- the plan as data ----------------------------------------------------------------------------


def test_looking_things_up_in_a_plan() -> None:
    plan = compile_plan(Single())
    link = plan.links[0]
    assert link.id == "h1-eth0<->s1-eth1"
    assert plan.peer("h1", "h1-eth0") == EndPlan(node="s1", interface="s1-eth1")
    assert plan.interface(link.a) is plan.node("h1").interfaces[0]
    assert plan.links_between("s1", "h1") == [link]
    assert plan.links_between("h1", "h2") == []
    assert [node.name for node in plan.hosts()] == ["h1", "h2"]
    assert [node.name for node in plan.switches()] == ["s1"]
    assert (plan.routers(), plan.vnfs()) == ([], [])


def test_looking_things_up_in_a_plan_that_was_made_from_another() -> None:
    plan = compile_plan(Single())
    link = plan.links[0]
    assert (plan.interface(link.a).mtu, plan.peer("h1", "h1-eth0"), plan.node("h1").stp) == (
        1500,
        link.b,
        False,
    )
    jumbo = tuple(
        interface.model_copy(update={"mtu": 9000}) for interface in plan.node("h1").interfaces
    )
    host = plan.node("h1").model_copy(update={"interfaces": jumbo})
    other = plan.model_copy(update={"nodes": (host,), "links": ()})
    assert other.node("h1") is host
    assert other.interface(link.a).mtu == 9000
    assert other.links_between("h1", "h1") == []
    assert plan.interface(link.a).mtu == 1500


def test_looking_up_what_is_not_there() -> None:
    plan = compile_plan(Single())
    for wrong, text in (
        (lambda: plan.node("h3"), "single: there is no node h3 (there are: h1, h2, s1)"),
        (lambda: plan.address_of("x"), "single: there is no node x (there are: h1, h2, s1)"),
        (
            lambda: plan.links_between("h1", "h7"),
            "single: there is no node h7 (there are: h1, h2, s1)",
        ),
        (
            lambda: plan.peer("h1", "h1-eth1"),
            "h1: there is no interface h1-eth1 (did you mean h1-eth0?)",
        ),
        (
            lambda: plan.interface(EndPlan(node="h1", interface="lo")),
            "h1: there is no interface lo (there are: h1-eth0)",
        ),
    ):
        with pytest.raises(UsageError) as error:
            wrong()
        assert str(error.value) == text


def test_a_plan_cannot_be_changed() -> None:
    plan = compile_plan(Single())
    with pytest.raises(FrozenInstanceError):
        plan.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "plan"),
        ("{}", "plan.name"),
        ('{"name": "x", "ip_base": "10.0.0.0/8", "colour": 1}', "plan.colour"),
        ('{"name": "x", "ip_base": "10.0.0.0/8", "version": 2}', "plan.version"),
    ],
)
def test_what_is_not_a_plan(text: str, place: str) -> None:
    with pytest.raises(UsageError) as error:
        Plan.from_json(text)
    assert error.value.where == place


def test_parameters_keep_their_types_in_json() -> None:
    topo = Topo()
    topo.addVNF("tap", "drop", dataplane="xdp", every=7)
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "tap")
    plan = compile_plan(topo, catalog=Catalog.load())
    vnf = Plan.from_json(plan.to_json()).node("tap").vnf
    assert vnf is not None
    assert vnf.parameters["every"] == 7
    assert type(vnf.parameters["every"]) is int


def test_a_parameter_that_the_kernel_knows_nothing_of_is_refused() -> None:
    def topo(**options: object) -> Topo:
        topo = Topo()
        topo.addVNF("fwd", "forward", **options)
        for name in ("h1", "h2"):
            topo.addLink(topo.addHost(name), "fwd")
        return topo

    mac = "02:00:00:00:00:01"
    wrong = mistakes(topo(dataplane="kernel", source_mac=mac))
    assert wrong == ["parameter source_mac does nothing on the data plane kernel"]
    for options in ({"dataplane": "xdp", "source_mac": mac}, {"dataplane": "kernel"}):
        vnf = compile_plan(topo(**options)).node("fwd").vnf
        assert vnf is not None
        assert vnf.parameters["source_mac"] == options.get("source_mac", "00:00:00:00:00:00")


def test_hosts_of_a_crowded_segment_receive_through_queues_of_their_own() -> None:
    def ends(hosts: int) -> tuple[InterfacePlan, InterfacePlan]:
        topo = Topo()
        topo.addSwitch("s1")
        for number in range(1, hosts + 1):
            topo.addLink(topo.addHost(f"h{number}"), "s1")
        plan = compile_plan(topo)
        link = plan.links[0]
        return plan.interface(link.a), plan.interface(link.b)

    host, port = ends(CROWD)
    assert (host.receive_napi, port.frame_offload) == (False, True)
    host, port = ends(CROWD + 1)
    assert (host.receive_napi, port.frame_offload) == (True, False)
    assert (port.receive_napi, host.frame_offload) == (False, True)
