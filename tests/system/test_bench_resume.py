"""Runs that were stopped, and what goes on with them.

Counts and consistency only; what the numbers are is for the machine to say.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bench import BenchEvent, resume_bench, run_bench
from emulator.experiment.bundle import load_bundle
from emulator.experiment.records import SummaryRecord
from emulator.experiment.spec import BenchSpec
from tests.system.benches import DEADLINE_S, QUICK, QUICK_OPTIONS, bundle_in, vnf
from tests.system.terminal import ROOT, VNF, Terminal

pytestmark = [pytest.mark.root, pytest.mark.xdp, pytest.mark.usefixtures("known_limits")]

COMMAND = ["bench", "--topo", "chain", "--vary", "dataplane=none,xdp", "latency", "throughput"]
COMMAND += ["cost", "--repeat", "2", *QUICK_OPTIONS]
MEASURED = 4
"""Rounds of cases."""


@contextmanager
def started(output: Path) -> Iterator[subprocess.Popen[str]]:
    """A bench in a process of its own."""
    with subprocess.Popen(
        [*VNF, *COMMAND, "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(process: subprocess.Popen[str], done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, "the bench does not come so far"
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def summary_in(output: Path) -> SummaryRecord | None:
    for path in output.glob("*/summary.json"):
        return SummaryRecord.model_validate_json(path.read_text())
    return None


def rounds_done(output: Path) -> int:
    summary = summary_in(output)
    return sum(len(case.rounds_done) for case in summary.cases) if summary else 0


def in_second_round(output: Path) -> bool:
    """Whether a trial of the second round was measured, and that round goes on."""
    summary = summary_in(output)
    return summary is not None and any(
        2 not in case.rounds_done and any(trial.round == 2 for trial in case.trials)
        for case in summary.cases
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "samples").iterdir()}


def check_whole(folder: Path, before: SummaryRecord, samples: dict[str, bytes]) -> None:
    """One complete bundle, in which what was measured before is as it was."""
    bundle = load_bundle(folder)
    assert bundle.run.outcome == "finished"
    assert len(bundle.summary.cases) == 2
    for case in bundle.summary.cases:
        assert (case.status, sorted(case.rounds_done)) == ("finished", [1, 2])
        assert case.error is None
        assert {trial.round for trial in case.trials} == {1, 2}
        assert [trial.number for trial in case.trials] == list(range(1, len(case.trials) + 1))
        assert case.throughput is not None
        assert [search.round for search in case.throughput.searches] == [1, 2]
        assert case.cost is not None
        assert [trial.round for trial in case.cost.trials] == [1, 2]
        for trial in case.trials:
            assert len(bundle.samples(case.name, trial.number)["seq"]) == 400
    for case in before.cases:
        after = bundle.summary.case(case.name)
        assert after.trials[: len(case.trials)] == case.trials
        if case.cost is not None:
            assert after.cost is not None
            assert after.cost.trials[: len(case.cost.trials)] == case.cost.trials
        for found, later in zip(case.throughputs, after.throughputs, strict=False):
            assert later.searches[: len(found.searches)] == found.searches
        # A round of which the trial is valid has it once.
        for trial in case.trials:
            if trial.valid:
                same = [each for each in after.trials if each.round == trial.round]
                assert sum(each.valid for each in same) == 1
    for name, content in samples.items():
        assert (folder / "samples" / name).read_bytes() == content
    names = [path.name for path in folder.rglob("*")]
    assert not [name for name in names if name.endswith((".partial", ".reserve"))]
    assert (folder / "latency-cdf.png").is_file()


def test_ctrl_c_and_on(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_until(process, lambda: rounds_done(tmp_path) >= 1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, errors
    folder = bundle_in(tmp_path)
    assert f"vnf bench --resume {folder}" in output
    before, samples = load_bundle(folder).summary, files_of(folder)
    assert load_bundle(folder).run.outcome == "interrupted"
    first_half = rounds_done(tmp_path)
    assert first_half < MEASURED

    events: list[BenchEvent] = []
    result = resume_bench(folder, events.append)
    assert result.folder == folder
    assert sum(event.record is not None for event in events) == MEASURED - first_half
    check_whole(folder, before, samples)

    with pytest.raises(UsageError, match="nothing left to measure"):
        resume_bench(folder)


def test_sigkill_in_the_middle_of_a_round_and_on(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_until(process, lambda: in_second_round(tmp_path))
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    folder = bundle_in(tmp_path)
    before, samples = load_bundle(folder).summary, files_of(folder)
    assert load_bundle(folder).run.outcome == "running"
    # As it is left by a run that is killed while it writes.
    (folder / "samples" / ".half.parquet.partial").write_bytes(b"half")

    done = vnf("bench", "--resume", str(folder))
    assert done.returncode == 0, done.stderr
    check_whole(folder, before, samples)
    assert "Bundle" in done.stdout


def test_latency_under_load_goes_on_with_the_loads_that_are_left(tmp_path: Path) -> None:
    def stop(event: BenchEvent) -> None:
        if event.step.startswith("measuring latency at a load of 50%"):
            raise KeyboardInterrupt

    spec = BenchSpec(
        "chain",
        settings={"dataplane": "xdp"},
        measurements=["loaded-latency"],
        output=tmp_path,
        **QUICK,
    )
    with pytest.raises(KeyboardInterrupt):
        run_bench(spec, stop)
    folder = bundle_in(tmp_path)
    (case,) = load_bundle(folder).summary.cases
    assert case.loaded is not None
    assert [point.load_ratio for point in case.loaded.points] == [0, 0.1]

    events: list[BenchEvent] = []
    (again,) = resume_bench(folder, events.append).summary.cases
    assert again.status == "finished"
    assert again.loaded is not None
    assert again.loaded.points[:2] == case.loaded.points
    assert [point.load_ratio for point in again.loaded.points] == [0, 0.1, 0.5, 0.9]
    assert again.loaded.rate_pps == case.loaded.rate_pps
    assert not [event for event in events if event.step.startswith("searching throughput")]


def test_a_run_that_was_stopped_after_its_last_trial_is_brought_to_its_end(
    tmp_path: Path,
) -> None:
    def stop(event: BenchEvent) -> None:
        if event.record is not None:
            raise KeyboardInterrupt

    spec = BenchSpec(
        "chain", settings={"dataplane": "none"}, measurements=["latency"], output=tmp_path, **QUICK
    )
    with pytest.raises(KeyboardInterrupt):
        run_bench(spec, stop)
    folder = bundle_in(tmp_path)
    assert load_bundle(folder).run.outcome == "interrupted"
    result = resume_bench(folder)
    assert result.exit_code == 0
    assert load_bundle(folder).run.outcome == "finished"


def test_a_bundle_that_is_being_filled_is_left_alone(tmp_path: Path) -> None:
    refused: list[str] = []

    def another(event: BenchEvent) -> None:
        if event.step == "warming up":
            with pytest.raises(ResultsError) as caught:
                resume_bench(bundle_in(tmp_path))
            refused.append(str(caught.value))

    spec = BenchSpec(
        "chain", settings={"dataplane": "none"}, measurements=["latency"], output=tmp_path, **QUICK
    )
    assert run_bench(spec, another).exit_code == 0
    (message,) = refused
    assert "a bench is still filling this bundle" in message


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), "run.json: the file is missing"),
        (lambda folder: (folder / "summary.json").write_text("{"), "summary.json"),
        (lambda folder: changed(folder, "run.json", version=1), "written by version 1"),
        (lambda folder: changed(folder, "run.json", spec={"target": 3}), "specification"),
        (lambda folder: (folder / "plan-dataplane=none.json").unlink(), "plan-dataplane=none.json"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_a_damaged_bundle_is_told_and_left_as_it_is(
    interrupted: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(interrupted)
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    done = vnf("bench", "--resume", str(interrupted))
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "internal error" not in done.stderr
    after = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    assert after == before


def changed(folder: Path, name: str, **values: Any) -> None:
    record = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**record, **values}))


@pytest.fixture(scope="module")
def one_interrupted(tmp_path_factory: pytest.TempPathFactory, known_limits: None) -> Path:
    """A bundle of one round of two."""

    def stop(event: BenchEvent) -> None:
        if event.step == "warming up, round 2/2":
            raise KeyboardInterrupt

    output = tmp_path_factory.mktemp("results")
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "none"},
        measurements=["latency"],
        repeat=2,
        output=output,
        **QUICK,
    )
    with pytest.raises(KeyboardInterrupt):
        run_bench(spec, stop)
    return bundle_in(output)


@pytest.fixture
def interrupted(one_interrupted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_interrupted, tmp_path / "bundle"))


def test_a_topology_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    def stop(event: BenchEvent) -> None:
        if event.step == "warming up, round 2/2":
            raise KeyboardInterrupt

    topology = (
        "from emulator import Topo\n\n\nclass Net(Topo):\n    def build(self):\n"
        "        self.addLink(self.addHost('a'), self.addHost('b'), mtu=1400)\n"
    )
    (tmp_path / "net.py").write_text(topology)
    spec = BenchSpec(
        str(tmp_path / "net.py"),
        measurements=["latency"],
        repeat=2,
        output=tmp_path / "results",
        **QUICK,
    )
    with pytest.raises(KeyboardInterrupt):
        run_bench(spec, stop)
    (tmp_path / "net.py").write_text(topology.replace("1400", "1500"))
    with pytest.raises(UsageError, match="the topology is not what it was"):
        resume_bench(bundle_in(tmp_path / "results"))
    (tmp_path / "net.py").write_text(topology)
    assert resume_bench(bundle_in(tmp_path / "results")).exit_code == 0


SCENARIO = """
topology: chain
settings: {dataplane: none}
measure: sla
profile: levels.toml:hasty
duration: 100ms
repeat: 3
stop: {on_violation: true}
"""
PROFILE = """
[hasty]
deadline = "1ns"
kind = "one-way"
cycle = "1ms"
consecutive_misses_allowed = 0
"""


def test_a_violation_stops_a_run_whose_rule_says_so(tmp_path: Path) -> None:
    (tmp_path / "levels.toml").write_text(PROFILE)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    done = vnf("bench", str(tmp_path / "night.yaml"), "--output", str(tmp_path / "results"))
    assert done.returncode == 1, done.stderr
    assert "Stopped  a service level is violated by dataplane=none" in done.stdout
    bundle = load_bundle(bundle_in(tmp_path / "results"))
    assert bundle.run.outcome == "stopped"
    assert bundle.summary.cases[0].rounds_done == (1,)


def test_no_round_begins_after_the_time_that_a_rule_gives_and_that_is_no_failure(
    tmp_path: Path,
) -> None:
    def slow(event: BenchEvent) -> None:
        if event.step.startswith("warming up"):
            time.sleep(2)

    spec = BenchSpec(
        "chain",
        settings={"dataplane": "none"},
        measurements=["latency"],
        repeat=2,
        stop_after_s=2,
        output=tmp_path,
        **QUICK,
    )
    result = run_bench(spec, slow)
    assert result.stopped == "no round begins after 2 s"
    assert result.exit_code == 0
    assert result.summary.cases[0].rounds_done == (1,)
    assert load_bundle(result.folder).run.outcome == "stopped"
    assert resume_bench(result.folder).summary.cases[0].rounds_done == (1, 2)


def test_too_little_room_is_told_before_anything_starts(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=8m none {tmp_path} && "$0" "$@"'
    mount += f"; code=$?; ls -A {tmp_path}; exit $code"
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", mount),
            *(*VNF, "bench", "--topo", "chain", "--set", "dataplane=none", "soak"),
            *("--rate", "10k", "--duration", "1min", "--output", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "MiB free where this run may need" in done.stderr
    assert done.stdout == ""


def test_at_a_terminal_the_remaining_time_is_shown_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    with Terminal([*VNF, *COMMAND, "--output", str(tmp_path)], {"COLUMNS": "60"}) as terminal:
        terminal.wait_for(r"\d+ s left", timeout_s=DEADLINE_S)
        terminal.wait_for("searching throughput", timeout_s=DEADLINE_S)
        terminal.type("\x03")
        assert terminal.wait_exit(DEADLINE_S) == 130
        assert "vnf: interrupted" in terminal.text
        assert "vnf bench --resume" in terminal.text
        assert "Bundle" in terminal.text
        assert terminal.echoes
    assert load_bundle(bundle_in(tmp_path)).run.outcome == "interrupted"
