"""Chains in running labs: what matches passes the VNFs, all else does not, whatever the switch."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from emulator import LabError, Network, ProbeSpec, Topo, run_probe

pytestmark = [pytest.mark.root, pytest.mark.xdp]

PORT = 9998
MATCH = f"udp dport {PORT}"
COUNT = 40
DEADLINE_S = 30.0


def steered(kind: str) -> Topo:
    """h1 and h3 at s1, h2 behind it at s2; fw beside s1, nc beside both, one of its links slow.

    Bridges run the spanning tree protocol: it would prefer the way by nc, which was linked first.
    """
    topo = Topo()
    topo.addSwitch("s1", kind=kind, stp=kind == "bridge")
    topo.addSwitch("s2", stp=kind == "bridge")
    topo.addVNF("nc", "count", dataplane="packet")
    topo.addLink("nc", "s1")
    topo.addLink("nc", "s2", delay="5ms")
    topo.addVNF("fw", "count", dataplane="xdp")
    topo.addLink("fw", "s1")
    topo.addLink("fw", "s1")
    topo.addLink("s1", "s2")
    for name, switch in (("h1", "s1"), ("h2", "s2"), ("h3", "s1")):
        topo.addLink(topo.addHost(name), switch)
    topo.addChain("c1", "h1", "h2", ["fw", "nc"], MATCH)
    return topo


@pytest.fixture(scope="module", params=["bridge", "xdp", "ovs"])
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    if request.param == "ovs" and shutil.which("ovs-vswitchd") is None:
        pytest.skip("Open vSwitch is not installed")
    with Network(steered(request.param)) as net:
        assert net.pingAll() == 0
        yield net


@pytest.fixture(autouse=True)
def as_at_first(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to the chains of the lab, the next one finds them as they were."""
    yield
    if "net" in request.fixturenames:
        net: Network = request.getfixturevalue("net")
        for chain in net.chains[1:]:
            net.removeChain(chain.name)
        net.setChain("c1", via=["fw", "nc"], match=MATCH, both_ways=False)


def pass_on(net: Network, source: str, destination: str, port: int, count: int = COUNT) -> None:
    """Send datagrams, and see every one of them arrive."""
    to, through = net[destination], net[source]
    with (
        to.netns.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        through.netns.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("", port))
        receiver.settimeout(DEADLINE_S)
        for number in range(count):
            sender.sendto(number.to_bytes(2), (to.IP(), port))
        found = {int.from_bytes(receiver.recv(100)) for _ in range(count)}
    assert found == set(range(count))


def seen(net: Network, vnf: str) -> int:
    """How many frames a VNF has had to do with so far."""
    ports = net[vnf].stats().ports.values()
    # A bridge tells everybody of the spanning tree, which says nothing of chains.
    return sum(port.rx_packets - port.own["multicast"] for port in ports)


def steered_packets(net: Network, chain: str) -> list[int | None]:
    return [leg.packets for leg in net.chain(chain).counters()]


def test_vnfs_see_exactly_what_matches(net: Network) -> None:
    before = [seen(net, name) for name in ("fw", "nc")]
    counted = steered_packets(net, "c1")
    pass_on(net, "h1", "h2", PORT)
    pass_on(net, "h1", "h2", PORT + 1)  # another port
    pass_on(net, "h3", "h2", PORT)  # from somebody else
    pass_on(net, "h1", "h3", PORT)  # to somebody else
    pass_on(net, "h2", "h1", PORT)  # back
    assert net.pingAll() == 0
    assert [seen(net, name) for name in ("fw", "nc")] == [each + COUNT for each in before]
    now = steered_packets(net, "c1")
    assert now == [(each or 0) + COUNT for each in counted]


def test_a_chain_changes_while_others_lose_nothing(net: Network) -> None:
    """The probe sends to another port; then the chain's own frames are looked at."""
    # A datapath in user space has a short queue where a busy machine makes it wait.
    pace = 200 if net.plan.node("s1").switch.kind == "ovs" else 1000
    spec = ProbeSpec(pace, 1.5, drain_s=1.0)
    results = []
    probe = threading.Thread(target=lambda: results.append(run_probe(net["h1"], net["h2"], spec)))
    probe.start()
    changes = 0
    while probe.is_alive() or changes < 4:
        net.setChain("c1", via=[["nc"], [], ["nc", "fw"], ["fw", "nc"]][changes % 4])
        changes += 1
    probe.join()
    assert results[0].received == results[0].sent > 0
    net.setChain("c1", via=[])
    before = seen(net, "fw"), seen(net, "nc")
    pass_on(net, "h1", "h2", PORT)
    assert (seen(net, "fw"), seen(net, "nc")) == before
    net.setChain("c1", via=["nc"])
    pass_on(net, "h1", "h2", PORT)
    assert (seen(net, "fw"), seen(net, "nc")) == (before[0], before[1] + COUNT)


def test_several_chains_pass_a_vnf_in_both_directions(net: Network) -> None:
    net.setChain("c1", via=["fw"])
    net.addChain("c2", "h3", "h2", ["fw"], both_ways=True)
    before = seen(net, "fw")
    pass_on(net, "h1", "h2", PORT)
    pass_on(net, "h3", "h2", PORT)
    pass_on(net, "h2", "h3", PORT + 1)
    pass_on(net, "h3", "h1", PORT)
    assert seen(net, "fw") == before + 3 * COUNT
    assert steered_packets(net, "c2") == [COUNT] * 4
    net.removeChain("c2")
    pass_on(net, "h3", "h2", PORT)
    assert seen(net, "fw") == before + 3 * COUNT


def test_a_host_can_be_a_member(net: Network) -> None:
    """What a host does with frames of others is its own affair; here it only hears them."""
    net.addChain("c2", "h1", "h2", ["h3"], f"udp dport {PORT + 2}")
    with net["h3"].netns.run(
        socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)
    ) as hears:
        hears.settimeout(DEADLINE_S)
        with net["h1"].netns.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"for h2", (net["h2"].IP(), PORT + 2))
        while not hears.recv(2000).endswith(b"for h2"):
            pass
    assert net.ping([net["h3"], net["h2"]]).lost_percent == 0


def test_another_process_sees_chains_and_cannot_change_them(net: Network) -> None:
    net.setChain("c1", via=["nc"])
    pass_on(net, "h1", "h2", PORT)
    other = Network.attach(net.id)
    try:
        (chain,) = other.chains
        assert chain.via == ("nc",)
        assert [leg.packets for leg in chain.counters()] == steered_packets(net, "c1")
        net.setChain("c1", via=["fw", "nc"])
        assert other.chain("c1").via == ("fw", "nc")
        with pytest.raises(LabError, match="only the process that runs the lab"):
            other.setChain("c1", via=[])
    finally:
        other.stop()


def test_a_member_goes_and_comes_back_with_its_links(net: Network) -> None:
    with net.change() as topo:
        topo.setChain("c1", via=["nc"])
        topo.removeNode("fw")
    pass_on(net, "h1", "h2", PORT)
    with net.change() as topo:
        topo.addVNF("fw", "count", dataplane="xdp")
        topo.addLink("fw", "s1")
        topo.addLink("fw", "s1")
        topo.setChain("c1", via=["fw", "nc"])
    before = seen(net, "nc")
    assert net.pingAll() == 0
    pass_on(net, "h1", "h2", PORT)
    assert (seen(net, "fw"), seen(net, "nc")) == (COUNT, before + COUNT)


def test_open_vswitch_goes_on_steering_when_it_is_started_anew() -> None:
    if shutil.which("ovs-vswitchd") is None:
        pytest.skip("Open vSwitch is not installed")
    topo = Topo()
    topo.addSwitch("s1", kind="ovs")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "s1")
    topo.addVNF("fw", "count", dataplane="xdp")
    topo.addLink("fw", "s1")
    topo.addLink("fw", "s1")
    topo.addChain("c1", "h1", "h2", ["fw"], MATCH)
    with Network(topo) as net:
        net["s1"].cmd("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
        deadline = time.monotonic() + DEADLINE_S
        while net["s1"].failure is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        net.setChain("c1", match=f"{MATCH}; icmp")
        net["s1"].restart()
        assert net.pingAll() == 0
        pings = seen(net, "fw")
        assert pings > 0
        pass_on(net, "h1", "h2", PORT)
        assert seen(net, "fw") == pings + COUNT
