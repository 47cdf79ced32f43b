"""What every benchmark needs: rounds on an idle machine, and processes that report JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.model import Outcome
from emulator.errors import MachineError, MeasurementError
from emulator.kernel.parent import ending_with_us

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's package of Mininet is installed for this one."""

IDLE_BELOW = 0.15
"""A machine is idle while less than this share of its CPU time is in use."""

_LOOK_S = 0.4
_CHILD_DEADLINE_S = 600.0

# Mininet raises limits of the whole machine through /proc/sys, so there they are for reading only;
# those of networks are its namespace's own. Whatever it leaves behind ends with its PID namespace.
_ALONE = ("unshare", "--net", "--mount", "--fork", "--kill-child")
_OWN_PIDS = ("--pid", "--mount-proc")
_READ_ONLY = (
    "for each in /proc/sys/*; do "
    'test "$each" = /proc/sys/net || '
    '{ mount --bind "$each" "$each" && mount -o remount,ro,bind "$each"; } || exit; '
    'done; exec "$@"'
)


class Session:
    """One run of the benchmarks.

    Args:
        repeat: rounds of each benchmark.
        patience_s: how long to wait for an idle machine before each round.
        tell: called with what is being done.
    """

    def __init__(self, repeat: int, patience_s: float, tell: Callable[[str], None]) -> None:
        self.repeat = repeat
        self._patience_s = patience_s
        self._tell = tell
        self._outcome = Outcome("")

    def begin(self, outcome: Outcome) -> None:
        """What follows belongs to this benchmark."""
        self._outcome = outcome

    def note(self, text: str) -> None:
        """Something a reader should know; said once however often it is noted."""
        if text not in self._outcome.notes:
            self._outcome.notes.append(text)

    def rounds(self) -> Iterator[int]:
        """The numbers of the rounds, each one given when the machine is idle."""
        for number in range(1, self.repeat + 1):
            self.step(number, "waiting for an idle machine")
            busy = wait_for_idle(self._patience_s)
            if busy >= IDLE_BELOW:
                self._outcome.busy.append(busy)
            yield number

    def step(self, number: int, doing: str) -> None:
        """Say what is being done in a round."""
        self._tell(f"{self._outcome.name} {number}/{self.repeat}: {doing}")

    def ours(self, module: str, *arguments: str) -> dict[str, Any]:
        """What ``benchmarks/children/MODULE.py`` reports in a process of its own.

        Raises:
            MeasurementError: it failed.
        """
        return _report([sys.executable, "-m", f"benchmarks.children.{module}", *arguments])

    def script(self, module: str, *arguments: str) -> dict[str, Any]:
        """What ``benchmarks/peers/MODULE.py``, a script of Mininet's, reports under ours.

        Raises:
            MeasurementError: it failed.
        """
        script = str(PEERS / f"{module}.py")
        return _report([sys.executable, "-m", "emulator", "script", script, *arguments])

    def mininet(self, module: str, *arguments: str, own_pids: bool = True) -> dict[str, Any]:
        """What ``benchmarks/peers/MODULE.py`` reports, in namespaces where it can do no harm.

        Args:
            own_pids: in a PID namespace too, which a program that has to do with containers may
                not be in: Docker tells it their numbers.

        Raises:
            MachineError: Mininet is not installed.
            MeasurementError: it failed.
        """
        require_mininet()
        program = [SYSTEM_PYTHON, "-I", str(PEERS / f"{module}.py"), *arguments]
        return _report(apart(program, own_pids=own_pids))


def apart(program: Sequence[str], *, own_pids: bool = True) -> list[str]:
    """The command line that runs a program in namespaces where it can do no harm.

    Args:
        own_pids: in a PID namespace too.
    """
    alone = [*_ALONE, *(_OWN_PIDS if own_pids else ())]
    return [*alone, "sh", "-c", _READ_ONLY, "sh", *program]


def require_mininet() -> None:
    """Raises ``MachineError`` unless Mininet and its Linux bridge can be run."""
    attempt = [SYSTEM_PYTHON, "-I", "-c", "import mininet.net"]
    found = Path(SYSTEM_PYTHON).exists()
    if not found or subprocess.run(attempt, check=False, capture_output=True).returncode:
        raise MachineError("Mininet is not installed", hint="apt-get install mininet")
    if shutil.which("brctl") is None:
        raise MachineError(
            "Mininet's Linux bridge needs brctl", hint="apt-get install bridge-utils"
        )


def user_environment() -> dict[str, str]:
    """The environment without what would make Python start otherwise than for a user."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH")
    }


def busy_share(over_s: float = _LOOK_S) -> float:
    """The share of the machine's CPU time that is in use, 0 to 1."""
    idle_before, total_before = _cpu_ticks()
    time.sleep(over_s)
    idle, total = _cpu_ticks()
    return 1 - (idle - idle_before) / max(1, total - total_before)


def wait_for_idle(patience_s: float) -> float:
    """Waits until the machine is idle, and gives the share of its CPU time in use at the end."""
    deadline = time.monotonic() + patience_s
    while True:
        busy = busy_share()
        if busy < IDLE_BELOW or time.monotonic() > deadline:
            return busy


def _cpu_ticks() -> tuple[int, int]:
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _report(command: Sequence[str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        done = subprocess.run(
            ending_with_us(command, signal.SIGKILL),
            cwd=ROOT,
            env=user_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHILD_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(
            f"it did not end within {_CHILD_DEADLINE_S:.0f} s", where=" ".join(command)
        ) from None
    took_s = time.perf_counter() - began
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(
            f"it ended with code {done.returncode}: {said}", where=" ".join(command)
        )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    report["process_s"] = took_s
    return report
