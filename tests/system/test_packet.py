"""VNFs on packet sockets: what is special about those."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from emulator import Network, Topo
from emulator.catalog import Catalog
from emulator.dataplane import PortCounters, RunningVnf, start_vnf
from emulator.kernel.netns import Netns
from tests.system.vnf_lab import VnfLab, frame

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

DEADLINE_S = 10.0
STREAM_BYTES = 4 << 20


@pytest.fixture(autouse=True)
def own_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)


def start(lab: VnfLab, *, idle: str | None = None) -> RunningVnf:
    forward = Catalog.load()["forward"]
    return start_vnf(lab.node("forward", "packet", idle=idle), lab.vnf, forward, lab.site)


def set_mtu(netns: Netns, interface: str, mtu: int) -> None:
    def change() -> None:
        from pyroute2 import IPRoute

        with IPRoute() as routes:
            routes.link("set", index=socket.if_nametoindex(interface), mtu=mtu)

    netns.run(change)


def test_jumbo_frames_pass_both_ways() -> None:
    sizes = (60, 1515, 3600, 9013, 9014)
    with VnfLab(mtu=9000) as lab, start(lab) as vnf:
        frames = [frame(number, size) for number, size in enumerate(sizes)]
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        back = [frame(number, size, reverse=True) for number, size in enumerate(sizes)]
        assert lab.transfer(lab.right, lab.left, back, last=back[-1]) == back
        each = PortCounters(5, sum(sizes), 5, sum(sizes))
        assert vnf.counters() == {"fn-eth0": each, "fn-eth1": each}


def test_frames_longer_than_a_slot_of_the_ring_are_dropped_and_counted(lab: VnfLab) -> None:
    with start(lab) as vnf:
        # The ring was made for the MTU there was.
        set_mtu(lab.vnf, "fn-eth0", 9000)
        set_mtu(lab.left, "eth0", 9000)
        sizes = (60, 4000, 1514, 9014, 9014, 61)
        frames = [frame(number, size) for number, size in enumerate(sizes)]
        fit = [each for each in frames if len(each) <= 1514]
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == fit
        assert vnf.counters() == {
            "fn-eth0": PortCounters(6, sum(sizes), dropped_packets=3),
            "fn-eth1": PortCounters(tx_packets=3, tx_bytes=sum(map(len, fit))),
        }


def test_a_frame_too_long_for_its_way_out_holds_up_no_other(lab: VnfLab) -> None:
    # It sleeps long enough to find all of them at once.
    with start(lab, idle="sleep:50ms") as vnf:
        set_mtu(lab.vnf, "fn-eth1", 600)
        sizes = (60, 1514, 61, 1000, 1001, 614)
        frames = [frame(number, size) for number, size in enumerate(sizes)]
        fit = [each for each in frames if len(each) <= 614]
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == fit
        assert vnf.counters()["fn-eth1"] == PortCounters(
            tx_packets=3, tx_bytes=sum(map(len, fit)), unsent_packets=3
        )


class AfterXdp(Topo):
    """Frames come to the port of ``second`` as its neighbour's XDP program redirects them."""

    def build(self) -> None:
        first = self.addVNF("first", "forward", dataplane="xdp")
        second = self.addVNF("second", "forward", dataplane="packet")
        self.addLink(self.addHost("left"), first)
        self.addLink(first, second)
        self.addLink(second, self.addHost("right"))


def test_tcp_passes_behind_a_vnf_on_xdp() -> None:
    with Network(AfterXdp()) as net:
        listener = net["right"].netns.run(socket.create_server, ("", 7000))
        sender = net["left"].netns.run(socket.socket)
        with listener, sender:
            for each in (listener, sender):
                each.settimeout(DEADLINE_S)
            sender.connect((net["right"].IP(), 7000))
            receiver, _ = listener.accept()
            sending = threading.Thread(target=sender.sendall, args=(bytes(STREAM_BYTES),))
            sending.start()
            with receiver:
                receiver.settimeout(DEADLINE_S)
                left = STREAM_BYTES
                while left:
                    left -= len(receiver.recv(1 << 16))
            sending.join()
        counters = net["second"].counters()["second-eth0"]
        assert counters.rx_bytes > STREAM_BYTES
        assert counters.dropped_packets == 0
