"""Starting programs: in a node, and the ``vnf`` command itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session, user_environment

_PROGRAMS = 100
_HELPS = 5


def popen(session: Session) -> list[Row]:
    """popen and wait of /bin/true in a node."""
    ours, plain, mininet = [], [], []
    for number in session.rounds():
        session.step(number, "ours, and plain subprocess")
        report = session.ours("popen", str(_PROGRAMS))
        ours.append(report["node_s"] * 1e3)
        plain.append(report["plain_s"] * 1e3)
        session.step(number, "Mininet")
        mininet.append(session.mininet("mininet_popen", str(_PROGRAMS))["node_s"] * 1e3)
    session.note(f"each round: the median of {_PROGRAMS}")
    what = "popen and wait of /bin/true"
    return [
        Row(what, "ms", Series.of(ours), Series.of(mininet), "Mininet", Target(at_most=1.5)),
        Row(what, "ms", Series.of(ours), Series.of(plain), "subprocess, no emulator"),
    ]


def help_text(session: Session) -> list[Row]:
    """vnf --help, from the shell's point of view."""
    command = vnf("--help")
    peer = ["mn", "--help"] if shutil.which("mn", path="/usr/bin") else None
    bare = [sys.executable, "-c", "pass"]
    _took(command)  # the first run compiles modules to bytecode
    ours, python, mininet = [], [], []
    for number in session.rounds():
        session.step(number, " ".join(command))
        for _ in range(_HELPS):
            ours.append(_took(command))
            python.append(_took(bare))
            if peer is not None:
                mininet.append(_took(peer, "/usr/bin:/bin:/usr/sbin:/sbin"))
    rows = [
        Row(
            "vnf --help",
            "s",
            Series.of(ours),
            Series.of(python),
            "python -c pass",
            Target(at_most=0.3),
        )
    ]
    if mininet:
        rows.append(Row("vnf --help", "s", Series.of(ours), Series.of(mininet), "mn --help"))
    return rows


def vnf(*arguments: str) -> list[str]:
    """The command line of ``vnf``, as a user has it."""
    installed = Path(sys.executable).with_name("vnf")
    program = [str(installed)] if installed.exists() else [sys.executable, "-m", "emulator"]
    return [*program, *arguments]


def _took(command: list[str], path: str | None = None) -> float:
    environment = user_environment()
    if path is not None:
        environment["PATH"] = path
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began
