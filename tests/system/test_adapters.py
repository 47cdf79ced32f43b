"""Tools that people know, run between nodes of real labs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulator import MachineError, MeasurementError, Network, Topo, UsageError
from emulator.kernel.rtnl import link_states
from emulator.node import Node
from emulator.traffic.adapters import PathTool, ToolResult, running, tool_named
from emulator.traffic.adapters.iperf3 import Iperf3Spec, udp_limit
from emulator.traffic.adapters.moongen import FOLDER_VARIABLE as MOONGEN
from emulator.traffic.adapters.pmd import forwarding
from emulator.traffic.adapters.trex import FOLDER_VARIABLE as TREX
from tests.leaks import Belongings

pytestmark = pytest.mark.root

NOBODY = "02:ff:ff:ff:ff:ff"
CAPTURED = 200


def needs(*names: str) -> pytest.MarkDecorator:
    reasons = [tool_named(name).why_not() for name in names]
    return pytest.mark.skipif(any(reasons), reason=", ".join(filter(None, reasons)))


class Direct(Topo):
    """client - server"""

    def build(self) -> None:
        self.addLink(self.addHost("client"), self.addHost("server"))


class Losing(Topo):
    """client - VNF that drops every tenth frame - server"""

    def build(self, every: int = 10) -> None:
        vnf = self.addVNF("fn", "drop", dataplane="xdp", every=every)
        for name in ("client", "server"):
            self.addLink(self.addHost(name), vnf)


class Loop(Topo):
    """A generator with both of its interfaces on one link's ends, by way of a switch."""

    def build(self) -> None:
        generator, switch = self.addHost("gen"), self.addSwitch("s1")
        self.addLink(generator, switch)
        self.addLink(generator, switch)


@pytest.fixture(scope="module")
def direct() -> Iterator[Network]:
    with Network(Direct()) as net:
        yield net


def measure(net: Network, name: str, **options: Any) -> ToolResult:
    tool = tool_named(name)
    assert isinstance(tool, PathTool)
    result = tool.measure(net["client"], net["server"], tool.specify(**options))
    assert (result.tool, result.source, result.destination) == (name, "client", "server")
    assert result.version == tool.version()
    return result


def still_running(*programs: str) -> list[str]:
    """Of this run's processes, those of the programs."""
    return [each for each in Belongings.now().processes if any(name in each for name in programs)]


@contextmanager
def link_down(node: Node) -> Iterator[None]:
    """Its first interface is down during the block."""
    name = node.plan.interfaces[0].kernel_name
    subprocess.run(node_ip(node, "link", "set", name, "down"), check=True)
    try:
        yield
    finally:
        subprocess.run(node_ip(node, "link", "set", name, "up"), check=True)


def node_ip(node: Node, *words: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{node.netns.fd}", "ip", *words]


@pytest.fixture
def capture(tmp_path: Path, direct: Network) -> Path:
    """A capture of datagrams to the server, whose frames are addressed to nobody."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    client, server = direct["client"], direct["server"]
    headers = Ether(src=client.MAC(), dst=NOBODY) / IP(src=client.IP(), dst=server.IP())
    path = tmp_path / "frames.pcap"
    wrpcap(
        str(path),
        [headers / UDP(sport=9998, dport=9999) / bytes(18 + n) for n in range(CAPTURED)],
    )
    return path


# iperf3.


def test_iperf3_tcp_says_what_both_ends_had(direct: Network) -> None:
    result = measure(direct, "iperf3", duration_s=1, streams=2)

    assert result.received_bytes is not None
    assert result.sent_bytes is not None
    assert 0 < result.received_bytes <= result.sent_bytes
    assert (result.throughput_bps or 0) > 1e6
    assert result.facts["retransmits"] >= 0


def test_iperf3_udp_goes_at_the_rate_that_is_asked_for(direct: Network) -> None:
    before = link_states(direct["server"].netns)["server-eth0"].rx_packets
    result = measure(
        direct, "iperf3", protocol="UDP", duration_s=2, rate_bps=4e6, length_bytes=1000, streams=2
    )
    arrived = link_states(direct["server"].netns)["server-eth0"].rx_packets - before

    assert result.sent_packets is not None
    assert 0 < result.sent_packets <= 1100
    assert result.received_packets is not None
    # On this link nothing is lost but by iperf3 itself.
    assert result.received_packets <= result.sent_packets <= arrived
    assert result.received_bytes == 1000 * result.received_packets


def test_iperf3_in_reverse_sends_from_the_server(direct: Network) -> None:
    tool = tool_named("iperf3")
    spec = tool.specify(protocol="UDP", duration_s=1, rate_bps=1e6, length_bytes=500, reverse=True)

    result = tool.measure(direct["client"], direct["server"], spec)

    assert (result.source, result.destination) == ("server", "client")
    assert (result.received_packets or 0) > 0


def test_iperf3s_own_limit_is_searched_for(direct: Network) -> None:
    spec = Iperf3Spec(protocol="UDP", duration_s=1, length_bytes=64)

    limit = udp_limit(direct["client"], direct["server"], spec, loss_goal=0.01, most_trials=4)

    assert 1 <= len(limit.trials) <= 4
    assert "-b" in limit.trials[0].command
    assert limit.trials[0].command[limit.trials[0].command.index("-b") + 1] == "0"
    if limit.best is not None:
        assert (limit.best.loss_ratio or 0) <= 0.01
        assert limit.best in limit.trials
    if limit.failed_pps is not None and limit.best is not None:
        assert limit.failed_pps > (limit.best.throughput_pps or 0)


def test_a_port_in_use_is_told_before_anything_starts(direct: Network) -> None:
    server = direct["server"]
    with running.started(server, ["iperf3", "-s", "-p", "5201"], remedy="") as other:
        running.await_port(server, other, "iperf3", 5201, "tcp")
        with pytest.raises(UsageError, match="TCP port 5201 is in use") as caught:
            measure(direct, "iperf3", duration_s=1)
    assert caught.value.where == "server"


# sockperf.


@needs("sockperf")
def test_sockperf_keeps_the_time_of_every_message(direct: Network) -> None:
    result = measure(direct, "sockperf", duration_s=2, rate_mps=200, message_bytes=64)

    assert result.round_trip
    assert result.latency is not None
    assert result.samples_ns is not None
    assert result.sent_ns is not None
    assert len(result.samples_ns) == len(result.sent_ns) == result.received_packets
    assert result.latency.count == result.received_packets
    assert (result.samples_ns > 0).all()
    assert set(result.output) == {"sockperf.txt", "sockperf.csv"}


@needs("sockperf")
def test_sockperf_under_load_over_tcp(direct: Network) -> None:
    result = measure(
        direct,
        "sockperf",
        mode="under-load",
        protocol="TCP",
        duration_s=2,
        rate_mps=1000,
        reply_every=10,
    )

    assert result.protocol == "TCP"
    assert 0 < (result.received_packets or 0) < (result.sent_packets or 0)


@needs("sockperf")
@pytest.mark.xdp
def test_sockperf_over_a_path_that_loses() -> None:
    with Network(Losing()) as net:
        result = measure(net, "sockperf", mode="under-load", duration_s=2, rate_mps=200)
        assert (result.lost_packets or 0) > 0
        # A lost message stops ping-pong for good, and the very first ones are lost here.
        with pytest.raises(MeasurementError, match="no message|No messages"):
            measure(net, "sockperf", duration_s=1, rate_mps=1000)


# ping.


def test_ping_counts_and_times_every_reply(direct: Network) -> None:
    result = measure(direct, "ping", count=50, interval_s=0.005, payload_bytes=18)

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (50, 50, 0)
    assert result.latency is not None
    assert result.latency.count == 50
    assert result.latency.min_ns is not None
    assert result.latency.min_ns > 0


def test_ping_that_ends_when_it_is_woken_up(direct: Network) -> None:
    result = measure(direct, "ping", count=5, interval_s=0.005, wake_up=True)

    assert "-U" in result.command
    assert result.received_packets == 5


@pytest.mark.xdp
def test_ping_over_a_path_that_loses() -> None:
    with Network(Losing()) as net:
        result = measure(net, "ping", count=60, interval_s=0.005, timeout_s=0.5)

    assert result.sent_packets == 60
    assert result.samples_ns is not None
    assert len(result.samples_ns) == result.received_packets
    # A request and its reply pass the VNF, so about every fifth gets none.
    assert 6 <= (result.lost_packets or 0) <= 18


# tcpreplay.


@needs("tcpreplay")
@pytest.mark.parametrize(
    ("pace", "loops"),
    [({"topspeed": True}, 3), ({"rate_pps": 2000}, 1), ({"rate_bps": 5e6}, 1), ({}, 1)],
)
def test_tcpreplay_sends_the_capture(
    direct: Network, capture: Path, pace: dict[str, Any], loops: int
) -> None:
    result = measure(direct, "tcpreplay", capture=capture, loops=loops, **pace)

    assert result.sent_packets == CAPTURED * loops
    assert (result.received_packets or 0) >= CAPTURED * loops
    assert result.lost_packets == 0
    assert result.sent_bytes == loops * sum(60 + number for number in range(CAPTURED))
    assert result.command[-1] == str(capture)


@needs("tcpreplay")
def test_tcpreplay_stops_where_it_is_told_to(direct: Network, capture: Path) -> None:
    assert measure(direct, "tcpreplay", capture=capture, most_packets=7).sent_packets == 7


@needs("tcpreplay")
@pytest.mark.parametrize("rewrite", [False, True])
def test_frames_reach_a_socket_once_their_addresses_lead_there(
    direct: Network, capture: Path, rewrite: bool
) -> None:
    def listen() -> socket.socket:
        receiver = socket.socket(type=socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("0.0.0.0", 9999))
        receiver.settimeout(0.2)
        return receiver

    with direct["server"].netns.run(listen) as receiver:
        result = measure(direct, "tcpreplay", capture=capture, rate_pps=5000, rewrite_macs=rewrite)
        taken = 0
        try:
            while receiver.recv(2048):
                taken += 1
        except TimeoutError:
            pass
    assert result.sent_packets == CAPTURED
    assert taken == (CAPTURED if rewrite else 0)


@needs("tcpreplay")
@pytest.mark.parametrize("rewrite", [False, True])
def test_what_is_no_capture_is_told(direct: Network, tmp_path: Path, rewrite: bool) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no frames in here\n")

    with pytest.raises(MeasurementError, match="pcap file") as caught:
        measure(direct, "tcpreplay", capture=text, rewrite_macs=rewrite)

    assert "pcap or pcapng" in caught.value.hint


@needs("tcpreplay")
@pytest.mark.xdp
def test_tcpreplay_over_a_path_that_loses(capture: Path) -> None:
    with Network(Losing()) as net:
        result = measure(net, "tcpreplay", capture=capture, rate_pps=2000, loops=5)

    assert result.sent_packets == 5 * CAPTURED
    assert result.lost_packets == pytest.approx(5 * CAPTURED / 10, abs=5)


# testpmd.


@pytest.mark.dpdk
@pytest.mark.xdp
def test_testpmd_says_what_it_has_forwarded() -> None:
    topo = Topo()
    vnf = topo.addVNF("pmd", "testpmd", dataplane="dpdk")
    for name in ("client", "server"):
        topo.addLink(topo.addHost(name), vnf)
    with Network(topo) as net:
        with forwarding(net["pmd"]) as statistics:
            with pytest.raises(MeasurementError, match="after the with block"):
                statistics.result()
            pinged = measure(net, "ping", count=20, interval_s=0.01)
        result = statistics.result()
        assert pinged.lost_packets == 0
        # At least the requests and the replies; each goes on.
        assert (result.received_packets or 0) >= 40
        assert result.sent_packets == result.received_packets
        assert result.lost_packets == 0
        assert result.version == tool_named("testpmd").version()
        assert "testpmd" in result.command[0]
        assert len(result.facts["ports"]) == 2
        quiet = tool_named("testpmd")
        counted = quiet.measure(net["pmd"], quiet.specify(duration_s=0.2))
        assert counted.duration_s >= 0.2
        with pytest.raises(UsageError, match="no testpmd"):
            quiet.measure(net["client"])
        net["pmd"].stop_vnf()
        with pytest.raises(MeasurementError, match="does not run"):
            quiet.measure(net["pmd"])


# TRex and MoonGen: what stands in for them answers as their documentation says.

TREX_SERVER = """#!/bin/sh
exec python3 -c '
import socket
listening = socket.create_server(("127.0.0.1", 4501))
while True:
    listening.accept()
'
"""
TREX_INTERFACE = """
import json, socket

class Layers(str):
    def __truediv__(self, other):
        return Layers(f"{self}/{other}")

def Ether(): return Layers("ether")
def IP(**_): return Layers("ip")
def UDP(**_): return Layers("udp")
def STLPktBuilder(pkt): return pkt
def STLTXCont(**rate): return rate
def STLFlowLatencyStats(pg_id): return pg_id
def STLStream(**stream): return stream

class STLClient:
    def connect(self): socket.create_connection(("127.0.0.1", 4501)).close()
    def reset(self, ports): assert ports == [0, 1]
    def add_streams(self, streams, ports): self.streams = streams
    def clear_stats(self): pass
    def start(self, ports, mult, duration, force): self.duration = duration
    def wait_on_traffic(self, ports): pass
    def disconnect(self): pass
    def get_stats(self):
        pps = sum(stream["mode"]["pps"] for stream in self.streams)
        sent = round(pps * self.duration)
        unknown = object()
        return {
            0: {"opackets": sent, "ipackets": 0, "obytes": 60 * sent, "ibytes": 0},
            1: {"opackets": 0, "ipackets": sent - 1, "obytes": 0, "ibytes": 60 * sent},
            "latency": {5: {"err_cntrs": {}, "latency": {
                "total_min": unknown, "average": 20, "total_max": 30, "histogram": {}}}},
        }
"""
MOONGEN_PROGRAM = """#!/bin/sh
test -r "$1" || exit 0
test -r "${2#--dpdk-config=}" || exit 0
for file in "$@"; do :; done
{
    echo Time,Device,Direction,PacketRate,Mbit,MbitWithFraming,TotalPackets,TotalBytes
    echo 1480000001,id=0,TX,0.1,51.2,67.2,1000,64000
    echo 1480000001,id=1,RX,0.1,51.2,67.2,990,63360
} >"$file"
"""


def put(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if executable else 0o644)


@pytest.fixture
def trex_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    interface = tmp_path / "automation/trex_control_plane/interactive/trex"
    put(tmp_path / "t-rex-64", TREX_SERVER, executable=True)
    put(interface / "__init__.py", "")
    put(interface / "stl/__init__.py", "")
    put(interface / "stl/api.py", TREX_INTERFACE)
    monkeypatch.setenv(TREX, str(tmp_path))
    return tmp_path


def test_trex_is_started_driven_and_ended(trex_folder: Path) -> None:
    tool = tool_named("trex")
    with Network(Loop()) as net:
        spec = tool.specify(rate_pps=10_000, latency_pps=100, duration_s=2)
        result = tool.measure(net["gen"], spec)
        assert still_running("4501") == []

    assert (result.sent_packets, result.lost_packets) == (20_200, 1)
    assert result.latency is not None
    assert result.latency.min_ns is None
    assert result.latency.max_ns == 30_000
    assert result.source == result.destination == "gen"


def test_trex_that_fails_is_quoted(trex_folder: Path) -> None:
    api = trex_folder / "automation/trex_control_plane/interactive/trex/stl/api.py"
    api.write_text("raise SystemExit('not the version that you wanted')\n")

    with Network(Loop()) as net, pytest.raises(MeasurementError, match="not the version"):
        tool_named("trex").measure(net["gen"])


def test_moongen_is_given_a_script_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "build/MoonGen", MOONGEN_PROGRAM, executable=True)
    monkeypatch.setenv(MOONGEN, str(tmp_path))
    tool = tool_named("moongen")

    with Network(Loop()) as net:
        result = tool.measure(net["gen"], tool.specify(duration_s=1))

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (1000, 990, 10)
    assert result.sent_bytes == 60_000


def test_moongen_that_tells_nothing_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "build/MoonGen", "#!/bin/sh\necho no devices found\n", executable=True)
    monkeypatch.setenv(MOONGEN, str(tmp_path))

    with Network(Loop()) as net, pytest.raises(MeasurementError, match="no devices found"):
        tool_named("moongen").measure(net["gen"])


# What goes wrong with all of them.

PATH_TOOLS: dict[str, dict[str, Any]] = {
    "iperf3": {"duration_s": 30},
    "sockperf": {"duration_s": 30},
    "ping": {"count": 1000, "interval_s": 0.1},
    "tcpreplay": {"rate_pps": 1, "timeout_s": 60},
}


@pytest.fixture(params=PATH_TOOLS)
def attempt(
    request: pytest.FixtureRequest, direct: Network, capture: Path
) -> tuple[str, Callable[[], ToolResult]]:
    """A tool's name, and a measurement by it that takes half a minute or longer."""
    name: str = request.param
    if tool_named(name).why_not():
        pytest.skip(tool_named(name).why_not())
    options = {**PATH_TOOLS[name], **({"capture": capture} if name == "tcpreplay" else {})}
    return name, lambda: measure(direct, name, **options)


def test_a_path_that_is_down_is_told_before_anything_starts(
    direct: Network, attempt: tuple[str, Callable[[], ToolResult]]
) -> None:
    with link_down(direct["server"]), pytest.raises(MeasurementError) as caught:
        attempt[1]()
    assert "down" in str(caught.value) or "no answer" in str(caught.value)


def test_a_tool_sends_from_one_node_to_another(direct: Network) -> None:
    tool = tool_named("ping")
    with pytest.raises(UsageError, match="one node to another"):
        tool.measure(direct["client"], direct["client"])


def test_a_tool_that_is_missing_is_told_with_its_package(
    direct: Network,
    attempt: tuple[str, Callable[[], ToolResult]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name, start = attempt
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=f"there is no {name}") as caught:
        start()
    assert caught.value.hint.startswith("apt-get install")


SENDING = {
    "iperf3": "iperf3 --json -c",
    "sockperf": "sockperf ping-pong",
    "ping": "ping -n -D",
    "tcpreplay": "tcpreplay --intf1",
}


def test_nothing_of_a_tool_runs_on_after_ctrl_c(
    attempt: tuple[str, Callable[[], ToolResult]], alarm_as_ctrl_c: None
) -> None:
    name, start = attempt
    seen: list[bool] = []

    def interrupt_while_it_sends() -> None:
        deadline = time.monotonic() + 25
        while not still_running(SENDING[name]) and time.monotonic() < deadline:
            time.sleep(0.02)
        seen.append(bool(still_running(SENDING[name])))
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGALRM)

    interrupting = threading.Thread(target=interrupt_while_it_sends)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        start()
    interrupting.join()
    assert seen == [True]
    assert_gone(name)


def test_nothing_of_a_tool_runs_on_after_its_time(
    direct: Network, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool_named("tcpreplay").why_not():
        pytest.skip(tool_named("tcpreplay").why_not())
    monkeypatch.setattr(running, "SPARE_S", 0.1)
    with pytest.raises(MeasurementError, match="tcpreplay did not end"):
        measure(direct, "tcpreplay", capture=capture, rate_pps=1, timeout_s=0.5)
    assert_gone("tcpreplay")


def assert_gone(name: str) -> None:
    deadline = time.monotonic() + 20
    while still_running(name):
        assert time.monotonic() < deadline, still_running(name)
        time.sleep(0.01)
