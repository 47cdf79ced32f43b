"""Containers: how long they take to start and stop, beside Docker's own way and Containernet's."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.engine import IMAGE, own_engine
from benchmarks.labs import Report, series_of, wait_until_freed
from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator.catalog import Catalog
from emulator.errors import MachineError
from emulator.images import build_image
from emulator.network import Network
from emulator.runtime.engine import client_of

_MANY, _FEW = 20, 8
_ALMOST_AS_FAST = 1 / 1.2
_PEER_THREADS = (4, 8, 16)
_ONE_BY_ONE = 5
_NETWORKS = {"none": "docker run --network none", "disabled": "the same, network disabled"}
_CONTAINERNET, _COMNETSEMU = "Containernet's way", "ComNetsEmu's way"
_SIZED = {"xdp": 5.0, "afxdp": 5.0, "packet": 5.0, "dpdk": 20.0}
"""Of each data plane the largest image that a VNF may have, in MB."""


def docker_20(session: Session) -> list[Row]:
    """20 containers on one switch, up and down."""
    ours: list[Report] = []
    peers: dict[str, list[Report]] = {network: [] for network in _NETWORKS}
    with own_engine():
        for number in session.rounds():
            session.step(number, "ours")
            ours.append(session.ours("containers", str(_MANY), IMAGE))
            wait_until_freed(ours[-1])
            for network, reports in peers.items():
                tries = []
                for threads in _PEER_THREADS:
                    session.step(number, f"bare, {threads} threads, network {network}")
                    arguments = (str(_MANY), IMAGE, str(threads), network)
                    tries.append(session.ours("bare_containers", *arguments))
                    wait_until_freed(tries[-1])
                keys = ("up_s", "down_s")
                reports.append({key: min(report[key] for report in tries) for key in keys})
    session.note(
        "the peers are SDK calls and nothing is linked or configured; each round the best of "
        f"{', '.join(map(str, _PEER_THREADS))} threads"
    )
    session.note(
        f"{_NETWORKS['disabled']}: Docker leaves it alone, as it does ours, which the command line "
        "cannot ask for"
    )
    bare, disabled = peers.values()
    named, unnamed = _NETWORKS.values()
    return [
        _row("up", "up_s", ours, bare, named, Target(at_most=4, ratio=_ALMOST_AS_FAST)),
        _row("down", "down_s", ours, bare, named, Target(ratio=_ALMOST_AS_FAST)),
        _row("up", "up_s", ours, disabled, unnamed),
        _row("down", "down_s", ours, disabled, unnamed),
        Row("up, and a command in each", "s", series_of(ours, "answered_s")),
    ]


def docker_one(session: Session) -> list[Row]:
    """One container more in a running lab beside docker run -d."""
    up: dict[str, list[float]] = {}
    down: dict[str, list[float]] = {}
    _require_docker()
    with own_engine() as url:
        client = client_of(url)
        net = Network()
        net.addSwitch("s1")

        def add(name: str) -> None:
            net.addDocker(name, image=IMAGE)
            net.addLink(name, "s1")

        def add_linked(name: str) -> None:
            with net.change() as topo:
                topo.addLink(topo.addDocker(name, image=IMAGE), "s1")

        def run_sdk(name: str) -> None:
            client.containers.run(IMAGE, name=name, network_mode="none", detach=True)

        ways: dict[str, tuple[Callable[[str], object], Callable[[str], object]]] = {
            "ours": (add, net.removeDocker),
            "ours, at once": (add_linked, net.removeDocker),
            "docker run -d": (
                lambda name: _docker("run", "-d", "--network", "none", "--name", name, IMAGE),
                lambda name: _docker("rm", "-f", name),
            ),
            "the docker SDK": (
                run_sdk,
                lambda name: client.containers.get(name).remove(force=True),
            ),
        }
        try:
            with net:
                add("first")
                for number in session.rounds():
                    for way, (begin, end) in ways.items():
                        session.step(number, way)
                        name = f"c{number}"
                        times = [_took(begin, end, f"{name}x{n}") for n in range(_ONE_BY_ONE)]
                        up.setdefault(way, []).append(statistics.median(t[0] for t in times))
                        down.setdefault(way, []).append(statistics.median(t[1] for t in times))
        finally:
            client.close()
    session.note(f"one after the other; each round: the median of {_ONE_BY_ONE}")
    session.note("ours is linked to a switch and has an address; the others are on no network")
    return [
        Row(what, "ms", Series.of(times[mine]), Series.of(times[peer]), peer, target)
        for what, times, mine, peer, target in (
            ("up, then linked", up, "ours", "docker run -d", Target(ratio=_ALMOST_AS_FAST)),
            ("up, then linked", up, "ours", "the docker SDK", Target(ratio=_ALMOST_AS_FAST)),
            ("up and linked in one change", up, "ours, at once", "docker run -d", None),
            ("down", down, "ours", "docker run -d", None),
            ("down", down, "ours", "the docker SDK", None),
        )
    ]


def docker_peers(session: Session) -> list[Row]:
    """20 hosts in containers on one switch beside Containernet's way of making them."""
    import docker

    ours: list[Report] = []
    peer: list[Report] = []
    packages = str(Path(docker.__file__).parent.parent)
    _require_docker()
    with own_engine():
        for number in session.rounds():
            session.step(number, "ours")
            ours.append(session.ours("containers", str(_MANY), IMAGE))
            wait_until_freed(ours[-1])
            session.step(number, _CONTAINERNET)
            arguments = (str(_MANY), IMAGE, packages)
            peer.append(session.mininet("containernet_start_stop", *arguments, own_pids=False))
            wait_until_freed(peer[-1])
    session.note(
        "Containernet's calls written anew for Debian's Mininet, with its Linux bridge and without "
        "--privileged, its bridge of Docker and a controller"
    )
    return [
        _row("up", "up_s", ours, peer, _CONTAINERNET, Target(ratio=3)),
        _row("up, and a command in each", "answered_s", ours, peer, _CONTAINERNET, Target(ratio=3)),
        _row("down", "down_s", ours, peer, _CONTAINERNET),
    ]


def comnetsemu(session: Session) -> list[Row]:
    """A lab in ComNetsEmu's words with 8 hosts and their app containers, beside its own way."""
    import docker

    ours: list[Report] = []
    peer: list[Report] = []
    packages = str(Path(docker.__file__).parent.parent)
    _require_docker()
    with own_engine():
        for number in session.rounds():
            session.step(number, "ours")
            ours.append(session.ours("comnetsemu", str(_FEW), IMAGE))
            wait_until_freed(ours[-1])
            session.step(number, _COMNETSEMU)
            arguments = (str(_FEW), IMAGE, packages, "apps")
            peer.append(session.mininet("containernet_start_stop", *arguments, own_pids=False))
            wait_until_freed(peer[-1])
    session.note(
        "ours runs ComNetsEmu's calls; its way is written anew for Debian's Mininet, with "
        "its Linux bridge and without --privileged, its bridge of Docker and a controller"
    )
    return [
        _row("up", "up_s", ours, peer, _COMNETSEMU),
        _row("up, and a command in each", "answered_s", ours, peer, _COMNETSEMU),
        _row("an app container in each, come and gone", "apps_s", ours, peer, _COMNETSEMU),
        _row("down", "down_s", ours, peer, _COMNETSEMU),
        _row("up, a command in each, down", "lab_s", ours, peer, _COMNETSEMU, Target(ratio=2)),
        _row("the same with app containers", "whole_s", ours, peer, _COMNETSEMU),
    ]


def image_size(session: Session) -> list[Row]:
    """The image of a VNF on each of the data planes."""
    manifest = Catalog.load()["forward"]
    rows = []
    with own_engine() as url:
        client = client_of(url)
        try:
            for plane, most in _SIZED.items():
                session.step(1, plane)
                size = build_image(client, manifest, plane).size_bytes / 1e6
                rows.append(
                    Row(f"forward on {plane}", "MB", Series.of([size]), target=Target(at_most=most))
                )
        finally:
            client.close()
    return rows


def _row(
    what: str,
    key: str,
    ours: list[Report],
    peer: list[Report],
    name: str,
    target: Target | None = None,
) -> Row:
    return Row(what, "s", series_of(ours, key), series_of(peer, key), name, target)


def _took(
    begin: Callable[[str], object], end: Callable[[str], object], name: str
) -> tuple[float, float]:
    """How many milliseconds it takes to begin something of that name, and to end it."""
    began = time.perf_counter()
    begin(name)
    up = time.perf_counter()
    end(name)
    return (up - began) * 1e3, (time.perf_counter() - up) * 1e3


def _require_docker() -> None:
    if shutil.which("docker") is None:
        raise MachineError("Docker's client is not installed", hint="apt-get install docker.io")


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)
