"""A topology as a running network."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator import LabError, Network, Topo, TopologyError, UsageError, list_labs
from emulator.fabric import Fabric
from emulator.interfaces import set_interface
from emulator.kernel.rtnl import link_states
from emulator.paths import share_dir
from emulator.runtime.daemon import find_daemon
from emulator.topofile import builtin_topology, load_topology
from tests.system.docker_images import BUSYBOX, import_busybox

pytestmark = pytest.mark.root

TOPOLOGIES = share_dir() / "topologies"


class Pair(Topo):
    """h1 - s1 - h2"""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), switch)


class Routed(Topo):
    """Two subnets with a router between them."""

    def build(self) -> None:
        router = self.addRouter("r1", ip="10.0.1.254/24")
        near = self.addHost("near", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        far = self.addHost("far", ip="10.0.2.1/24", defaultRoute="via 10.0.2.254")
        self.addLink(near, router)
        self.addLink(far, router, params2={"ip": "10.0.2.254/24"})


def host_links() -> set[str]:
    output = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in output.stdout.splitlines()}


def test_every_host_reaches_every_other_one_under_the_planned_address() -> None:
    with Network(builtin_topology("tree,2,3", {})) as net:
        matrix = net.ping()
        assert len(matrix.nodes) == 9
        assert matrix.lost_percent == 0
        assert net["h1"].IP() == "10.0.0.1"
        assert "10.0.0.9/8" in net["h9"].cmd("ip -4 -br addr show h9-eth0")
        mac = net["h9"].MAC()
        assert mac is not None
        assert mac in net["h9"].cmd("ip -br link show h9-eth0")


NEEDS = {"openflow": pytest.mark.ovs}
"""What a topology that ships needs beyond XDP."""


@pytest.mark.xdp
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=NEEDS.get(path.stem, ()))
        for path in sorted(TOPOLOGIES.glob("*.py"))
        if path.stem != "containers"
    ],
)
def test_every_topology_that_ships_connects_all_its_hosts(name: str) -> None:
    with Network(load_topology(str(TOPOLOGIES / f"{name}.py"), {})) as net:
        assert net.pingAll(timeout=3) == 0


@pytest.mark.docker
def test_so_does_the_one_with_hosts_in_containers() -> None:
    import_busybox(find_daemon().url)
    settings = {"image": BUSYBOX, "command": "sleep 1000", "port": "0"}
    with Network(load_topology(str(TOPOLOGIES / "containers.py"), settings)) as net:
        assert net.pingAll(timeout=3) == 0


def test_the_machines_own_namespace_is_left_alone() -> None:
    before = host_links()
    with Network(Pair()) as net:
        assert net.pingAll() == 0
        assert host_links() == before
    assert host_links() == before


def test_names_resolve_inside_the_lab_only() -> None:
    with Network(Pair()) as net:
        assert "10.0.0.2" in net["h1"].cmd("getent hosts h2")
        assert "h2" not in Path("/etc/hosts").read_text().split()


def test_two_labs_with_the_same_names_and_addresses_run_side_by_side() -> None:
    with Network(Pair()) as one, Network(Pair()) as other:
        assert one.id != other.id
        other.configLinkStatus("h2", "s1", "down")
        assert one.pingAll() == 0
        assert other.ping(timeout_s=0.2).replies == 0


def test_a_router_joins_two_subnets() -> None:
    with Network(Routed()) as net:
        assert net.ping(["near", "far"]).lost_percent == 0


def test_a_loop_of_switches_works_with_the_spanning_tree() -> None:
    topo = Topo()
    for name in ("s1", "s2", "s3"):
        topo.addSwitch(name, stp=True)
        topo.addLink(topo.addHost(f"h{name[1]}"), name)
    for a, b in (("s1", "s2"), ("s2", "s3"), ("s3", "s1")):
        topo.addLink(a, b)
    with Network(topo) as net:
        assert net.pingAll() == 0


def test_ipv6_is_there_on_request_and_only_then() -> None:
    with Network(Pair()) as net:
        assert net["h1"].cmd("cat /proc/net/if_inet6") == ""
    with Network(Pair(), ipv6=True) as net:
        address = net.plan.node("h2").interfaces[0].ipv6
        assert address is not None
        net["h1"].cmd(f"ping -6 -c1 -W2 {address.partition('/')[0]}")
        assert net["h1"].exit_status == 0


def test_a_link_goes_down_and_comes_back_with_its_routes() -> None:
    with Network(Routed()) as net:
        for _ in range(2):
            net.configLinkStatus("near", "r1", "down")
            assert net.ping(["near", "far"], timeout_s=0.2).replies == 0
            net.configLinkStatus("r1", "near", "up")
            assert net.ping(["near", "far"]).lost_percent == 0


def test_a_link_between_two_hosts_keeps_working_after_down_and_up() -> None:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    with Network(topo) as net:
        net.configLinkStatus("h1", "h2", "down")
        assert net.ping(timeout_s=0.2).replies == 0
        net.configLinkStatus("h1", "h2", "up")
        assert net.pingAll() == 0


def test_a_link_that_was_down_comes_back_with_its_ipv6_addresses() -> None:
    with Network(Routed(), ipv6=True) as net:
        address = net.plan.interface(net.plan.peer("near", "near-eth0")).ipv6
        assert address is not None
        net.configLinkStatus("near", "r1", "down")
        net.configLinkStatus("near", "r1", "up")
        assert address in net["r1"].cmd("ip -6 -br addr show r1-eth0")


def test_link_status_of_what_is_not_there_is_refused() -> None:
    with Network(Pair()) as net:
        with pytest.raises(UsageError, match="no link between h1 and h2"):
            net.configLinkStatus("h1", "h2", "down")
        with pytest.raises(UsageError, match="sideways"):
            net.configLinkStatus("h1", "s1", "sideways")


def test_hosts_and_links_come_and_go_while_the_network_runs() -> None:
    with Network(Pair()) as net:
        h1 = net["h1"]
        h1.cmd("x=kept")
        net.addHost("h3")
        net.addLink("h3", "s1")
        assert net["h3"].IP() == "10.0.0.3"
        assert net.pingAll() == 0
        assert "10.0.0.3" in h1.cmd("getent hosts h3")
        net.addSwitch("s2")
        net.addLink("s2", "s1")
        net.addHost("h4")
        net.addLink("h4", "s2")
        assert net.pingAll() == 0
        net.delLink("h3", "s1")
        assert net["h3"].intfNames() == []
        assert "h3-eth0" not in net["h3"].cmd("ip -br link")
        net["h1"].cmd("ping -c1 -W1 10.0.0.3")
        assert net["h1"].exit_status == 1
        net.delNode("h3")
        assert "h3" not in net
        assert net.pingAll() == 0
        assert h1.cmd("echo $x") == "kept\n"


@pytest.mark.xdp
@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_a_vnf_is_put_into_a_path_and_taken_out_again(dataplane: str) -> None:
    with Network(builtin_topology("chain", {"dataplane": dataplane})) as net:
        assert net.pingAll() == 0
        with net.change() as topo:
            topo.removeLink("client", "vnf1")
            topo.addVNF("new", "forward", dataplane="xdp")
            topo.addLink("client", "new")
            topo.addLink("new", "vnf1")
        assert net.pingAll() == 0
        assert net["new"].counters()["new-eth0"].rx_packets > 0
        with net.change() as topo:
            topo.removeNode("new")
            topo.addLink("client", "vnf1")
        assert net.pingAll() == 0


@pytest.mark.xdp
def test_a_vnf_goes_on_when_a_neighbour_is_exchanged() -> None:
    with Network(builtin_topology("chain", {"dataplane": "kernel"})) as net:
        before = net["vnf1"].plan
        with net.change() as topo:
            topo.removeNode("client")
            topo.addHost("client", ip="10.0.0.77/8")
            topo.addLink("client", "vnf1", port2=before.interfaces[0].port)
        assert net["vnf1"].plan == before
        assert net.pingAll() == 0


def test_a_mistaken_change_leaves_the_network_as_it_was() -> None:
    with Network(Pair()) as net:
        with pytest.raises(TopologyError, match="nowhere"):
            net.addLink("h1", "nowhere")
        with pytest.raises(TopologyError, match="h1"):
            net.addHost("h1")
        assert [node.name for node in net.nodes] == ["h1", "h2", "s1"]
        assert net.pingAll() == 0


def test_an_empty_network_is_filled_step_by_step() -> None:
    net = Network()
    net.addSwitch("s1")
    net.addHost("h1")
    net.addHost("h2")
    net.addLink("h1", "s1")
    net.addLink("h2", "s1")
    with net:
        assert net.pingAll() == 0


def test_a_mistake_in_the_topology_creates_nothing() -> None:
    topo = Pair()
    topo.addLink("h1", "s9")
    net = Network(topo)
    with pytest.raises(TopologyError, match="s9"):
        net.start()
    assert not net.running
    with pytest.raises(LabError, match="not running"):
        net["h1"]


def test_unknown_nodes_are_named_with_a_suggestion() -> None:
    with Network(Pair()) as net, pytest.raises(UsageError, match=r"h11.*h1"):
        net["h11"]


def test_starting_twice_is_refused_and_stopping_twice_is_not() -> None:
    net = Network(Pair()).start()
    with pytest.raises(UsageError, match="running already"):
        net.start()
    net.stop()
    net.stop()
    with net:
        assert net.pingAll() == 0


def test_iperf_reports_both_ends() -> None:
    with Network(Pair()) as net:
        tcp = net.iperf(seconds=1)
        assert tcp.protocol == "TCP"
        assert tcp.received_bps > 0
        assert tcp.report["end"]
        assert "'end'" not in repr(tcp)
        udp = net.iperf(("h2", "h1"), l4Type="UDP", udpBw="5M", seconds=1)
        assert (udp.source, udp.destination) == ("h2", "h1")
        assert udp.lost_percent is not None
        assert 4e6 < udp.sent_bps < 6e6


def test_iperf_says_what_it_cannot_do() -> None:
    with Network(Pair()) as net:
        with pytest.raises(UsageError, match="SCTP"):
            net.iperf(l4Type="SCTP")
        with pytest.raises(UsageError, match="fast"):
            net.iperf(l4Type="UDP", udpBw="fast")
        with pytest.raises(UsageError, match="whole seconds"):
            net.iperf(seconds=0)
        with pytest.raises(UsageError, match="two hosts"):
            net.iperf(["h1"])


def test_a_name_too_long_for_the_kernel_keeps_its_long_form() -> None:
    long = "a-very-long-name-of-a-host"
    topo = Topo()
    topo.addLink(topo.addHost(long), topo.addHost("h2"))
    with Network(topo) as net:
        assert net.pingAll() == 0
        assert net[long].intfNames() == [f"{long}-eth0"]
        kernel_name = net[long].intfs[0].kernel_name
        assert kernel_name in link_states(net[long].netns)


def test_a_mininet_topology_runs() -> None:
    from mininet.topo import Topo as MininetTopo

    class Theirs(MininetTopo):  # type: ignore[misc]
        def build(self) -> None:
            switch = self.addSwitch("s1")
            self.addLink(self.addHost("h1"), switch)
            self.addLink(self.addHost("h2"), switch)

    with Network(Theirs()) as net:
        assert net["h2"].IP() == "10.0.0.2"
        assert net.pingAll() == 0


def test_more_hosts_than_a_bridge_has_ports_share_one_switch() -> None:
    with Network(builtin_topology("single,1100", {})) as net:
        from emulator.traffic.ping import Endpoint, ping

        ends = [Endpoint(node.name, node.netns, node.IP() or "") for node in net.hosts]
        assert ping(ends, [(0, i) for i in range(1, len(ends))], timeout_s=5).lost_percent == 0


def test_pings_at_the_same_time_do_not_take_each_others_replies() -> None:
    with Network(builtin_topology("single,6", {})) as net, ThreadPoolExecutor(4) as threads:
        down = net["h6"].netns
        set_interface(down, net["h6"].plan.interface("h6-eth0"), up=False)
        matrices = [threads.submit(net.ping, ["h1", "h6"], timeout_s=0.5) for _ in range(2)]
        matrices += [threads.submit(net.ping, ["h1", "h2"], count=20) for _ in range(2)]
        assert [matrix.result().lost_percent for matrix in matrices] == [100, 100, 0, 0]


def test_iperf_without_two_hosts_says_so() -> None:
    with Network() as net:
        net.addHost("h1")
        with pytest.raises(UsageError, match="between two hosts, not 1"):
            net.iperf()


def test_a_lab_that_can_neither_be_changed_nor_put_back_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise LabError("the kernel has no more room")

    with Network(Pair()) as net:
        name = net.id
        with monkeypatch.context() as patch:
            patch.setattr(Fabric, "add_nodes", refuse)
            with pytest.raises(LabError, match="no more room") as error:
                net.addHost("h3")
        assert "the lab has ended" in error.value.hint
        assert not net.running
        with pytest.raises(
            LabError, match="not running any more: a change ended it: .*no more room"
        ):
            net["h1"]
        assert name not in [lab.id for lab in list_labs()]
        assert net.start().ping().lost_percent == 0
