"""The list of bundles, the whole and the damaged ones, and what it takes to run one again."""

from __future__ import annotations

import dataclasses
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle import Bundle, load_bundle
from emulator.experiment.cases import expand_cases
from emulator.experiment.prepare import prepare
from emulator.experiment.replay import prepare_replay, tell_differences
from emulator.experiment.results import list_bundles
from emulator.experiment.spec import BenchSpec
from tests.measured_runs import NOON, case, run, summary, write_bundle

TOPOLOGY = """
from emulator import Topo


class Net(Topo):
    def build(self, mtu=1500):
        self.addLink(self.addHost("a"), self.addHost("b"), mtu=mtu)
"""


def test_the_newest_bundle_comes_first(tmp_path: Path) -> None:
    for hours in (1, 3, 2):
        started = NOON + timedelta(hours=hours)
        write_bundle(tmp_path, summary(case("xdp", 1, 1, 1)), run(started_at=started))
    found = list_bundles(tmp_path)
    assert [entry.started_at.hour for entry in found] == [15, 14, 13]
    first = found[0]
    assert first.name == "20310504T150000Z-chain"
    assert (first.topology, first.cases, first.finished) == ("chain", 1, 1)
    assert (first.measurements[0], first.outcome) == ("latency", "finished")
    assert first.size_bytes == sum(
        path.stat().st_size for path in first.path.rglob("*") if path.is_file()
    )


def test_damaged_bundles_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    good, cut, old, gone = (
        write_bundle(tmp_path, summary(case("xdp", 1, 1, 1)), run(started_at=NOON + each))
        for each in (timedelta(hours=hours) for hours in range(4))
    )
    (cut / "summary.json").write_text('{"version": 2, "topol')
    (old / "run.json").write_text('{"version": 1}')
    for name in ("run.json", "summary.json"):
        (gone / name).unlink()
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("no bundle")
    found = {entry.path: entry for entry in list_bundles(tmp_path)}
    assert set(found) == {good, cut, old, gone}
    assert found[good].problem is None
    assert "summary.json" in str(found[cut].problem)
    assert "written by version 1" in str(found[old].problem)
    assert "no bundle" in str(found[gone].problem)
    assert {entry.outcome for path, entry in found.items() if path != good} == {"damaged"}
    # By the name of its folder.
    assert found[gone].started_at == NOON + timedelta(hours=3)


def test_a_bundle_itself_is_listed_alone_and_no_folder_is_told(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, summary(case("xdp", 1, 1, 1)))
    assert [entry.path for entry in list_bundles(folder)] == [folder]
    with pytest.raises(UsageError, match="no such folder"):
        list_bundles(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no folder"):
        list_bundles(folder / "run.json")


def test_cases_that_did_not_finish_are_counted_apart(tmp_path: Path) -> None:
    failed = case("dpdk", 1, 1, 1, status="failed")
    folder = write_bundle(tmp_path, summary(case("xdp", 1, 1, 1), failed), run(outcome="failed"))
    (entry,) = list_bundles(folder)
    assert (entry.cases, entry.finished, entry.outcome) == (2, 1, "failed")


def recorded(tmp_path: Path, **changed: Any) -> Bundle:
    """A bundle of a run of a topology in a file, with the plans that it had."""
    file = tmp_path / "net.py"
    file.write_text(TOPOLOGY)
    spec = BenchSpec(
        target=str(file), vary={"mtu": ["1500", "9000"]}, output=tmp_path / "results", **changed
    )
    cases = expand_cases(spec.settings, spec.vary, spec.traffics())
    prepared = prepare(spec.target, cases, source=None, destination=None)
    records = []
    plans = {}
    for each in cases:
        name = f"plan-{each.name}.json"
        plans[name] = prepared[each.name].plan.to_json()
        records.append(case("xdp", 1, 1, 1, name=each.name, varied=dict(each.varied), plan=name))
    about = run(spec=spec.record(), seed=77)
    folder = write_bundle(tmp_path / "results", summary(*records, topology="net"), about)
    for name, text in plans.items():
        (folder / name).write_text(text)
    return load_bundle(folder)


def test_a_replay_has_the_same_specification_and_seed(tmp_path: Path) -> None:
    bundle = recorded(tmp_path, repeat=3)
    again = prepare_replay(bundle)
    assert again.differences == ()
    before = BenchSpec.from_record(bundle.run.spec)
    assert again.spec == dataclasses.replace(before, seed=77, output=tmp_path / "results")
    assert prepare_replay(bundle, output=tmp_path / "x").spec.output == tmp_path / "x"


def test_a_topology_that_changed_is_told(tmp_path: Path) -> None:
    bundle = recorded(tmp_path)
    (tmp_path / "net.py").write_text(TOPOLOGY.replace('"b")', '"c")'))
    again = prepare_replay(bundle)
    lines: list[str] = []
    tell_differences(lines.append, again, most=3)
    assert len(lines) == 4
    assert all("the network is not as it was: mtu=" in line for line in lines[:3])
    assert lines[3] == f"{len(again.differences) - 3} more differences of the network"
    assert any("nodes.c: – → there" in str(each) for each in again.differences)


def test_a_topology_that_is_gone_is_told_and_can_be_named(tmp_path: Path) -> None:
    bundle = recorded(tmp_path)
    os.rename(tmp_path / "net.py", tmp_path / "moved.py")
    with pytest.raises(UsageError, match="the topology's file is not there") as caught:
        prepare_replay(bundle)
    assert "--topology" in caught.value.hint
    assert prepare_replay(bundle, target=f"{tmp_path}/moved.py").differences == ()
    with pytest.raises(UsageError, match="not there"):
        prepare_replay(bundle, target=f"{tmp_path}/nowhere.py:Net")


def test_a_specification_of_another_version_is_told(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, summary(case("xdp", 1, 1, 1)), run(spec={"goal": 3}))
    with pytest.raises(ResultsError, match="cannot be understood") as caught:
        prepare_replay(load_bundle(folder))
    assert caught.value.where == str(folder / "run.json")
