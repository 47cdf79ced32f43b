"""Faults that were planted, each found and named by the bench or its report.

Findings and words only: how large the effects are is for the machine to say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulator.experiment.bench import BenchResult, run_bench
from emulator.experiment.bundle import load_bundle
from emulator.experiment.measured import FindingRecord
from emulator.experiment.spec import BenchSpec
from tests.system.benches import bundle_in, vnf

pytestmark = [pytest.mark.root, pytest.mark.xdp, pytest.mark.usefixtures("known_limits")]

MANIFEST = """
name = "sleepy"
summary = "forwards frames, and sleeps after so many"
ports = 2
[dataplanes.packet]
[parameters.every]
type = "int"
default = 1000
minimum = 1
summary = "of so many frames, the last one is held up"
[parameters.sleep_us]
type = "int"
default = 100
summary = "for so long"
"""
SOURCE = """
#include <unistd.h>
#include "vnf.h"

struct sleepy_state {
    __u64 frames;
};
#define VNF_STATE struct sleepy_state

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct sleepy_state *state = ctx->state;

    (void)data;
    (void)end;
    if (vnf_next(&state->frames) % ctx->config->every == 0)
        usleep(ctx->config->sleep_us);
    return VNF_FORWARD(vnf_peer(port));
}
"""
CHAIN = """
from emulator import Topo


class Chain(Topo):
    def build(self, vnf="sleepy", dataplane="packet", **parameters):
        self.addHost("client")
        self.addHost("server")
        self.addVNF("vnf1", vnf, dataplane=dataplane, **parameters)
        self.addLink("client", "vnf1")
        self.addLink("vnf1", "server")
"""
HOG = "import sys\nprint(flush=True)\nwhile True: pass"


def findings(result: BenchResult, rule: str) -> list[FindingRecord]:
    """Those of the latency trials by a rule."""
    return [
        finding
        for case in result.summary.cases
        for trial in case.trials
        for finding in trial.findings
        if finding.rule == rule
    ]


def reported(result: BenchResult) -> str:
    """The page of the report."""
    done = vnf("report", str(result.folder))
    assert done.returncode == 0, done.stderr
    return (result.folder / "report.html").read_text()


@contextmanager
def hog(core: int) -> Iterator[int]:
    """A process that spins on a core; its number."""
    with subprocess.Popen([sys.executable, "-c", HOG], stdout=subprocess.PIPE) as process:
        try:
            os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def sleepy(tmp_path: Path) -> Path:
    """The file of a topology whose VNF sleeps."""
    folder = tmp_path / "vnfs" / "sleepy"
    folder.mkdir(parents=True)
    (folder / "vnf.toml").write_text(MANIFEST)
    (folder / "vnf.c").write_text(SOURCE)
    (tmp_path / "chain.py").write_text(CHAIN)
    return tmp_path / "chain.py"


def test_a_function_that_stops_at_every_100th_packet_is_named(sleepy: Path) -> None:
    spec = BenchSpec(
        str(sleepy),
        # Longer than any other process is left to run where the machine is busy.
        settings={"every": "100", "sleep_us": "20000"},
        measurements=["latency"],
        rates_pps=[1000],
        duration_s=2,
        output=sleepy.parent / "results",
    )
    result = run_bench(spec)
    texts = [finding.text for finding in findings(result, "slow")]
    assert any(text.startswith("every 100th packet took ") for text in texts)
    page = reported(result)
    assert "slow: every 100th packet took " in page
    assert "something on the path stops for as long" in page


def test_a_function_that_sleeps_100_us_at_every_1000th_packet_is_named(sleepy: Path) -> None:
    spec = BenchSpec(
        str(sleepy),
        measurements=["latency"],
        rates_pps=[10_000],
        duration_s=2,
        output=sleepy.parent / "results",
    )
    result = run_bench(spec)
    (case,) = result.summary.cases
    assert case.status == "finished"
    if not case.valid:
        pytest.skip("the machine is busy, and holds packets up for longer than that")
    (trial,) = case.counted_trials
    texts = [finding.text for finding in trial.findings if finding.rule == "slow"]
    assert [text.partition(" took ")[0] for text in texts] == ["every 1 000th packet"]


def test_a_loss_of_one_in_200_is_named(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "xdp", "vnf": "drop", "every": "200"},
        measurements=["latency", "throughput"],
        rates_pps=[10_000],
        duration_s=0.5,
        goals=["loss=0.1%/trial=50ms/sum=100ms/width=20%"],
        output=tmp_path,
    )
    result = run_bench(spec)
    named = [finding.text for finding in findings(result, "loss")]
    assert named
    assert all("were lost on the path: every 200th of them" in text for text in named)
    (case,) = result.summary.cases
    assert case.throughput is not None
    assert case.throughput.rate_pps is None
    page = reported(result)
    assert "were lost on the path: every 200th of them" in page
    assert "no rate that was tried met the goal" in page


def test_a_process_that_hogs_the_generators_core_is_named(tmp_path: Path) -> None:
    with hog(0) as pid:
        done = vnf(
            *("bench", "--topo", "chain", "--set", "dataplane=xdp", "latency", "--core", "0"),
            *("--rate", "10k", "--duration", "500ms", "--output", str(tmp_path)),
        )
    assert done.returncode == 0, done.stderr
    assert "‡ invalid: " in done.stdout
    assert ": generator-wait: the probe was ready to send and had no CPU for " in done.stdout
    (case,) = load_bundle(bundle_in(tmp_path)).summary.cases
    assert not case.valid
    # On a busy machine the terminal may have no room for all of those that are in the way.
    assert vnf("report", str(bundle_in(tmp_path))).returncode == 0
    page = (bundle_in(tmp_path) / "report.html").read_text()
    command = Path(sys.executable).name
    assert f"hog: process {pid} ({command}) took " in page
    for trial in case.trials:
        (blamed,) = (each for each in trial.findings if f"process {pid} (" in each.text)
        assert (blamed.rule, blamed.severity) == ("hog", "invalid")
        assert "last ran on CPU 0, which the probe cannot do without" in blamed.text


def test_a_rate_that_the_generator_cannot_give_is_told_with_what_it_can(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "none"},
        measurements=["latency"],
        rates_pps=[50e6],
        duration_s=0.05,
        output=tmp_path,
    )
    result = run_bench(spec)
    (case,) = result.summary.cases
    assert not case.valid
    named = findings(result, "generator")
    assert len(named) == len(case.trials) == 3
    assert all(finding.severity == "invalid" for finding in named)
    assert all(" of the 50,000,000 packets/s that were asked for" in each.text for each in named)
    (limits,) = result.summary.bench
    assert limits.ceiling_pps is not None
    assert "own ceiling is " in reported(result)
