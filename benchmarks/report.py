"""The report: how long it takes, and how much memory, for ten million packets."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence

from benchmarks.commands import vnf
from benchmarks.model import Row, Series, Target
from benchmarks.session import Session, user_environment
from emulator.errors import MeasurementError
from emulator.kernel.parent import ending_with_us

_PACKETS = 10_000_000
_MOST_S, _MOST_MIB = 10, 1536


def report_speed(session: Session) -> list[Row]:
    """vnf report of a bundle with ten million packets: to the finished page."""
    took: dict[str, list[tuple[float, float]]] = {"yes": [], "no": []}
    with tempfile.TemporaryDirectory(prefix="vnf-report-", dir="/var/tmp") as folder:
        bundles = {
            kept: session.ours("sample_bundle", folder, str(_PACKETS), kept)["folder"]
            for kept in took
        }
        for number in session.rounds():
            for kept, bundle in bundles.items():
                session.step(number, f"histograms: {kept}")
                took[kept].append(_run(vnf("report", bundle)))
    session.note(
        "10 trials of a million packets each, of 5 cases; the start of Python is part of it"
    )
    rows = []
    for kept, what in (("yes", "as a bench leaves it"), ("no", "from the samples alone")):
        seconds, mebibytes = zip(*took[kept], strict=True)
        rows += [
            Row(f"report, {what}", "s", Series.of(seconds), target=Target(at_most=_MOST_S)),
            Row("its memory", "MiB", Series.of(mebibytes), target=Target(at_most=_MOST_MIB)),
        ]
    return rows


def _run(command: Sequence[str]) -> tuple[float, float]:
    """How many seconds a command takes, and its largest resident memory in MiB.

    Raises:
        MeasurementError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        ending_with_us(command, signal.SIGKILL),
        env=user_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    # It is waited for already, which the object cannot know.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MeasurementError(said.strip() or "it said nothing", where=" ".join(command))
    return time.perf_counter() - began, usage.ru_maxrss / 1024
