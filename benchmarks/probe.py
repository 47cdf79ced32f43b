"""The probe by itself on a direct link, beside two generators that people use."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator.errors import MachineError, MeasurementError, UsageError
from emulator.kernel.rtnl import Rtnl
from emulator.measure.latency import summarise
from emulator.network import Network
from emulator.node import Node
from emulator.topofile import load_topology
from emulator.traffic.native import udp_frame
from emulator.traffic.probe import Mechanism, ProbeSpec, run_probe

_DURATION_S = 1.5
_LATENCY_RATE_PPS = 10_000.0
_FRAME_BYTES = 60
"""A 64-byte frame without its frame check sequence, as a veth carries it."""

_PAYLOAD_BYTES = 18
_CAPTURED_PACKETS = 1000
_NOBODY = "02:ff:ff:ff:ff:ff"
_LOOK_S = 0.02
_STEADY_S = 0.2
_END_WITHIN_S = 10.0
_IPERF_PORT = "5001"
_LISTEN_STATE = "0A"


def probe(session: Session) -> list[Row]:
    """The probe alone on a direct link, 64-byte frames."""
    found: dict[str, list[float]] = {}
    latencies: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Network(load_topology("chain", {"dataplane": "none"})) as net,
    ):
        client, server = net["client"], net["server"]
        capture = Path(folder) / "packets.pcap"
        _write_capture(capture, client, server)
        senders: dict[str, Callable[[], object]] = {
            "kernel": lambda: _saturate(client, server, "kernel"),
            "app": lambda: _saturate(client, server, "app"),
            "tcpreplay": lambda: _tcpreplay(client, capture),
            "iperf3 -u": lambda: _iperf3(client, server),
        }
        for number in session.rounds():
            for name, send in senders.items():
                session.step(number, f"{name} as fast as it can")
                found.setdefault(name, []).append(arrival_rate_pps(server, send) / 1e6)
            session.step(number, "latency")
            spec = ProbeSpec(_LATENCY_RATE_PPS, _DURATION_S)
            p50_ns = summarise(run_probe(client, server, spec)).p50_ns
            if p50_ns is None:
                raise MeasurementError("too few packets arrived", where="client → server")
            latencies.append(p50_ns / 1e3)
    session.note("packets counted by the receiving interface, for every sender alike")
    session.note(
        f"latency at {_LATENCY_RATE_PPS:.0f} packets/s; tcpreplay sends to a MAC address that is "
        "nobody's, which the receiver drops soonest"
    )
    rows = [Row("kernel: one-way p50", "µs", Series.of(latencies), target=Target(at_most=1))]
    rows += [
        Row(
            f"{ours}: packets per second",
            "Mpps",
            Series.of(found[ours]),
            Series.of(found[peer]),
            peer,
            Target(at_least=at_least, ratio=2),
            more_is_better=True,
        )
        for ours, at_least in (("kernel", 4.0), ("app", 0.5))
        for peer in ("tcpreplay", "iperf3 -u")
    ]
    return rows


def _saturate(client: Node, server: Node, mechanism: Mechanism) -> None:
    run_probe(client, server, ProbeSpec(None, _DURATION_S, mechanism=mechanism, record=False))


def _tcpreplay(client: Node, capture: Path) -> None:
    interface = client.plan.interfaces[0].kernel_name
    options = ["--quiet", "--topspeed", "--preload-pcap", "--no-flow-stats", "--loop=0"]
    command = ["tcpreplay", *options, f"--duration={_DURATION_S + 0.5:.0f}"]
    with _running(client, [*command, f"--intf1={interface}", str(capture)]) as process:
        _finish(process, "tcpreplay")


def _iperf3(client: Node, server: Node) -> None:
    address = server.IP()
    assert address is not None
    with _running(server, ["iperf3", "-s", "-1", "-p", _IPERF_PORT]) as receiver:
        _await_listener(server, receiver)
        command = ["iperf3", "-u", "-c", address, "-p", _IPERF_PORT, "-b", "0"]
        command += ["-l", str(_PAYLOAD_BYTES), "-t", f"{_DURATION_S:g}"]
        with _running(client, command) as sender:
            _finish(sender, "iperf3")


def arrival_rate_pps(server: Node, send: Callable[[], object]) -> float:
    """The rate at which packets arrive while ``send`` sends, its beginning and end left out.

    Raises:
        MeasurementError: they arrived for too short a time.
    """
    samples: list[tuple[float, int]] = []
    over = threading.Event()
    interface = server.plan.interfaces[0].kernel_name

    def watch() -> None:
        with Rtnl.inside(server.netns) as rtnl:
            while not over.wait(_LOOK_S):
                (state,) = (state for state in rtnl.links() if state.name == interface)
                samples.append((time.monotonic(), state.rx_packets))

    watcher = threading.Thread(target=watch, name="arrivals")
    watcher.start()
    try:
        send()
    finally:
        over.set()
        watcher.join()
    return _steady_rate_pps(samples)


def _steady_rate_pps(samples: list[tuple[float, int]]) -> float:
    # What is not the generator's own, such as ARP or iperf3's control connection, is a trickle.
    flowing = [later[0] for earlier, later in pairwise(samples) if later[1] - earlier[1] > 100]
    steady = [
        sample
        for sample in samples
        if flowing and flowing[0] + _STEADY_S <= sample[0] <= flowing[-1] - _STEADY_S
    ]
    if len(steady) < 2:
        raise MeasurementError("packets arrived for too short a time to tell their rate")
    (began, before), (ended, after) = steady[0], steady[-1]
    return (after - before) / (ended - began)


def _write_capture(path: Path, client: Node, server: Node) -> None:
    """A capture file of 64-byte frames.

    The format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/
    """
    source, destination, mac = client.IP(), server.IP(), client.MAC()
    assert source is not None
    assert destination is not None
    assert mac is not None
    frame = udp_frame(
        source_mac=mac,
        destination_mac=_NOBODY,
        source=source,
        destination=destination,
        flow=0,
        size_bytes=_FRAME_BYTES,
    )
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(_CAPTURED_PACKETS):
            file.write(struct.pack("<IIII", 0, number, len(frame), len(frame)) + frame)


@contextmanager
def _running(node: Node, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process: subprocess.Popen[str] = node.popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except UsageError as error:
        name = command[0]
        raise MachineError(f"{name} is not installed", hint=f"apt-get install {name}") from error
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _finish(process: subprocess.Popen[str], name: str) -> None:
    output, _ = process.communicate(timeout=_DURATION_S + _END_WITHIN_S)
    if process.returncode:
        said = (output.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(f"{name} failed: {said}")


def _await_listener(server: Node, receiver: subprocess.Popen[str]) -> None:
    """Waits until iperf3 listens, without connecting: it would take that for its one client."""
    port = f"{int(_IPERF_PORT):04X}"
    deadline = time.monotonic() + _END_WITHIN_S
    while not server.netns.run(_listens, port):
        if receiver.poll() is not None or time.monotonic() > deadline:
            raise MeasurementError("iperf3 does not listen", where=server.name)
        time.sleep(0.005)


def _listens(port: str) -> bool:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        for _, local, _, state, *_ in (line.split() for line in lines):
            if local.endswith(f":{port}") and state == _LISTEN_STATE:
                return True
    return False
