"""Telemetry on real paths: where the delay of packets comes from, on every data plane."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emulator import LabError, Network, Topo, UsageError
from emulator.catalog import Catalog
from emulator.dataplane import start_vnf
from emulator.dataplane.taps import Passage, StampTable
from emulator.kernel.bpf import BpfObject, xdp_state
from emulator.kernel.clang import compile_bpf
from emulator.kernel.netns import Netns
from emulator.kernel.tc import Direction, Mechanism, attach_tc
from emulator.measure.hop_split import CLOCK_TOLERANCE_NS, HopSplit
from emulator.measure.hop_taps import HopTaps, probe_hops, telemetry_cost
from emulator.traffic.probe import ProbeSpec, run_probe
from tests.system.vnf_lab import VnfLab, still_there

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SUM_ERROR_NS = 1_000
"""By how much the segments' sum may differ from the delay at most."""
DEADLINE_S = 20.0
SPEC = ProbeSpec(1000, 0.3)
PAUSE_NS = 50_000
SLOW = """
#include "vnf.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u64 begun_ns = vnf_now_ns(ctx);
    for (int i = 0; i < 8000; i++)
        if (vnf_now_ns(ctx) - begun_ns >= 50000)
            break;
    return VNF_FORWARD(vnf_peer(port));
}
"""
SLOW_MANIFEST = """
name = "slow"
summary = "takes its time"
ports = 2

[dataplanes.xdp]
[dataplanes.packet]
[dataplanes.afxdp]
"""


class Chain(Topo):
    """client - VNFs - server; a VNF is written plane, or plane:driver"""

    def build(self, *planes: str, vnf: str = "forward") -> None:
        before = self.addHost("client")
        for number, plane in enumerate(planes, start=1):
            name, _, driver = plane.partition(":")
            more = {"driver": driver} if driver else {}
            before = self._link(before, self.addVNF(f"f{number}", vnf, dataplane=name, **more))
        self._link(before, self.addHost("server"))

    def _link(self, before: str, name: str) -> str:
        self.addLink(before, name)
        return name


class Impaired(Topo):
    """client - s1 - 1 ms - fw - server"""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        vnf = self.addVNF("fw", "forward", dataplane="xdp")
        self.addLink(self.addHost("client"), switch)
        self.addLink(switch, vnf, delay="1ms")
        self.addLink(vnf, self.addHost("server"))


class Routed(Topo):
    """client - router - server, in two networks"""

    def build(self) -> None:
        router = self.addRouter("router", ip="10.0.1.254/24")
        client = self.addHost("client", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        server = self.addHost("server", ip="10.0.2.1/24", defaultRoute="via 10.0.2.254")
        self.addLink(client, router)
        self.addLink(server, router, params2={"ip": "10.0.2.254/24"})


@pytest.fixture(scope="module")
def chain() -> Iterator[Network]:
    with Network(Chain("xdp", "packet")) as net:
        yield net


@pytest.fixture
def slow(tmp_path: Path) -> Catalog:
    folder = tmp_path / "vnfs" / "slow"
    folder.mkdir(parents=True)
    (folder / "vnf.c").write_text(SLOW)
    (folder / "vnf.toml").write_text(SLOW_MANIFEST)
    return Catalog.load([folder.parent])


def split(net: Network, spec: ProbeSpec = SPEC) -> HopSplit:
    """A trial with telemetry, in which whatever arrived could be split."""
    trial = probe_hops(net, "client", "server", spec)
    found = trial.split
    assert found.packets == found.received == trial.result.received > 0
    assert found.worst_sum_error_ns <= SUM_ERROR_NS
    assert found.times_ns.min() >= -CLOCK_TOLERANCE_NS
    assert np.array_equal(found.delay_ns, trial.result.latency_ns())
    return found


def names(found: HopSplit) -> list[str]:
    return [segment.name for segment in found.segments]


def least_ns(found: HopSplit) -> dict[str, int]:
    """The shortest time that any packet spent in each segment."""
    return dict(zip(names(found), found.times_ns.min(axis=1).tolist(), strict=True))


@pytest.mark.parametrize(
    ("plane", "inside"),
    [
        ("kernel", ["client → f1 (link)", "f1 kernel"]),
        ("xdp", ["client → f1 (link)", "f1 xdp"]),
        ("afxdp", ["client → f1 (link)", "f1 queue", "f1 afxdp"]),
        ("packet", ["client → f1 (link)", "f1 queue", "f1 packet"]),
        ("python:packet", ["client → f1 (link)", "f1 queue", "f1 python"]),
        ("python:afxdp", ["client → f1 (link)", "f1 queue", "f1 python"]),
        pytest.param(
            "dpdk:af_xdp",
            ["client → f1 (link)", "f1 queue", "f1 dpdk"],
            marks=pytest.mark.dpdk,
        ),
        pytest.param(
            "dpdk:af_packet",
            ["client → f1 (link and queue)", "f1 dpdk"],
            marks=pytest.mark.dpdk,
        ),
    ],
)
def test_the_delay_is_split_on_every_data_plane(plane: str, inside: list[str]) -> None:
    with Network(Chain(plane, "xdp")) as net:
        found = split(net)
        rest = ["f1 → f2 (link)", "f2 xdp", "f2 → server (link)"]
        assert names(found) == ["client generator", *inside, *rest]
        assert not found.unnoted
        app = split(net, ProbeSpec(1000, 0.2, mechanism="app"))
        assert names(app)[-1] == "f2 → server (link and receiver)"


@pytest.mark.dpdk
def test_a_memif_link_and_a_borrowed_program_are_told_apart_as_far_as_they_tell() -> None:
    class Borrowed(Topo):
        def build(self) -> None:
            nodes = [self.addHost("client")]
            nodes += [self.addVNF(name, "forward", dataplane="dpdk") for name in ("a", "b")]
            nodes += [self.addVNF("tp", "testpmd", dataplane="dpdk"), self.addHost("server")]
            for number, (near, far) in enumerate(pairwise(nodes)):
                self.addLink(near, far, **({"kind": "memif"} if number == 1 else {}))

    with Network(Borrowed()) as net:
        assert names(split(net))[2:] == [
            "a queue",
            "a dpdk",
            "a → b (link and queue)",
            "b dpdk",
            "b → tp (link)",
            "tp → server (link and tp)",
        ]


def test_a_millisecond_of_a_link_is_found_in_that_link() -> None:
    with Network(Impaired()) as net:
        found = least_ns(split(net))
    assert found.pop("s1 → fw (impaired link)") >= 1_000_000
    assert max(found.values()) < 1_000_000
    assert list(found)[2] == "s1 bridge"


@pytest.mark.parametrize("plane", ["xdp", "packet", "afxdp"])
def test_a_slow_vnf_is_found_in_the_time_of_that_vnf(slow: Catalog, plane: str) -> None:
    class Planted(Topo):
        def build(self) -> None:
            client, server = self.addHost("client"), self.addHost("server")
            before = self.addVNF("before", "forward", dataplane="xdp")
            vnf = self.addVNF("culprit", "slow", dataplane=plane)
            for near, far in ((client, before), (before, vnf), (vnf, server)):
                self.addLink(near, far)

    with Network(Planted(), catalog=slow) as net:
        found = least_ns(split(net))
    assert found.pop(f"culprit {plane}") >= PAUSE_NS
    assert max(found.values()) < PAUSE_NS


def test_a_router_and_a_way_back_are_split_too() -> None:
    with Network(Routed()) as net:
        assert names(split(net))[1:] == [
            "client → router (link)",
            "router routing",
            "router → server (link)",
        ]
        back = probe_hops(net, "server", "client", SPEC).split
        assert back.packets == back.received > 0
        assert names(back)[1] == "server → router (link)"


def test_with_nothing_between_two_hosts_there_is_the_link() -> None:
    with Network(Chain()) as net:
        assert names(split(net)) == ["client generator", "client → server (link)"]


def test_what_a_vnf_makes_unreadable_joins_segments() -> None:
    with Network(Chain("xdp", "xdp", vnf="xor")) as net:
        found = split(net)
        assert [str(point) for point in found.unnoted] == ["arrived at f2"]
        assert names(found)[2:] == ["f1 xdp", "f1 → f2 (link and f2)", "f2 → server (link)"]


def test_only_packets_of_the_flow_are_noted(chain: Network) -> None:
    ends = chain["client"], chain["server"]
    with HopTaps.attach(chain, *ends, SPEC) as taps:
        other = run_probe(*ends, SPEC, flow=taps.flow ^ 1)
        found = taps.split(other)
        assert other.received > 0
        assert len(found.unnoted) == len(taps.points) - 3
        mine = taps.split(run_probe(*ends, SPEC, flow=taps.flow))
        assert mine.packets == mine.received > 0


def test_afterwards_everything_is_as_before(chain: Network) -> None:
    vnf = chain["f1"].vnf
    assert vnf is not None
    ids = vnf.bpf_ids()
    before = xdp_state("f1-eth0", chain["f1"].netns)
    counted = vnf.counters()["f1-eth0"].rx_packets
    with HopTaps.attach(chain, "client", "server", SPEC) as taps:
        assert xdp_state("f1-eth0", chain["f1"].netns).program_id != before.program_id
        result = run_probe(chain["client"], chain["server"], SPEC, flow=taps.flow)
    assert xdp_state("f1-eth0", chain["f1"].netns) == before
    assert still_there(ids) == ids
    # The program that noted packets counted them where the other one does.
    assert vnf.counters()["f1-eth0"].rx_packets - counted >= result.sent
    assert taps.split(result).packets == result.received > 0
    table = taps._table.times_ns.copy()
    run_probe(chain["client"], chain["server"], SPEC, flow=taps.flow)
    assert np.array_equal(taps._table.times_ns, table)


def test_another_process_splits_a_lab_that_it_has_not_started(chain: Network) -> None:
    attached = Network.attach(chain.id)
    try:
        found = split(attached)
        assert "f1 xdp" in names(found)
        assert "f2 queue" in names(found)
    finally:
        attached.stop()


def test_two_cannot_tap_a_process_at_once(chain: Network) -> None:
    with (
        HopTaps.attach(chain, "client", "server", SPEC),
        pytest.raises(LabError, match="f2: the VNF refuses a request"),
    ):
        HopTaps.attach(chain, "client", "server", SPEC)
    split(chain)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ProbeSpec(1000, 0.1, round_trip=True), "a round trip cannot be split"),
        (ProbeSpec(1000, 0.1, record=False), "without records"),
        (ProbeSpec(1_000_000, 40), "too many to note"),
    ],
)
def test_what_cannot_be_split_is_refused(chain: Network, spec: ProbeSpec, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        HopTaps.attach(chain, "client", "server", spec)


@pytest.mark.parametrize("plane", ["xdp", "packet", "afxdp"])
def test_a_node_that_is_restarted_meanwhile_is_no_trouble(plane: str) -> None:
    with Network(Chain(plane)) as net:
        with HopTaps.attach(net, "client", "server", SPEC) as taps:
            net["f1"].restart()
            result = run_probe(net["client"], net["server"], SPEC, flow=taps.flow)
            assert taps.split(result).unnoted
        split(net)


def test_a_vnf_that_has_died_is_named() -> None:
    with Network(Chain("packet")) as net:
        vnf = net["f1"].vnf
        assert vnf is not None
        assert vnf.pid is not None
        os.kill(vnf.pid, signal.SIGKILL)
        deadline = time.monotonic() + DEADLINE_S
        while net["f1"].failure is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(LabError, match="f1: .*signal"):
            HopTaps.attach(net, "client", "server", SPEC)


def test_a_vnf_whose_source_has_changed_is_not_measured_as_another(slow: Catalog) -> None:
    with Network(Chain("xdp", vnf="slow"), catalog=slow) as net:
        source = slow["slow"].folder / "vnf.c"
        source.write_text(SLOW.replace("50000", "60000"))
        with pytest.raises(LabError, match="f1: vnf.c of its VNF has changed") as raised:
            HopTaps.attach(net, "client", "server", SPEC)
        assert raised.value.hint == "restart the node"
        net["f1"].restart()
        split(net)


@pytest.mark.parametrize(
    "vnf", [name for name in Catalog.load() if "xdp" in Catalog.load()[name].dataplanes]
)
def test_every_vnf_that_ships_can_be_tapped(vnf: str) -> None:
    manifest = Catalog.load()[vnf]
    ports = 2 if manifest.ports.allow(2) else manifest.ports.min
    with VnfLab(ports=max(2, ports)) as lab:
        node = lab.node(vnf, "xdp")
        # Some VNFs want addresses.
        interfaces = [
            each.model_copy(update={"ipv4": f"10.0.{each.port}.1/24"}) for each in node.interfaces
        ]
        node = node.model_copy(update={"interfaces": tuple(interfaces)})
        with (
            start_vnf(node, lab.vnf, manifest, lab.site) as running,
            StampTable(2, 10, 1) as table,
            Passage(node, lab.vnf, running, 0, 1).tap(table, {"arrived": 0, "sent": 1}),
        ):
            assert running.failure() is None


def test_what_telemetry_costs_is_measured(chain: Network) -> None:
    cost = telemetry_cost(chain, "client", "server", SPEC, rounds=1, fastest_s=0.05)
    assert cost.pps_without
    assert cost.pps_with
    text = str(cost)
    assert "kpps without" in text
    if cost.p50_with_ns is not None and cost.p50_without_ns is not None:
        assert "µs with" in text
    alone = telemetry_cost(chain, "client", "server", SPEC, rounds=1, fastest_s=None)
    assert (alone.pps_without, alone.pps_with) == (None, None)


@pytest.mark.parametrize("mechanism", ["tcx", "clsact"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_program_at_the_stack_leaves_nothing_behind(
    tmp_path: Path, mechanism: Mechanism, direction: Direction
) -> None:
    source = tmp_path / "watch.bpf.c"
    source.write_text(
        """
        #include <linux/bpf.h>
        #include <linux/pkt_cls.h>
        #include <bpf/bpf_helpers.h>
        __u64 seen;
        SEC("tc") int watch(struct __sk_buff *skb) {
            __sync_fetch_and_add(&seen, 1);
            return TC_ACT_UNSPEC;
        }
        char granted[] SEC("license") = "GPL";
        """
    )

    def qdiscs(netns: Netns) -> list[str]:
        from pyroute2 import IPRoute

        def read() -> list[str]:
            with IPRoute() as routes:
                return [each.get_attr("TCA_KIND") for each in routes.get_qdiscs()]

        return netns.run(read)

    with Network(Chain("kernel")) as net, BpfObject(compile_bpf(source)) as bpf:
        bpf.load()
        netns = net["f1"].netns
        port = "f1-eth0" if direction == "ingress" else "f1-eth1"
        before = qdiscs(netns)
        program = bpf.program("watch")
        seen = bpf.global_view("seen").cast("B").cast("Q")
        with attach_tc(program, port, netns, direction, mechanism=mechanism):
            result = run_probe(net["client"], net["server"], SPEC)
            assert seen[0] >= result.received > 0
            assert ("clsact" in qdiscs(netns)) == (mechanism == "clsact")
        assert qdiscs(netns) == before
        counted = seen[0]
        run_probe(net["client"], net["server"], SPEC)
        assert seen[0] == counted
        with pytest.raises(LabError, match="no such interface"):
            attach_tc(program, "nowhere", netns, direction, mechanism=mechanism)


@pytest.mark.docker
@pytest.mark.parametrize("plane", ["packet", "afxdp"])
def test_a_vnf_in_a_container_tells_as_well(plane: str) -> None:
    class Enclosed(Topo):
        def build(self) -> None:
            vnf = self.addVNF("f1", "forward", dataplane=plane, runtime="docker")
            for name in ("client", "server"):
                self.addLink(self.addHost(name), vnf)

    with Network(Enclosed()) as net:
        assert names(split(net))[2:4] == ["f1 queue", f"f1 {plane}"]
