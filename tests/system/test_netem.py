"""Links that the kernel impairs: the hop, and what is said where the kernel cannot."""

from __future__ import annotations

import pytest

from emulator import Topo
from emulator.errors import MachineError
from emulator.network import Network

pytestmark = pytest.mark.root


def pair(**impairment: object) -> Topo:
    topo = Topo()
    for name in ("h1", "h2"):
        topo.addHost(name)
    topo.addLink("h1", "h2", mechanism="netem", **impairment)
    return topo


def test_a_rate_holds_on_a_hop_of_its_own_in_both_directions() -> None:
    with Network(pair(rate="20mbit")) as net:
        assert net.pingAll() == 0
        link = net.plan.links[0].id
        before = net._running().wire_counters(link)
        for client, server in (("h1", "h2"), ("h2", "h1")):
            result = net.iperf([client, server], seconds=1)
            assert result.received_bps < 20.5e6
        after = net._running().wire_counters(link)
        assert after.up.out_packets > before.up.out_packets
        assert after.down.out_packets > before.down.out_packets


def test_a_kernel_without_netem_says_so_before_anything_runs() -> None:
    missing = None
    try:
        with Network(pair(delay="20ms")) as net:
            # Where there is netem, frames take as long as was asked.
            assert min(net.ping().rtts_ns["h1", "h2"]) >= 40_000_000
    except MachineError as error:
        missing = error
    if missing is not None:
        assert missing.message == "this kernel has no netem"
        assert "modprobe sch_netem" in missing.hint
