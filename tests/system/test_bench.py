"""The bench on real networks: what it leaves, and what it keeps when something goes wrong.

Counts and consistency only; what the numbers are is for the machine to say.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bench import BenchEvent, BenchResult, BenchSpec, partial_result, run_bench
from emulator.experiment.bundle import Bundle, load_bundle
from emulator.experiment.samples import latency_ns
from emulator.measure.latency import summarise_latency

pytestmark = [pytest.mark.root, pytest.mark.xdp, pytest.mark.usefixtures("known_limits")]

GOAL = "loss=10%/trial=50ms/sum=100ms/width=20%"
QUICK: dict[str, Any] = {"rates_pps": [2000], "duration_s": 0.2, "goals": [GOAL]}
QUICK_OPTIONS = ["--rate", "2000", "--duration", "200ms", "--goal", GOAL]
DEADLINE_S = 60.0
PLANES = ("none", "kernel", "xdp", "packet")

MORTAL_MANIFEST = """
name = "mortal"
summary = "forwards some frames, and dies"
ports = 2
[dataplanes.python]
[parameters.frames]
type = "int"
default = 500
summary = "how many it lives for"
"""
MORTAL = """
import os
from vnf import FORWARD, peer


class State:
    frames = 0


def handle(ctx, packet, port):
    ctx.state.frames += 1
    if ctx.state.frames > ctx.parameters.frames:
        os.abort()
    return FORWARD(peer(port))
"""
CHAIN = """
from emulator import Topo


class Chain(Topo):
    def build(self, vnf="forward"):
        self.addLink(self.addHost("a"), self.addVNF("fw", vnf, dataplane="python"))
        self.addLink("fw", self.addHost("b"))
"""


@pytest.fixture(scope="module")
def events() -> list[BenchEvent]:
    """What was told meanwhile."""
    return []


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, events: list[BenchEvent], known_limits: None
) -> BenchResult:
    """Four cases, much as the demonstration runs them."""
    spec = BenchSpec(
        "chain",
        settings={"cores": "0", "idle": "spin:10us,wait"},
        vary={"dataplane": list(PLANES)},
        seed=3,
        output=tmp_path_factory.mktemp("results"),
        **QUICK,
    )
    return run_bench(spec, events.append)


@pytest.fixture(scope="module")
def bundle(measured: BenchResult) -> Bundle:
    return load_bundle(measured.folder)


def test_every_case_is_measured_and_reads_back(measured: BenchResult, bundle: Bundle) -> None:
    assert measured.exit_code == 0
    assert bundle.summary == measured.summary
    assert [case.name for case in bundle.summary.cases] == [
        f"dataplane={plane}" for plane in PLANES
    ]
    for case in bundle.summary.cases:
        assert case.status == "finished"
        assert (case.source, case.destination) == ("client", "server")
        assert case.throughput is not None
        assert [search.round for search in case.throughput.searches] == [1]
        assert case.cost is not None
        assert case.cost.cpu_ns_per_packet


def test_every_packet_of_the_schedule_is_a_row_and_the_counts_agree(bundle: Bundle) -> None:
    for case in bundle.summary.cases:
        assert case.trials
        for trial in case.trials:
            samples = bundle.samples(case.name, trial.number)
            assert len(samples["seq"]) == trial.sent + trial.unsent == 400
            assert np.count_nonzero(samples["sent_ns"]) == trial.sent
            assert np.count_nonzero(samples["received_ns"]) == trial.received
            assert trial.sent == trial.received + trial.lost
            assert "reflected_ns" not in samples


def test_the_summary_follows_from_the_samples(bundle: Bundle) -> None:
    for case in bundle.summary.cases:
        for trial in case.trials:
            again = summarise_latency(latency_ns(bundle.samples(case.name, trial.number)))
            assert trial.latency.model_dump() == vars(again)


def test_a_bundle_holds_what_the_readme_says(bundle: Bundle) -> None:
    names = {path.name for path in bundle.folder.iterdir()}
    plans = {f"plan-dataplane={plane}.json" for plane in PLANES}
    files = {"README.txt", "run.json", "machine.json", "summary.json", "latency-cdf.png"}
    assert names == plans | files | {"samples", "resources.csv"}
    assert len(bundle.plan("dataplane=xdp").vnfs()) == 1
    assert bundle.plan("dataplane=none").vnfs() == []


def test_the_run_tells_its_order_and_what_was_asked_for(bundle: Bundle) -> None:
    assert bundle.run.seed == 3
    assert sorted(bundle.run.order) == sorted(case.name for case in bundle.summary.cases)
    assert bundle.run.outcome == "finished"
    assert bundle.run.ended_at is not None
    assert bundle.run.ended_at > bundle.run.started_at
    assert bundle.run.spec["rates_pps"] == [2000]
    assert BenchSpec.from_record(bundle.run.spec).record() == bundle.run.spec
    assert bundle.run.command_line


def test_each_plane_says_how_it_ran_and_what_it_adds(bundle: Bundle) -> None:
    modes = {case.name: [vnf.mode for vnf in case.vnfs] for case in bundle.summary.cases}
    assert modes == {
        "dataplane=none": [],
        "dataplane=kernel": ["bridge"],
        "dataplane=xdp": ["native"],
        "dataplane=packet": ["AF_PACKET ring"],
    }
    for name in ("dataplane=kernel", "dataplane=xdp", "dataplane=packet"):
        share = bundle.summary.case(name).vnf_share
        assert share is not None
        assert share.baseline == "dataplane=none"


def test_the_time_of_a_vnf_that_is_a_process_is_part_of_the_cost(bundle: Bundle) -> None:
    found = bundle.summary.case("dataplane=packet")
    (vnf,) = found.vnfs
    assert (vnf.idle, vnf.cores) == ("spin:10us,wait", (0,))
    assert vnf.idle_cpu_ratio is not None
    assert 0 <= vnf.idle_cpu_ratio < 0.5
    assert found.cost is not None
    cost = found.cost.trials[0]
    assert set(cost.vnf_cpu_ns) == {"vnf1"}
    assert cost.process_cpu_ns == cost.vnf_cpu_ns["vnf1"] > 0
    expected = cost.cpu_ns / cost.sent + cost.process_cpu_ns / cost.received
    assert cost.cpu_ns_per_packet == pytest.approx(expected)
    inside = bundle.summary.case("dataplane=xdp")
    assert (inside.vnfs[0].idle, inside.idle_cpu_ratio) == (None, 0)
    assert bundle.summary.case("dataplane=none").idle_cpu_ratio is None


def test_the_events_tell_of_every_case_and_never_go_back(
    measured: BenchResult, events: list[BenchEvent]
) -> None:
    completed = [event.completed for event in events]
    assert completed == sorted(completed)
    assert events[-1].completed == events[-1].total
    ended = [event for event in events if event.record is not None]
    assert [event.case for event in ended] == list(load_bundle(measured.folder).run.order)
    assert {event.record.status for event in ended if event.record} == {"finished"}


def test_an_application_can_be_the_probe(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain", settings={"dataplane": "xdp"}, mechanism="app", output=tmp_path, **QUICK
    )
    result = run_bench(spec)
    assert result.exit_code == 0
    assert load_bundle(result.folder).summary.mechanism == "app"
    assert result.summary.cases[0].lost == 0


def test_a_node_that_dies_in_mid_trial_fails_its_case_and_not_the_others(tmp_path: Path) -> None:
    (tmp_path / "chain.py").write_text(CHAIN)
    folder = tmp_path / "vnfs" / "mortal"
    folder.mkdir(parents=True)
    (folder / "vnf.toml").write_text(MORTAL_MANIFEST)
    (folder / "vnf.py").write_text(MORTAL)
    spec = BenchSpec(
        str(tmp_path / "chain.py"),
        vary={"vnf": ["mortal", "forward"]},
        measurements=["latency"],
        # 410 frames are for readiness and warm-up.
        rates_pps=[2000],
        duration_s=0.2,
        output=tmp_path / "results",
    )
    result = run_bench(spec)
    assert result.exit_code == 1
    (failed,) = result.failed
    assert failed.name == "vnf=mortal"
    assert (failed.error or "").startswith("fw: the VNF's process was ended by signal 6 (SIGABRT)")
    other = load_bundle(result.folder).summary.case("vnf=forward")
    assert other.status == "finished"
    assert other.trials


def test_what_does_not_fit_is_told_before_anything_starts(tmp_path: Path) -> None:
    events: list[BenchEvent] = []
    with pytest.raises(UsageError, match="do not fit"):
        run_bench(BenchSpec("chain", frames=["1600"], output=tmp_path / "results"), events.append)
    assert events == []
    assert not (tmp_path / "results").exists()


def test_stopped_before_anything_was_measured_nothing_stays(tmp_path: Path) -> None:
    def stop(event: BenchEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_bench(BenchSpec("chain", output=tmp_path, **QUICK), stop)
    assert partial_result(caught.value) is None
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_written_are_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    events: list[BenchEvent] = []
    with pytest.raises(ResultsError, match="cannot be written"):
        run_bench(BenchSpec("chain", output=tmp_path / "file", **QUICK), events.append)
    assert events == []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A bench of two cases in a process of its own."""
    command = [sys.executable, "-m", "emulator", "bench", "--topo", "chain"]
    command += ["--vary", "dataplane=none,kernel", "--output", str(tmp_path), *QUICK_OPTIONS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def statuses(output: Path) -> dict[str, str]:
    for path in output.glob("*/summary.json"):
        return {case["name"]: case["status"] for case in json.loads(path.read_text())["cases"]}
    return {}


def test_ctrl_c_keeps_the_cases_that_finished(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while sorted(statuses(tmp_path).values()) != ["finished", "unfinished"]:
        assert time.monotonic() < deadline_s, "the first case does not end"
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 130, errors
    bundle = load_bundle(next(tmp_path.iterdir()))
    finished, unfinished = (
        [case for case in bundle.summary.cases if case.status == status]
        for status in ("finished", "unfinished")
    )
    assert len(finished) == 1
    assert finished[0].cost is not None
    assert bundle.samples(finished[0].name, 1)["received_ns"].any()
    assert bundle.run.outcome == "interrupted"
    assert (bundle.folder / "latency-cdf.png").is_file()
    shown = finished[0].settings["dataplane"]
    assert any(line.split()[:1] == [shown] for line in output.splitlines())
    assert f"{unfinished[0].name}: unfinished" in output


FULL_DISK = """
import errno, json, sys
from pathlib import Path
from emulator import BenchSpec, ResultsError, load_bundle, run_bench
from emulator.experiment.bench import partial_result

output = Path(sys.argv[1])

def fill(event):
    if event.step == "measuring latency, round 2/2":
        with open(output / "rubbish", "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC

spec = BenchSpec("chain", settings={"dataplane": "none"}, measurements=["latency"], repeat=2,
                 rates_pps=[5000], duration_s=0.2, output=output)
try:
    run_bench(spec, fill)
except ResultsError as error:
    bundle = load_bundle(next(output.glob("*-chain")))
    print(json.dumps({
        "message": str(error),
        "left": sorted(str(path.relative_to(bundle.folder)) for path in bundle.folder.rglob("*")),
        "partial": partial_result(error).summary.model_dump(mode="json"),
        "on disk": bundle.summary.model_dump(mode="json"),
        "outcome": bundle.run.outcome,
        "first": len(bundle.samples("dataplane=none", 1)["seq"]),
    }))
"""


def test_a_full_disk_keeps_what_was_measured(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=8m none {tmp_path} && exec "$0" "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount]
    done = subprocess.run(
        [*command, sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "the disk is full" in told["message"]
    assert "--output" in told["message"]
    assert told["on disk"] == told["partial"]
    assert told["outcome"] == "results-lost"
    trials = told["partial"]["cases"][0]["trials"]
    assert trials[0]["samples"] is not None
    assert trials[-1]["samples"] is None
    assert trials[-1]["received"] > 0
    assert told["first"] == 1000
    assert not [name for name in told["left"] if name.endswith((".partial", ".reserve"))]
