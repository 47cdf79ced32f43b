"""Frames that VNFs make longer, on links: a veth leaves room behind a frame only by chance."""

from __future__ import annotations

import os

import pytest
from scapy.all import IP, UDP, Ether, Raw

from emulator.catalog import Catalog
from emulator.dataplane import start_vnf
from tests.system.vnf_lab import LEFT_MAC, RIGHT_MAC, VnfLab

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

RECORD_BYTES = 24


def datagram(length: int) -> bytes:
    payload = Raw(bytes(number % 251 for number in range(length)))
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=9999) / payload
    return bytes(Ether(src=LEFT_MAC, dst=RIGHT_MAC) / packet)


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
@pytest.mark.parametrize(("mtu", "longest", "step"), [(1500, 1448, 23), (9000, 8948, 811)])
def test_a_frame_of_any_length_can_grow(dataplane: str, mtu: int, longest: int, step: int) -> None:
    lengths = [*range(18, longest, step), longest]
    frames = [datagram(length) for length in lengths]
    with VnfLab(mtu=mtu) as lab:
        node = lab.node("telemetry", dataplane)
        with start_vnf(node, lab.vnf, Catalog.load()["telemetry"], lab.site) as vnf:
            last = Ether(src=LEFT_MAC, dst=RIGHT_MAC, type=0x88B5) / Raw(bytes(46))
            frames.append(bytes(last))
            arrived = lab.transfer(lab.left, lab.right, frames, last=frames[-1])
            assert vnf.counters()["fn-eth0"].own["stamped"] == len(lengths)
    assert [len(frame) for frame in arrived[:-1]] == [len(f) + RECORD_BYTES for f in frames[:-1]]
    for before, after in zip(frames[:-1], arrived[:-1], strict=True):
        grown = Ether(after)
        assert bytes(grown[UDP].payload)[:-RECORD_BYTES] == before[42:]
        sums = grown[IP].chksum, grown[UDP].chksum
        del grown[IP].chksum, grown[UDP].chksum
        again = Ether(bytes(grown))
        assert (again[IP].chksum, again[UDP].chksum) == sums
