"""What impaired links do to frames, as far as no noise of the machine can change it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from emulator import MachineError, Network, ProbeSpec, Topo, run_probe
from emulator.doctor import diagnose
from emulator.wire.model import DELIVERED, Stream
from tests.system.raw_port import RawPort, any_frame, ports

pytestmark = pytest.mark.root

MS = 1_000_000
_SO_RCVBUFFORCE = 33
COUNT = 400


def pair(**options: Any) -> Topo:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **options)
    return topo


@contextmanager
def sender_and_receiver(**options: Any) -> Iterator[tuple[Network, RawPort, RawPort]]:
    with Network(pair(**options)) as net, ExitStack() as stack:
        yield (net, *ports(net["h1"], net["h2"], stack))


def arrived(count: int = COUNT, *, back: bool = False, **options: Any) -> list[int]:
    """The numbers of the frames that arrive, of so many from h1 to h2."""
    with sender_and_receiver(**options) as (_, h1, h2):
        source, target = (h2, h1) if back else (h1, h2)
        source.send(target, range(count))
        return [seen.number for seen in target.receive()]


def test_no_frame_is_early() -> None:
    with sender_and_receiver(delay=("20ms", "5ms"), jitter="1ms") as (_, h1, h2):
        h1.send(h2, range(50), gap_s=0.002)
        there = h2.receive()
        h2.send(h1, range(50), gap_s=0.002)
        back = h1.receive()
    assert len(there) == len(back) == 50
    assert min(seen.received_ns - seen.sent_ns for seen in there) >= 19 * MS
    assert min(seen.received_ns - seen.sent_ns for seen in back) >= 4 * MS


def test_frames_of_a_list_are_lost_and_no_others() -> None:
    assert arrived(10, drop=([0, 3, 7], [1])) == [1, 2, 4, 5, 6, 8, 9]
    assert arrived(5, drop=([0, 3, 7], [1]), back=True) == [0, 2, 3, 4]


def test_the_same_seed_loses_the_same_frames_and_another_one_others() -> None:
    first = arrived(loss="20%", seed=7)
    assert first == arrived(loss="20%", seed=7, delay="1ms")
    assert first != arrived(loss="20%", seed=8)
    assert first != arrived(loss="20%", seed=7, back=True)
    assert 0 < len(first) < COUNT


def test_the_model_tells_which_frames_are_lost() -> None:
    options = {"loss_model": "gemodel(p=5%, r=20%)", "duplicate": "3%", "delay": "1ms"}
    with sender_and_receiver(**options) as (net, h1, h2):
        h1.send(h2, range(COUNT))
        found = [seen.number for seen in h2.receive()]
        plan = net.link("h1", "h2").plan.up
        counters = net.link("h1", "h2").counters().up
    assert plan is not None
    told = Stream(plan).decide(np.arange(COUNT, dtype=np.uint64) * MS, 60)
    fates = np.asarray(told.fate)
    wanted = [n for n in range(COUNT) for _ in range(1 + int(told.copy_due_ns[n] > 0))]
    assert found == [n for n in wanted if fates[n] == DELIVERED]
    assert counters.lost_packets == int((fates != DELIVERED).sum())
    assert (
        counters.out_packets
        == len(found)
        == counters.in_packets + (counters.duplicated_packets - counters.lost_packets)
    )


def test_no_more_comes_through_than_the_rate_allows() -> None:
    count, size, rate_bps = 100, 1514, 10_000_000
    with sender_and_receiver(rate="10mbit", queue="1000p") as (_, h1, h2):
        h1.send(h2, range(count), size=size)
        seen = h2.receive()
    assert len(seen) == count
    took_ns = seen[-1].received_ns - seen[0].sent_ns
    assert took_ns >= count * (size + 24) * 8 / rate_bps * 1e9


def test_what_a_full_queue_has_no_room_for_is_dropped() -> None:
    with sender_and_receiver(rate="1mbit", queue="10p") as (net, h1, h2):
        h1.send(h2, range(30), size=1514)
        numbers = [seen.number for seen in h2.receive()]
        counters = net.link("h1", "h2").counters().up
    assert counters.overflow_packets == 30 - len(numbers) > 0
    assert numbers[:11] == list(range(11))


def test_jitter_keeps_the_order_unless_it_need_not() -> None:
    options = {"delay": "20ms", "jitter": "10ms", "distribution": "normal", "floor": "0ms"}
    assert arrived(**options) == list(range(COUNT))
    mixed = arrived(**options, keep_order=False)
    assert mixed != sorted(mixed) == list(range(COUNT))


def test_corruption_flips_one_bit_and_checksums_notice() -> None:
    with Network(pair(corrupt=("100%", "0%"))) as net:
        with RawPort(net["h1"]) as h1, any_frame(net["h2"]) as h2:
            frame = h2.mac + h1.mac + b"\x88\xb5" + bytes(46)
            for _ in range(50):
                h1.send_bytes(frame)
            seen = [each.data for each in h2.receive()]
        net["h1"].cmd("arp -s 10.0.0.2 02:00:0a:00:00:02")
        net["h1"].cmd("ping -c3 -W1 -i0.2 10.0.0.2")
        status = net["h1"].exit_status
    assert len(seen) == 50
    sent = int.from_bytes(frame)
    assert {(int.from_bytes(each) ^ sent).bit_count() for each in seen} == {1}
    assert status != 0


def test_tcp_crosses_with_its_checksums() -> None:
    with Network(pair(delay="1ms", jitter="500us")) as net:
        assert net.iperf(seconds=1).received_bps > 1e6
        link = net.link("h1", "h2")
        # Each segment is a frame of its own to what impairs the link.
        counters = link.counters().up
        assert counters.in_bytes / counters.in_packets <= 1514


def test_udp_and_ipv6_cross() -> None:
    with Network(pair(delay="1ms"), ipv6=True) as net:
        assert net.pingAll() == 0
        address = net.plan.node("h2").interfaces[0].ipv6
        assert address is not None
        net["h1"].cmd(f"ping -6 -c2 -W2 {address.partition('/')[0]}")
        assert net["h1"].exit_status == 0
        assert net.iperf(l4Type="UDP", udpBw="1M", seconds=1).received_bps > 0


def test_large_frames_cross_where_the_link_takes_them() -> None:
    with Network(pair(delay="1ms", mtu=9000)) as net:
        net["h1"].cmd("ping -c1 -W2 -M do -s 8972 10.0.0.2")
        assert net["h1"].exit_status == 0


def test_vlan_tags_survive() -> None:
    with ExitStack() as stack:
        net = stack.enter_context(Network(pair(delay="1ms")))
        h1, h2 = (stack.enter_context(any_frame(net[name])) for name in ("h1", "h2"))
        h1.send_bytes(h2.mac + h1.mac + b"\x81\x00\x20\x05\x88\xb5" + bytes(46))
        data, tag = h2.receive_tagged()
    assert tag == 0x2005
    assert data[12:14] == b"\x88\xb5"


def test_a_full_queue_marks_where_ecn_is_spoken() -> None:
    options = {"rate": "5mbit", "aqm": "codel(target=1ms, interval=10ms)", "ecn": True}
    with Network(pair(**options)) as net:
        # While an address is being asked for, only so many packets wait for it.
        assert net.pingAll() == 0
        sender, receiver = (
            net[name].netns.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
            for name in ("h1", "h2")
        )
        with sender, receiver:
            receiver.bind(("10.0.0.2", 9999))
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
            receiver.settimeout(5)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 2)
            for _ in range(200):
                sender.sendto(bytes(1000), ("10.0.0.2", 9999))
            marks = []
            while len(marks) < 200:
                _, ((_, _, tos),), _, _ = receiver.recvmsg(2048, 64)
                marks.append(tos[0] & 3)
        counters = net.link("h1", "h2").counters().up
    assert marks.count(3) == counters.marked_packets > 0
    assert counters.aqm_packets == 0


def test_switches_learn_and_agree_on_a_tree_across_impaired_links() -> None:
    topo = Topo()
    for name in ("s1", "s2", "s3"):
        topo.addSwitch(name, stp=True)
        topo.addLink(topo.addHost(f"h{name[1]}"), name)
    for a, b in (("s1", "s2"), ("s2", "s3"), ("s3", "s1")):
        topo.addLink(a, b, delay="2ms")
    with Network(topo) as net:
        assert net.pingAll() == 0


@pytest.mark.xdp
@pytest.mark.parametrize(
    "dataplane",
    ["kernel", "xdp", "afxdp", pytest.param("dpdk", marks=pytest.mark.dpdk), "packet", "python"],
)
def test_a_link_is_the_same_for_vnfs_of_every_data_plane(dataplane: str) -> None:
    topo = Topo()
    client, server = topo.addHost("client"), topo.addHost("server")
    for name in ("a", "b"):
        topo.addVNF(name, "forward", dataplane=dataplane)
    topo.addLink(client, "a")
    topo.addLink("a", "b", delay="5ms", drop=([30, 31, 35], []))
    topo.addLink("b", server, delay="1ms")
    with Network(topo) as net, ExitStack() as stack:
        source, target = ports(net["client"], net["server"], stack)
        source.send(target, range(60), gap_s=0.001)
        seen = target.receive()
        before = net.link("a", "b").counters().up.in_packets
        assert net.pingAll(timeout=3) == 0
        assert net.iperf(seconds=1).received_bps > 1e5
    assert before == 60
    assert [each.number for each in seen] == [n for n in range(60) if n not in (30, 31, 35)]
    assert min(each.received_ns - each.sent_ns for each in seen) >= 6 * MS


@pytest.mark.docker
@pytest.mark.xdp
def test_a_vnf_in_a_container_has_impaired_links() -> None:
    topo = Topo()
    client, server = topo.addHost("client"), topo.addHost("server")
    topo.addVNF("fw", "forward", dataplane="packet", runtime="docker")
    topo.addLink(client, "fw", delay="2ms")
    topo.addLink("fw", server, loss="0%", delay="2ms")
    with Network(topo) as net:
        assert net.pingAll(timeout=3) == 0
        assert net.link("client", "fw").counters().up.out_packets > 0


def test_a_mechanism_that_the_machine_lacks_is_an_error_before_the_start() -> None:
    net = Network(pair(delay="1ms", mechanism="netem"))
    (netem,) = (check for check in diagnose() if check.name == "netem")
    if netem.status == "works":
        with net:
            assert net.pingAll() == 0
    else:
        with pytest.raises(MachineError, match="netem"):
            net.start()
        assert not net.running


def test_many_links_are_impaired_by_one_process() -> None:
    topo = Topo()
    switch = topo.addSwitch("s1")
    for number in range(1, 31):
        topo.addLink(topo.addHost(f"h{number}"), switch, delay="1ms")
    with Network(topo) as net:
        hosts = net.hosts
        results: list[float] = []
        threads = [
            threading.Thread(
                target=lambda some=hosts[i : i + 10]: results.append(net.ping(some).lost_percent)
            )
            for i in (0, 10, 20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0, 0, 0]


@pytest.mark.xdp
@pytest.mark.parametrize("mechanism", ["kernel", "app"])
@pytest.mark.parametrize("at_home", [True, False])
def test_the_probe_measures_across_impaired_links(mechanism: Any, at_home: bool) -> None:
    with ExitStack() as stack:
        net = stack.enter_context(Network(pair(delay="20ms", loss=("10%", None))))
        if not at_home:
            net = stack.enter_context(Network.attach(net.id))
        spec = ProbeSpec(1000, 0.5, mechanism=mechanism)
        result = run_probe(net["h1"], net["h2"], spec)
    assert 0 < result.received < result.sent
    latency = result.latency_ns()
    assert latency.min() >= 20 * MS
