"""A topology as the user of Mininet knows it."""

from __future__ import annotations

import networkx
import pytest

from emulator.errors import UsageError
from emulator.topo import Topo


class Pair(Topo):
    def build(self, hosts: int = 2, **options: object) -> None:
        self.addSwitch("s1")
        for number in range(1, hosts + 1):
            self.addLink(self.addHost(f"h{number}", **options), "s1")


def test_arguments_of_the_constructor_reach_build() -> None:
    assert Pair(3).hosts() == ["h1", "h2", "h3"]
    assert Pair(hosts=1, ip="10.0.0.9/8").nodeInfo("h1") == {"ip": "10.0.0.9/8"}


def test_nodes_come_in_natural_order_or_as_they_were_added() -> None:
    topo = Topo()
    for name in ("h10", "h2", "h1"):
        topo.addHost(name)
    topo.addSwitch("s1")
    topo.addRouter("r1")
    topo.addVNF("fw", "forward", dataplane="xdp", every=3)
    assert topo.nodes() == ["fw", "h1", "h2", "h10", "r1", "s1"]
    assert topo.nodes(sort=False) == ["h10", "h2", "h1", "s1", "r1", "fw"]
    assert topo.hosts() == ["h1", "h2", "h10"]
    assert topo.hosts(sort=False) == ["h10", "h2", "h1"]
    assert (topo.switches(), topo.routers(), topo.vnfs()) == (["s1"], ["r1"], ["fw"])
    assert topo.isSwitch("s1")
    assert not topo.isSwitch("h1")
    assert topo.kind("r1") == "router"
    assert topo.nodeInfo("fw") == {"vnf": "forward", "dataplane": "xdp", "every": 3}


def test_containers_are_written_as_hosts_or_by_the_names_of_others() -> None:
    topo = Topo()
    assert topo.addDocker("d1", "debian", ip="10.0.0.9/8") == "d1"
    topo.addDockerHost("d2", dimage="debian", docker_args={"mem_limit": "1g"})
    topo.addHost("d3", runtime="docker")
    topo.addAppContainer("a1", "d1", "busybox", command="top")
    assert topo.hosts() == ["d1", "d2", "d3"]
    assert topo.apps() == ["a1"]
    assert topo.kind("a1") == "app"
    assert topo.nodeInfo("d1") == {"runtime": "docker", "image": "debian", "ip": "10.0.0.9/8"}
    assert topo.nodeInfo("d2")["docker_args"] == {"mem_limit": "1g"}
    assert topo.nodeInfo("a1") == {"image": "busybox", "command": "top", "host": "d1"}
    topo.removeNode("a1")
    assert topo.apps() == []


def test_ports_of_hosts_count_from_0_and_those_of_switches_from_1() -> None:
    topo = Pair()
    assert topo.port("h2", "s1") == (0, 2)
    assert topo.port("s1", "h2") == (2, 0)
    assert topo.ports["s1"] == {1: ("h1", 0), 2: ("h2", 0)}


def test_a_port_given_by_hand_moves_the_automatic_ones_out_of_its_way() -> None:
    topo = Topo()
    topo.addSwitch("s1")
    for name in ("h1", "h2", "h3"):
        topo.addHost(name)
    topo.addLink("h1", "s1", port2=2)
    topo.addLink("h2", "s1")
    topo.addLink("h3", "s1")
    assert [topo.port(name, "s1") for name in ("h1", "h2", "h3")] == [(0, 2), (0, 3), (0, 4)]


def test_parallel_links_are_told_apart_by_their_keys() -> None:
    topo = Topo()
    topo.addHost("h1")
    topo.addSwitch("s1")
    assert [topo.addLink("h1", "s1", mtu=mtu) for mtu in (1500, 9000)] == [1, 2]
    assert topo.linkInfo("s1", "h1")["mtu"] == 1500
    assert topo.linkInfo("s1", "h1", key=2)["mtu"] == 9000
    assert topo.port("h1", "s1") == [(0, 1), (1, 2)]
    topo.removeLink("h1", "s1", key=1)
    assert topo.links(withKeys=True) == [("h1", "s1", 2)]
    assert topo.addLink("h1", "s1") == 3


def test_links_with_keys_and_info() -> None:
    topo = Topo()
    for name in ("h10", "h2"):
        topo.addLink(topo.addHost(name), topo.addSwitch(f"s{name}"), mtu=9000)
    info = {"node1": "h10", "node2": "sh10", "port1": 0, "port2": 1, "mtu": 9000}
    assert topo.links() == [("h10", "sh10"), ("h2", "sh2")]
    assert topo.links(sort=True) == [("h2", "sh2"), ("h10", "sh10")]
    assert topo.links(withInfo=True)[0] == ("h10", "sh10", info)
    assert topo.links(withKeys=True, withInfo=True)[0] == ("h10", "sh10", 1, info)
    assert list(topo.iterLinks()) == topo.links()


def test_info_of_nodes_and_links_can_be_replaced() -> None:
    topo = Pair()
    topo.setNodeInfo("h1", {"ip": None})
    assert topo.nodeInfo("h1") == {"ip": None}
    topo.setlinkInfo("h1", "s1", {"mtu": 9000})
    assert topo.linkInfo("h1", "s1")["mtu"] == 9000
    assert topo.linkInfo("h1", "s1")["port2"] == 1


def test_default_options_for_every_host_switch_and_link() -> None:
    topo = Pair(hopts={"ip": None}, sopts={"stp": True}, lopts={"mtu": 9000})
    assert topo.nodeInfo("h1") == {"ip": None}
    assert topo.nodeInfo("s1") == {"stp": True, "isSwitch": True}
    assert topo.linkInfo("h1", "s1")["mtu"] == 9000
    topo.nodeInfo("h1")["ip"] = "10.0.0.9/8"
    assert topo.nodeInfo("h2") == {"ip": None}


def test_a_constructor_that_forgets_ours_still_works() -> None:
    class Old(Topo):
        def __init__(self) -> None:
            self.addHost("h1")

    assert Old().hosts() == ["h1"]
    assert Old().name == "old"


def test_the_graph_goes_to_networkx() -> None:
    topo = Pair()
    topo.addLink("h1", "s1", mtu=9000)
    graph = topo.to_networkx()
    assert graph.nodes["s1"] == {"kind": "switch", "isSwitch": True}
    assert graph.number_of_edges("h1", "s1") == 2
    assert graph.edges["h1", "s1", 2]["mtu"] == 9000
    plain = topo.convertTo(networkx.Graph, data=False, keys=False)
    assert {frozenset(edge) for edge in plain.edges} == {
        frozenset(("h1", "s1")),
        frozenset(("h2", "s1")),
    }


def test_removing_takes_links_and_ports_along() -> None:
    topo = Pair(3)
    topo.removeNode("h2")
    assert topo.nodes() == ["h1", "h3", "s1"]
    assert topo.links() == [("h1", "s1"), ("h3", "s1")]
    assert topo.ports["s1"].keys() == {1, 3}
    topo.addLink(topo.addHost("h4"), "s1")
    assert topo.port("s1", "h4") == (4, 0)
    topo.removeLink("s1", "h1")
    topo.addLink("h1", "s1")
    assert topo.port("h1", "s1") == (0, 5)
    assert topo.problems() == []


def test_a_copy_is_independent() -> None:
    topo = Pair()
    other = topo.copy()
    other.addHost("h9")
    other.nodeInfo("h1")["ip"] = None
    other.removeLink("h2", "s1")
    assert topo.nodes() == ["h1", "h2", "s1"]
    assert topo.nodeInfo("h1") == {}
    assert len(topo.links()) == 2


def test_mistakes_are_kept_and_not_raised() -> None:
    topo = Topo()
    topo.addHost("h1")
    topo.addHost("h1")
    topo.addHost(7)  # type: ignore[arg-type]
    topo.addLink("h1", "client")
    topo.addSwitch("clients")
    told = [str(problem) for problem in topo.problems()]
    assert [text.partition(": ")[2] for text in told] == [
        "host h1: the name is already that of a host added at " + told[0].partition("added at ")[2],
        'host 7: a node\'s name is a string, not int (write "h7")',
        "link h1 - client: there is no node client (did you mean clients?)",
    ]
    assert all(text.startswith("test_topo.py:") for text in told)


def test_a_link_that_was_a_mistake_can_be_taken_back() -> None:
    topo = Pair()
    topo.addHost("h8")
    topo.addLink("h8", "s9")
    assert len(topo.problems()) == 1
    topo.removeNode("h8")
    assert topo.problems() == []


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda topo: topo.nodeInfo("h3"), "pair: there is no node h3 (there are: h1, h2, s1)"),
        (lambda topo: topo.removeNode("x"), "pair: there is no node x (there are: h1, h2, s1)"),
        (lambda topo: topo.linkInfo("h1", "h2"), "pair: there is no link between h1 and h2"),
        (
            lambda topo: topo.removeLink("h1", "s1", key=7),
            "pair: there is no link with key 7 between h1 and s1",
        ),
    ],
)
def test_asking_for_what_is_not_there(mistake: object, text: str) -> None:
    with pytest.raises(UsageError) as error:
        mistake(Pair())  # type: ignore[operator]
    assert str(error.value) == text


def test_a_topology_says_what_it_is() -> None:
    assert repr(Pair()) == "<Pair pair: 3 nodes, 2 links>"

    class Named(Topo):
        name = "my-lab"

    assert Named().name == "my-lab"
