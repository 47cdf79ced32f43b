"""The probe on real paths: every packet is accounted for, whatever the path does to it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator import LabError, MachineError, MeasurementError, Network, Topo, UsageError
from emulator.kernel.bpf import attach_xdp
from emulator.kernel.rtnl import LinkState, link_states
from emulator.labs import clean
from emulator.measure.cost import cost_of
from emulator.measure.goals import goal_named
from emulator.measure.latency import summarise
from emulator.measure.search import search_throughput
from emulator.measure.throughput import Trial
from emulator.traffic import native
from emulator.traffic.probe import Mechanism, ProbeResult, ProbeSpec, run_probe
from tests.leaks import Belongings

pytestmark = [pytest.mark.root, pytest.mark.xdp]

ROOT = Path(__file__).resolve().parents[2]
MECHANISMS: tuple[Mechanism, ...] = ("kernel", "app")
both_mechanisms = pytest.mark.parametrize("mechanism", MECHANISMS)


class Direct(Topo):
    """client - server"""

    def build(self, mtu: int = 1500) -> None:
        self.addLink(self.addHost("client"), self.addHost("server"), mtu=mtu)


class Switched(Topo):
    """client - s1 - server"""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name in ("client", "server"):
            self.addLink(self.addHost(name), switch)


class Routed(Topo):
    """client - router - server, in two networks"""

    def build(self) -> None:
        router = self.addRouter("router", ip="10.0.1.254/24")
        client = self.addHost("client", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        server = self.addHost("server", ip="10.0.2.1/24", defaultRoute="via 10.0.2.254")
        self.addLink(client, router)
        self.addLink(server, router, params2={"ip": "10.0.2.254/24"})


class Dropping(Topo):
    """client - VNF that drops every n-th frame - server"""

    def build(self, every: int = 10) -> None:
        vnf = self.addVNF("fn", "drop", dataplane="xdp", every=every)
        for name in ("client", "server"):
            self.addLink(self.addHost(name), vnf)


class Meddled(Topo):
    """client - a host without addresses, for a program that meddles with frames - server"""

    def build(self) -> None:
        middle = self.addHost("middle", ip=None)
        for name in ("client", "server"):
            self.addLink(self.addHost(name), middle)


@pytest.fixture(scope="module")
def direct() -> Iterator[Network]:
    with Network(Direct()) as net:
        yield net


@pytest.fixture(scope="module")
def switched() -> Iterator[Network]:
    with Network(Switched()) as net:
        yield net


def probe(net: Network, rate_pps: float | None, duration_s: float, **more: Any) -> ProbeResult:
    result = run_probe(net["client"], net["server"], ProbeSpec(rate_pps, duration_s, **more))
    check_consistency(result)
    return result


def check_consistency(result: ProbeResult) -> None:
    """What holds of every trial, on every path."""
    assert result.received + result.lost == result.sent
    if result.spec.rate_pps is not None:
        assert result.sent + result.unsent == result.spec.places
    assert result.damaged == 0
    if result.sent_ns is None:
        return
    sent, received = result.sent_ns, result.received_ns
    intended, copies, arrival = result.intended_ns, result.copies, result.arrival
    assert received is not None
    assert intended is not None
    assert copies is not None
    assert arrival is not None
    assert np.count_nonzero(sent) == result.sent
    assert np.count_nonzero(received) == result.received
    assert np.count_nonzero(received[sent == 0]) == 0
    assert np.all(sent[sent != 0] >= intended[sent != 0])
    assert int(copies.sum()) == result.received + result.duplicated
    assert sorted(arrival[received != 0]) == list(range(result.received))
    assert len(result.latency_ns()) == result.received
    assert np.all(result.latency_ns() > 0)


@both_mechanisms
def test_a_direct_link_loses_nothing_and_every_packet_is_recorded(
    direct: Network, mechanism: Mechanism
) -> None:
    result = probe(direct, 10_000, 0.2, mechanism=mechanism)
    assert result.sent > 0
    assert (result.lost, result.duplicated, result.reordered) == (0, 0, 0)
    assert (result.source, result.destination) == ("client", "server")
    assert result.reflected is None
    assert summarise(result).count == result.received


@both_mechanisms
def test_arrays_lie_in_the_memory_the_probe_wrote_to(direct: Network, mechanism: Mechanism) -> None:
    result = probe(direct, 1000, 0.05, mechanism=mechanism)
    for array in (result.sent_ns, result.received_ns, result.copies, result.arrival):
        assert array is not None
        assert not array.flags.owndata


@both_mechanisms
def test_without_records_only_counts_are_kept(direct: Network, mechanism: Mechanism) -> None:
    result = probe(direct, 10_000, 0.1, mechanism=mechanism, record=False)
    assert result.received == result.sent > 0
    assert result.received_ns is None
    assert result.intended_ns is None
    with pytest.raises(UsageError, match="kept no times"):
        result.latency_ns()


@both_mechanisms
@pytest.mark.parametrize("record", [True, False])
def test_without_a_rate_it_sends_as_fast_as_it_can(
    direct: Network, mechanism: Mechanism, record: bool
) -> None:
    result = probe(direct, None, 0.05, mechanism=mechanism, record=record)
    assert result.sent > 0
    assert result.offered_pps > 0
    assert result.cpu_ns > 0
    assert cost_of(result).cpu_ns_per_packet > 0


@both_mechanisms
@pytest.mark.parametrize("size", [64, 65, 1518])
def test_frames_have_the_size_asked_for(direct: Network, mechanism: Mechanism, size: int) -> None:
    def received_bytes() -> int:
        return link_states(direct["server"].netns)["server-eth0"].rx_bytes

    before = received_bytes()
    result = probe(direct, 1000, 0.05, mechanism=mechanism, frame_size_bytes=size)
    assert result.received == result.sent
    # A veth carries frames without check sequence, and ARP may be under way too.
    assert 0 <= received_bytes() - before - result.received * (size - 4) < 1000


@both_mechanisms
@pytest.mark.parametrize("size", [64, 65, 1518])
def test_frames_have_that_size_at_full_speed_too(
    direct: Network, mechanism: Mechanism, size: int
) -> None:
    def received() -> LinkState:
        return link_states(direct["server"].netns)["server-eth0"]

    before = received()
    probe(direct, None, 0.05, mechanism=mechanism, frame_size_bytes=size)
    after = received()
    mean_bytes = (after.rx_bytes - before.rx_bytes) / (after.rx_packets - before.rx_packets)
    # ARP may be under way too.
    assert mean_bytes == pytest.approx(size - 4, abs=1)


@both_mechanisms
def test_a_round_trip_passes_the_reflector_on_its_way(
    direct: Network, mechanism: Mechanism
) -> None:
    result = probe(direct, 5000, 0.1, mechanism=mechanism, round_trip=True)
    assert result.received == result.sent == result.reflected
    assert result.reflected_ns is not None
    assert result.received_ns is not None
    assert result.intended_ns is not None
    arrived = result.received_ns != 0
    assert np.all(result.reflected_ns[arrived] > result.intended_ns[arrived])
    assert np.all(result.received_ns[arrived] > result.reflected_ns[arrived])


@both_mechanisms
@pytest.mark.parametrize("round_trip", [False, True])
def test_a_switch_on_the_way_carries_the_probe(
    switched: Network, mechanism: Mechanism, round_trip: bool
) -> None:
    result = probe(switched, 2000, 0.1, mechanism=mechanism, round_trip=round_trip)
    assert result.received == result.sent > 0


def test_what_a_slow_receiver_loses_is_no_loss_of_the_path(direct: Network) -> None:
    class Client:
        """The client, whose sending begins when the receiver has been stopped for a while."""

        def __init__(self) -> None:
            self.node = direct["client"]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.node, name)

        def popen(self, args: list[str], **options: Any) -> subprocess.Popen[Any]:
            receivers[0].send_signal(signal.SIGSTOP)
            threading.Timer(0.3, lambda: receivers[0].send_signal(signal.SIGCONT)).start()
            return self.node.popen(args, **options)

    class Server(Client):
        def __init__(self) -> None:
            self.node = direct["server"]

        def popen(self, args: list[str], **options: Any) -> subprocess.Popen[Any]:
            receivers.append(self.node.popen(args, **options))
            return receivers[0]

    receivers: list[subprocess.Popen[Any]] = []
    spec = ProbeSpec(None, 0.2, mechanism="app", record=False, drain_s=1.0)
    result = run_probe(Client(), Server(), spec)
    assert result.overrun == result.lost > 0


@both_mechanisms
# Python itself leaves a file to the garbage collector when the Ctrl-C comes between open and with.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_at_any_moment_takes_everything_off_the_links(mechanism: Mechanism) -> None:
    chance = random.Random(1)
    spec = ProbeSpec(1000, 0.01, mechanism=mechanism, drain_s=0.01)
    with Network(Direct()) as net:
        for _ in range(30):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, 0.08))
                for _ in range(20):
                    run_probe(net["client"], net["server"], spec)
        assert run_probe(net["client"], net["server"], spec).received > 0
        assert "prog/" not in net["server"].cmd("ip link show server-eth0")


@both_mechanisms
def test_the_links_are_left_as_they_were(switched: Network, mechanism: Mechanism) -> None:
    client = switched["client"]
    ends = [(client.netns, "client-eth0"), client.far_end("client-eth0")]

    def offloads() -> list[str]:
        return [
            netns.run(subprocess.check_output, ["ethtool", "-k", name], text=True)
            for netns, name in ends
        ]

    before = offloads()
    probe(switched, 1000, 0.05, mechanism=mechanism, round_trip=True)
    assert offloads() == before


@both_mechanisms
@pytest.mark.parametrize("round_trip", [False, True])
def test_the_first_router_on_the_way_is_the_next_hop(
    mechanism: Mechanism, round_trip: bool
) -> None:
    with Network(Routed()) as net:
        result = probe(net, 1000, 0.1, mechanism=mechanism, round_trip=round_trip)
        assert result.received == result.sent > 0


@both_mechanisms
def test_what_a_vnf_drops_is_lost_at_the_right_places(mechanism: Mechanism) -> None:
    with Network(Dropping(every=10)) as net:
        result = probe(net, 5000, 0.2, mechanism=mechanism)
    assert result.sent_ns is not None
    assert result.received_ns is not None
    was_lost = (result.received_ns == 0)[result.sent_ns != 0]
    places = np.flatnonzero(was_lost)
    assert abs(result.lost - result.sent / 10) < 1
    assert np.all(np.diff(places) == 10)


@both_mechanisms
@pytest.mark.parametrize("round_trip", [False, True])
def test_a_receiver_that_hears_nothing_ends(mechanism: Mechanism, round_trip: bool) -> None:
    with Network(Dropping(every=1)) as net:
        client, server = net["client"], net["server"]
        client.cmd(f"ip neigh add {server.IP()} lladdr {server.MAC()} dev client-eth0")
        result = probe(net, 1000, 0.05, mechanism=mechanism, round_trip=round_trip, drain_s=0.05)
        assert (result.received, result.lost) == (0, result.sent)
        assert result.sent > 0
        assert summarise(result).p50_ns is None
        with pytest.raises(MeasurementError, match="no packet arrived"):
            cost_of(result)


MEDDLER = textwrap.dedent(
    """
    # Forward between two interfaces; double one of the probe's packets, and swap another two.
    import select, socket, sys

    left, right = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2))
    for side, name in ((left, "middle-eth0"), (right, "middle-eth1")):
        side.bind((name, 3))
    sys.stdout.write("ready")
    sys.stdout.flush()
    held, swapped, doubled = None, False, False
    while True:
        for side in select.select([left, right], [], [])[0]:
            frame, (_, _, kind, _, _) = side.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING:
                continue
            other = right if side is left else left
            is_probe = frame[12:14] == b"\\x08\\x00" and frame[36:38] == (9999).to_bytes(2, "big")
            number = int.from_bytes(frame[46:50], "little") if is_probe else -1
            if number >= 30 and not swapped:
                held, swapped = frame, True
                continue
            other.send(frame)
            if number >= 10 and not doubled:
                other.send(frame)
                doubled = True
            if held and is_probe:
                other.send(held)
                held = None
    """
)


@both_mechanisms
@pytest.mark.parametrize("record", [True, False])
def test_copies_and_changed_order_are_noticed(mechanism: Mechanism, record: bool) -> None:
    with Network(Meddled()) as net:
        meddler = net["middle"].popen([sys.executable, "-c", MEDDLER], stdout=subprocess.PIPE)
        with meddler:
            assert meddler.stdout is not None
            assert meddler.stdout.read(5) == b"ready"
            result = probe(net, 500, 0.2, mechanism=mechanism, record=record)
            meddler.kill()
    assert (result.lost, result.duplicated, result.reordered) == (0, 1, 1)
    if result.copies is None or result.arrival is None or result.sent_ns is None:
        return
    sent = result.sent_ns != 0
    (doubled,) = np.flatnonzero(result.copies == 2)
    assert doubled >= 10
    # The second of the two came first, so the order of arrival steps back once, by one.
    steps = np.diff(result.arrival[sent].astype(int))
    assert np.count_nonzero(steps == -1) == 1
    assert np.count_nonzero(steps != 1) == 3


@both_mechanisms
def test_large_frames_need_links_that_carry_them(mechanism: Mechanism) -> None:
    with Network(Direct(mtu=9000)) as net:
        size = {"kernel": 3300, "app": 9018}[mechanism]
        result = probe(net, 500, 0.05, mechanism=mechanism, frame_size_bytes=size)
        assert result.received == result.sent > 0


def test_a_frame_larger_than_the_mtu_is_refused(direct: Network) -> None:
    with pytest.raises(UsageError, match="the MTU of 1500 allows 1518"):
        probe(direct, 1000, 0.1, frame_size_bytes=1519)


def test_a_node_cannot_be_probed_from_itself(direct: Network) -> None:
    client = direct["client"]
    with pytest.raises(UsageError, match="from one node to another"):
        run_probe(client, client, ProbeSpec(1000, 0.1))


@both_mechanisms
def test_a_core_that_does_not_exist_is_refused(direct: Network, mechanism: Mechanism) -> None:
    with pytest.raises(UsageError, match="core 1000"):
        probe(direct, 1000, 0.1, mechanism=mechanism, core=1000)


@both_mechanisms
def test_a_core_can_be_asked_for(direct: Network, mechanism: Mechanism) -> None:
    assert probe(direct, 1000, 0.05, mechanism=mechanism, core=0).received > 0


def test_an_interface_with_a_program_of_its_own_is_refused(direct: Network) -> None:
    server = direct["server"]
    with native.open_bpf("recorder.bpf.o") as program:
        program.load()
        with (
            attach_xdp(program.program("record"), "server-eth0", server.netns),
            pytest.raises(LabError, match="already attached"),
        ):
            probe(direct, 1000, 0.1)


def test_a_destination_without_address_is_refused() -> None:
    with Network(Meddled()) as net, pytest.raises(MeasurementError, match="no IPv4 address"):
        run_probe(net["client"], net["middle"], ProbeSpec(1000, 0.1))


def test_a_path_on_which_nobody_answers_is_told() -> None:
    with Network(Meddled()) as net, pytest.raises(MeasurementError, match=r"no answer from"):
        probe(net, 1000, 0.1)


def test_a_path_without_route_is_told(switched: Network) -> None:
    client = switched["client"]
    client.cmd("ip route del 10.0.0.0/8")
    with pytest.raises(MeasurementError, match="no route to server"):
        probe(switched, 1000, 0.1)
    client.cmd("ip route add 10.0.0.0/8 dev client-eth0 src 10.0.0.1")


def test_a_link_that_is_down_is_told(switched: Network) -> None:
    switched.configLinkStatus("server", "s1", "down")
    with pytest.raises(MeasurementError, match="the link is down"):
        probe(switched, 1000, 0.1)
    switched.configLinkStatus("server", "s1", "up")
    assert probe(switched, 1000, 0.05).received > 0


def test_a_search_ends_with_a_throughput(direct: Network) -> None:
    def measure(rate_pps: float | None, duration_s: float) -> Trial:
        return Trial.of(probe(direct, rate_pps, duration_s, record=False))

    result = search_throughput(measure, [goal_named("quick")], max_s=4.0)
    (found,) = result.goals
    assert found.throughput_pps is None or found.throughput_pps > 0
    assert result.trials
    assert result.trials_s <= result.elapsed_s


LONG_PROBE = textwrap.dedent(
    """
    import sys
    from emulator import Network
    from emulator.traffic.probe import ProbeSpec, run_probe
    from tests.system.test_probe import Direct

    with Network(Direct()) as net:
        sys.stdout.write("ready")
        sys.stdout.flush()
        run_probe(net["client"], net["server"], ProbeSpec(1000, 600.0, mechanism=sys.argv[1]))
    """
)


@both_mechanisms
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_probe_ends_with_the_emulator(mechanism: Mechanism, number: signal.Signals) -> None:
    """What is left behind is checked for after every system test."""
    before = Belongings.now().lab_records
    with subprocess.Popen(
        [sys.executable, "-c", LONG_PROBE, mechanism],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdout.read(5) == b"ready"
        deadline = time.monotonic() + 10
        while not any("vnf-probe" in name for name in Belongings.now().processes):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        emulator.send_signal(number)
        assert emulator.wait(20) != 0
    # A child that it was just starting has the lab's lock until it runs its program.
    while Belongings.now().lab_records - before:
        assert time.monotonic() < deadline + 30
        clean()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native parts, built to stop at the first wrong access to memory."""
    folder = tmp_path_factory.mktemp("native")
    subprocess.run(
        ["make", "--silent", "-C", ROOT / "emulator/native", f"SANITIZED={folder}", "sanitize"],
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    return folder


@both_mechanisms
@pytest.mark.parametrize("rate_pps", [1000, None])
def test_the_native_parts_make_no_wrong_access(
    direct: Network,
    sanitized: Path,
    monkeypatch: pytest.MonkeyPatch,
    mechanism: Mechanism,
    rate_pps: float | None,
) -> None:
    monkeypatch.setattr(native, "native_dir", lambda: sanitized)
    # What the program still holds when it ends, the kernel takes back.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    result = probe(direct, rate_pps, 0.05, mechanism=mechanism, round_trip=True)
    assert result.sent > 0


def test_native_parts_of_another_version_are_refused(
    direct: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    with pytest.raises(MeasurementError, match="without a report") as caught:
        probe(direct, 1000, 0.1)
    assert "build the native parts again" in caught.value.hint


def test_native_parts_that_are_not_built_are_told(
    direct: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native, "native_dir", lambda: tmp_path)
    with pytest.raises(MachineError, match="not built"):
        probe(direct, 1000, 0.1)
