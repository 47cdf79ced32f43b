"""The switch in BPF: the same frames come out of it as of a Linux bridge, and what it adds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from emulator import Topo, labs
from emulator.errors import UsageError
from emulator.kernel.bpf import BpfId
from emulator.match import parse_match
from emulator.network import Network
from emulator.node import Node
from emulator.switches.xdp_switch import SteeringRule, XdpSwitch
from tests.system.switch_frames import BROADCAST, Bench, bench, frame
from tests.system.vnf_lab import wait_until_gone
from tests.system.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.xdp]

HOSTS = ("h1", "h2", "h3", "h4")
A, B, C, NOBODY = (f"02:aa:00:00:00:0{number}" for number in range(1, 5))
MULTICAST = "01:00:5e:00:00:fb"
SLOW_PROTOCOLS, SPANNING_TREE = "01:80:c2:00:00:02", "01:80:c2:00:00:00"
DEADLINE_S = 30.0


class OneSwitch(Topo):
    """Hosts without addresses at one switch, so that nobody says anything by himself."""

    def build(self, kind: str = "xdp", hosts: int = 4, ends: Any = None, **options: Any) -> None:
        switch = self.addSwitch("s1", kind=kind, **options)
        for number in range(1, hosts + 1):
            end = (ends or {}).get(number)
            self.addLink(self.addHost(f"h{number}", ip=None), switch, params2=end)


def switch_of(net: Network) -> XdpSwitch:
    assert net._lab is not None
    switch: XdpSwitch = net._lab._xdp_switches["s1"]  # type: ignore[attr-defined]
    return switch


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(OneSwitch()) as net:
        yield net


@pytest.fixture
def ours(net: Network) -> Iterator[Bench]:
    net["s1"].flush_macs()
    with bench(net, HOSTS) as found:
        yield found


def conversation() -> list[tuple[str, bytes]]:
    """Everything that matters to a switch, and then what chance brings."""
    script = [
        ("h1", frame(B, A, body=b"to somebody unknown")),
        ("h2", frame(A, B, body=b"to somebody known")),
        ("h1", frame(BROADCAST, A)),
        ("h1", frame(MULTICAST, A)),
        ("h3", frame(A, A, body=b"moved, and to himself")),
        ("h2", frame(A, B, body=b"to where he moved")),
        ("h1", frame(A, C)),
        ("h1", frame(C, B, body=b"behind the port that it came from")),
        ("h2", frame(A, B, size=1514)),
        ("h2", frame(A, B, size=14)),
        ("h2", frame(A, B, tag=0x6005, body=b"tags are nothing to it")),
        ("h4", frame(A, "03:aa:00:00:00:01", body=b"from a group")),
        ("h4", frame(A, "00:00:00:00:00:00", body=b"from nobody")),
        ("h4", frame(SLOW_PROTOCOLS, NOBODY)),
        ("h1", frame(NOBODY, A, body=b"who was learnt all the same")),
    ]
    chance = random.Random(7)
    macs = [A, B, C, NOBODY]
    for number in range(60):
        target = chance.choice([*macs, *macs, BROADCAST, MULTICAST])
        body, size = number.to_bytes(4), chance.choice((60, 61, 590, 1514))
        data = frame(target, chance.choice(macs), body=body, size=size)
        script.append((chance.choice(HOSTS), data))
    return script


def test_the_same_frames_come_out_as_of_a_linux_bridge(ours: Bench) -> None:
    with Network(OneSwitch(kind="bridge")) as other, bench(other, HOSTS) as theirs:
        for step, (host, data) in enumerate(conversation()):
            came, expected = ours.send(host, data), theirs.send(host, data)
            assert came == expected, f"step {step}, {data[:40].hex()} from {host}"


def test_who_moves_takes_along_what_flows_to_him(net: Network, ours: Bench) -> None:
    flowing = frame(A, B)
    for where in ("h1", "h3", "h4") * 5:
        ours.send(where, frame(BROADCAST, A))
        for _ in range(3):
            assert ours.send("h2", flowing) == {where: [flowing]}
    net["s1"].flush_macs("s1-eth2")
    assert ours.send("h2", flowing) == {"h4": [flowing]}
    assert B in [each.mac for each in net["s1"].macs()]
    net["s1"].flush_macs()
    assert ours.send("h2", flowing).keys() == {"h1", "h3", "h4"}


def test_it_tells_what_became_of_frames(net: Network, ours: Bench) -> None:
    before = net["s1"].counters()
    ours.send("h1", frame(SPANNING_TREE, A))
    ours.send("h1", frame(A, "03:00:00:00:00:01"))
    ours.send("h1", frame(A, A))
    ours.send("h2", frame(A, A))
    after = net["s1"].counters()

    def more(port: str, name: str) -> int:
        return after[port].own[name] - before[port].own[name]

    assert more("s1-eth1", "reserved") == more("s1-eth1", "malformed") == 1
    assert more("s1-eth1", "same_port") == 1
    assert more("s1-eth2", "moved") == more("s1-eth2", "same_port") == 1
    dropped = after["s1-eth1"].dropped_packets - before["s1-eth1"].dropped_packets
    assert dropped == 3
    # Nobody else sent anything; what came in and was not dropped went out three times.
    came = sum(after[port].rx_packets - before[port].rx_packets for port in after)
    went = sum(after[port].tx_packets - before[port].tx_packets for port in after)
    assert went == 3 * (came - 4)


def test_it_shows_whom_it_knows_and_forgets_when_told(net: Network, ours: Bench) -> None:
    ours.send("h1", frame(BROADCAST, A))
    ours.send("h2", frame(BROADCAST, B))
    known = {each.mac: each for each in net["s1"].macs()}
    assert (known[A].port, known[B].port) == ("s1-eth1", "s1-eth2")
    assert known[A].vlan == 0
    assert known[A].age_s < DEADLINE_S
    net["s1"].flush_macs("s1-eth1")
    assert A not in [each.mac for each in net["s1"].macs()]
    assert B in [each.mac for each in net["s1"].macs()]
    with pytest.raises(UsageError, match="no interface s1-eth9"):
        net["s1"].flush_macs("s1-eth9")
    with pytest.raises(UsageError, match="h1 is a host and has learnt nothing"):
        net["h1"].macs()


def test_another_process_reads_it(net: Network, ours: Bench) -> None:
    ours.send("h3", frame(BROADCAST, C))
    with Network.attach(net.id) as attached:
        assert C in [each.mac for each in attached["s1"].macs()]
        assert attached["s1"].counters()["s1-eth3"].rx_packets > 0
        attached["s1"].flush_macs()
    assert C not in [each.mac for each in net["s1"].macs()]


def test_rules_steer_before_anything_that_was_learnt(net: Network, ours: Bench) -> None:
    switch = switch_of(net)
    ours.send("h2", frame(BROADCAST, B))
    switch.set_port("s1-eth3", learn=False)
    rules = [
        SteeringRule(parse_match("vlan 5", parameter="-"), "s1-eth3", "s1-eth1", "out", learn=True),
        SteeringRule(parse_match("vlan 5", parameter="-"), "s1-eth4", "s1-eth3", "back"),
    ]
    try:
        switch.set_steering(rules)
        steered = frame(B, A, tag=5)
        assert ours.send("h1", steered) == {"h3": [steered]}
        assert ours.send("h3", steered) == {"h4": [steered]}
        assert ours.send("h1", frame(B, A)) == {"h2": [frame(B, A)]}
        assert ours.send("h2", frame(A, B)) == {"h1": [frame(A, B)]}
        counted = {label: each.packets for label, each in switch.steered().items()}
        assert counted == {"out": 1, "back": 1}
        switch.set_steering(rules[:1])
        assert ours.send("h1", steered) == {"h3": [steered]}
        assert {label: each.packets for label, each in switch.steered().items()} == {"out": 2}
        with pytest.raises(UsageError, match="no port s1-eth7"):
            switch.set_steering([SteeringRule(rules[0].match, "s1-eth7")])
        assert ours.send("h1", steered) == {"h3": [steered]}
    finally:
        switch.set_steering([])
        switch.set_port("s1-eth3", learn=True)
    assert ours.send("h1", steered) == {"h2": [steered]}


def test_ports_need_not_take_part(net: Network, ours: Bench) -> None:
    switch = switch_of(net)
    ours.send("h3", frame(BROADCAST, C))
    switch.set_port("s1-eth3", flood=False, learn=False)
    try:
        sent = net["s1"].counters()["s1-eth3"].tx_packets
        with bench(net, ("h1", "h2", "h4")) as others:
            assert others.send("h1", frame(C, A)).keys() == {"h2", "h4"}
        assert net["s1"].counters()["s1-eth3"].tx_packets == sent
    finally:
        switch.set_port("s1-eth3", flood=True, learn=True)
    assert ours.send("h1", frame(C, A)).keys() == {"h2", "h3", "h4"}


def test_vlans_stay_apart_and_tags_come_and_go() -> None:
    ends = {
        1: {"vlan": 10},
        2: {"vlan": 10},
        3: {"vlan": 20},
        4: {"trunk": [10, 20]},
        5: {"trunk": [20], "vlan": 10},
        6: None,
        7: None,
    }
    vlans: dict[str, dict[int, int | None]] = {
        "h1": {10: None},
        "h2": {10: None},
        "h3": {20: None},
        "h4": {10: 10, 20: 20},
        "h5": {20: 20, 10: None},
        "h6": {0: None},
        "h7": {0: None},
    }
    with Network(OneSwitch(hosts=7, ends=ends)) as net, bench(net, vlans) as hosts:

        def reached(vlan: int, sender: str, source: str, priority: int = 0) -> dict[str, Any]:
            tags = {name: theirs[vlan] for name, theirs in vlans.items() if vlan in theirs}
            return {
                name: [frame(BROADCAST, source, tag=tag and tag | priority, size=64 if tag else 60)]
                for name, tag in tags.items()
                if name != sender
            }

        # From every port, to all of its VLAN and nobody else, with the tag that each expects.
        for host, theirs in vlans.items():
            for vlan, tag in theirs.items():
                data = frame(BROADCAST, A, tag=tag, size=64 if tag else 60)
                assert hosts.send(host, data) == reached(vlan, host, A), (host, vlan)
        # Priorities stay while there is a tag; a tag of VLAN 0 has nothing else.
        data = frame(BROADCAST, A, tag=0xA00A, size=64)
        assert hosts.send("h4", data) == reached(10, "h4", A, 0xA000)
        assert hosts.send("h1", frame(BROADCAST, A, tag=0, size=64)) == reached(10, "h1", A)
        # The same address in two VLANs is behind two ports, …
        net["s1"].flush_macs()
        hosts.send("h1", frame(BROADCAST, A))
        hosts.send("h4", frame(BROADCAST, A, tag=20, size=64))
        known = {(each.vlan, each.port) for each in net["s1"].macs() if each.mac == A}
        assert known == {(10, "s1-eth1"), (20, "s1-eth4")}
        # … and frames for it leave by either with or without a tag.
        assert hosts.send("h2", frame(A, B)) == {"h1": [frame(A, B)]}
        assert hosts.send("h4", frame(A, B, tag=10, size=64)) == {"h1": [frame(A, B)]}
        assert hosts.send("h3", frame(A, C)) == {"h4": [frame(A, C, tag=20, size=64)]}
        tagged = frame(A, C, tag=20, size=64)
        assert hosts.send("h5", tagged) == {"h4": [tagged]}
        # What is steered has the tag that frames have at a port of its VLAN, or else its own.
        ways = {"s1-eth1": "s1-eth4", "s1-eth4": "s1-eth2", "s1-eth5": "s1-eth6"}
        match = parse_match(f"dmac {NOBODY}", parameter="-")
        switch_of(net).set_steering([SteeringRule(match, out, come) for come, out in ways.items()])
        bare, tagged = frame(NOBODY, B), frame(NOBODY, B, tag=10, size=64)
        assert hosts.send("h1", bare) == {"h4": [tagged]}
        assert hosts.send("h4", tagged) == {"h2": [bare]}
        tagged = frame(NOBODY, B, tag=20, size=64)
        assert hosts.send("h5", tagged) == {"h6": [tagged]}
        switch_of(net).set_steering([])
        # Frames of VLANs that a port is not in go nowhere.
        before = net["s1"].counters()
        assert hosts.send("h1", frame(BROADCAST, A, tag=20)) == {}
        assert hosts.send("h4", frame(BROADCAST, A, tag=30)) == {}
        assert hosts.send("h4", frame(BROADCAST, A)) == {}
        assert hosts.send("h6", frame(BROADCAST, A, tag=10)) == {}
        after = net["s1"].counters()
        refused = {port: after[port].own["vlan"] - before[port].own["vlan"] for port in after}
        assert {port: count for port, count in refused.items() if count} == {
            "s1-eth1": 1,
            "s1-eth4": 2,
            "s1-eth6": 1,
        }


def test_ports_come_and_go_and_what_is_old_is_forgotten() -> None:
    with Network(OneSwitch(hosts=3, ageing_s=0.5)) as net:
        with bench(net, HOSTS[:3]) as hosts:
            hosts.send("h1", frame(BROADCAST, A))
            until(lambda: A not in [each.mac for each in net["s1"].macs()])
            assert hosts.send("h2", frame(A, B)).keys() == {"h1", "h3"}
        with net.change() as topo:
            topo.removeNode("s1")
            topo.addSwitch("s1", kind="xdp", ageing_s=1000)
            for name in HOSTS[:3]:
                topo.addLink(name, "s1")
        with bench(net, HOSTS[:3]) as hosts:
            hosts.send("h1", frame(BROADCAST, A))
            until(lambda: any(each.mac == A and each.age_s > 1 for each in net["s1"].macs()))
            assert hosts.send("h2", frame(A, B)).keys() == {"h1"}
        with net.change() as topo:
            topo.removeNode("h1")
            for number in range(4, 30):
                topo.addLink(topo.addHost(f"h{number}", ip=None), "s1")
        names = [f"h{number}" for number in range(2, 30)]
        with bench(net, names) as hosts:
            assert hosts.send("h29", frame(A, C)).keys() == set(names) - {"h29"}
        assert net["s1"].counters()["s1-eth29"].own["flooded"] > 0
        net.configLinkStatus("h29", "s1", "down")
        assert "s1-eth29" not in [each.port for each in net["s1"].macs()]
        net.configLinkStatus("h29", "s1", "up")
        for kind in ("bridge", "xdp"):
            with net.change() as topo:
                topo.removeNode("s1")
                topo.addSwitch("s1", kind=kind)
                for name in ("h2", "h3"):
                    topo.addLink(name, "s1")
            with bench(net, ("h2", "h3")) as hosts:
                assert hosts.send("h2", frame(BROADCAST, A)) == {"h3": [frame(BROADCAST, A)]}


class Mixed(Topo):
    """Everything that can be at the far end of a port of an xdp switch."""

    def build(self) -> None:
        first, second = (self.addSwitch(name, kind="xdp") for name in ("s1", "s2"))
        bridge = self.addSwitch("s3")
        self.addLink(self.addHost("h1"), first)
        self.addLink(first, second)
        self.addLink(second, bridge)
        self.addLink(self.addHost("h2"), bridge)
        self.addLink(self.addHost("h3"), second, delay="1ms")
        for plane in ("kernel", "xdp", "afxdp", "packet", "dpdk"):
            vnf = self.addVNF(f"fw-{plane}", "forward", dataplane=plane)
            self.addLink(second, vnf)
            self.addLink(vnf, self.addHost(f"h-{plane}"))


@pytest.mark.dpdk
def test_whatever_is_at_the_far_ends_of_its_ports() -> None:
    with Network(Mixed()) as net:
        lost = net.pingAll(timeout=10)
        assert lost == 0
        servers = [host for host in net.hosts if host.name != "h1"]
        takers = [run(server, RECEIVE) for server in servers]
        senders = [run(net["h1"], SEND, str(server.IP())) for server in servers]
        for server, taker in zip(servers, takers, strict=True):
            told, _ = taker.communicate(timeout=2 * DEADLINE_S)
            assert told.strip() == str(BYTES), server.name
        for sender in senders:
            sender.communicate(timeout=DEADLINE_S)


def run(node: Node, program: str, *arguments: str) -> subprocess.Popen[str]:
    return node.popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )


BYTES = 500_000
RECEIVE = f"""
import socket
with socket.create_server(("", 7)) as server:
    server.settimeout({DEADLINE_S})
    connection, _ = server.accept()
    total = 0
    while data := connection.recv(1 << 16):
        total += len(data)
    print(total)
"""
SEND = f"""
import socket, sys, time
until = time.monotonic() + {DEADLINE_S}
while True:
    try:
        connection = socket.create_connection((sys.argv[1], 7), timeout={DEADLINE_S})
        break
    except OSError:
        if time.monotonic() > until:
            raise
        time.sleep(0.02)
connection.sendall(bytes({BYTES}))
"""

CHILD = """
    import sys, time
    from emulator import Topo
    from emulator.network import Network

    topo = Topo()
    switch = topo.addSwitch("s1", kind="xdp")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), switch)
    net = Network(topo)
    net.start()
    print(*(f"{each.kind} {each.id}" for each in net._lab._xdp_switches.bpf_ids()), sep=",")
    sys.stdout.flush()
    time.sleep(600)
"""


def test_the_kernel_takes_it_back_when_the_emulator_is_killed() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    ids = [each.split() for each in child.stdout.readline().strip().split(",")]
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert len(ids) > 2
    wait_until_gone([BpfId(kind, int(number)) for kind, number in ids])  # type: ignore[arg-type]
    labs.clean()
