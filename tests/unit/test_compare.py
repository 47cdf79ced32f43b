"""Two bundles beside each other: what differs, and what changed by more than chance."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emulator.experiment.bundle import Bundle, BundleWriter, load_bundle
from emulator.experiment.compare import BundleComparison, compare_bundles
from emulator.experiment.compare_report import as_json, render, verdict_text
from emulator.experiment.differences import plan_differences
from emulator.experiment.machine import describe_machine
from emulator.experiment.measured import TrialRecord
from emulator.experiment.records import CaseRecord
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from tests.measured_runs import (
    NOON,
    case,
    cost,
    latency,
    run,
    summary,
    throughput,
    trial,
    write_bundle,
)

STEADY = (0.99, 1.0, 1.01, 1.0, 0.995)


def rounds(p50_ns: int, factors: tuple[float, ...] = STEADY, **changed: Any) -> tuple[Any, ...]:
    return tuple(
        trial(latency(round(p50_ns * factor)), number=n, round=n, samples=None, **changed)
        for n, factor in enumerate(factors, 1)
    )


def measured(dataplane: str, p50_ns: int, rate_pps: float, **changed: Any) -> CaseRecord:
    rates = tuple(rate_pps * factor for factor in STEADY)
    fields: dict[str, Any] = {
        "trials": rounds(p50_ns),
        "throughputs": (throughput(rate_pps, rounds=rates),),
        "cost": cost(*(200 * factor for factor in STEADY)),
    }
    return case(dataplane, p50_ns, None, 200, **(fields | changed))


def bundle(output: Path, *cases: CaseRecord, **about: Any) -> Bundle:
    return load_bundle(write_bundle(output, summary(*cases), run(**about)))


def verdicts(found: BundleComparison) -> dict[str, str]:
    (one,) = found.cases
    return {metric.comparison.metric: metric.comparison.verdict for metric in one.metrics}


def printed(found: BundleComparison) -> str:
    file = io.StringIO()
    Console(file=file, width=220).print(render(found))
    return file.getvalue()


def test_a_slower_build_is_told_and_equal_ones_are_not(tmp_path: Path) -> None:
    a = bundle(tmp_path, measured("xdp", 700, 3e6))
    same = compare_bundles(a, bundle(tmp_path, measured("xdp", 700, 3e6)))
    assert set(verdicts(same).values()) == {"no-difference"}
    assert same.differences == ()
    assert "Machine, versions, settings and plans are the same." in printed(same)

    once = measured("xdp", 1400, 2e6, cost=cost(200))
    slower = compare_bundles(a, bundle(tmp_path, once))
    found = verdicts(slower)
    assert (found["p50"], found["p99"], found["throughput"]) == ("higher", "higher", "lower")
    assert found["loss"] == "no-difference"
    # A single trial tells nothing about its own variation.
    assert found["CPU per packet"] == "unknown"
    text = printed(slower)
    assert "higher: worse" in text
    assert "lower: worse" in text
    assert "+100.0 %" in text
    faster = compare_bundles(load_bundle(slower.b), a)
    assert "lower: better" in printed(faster)
    assert "higher: better" in printed(faster)


def test_a_loss_that_was_not_there_before_is_told(tmp_path: Path) -> None:
    before = measured("xdp", 700, 3e6, trials=rounds(700, lost=0))
    after = tuple(
        trial(latency(700), number=n, round=n, samples=None, lost=100 + n) for n in range(1, 6)
    )
    found = compare_bundles(
        bundle(tmp_path, before), bundle(tmp_path, measured("xdp", 700, 3e6, trials=after))
    )
    assert verdicts(found)["loss"] == "higher"
    assert "points" in printed(found)


def test_two_rounds_are_too_few(tmp_path: Path) -> None:
    few = measured("xdp", 700, 3e6, trials=rounds(700, (1.0, 1.01)))
    many = measured("xdp", 70_000, 3e6)
    found = compare_bundles(bundle(tmp_path, few), bundle(tmp_path, many))
    assert verdicts(found)["p50"] == "unknown"
    text = printed(found)
    assert "cannot be told: 2 rounds" in text
    assert "It takes 3 valid rounds of each" in text


def test_invalid_rounds_do_not_count(tmp_path: Path) -> None:
    def disturbed(record: TrialRecord) -> TrialRecord:
        wild = record.latency.model_copy(update={"p50_ns": 10**9})
        return record.model_copy(update={"valid": False, "latency": wild})

    good = rounds(700)
    bad = tuple(disturbed(each) if each.number <= 2 else each for each in good)
    found = compare_bundles(
        bundle(tmp_path, measured("xdp", 700, 3e6, trials=good)),
        bundle(tmp_path, measured("xdp", 700, 3e6, trials=bad)),
    )
    (p50,) = [m for m in found.cases[0].metrics if m.comparison.metric == "p50"]
    assert (p50.comparison.b_rounds, verdict_text(p50)) == (3, "no significant difference")


def test_a_change_of_cost_is_told_from_chance(tmp_path: Path) -> None:
    before = measured("xdp", 700, 3e6)
    dear = cost(*(300 * factor for factor in STEADY))
    wild = cost(*(300 * factor for factor in STEADY), valid=False)
    told = [
        verdicts(compare_bundles(bundle(tmp_path, before), bundle(tmp_path, after)))
        for after in (measured("xdp", 700, 3e6, cost=dear), measured("xdp", 700, 3e6, cost=wild))
    ]
    assert told[0]["CPU per packet"] == "higher"
    assert "CPU per packet" not in told[1]


def test_where_all_is_invalid_there_is_nothing_to_compare(tmp_path: Path) -> None:
    lost = measured("xdp", 1, 1, trials=rounds(700, valid=False), throughputs=(), cost=None)
    found = compare_bundles(bundle(tmp_path, lost), bundle(tmp_path, lost))
    assert [each.metrics for each in found.cases] == [()]
    text = printed(found)
    assert "No number of both of them is valid" in text
    assert "verdict" not in text


def test_cases_that_only_one_has_are_named(tmp_path: Path) -> None:
    found = compare_bundles(
        bundle(tmp_path, measured("xdp", 700, 3e6), measured("kernel", 2000, 1e6)),
        bundle(tmp_path, measured("xdp", 700, 3e6), measured("dpdk", 2000, 1e6)),
    )
    assert (found.only_in_a, found.only_in_b) == (("dataplane=kernel",), ("dataplane=dpdk",))
    text = printed(found)
    assert "Only in A: dataplane=kernel." in text
    assert "Only in B: dataplane=dpdk." in text


def test_two_single_cases_are_compared_whatever_they_are_called(tmp_path: Path) -> None:
    found = compare_bundles(
        bundle(tmp_path, measured("xdp", 700, 3e6)), bundle(tmp_path, measured("dpdk", 700, 3e6))
    )
    assert "dataplane=xdp → dataplane=dpdk" in printed(found)
    nothing = compare_bundles(bundle(tmp_path), bundle(tmp_path, measured("xdp", 700, 3e6)))
    assert "there is nothing to compare" in printed(nothing)


def test_another_machine_version_revision_and_setting_are_told(tmp_path: Path) -> None:
    one = measured("xdp", 700, 3e6)
    # An option that a version did not know yet, and that was not used, makes no difference.
    about = {"repeat": 5, "output": "x", "core": None, "tools": None}
    a = bundle(tmp_path, one, revision="aaa", spec=about)
    other = describe_machine()
    other = other.model_copy(
        update={
            "kernel": "1.2.3",
            "load_average_1min": 99.0,
            "versions": {**other.versions, "libbpf": "0.1"},
        }
    )
    folder = write_bundle(
        tmp_path, summary(one), run(revision="bbb", spec={"repeat": 3, "output": "y", "tools": []})
    )
    (folder / "machine.json").write_text(other.model_dump_json())
    found = compare_bundles(a, load_bundle(folder))
    assert [(each.about, each.what) for each in found.differences] == [
        ("machine", "kernel"),
        ("versions", "libbpf"),
        ("revision", "revision"),
        ("settings", "repeat"),
    ]
    (warning,) = found.warnings
    assert "the machines differ (kernel)" in warning
    assert "warning: the machines differ" in printed(found)
    assert "revision: revision: aaa → bbb" in printed(found)


def test_what_makes_a_comparison_doubtful_is_told(tmp_path: Path) -> None:
    one = measured("xdp", 700, 3e6)
    a = bundle(tmp_path, one)
    of = summary(one, mechanism="app", round_trip=True)
    found = compare_bundles(a, load_bundle(write_bundle(tmp_path, of, run(outcome="interrupted"))))
    assert len(found.warnings) == 3
    assert "B did not come to its end: interrupted" in found.warnings


class Net(Topo):
    def build(self, delay: str = "1ms", extra: int = 0) -> None:
        hosts = [self.addHost(f"h{n}") for n in range(2 + extra)]
        self.addLink(hosts[0], hosts[1], delay=delay)


def test_plans_are_compared_by_the_names_of_their_nodes_and_links() -> None:
    base = compile_plan(Net())
    assert plan_differences("c", base, compile_plan(Net())) == []
    slower = plan_differences("c", base, compile_plan(Net(delay="2ms")))
    assert slower
    assert all(each.what.startswith("c: links.h0") for each in slower)
    assert any((each.a, each.b) == ("1000000", "2000000") for each in slower)
    (added,) = plan_differences("c", base, compile_plan(Net(extra=1)))
    assert str(added) == "c: nodes.h2: – → there"


def test_plans_of_bundles_are_compared_and_broken_ones_told(tmp_path: Path) -> None:
    folders = []
    for delay in ("1ms", "2ms"):
        writer = BundleWriter.create(tmp_path, "net", started_at=NOON)
        plan = writer.write_plan("dataplane=xdp", compile_plan(Net(delay=delay)))
        writer.write_record("machine.json", describe_machine())
        writer.write_record("run.json", run())
        writer.write_record("summary.json", summary(measured("xdp", 700, 3e6, plan=plan)))
        folders.append(writer.folder)
    a, b = map(load_bundle, folders)
    assert {each.about for each in compare_bundles(a, b).differences} == {"plan"}
    (folders[1] / "plan-dataplane=xdp.json").write_text("[]")
    found = compare_bundles(a, b)
    assert found.differences == ()
    assert any("plans cannot be compared" in line for line in found.warnings)


def test_json_holds_all_of_it(tmp_path: Path) -> None:
    a = bundle(tmp_path, measured("xdp", 700, 3e6), spec={"x": 1})
    b = bundle(tmp_path, measured("xdp", 900, 3e6), spec={"x": 2})
    document = json.loads(json.dumps(as_json(compare_bundles(a, b))))
    (one,) = document["cases"]
    p50 = one["metrics"][0]["comparison"]
    assert (p50["metric"], p50["verdict"]) == ("p50", "higher")
    assert p50["ratio"] == pytest.approx(900 / 700, rel=0.01)
    assert document["differences"] == [{"about": "settings", "what": "x", "a": "1", "b": "2"}]
