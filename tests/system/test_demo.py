"""The demonstration, from the command to the report. What it measures is short here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from emulator.doctor import diagnose
from emulator.experiment.bundle import load_bundle
from scripts.measure_planes import offered_planes

pytestmark = [pytest.mark.root, pytest.mark.xdp, pytest.mark.usefixtures("known_limits")]

ROOT = Path(__file__).parents[2]
WITHIN_S = 240
SHORT = ("latency", "--duration", "100ms", "--rate", "2k")


def demo(*arguments: str, output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "scripts/measure_planes.py", *arguments, "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A terminal interrupts all that it started.
        start_new_session=True,
    )


def said(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()


def measured_something(folder: Path) -> bool:
    summaries = [json.loads(file.read_text()) for file in folder.glob("*/summary.json")]
    return any(case["trials"] for summary in summaries for case in summary["cases"])


def planes() -> Sequence[str]:
    checks = [check for check in diagnose() if check.name.startswith("data plane ")]
    return offered_planes(checks)


def test_it_ends_with_the_report_of_every_plane_of_the_machine(tmp_path: Path) -> None:
    process = demo(*SHORT, output=tmp_path)
    printed, told = said(process)

    assert process.returncode == 0, told
    (bundle,) = tmp_path.iterdir()
    cases = [f"dataplane={plane}" for plane in ("none", *planes())]
    assert [case.name for case in load_bundle(bundle).summary.cases] == cases
    lines = printed.splitlines()
    assert f"Report   {bundle / 'report.html'}" in lines
    assert lines[-1].startswith("Took     ")
    page = (bundle / "report.html").read_text()
    for case in cases:
        assert case.removeprefix("dataplane=") in page
        assert any(line.split()[:1] == [case.removeprefix("dataplane=")] for line in lines)


def test_what_was_measured_before_it_was_interrupted_is_reported(tmp_path: Path) -> None:
    process = demo("latency", "--duration", "300ms", "--json", output=tmp_path)
    deadline_s = time.monotonic() + WITHIN_S
    while not measured_something(tmp_path) and process.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, told = said(process)

    assert process.returncode == 130, told
    document = json.loads(printed)
    assert Path(document["report"]).read_text().startswith("<!doctype html>")
    assert any(case["status"] == "unfinished" for case in document["cases"])


def test_what_it_started_ends_with_it_even_when_it_is_killed(tmp_path: Path) -> None:
    process = demo("latency", "--duration", "60s", output=tmp_path)
    deadline_s = time.monotonic() + WITHIN_S
    while not list(tmp_path.iterdir()) and process.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    (bench,) = psutil.Process(process.pid).children()
    process.kill()
    said(process)

    assert psutil.wait_procs([bench], timeout=WITHIN_S)[1] == []


@pytest.mark.parametrize(("arguments", "code"), [(("--help",), 0), (("nonsense",), 2)])
def test_what_measures_nothing_says_what_vnf_bench_says(
    arguments: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    process = demo(*arguments, output=tmp_path)
    printed, told = said(process)

    assert process.returncode == code
    assert "vnf bench" in printed if code == 0 else "nonsense" in told
    assert not list(tmp_path.iterdir())
