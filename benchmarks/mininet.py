"""Mininet's users: ``vnf mn`` beside ``mn`` as whole commands, pings between all, and TCP."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.commands import vnf
from benchmarks.labs import MININET, series_of, wait_until_freed
from benchmarks.model import Row, Target
from benchmarks.session import ROOT, Session, apart, require_mininet, user_environment
from emulator.errors import MeasurementError
from emulator.kernel.parent import ending_with_us

_MN = "/usr/bin/mn"
_TOPOLOGIES = ("tree,2,8", "linear,100")
_HOSTS = 32
_TCP_S = 2
_DEADLINE_S = 600

Report = dict[str, Any]


def mn(session: Session) -> list[Row]:
    """vnf mn beside mn, start and stop of whole commands."""
    require_mininet()
    ours: dict[str, list[Report]] = {}
    peer: dict[str, list[Report]] = {}
    for number in session.rounds():
        for topo in _TOPOLOGIES:
            options = ("--topo", topo, "--switch", "lxbr", "--controller", "none", "--test", "none")
            session.step(number, f"vnf mn --topo {topo}")
            ours.setdefault(topo, []).append(_command(vnf("mn", *options)))
            session.step(number, f"mn --topo {topo}")
            peer.setdefault(topo, []).append(_command(apart([_MN, *options])))
    session.note("whole commands, from the start of Python to its end, with --test none")
    return [
        Row(
            f"--topo {topo}",
            "s",
            series_of(ours[topo], "command_s"),
            series_of(peer[topo], "command_s"),
            MININET,
            Target(ratio=10),
        )
        for topo in _TOPOLOGIES
    ]


def mininet_traffic(session: Session) -> list[Row]:
    """pingall on 32 hosts, and TCP through a bridge, in one script for both."""
    ours: list[Report] = []
    peer: list[Report] = []
    arguments = (str(_HOSTS), str(_TCP_S))
    for number in session.rounds():
        session.step(number, "ours")
        ours.append(session.script("mininet_traffic", *arguments))
        wait_until_freed(ours[-1])
        session.step(number, "Mininet")
        peer.append(session.mininet("mininet_traffic", *arguments))
        wait_until_freed(peer[-1])
    lost = [report["lost"] for report in (*ours, *peer)]
    if any(lost):
        raise MeasurementError(f"pings were lost, in percent: {lost}")
    return [
        Row(
            f"pingAll of {_HOSTS} hosts",
            "s",
            series_of(ours, "pingall_s"),
            series_of(peer, "pingall_s"),
            MININET,
            Target(ratio=10),
        ),
        Row(
            "TCP by iperf3",
            "Gbit/s",
            series_of(ours, "tcp_gbps"),
            series_of(peer, "tcp_gbps"),
            MININET,
            more_is_better=True,
        ),
    ]


def _command(command: Sequence[str]) -> Report:
    began = time.perf_counter()
    done = subprocess.run(
        ending_with_us(command, signal.SIGKILL),
        cwd=ROOT,
        env=user_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    report = {"command_s": time.perf_counter() - began, "stopped_at_s": time.monotonic()}
    # The exit code of mn is 0 after an exception too.
    if done.returncode or "completed in" not in done.stderr:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(f"it did not end well: {said}", where=" ".join(command))
    wait_until_freed(report)
    return report
