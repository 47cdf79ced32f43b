"""The scenario that comes along is measured from the command line as from Python, in little time.

Counts and consistency only; what the numbers are is for the machine to say.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from emulator.experiment.bench import run_bench
from emulator.experiment.bundle import load_bundle
from emulator.experiment.scenario import load_scenario
from emulator.paths import share_dir

pytestmark = [pytest.mark.root, pytest.mark.xdp]

SHORT_GOAL = "loss=1%/trial=50ms/sum=100ms/width=20%"


def test_the_shipped_scenario_measures_all_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bench remembers what it can do itself; not where the user's other runs look for it.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = load_scenario(share_dir() / "topologies" / "chain.yaml")
    spec = dataclasses.replace(
        whole, duration_s=0.2, repeat=1, goals=(SHORT_GOAL,), seed=1, output=tmp_path / "results"
    )

    result = run_bench(spec)

    assert not result.failed
    summary = load_bundle(result.folder).summary
    assert [case.name for case in summary.cases] == [
        "dataplane=none",
        "dataplane=kernel",
        "dataplane=xdp",
    ]
    for case in summary.cases:
        assert case.status == "finished"
        assert case.rounds_done == (1,)
        assert case.trials
        assert case.cost is not None
        (throughput,) = case.throughputs
        assert throughput.goal.loss_ratio == 0.01
        assert {verdict.payload_bytes for verdict in case.sla} == {100, 700}
        assert {verdict.profile for verdict in case.sla} == {"detnet-m2m"}
