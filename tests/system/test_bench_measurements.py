"""What a bench can measure, on real networks.

Counts and consistency only; what the numbers are is for the machine to say.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from emulator.errors import UsageError
from emulator.experiment.bench import BenchResult, run_bench
from emulator.experiment.bundle import Bundle, load_bundle
from emulator.experiment.records import CaseRecord
from emulator.experiment.spec import MEASUREMENTS, BenchSpec
from tests.system.benches import GOAL, QUICK, bundle_in, vnf

pytestmark = [pytest.mark.root, pytest.mark.xdp, pytest.mark.usefixtures("known_limits")]

PROFILES = """
[patient]
deadline = "10s"
kind = "one-way"
cycle = "1ms"
payload_bytes = [64, 200]
consecutive_misses_allowed = 100000

[hasty]
deadline = "1ns"
kind = "one-way"
cycle = "1ms"
consecutive_misses_allowed = 0
"""
"""Any path keeps to the one that has only a deadline, and none to the other one."""

IMPAIRED = """
from emulator import Topo


class Impaired(Topo):
    def build(self, last="s1"):
        self.addHost("a")
        self.addHost("b")
        for switch in ("s1", "s2"):
            self.addSwitch(switch)
        self.addLink("a", "s1", delay="1ms")
        if last:
            self.addLink(last, "b")
"""
CUT = """
schedule:
  - {at: 0s, links: a-s1, loss: 100%}
"""


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profiles") / "levels.toml"
    file.write_text(PROFILES)
    return file


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, profiles: Path, known_limits: None
) -> BenchResult:
    """All measurements of one case, in two rounds."""
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "xdp"},
        measurements=MEASUREMENTS,
        profiles=[f"{profiles}:patient", f"{profiles}:hasty"],
        telemetry=True,
        rates_pps=[2000],
        duration_s=0.2,
        goals=[GOAL, "loss=50%/trial=50ms/sum=100ms/width=20%"],
        repeat=2,
        seed=1,
        output=tmp_path_factory.mktemp("results"),
    )
    return run_bench(spec)


@pytest.fixture(scope="module")
def bundle(everything: BenchResult) -> Bundle:
    return load_bundle(everything.folder)


@pytest.fixture(scope="module")
def case(bundle: Bundle) -> CaseRecord:
    (case,) = bundle.summary.cases
    return case


def test_all_of_it_is_in_the_bundle(everything: BenchResult, bundle: Bundle) -> None:
    assert bundle.summary == everything.summary
    assert not everything.failed
    (case,) = bundle.summary.cases
    assert (case.status, case.rounds_done) == ("finished", (1, 2))
    assert bundle.run.outcome == "finished"


def test_every_goal_is_searched_for_in_every_round(case: CaseRecord) -> None:
    assert [found.goal.loss_ratio for found in case.throughputs] == [0.1, 0.5]
    for found in case.throughputs:
        assert [search.round for search in found.searches] == [1, 2]
        assert all(search.trials for search in found.searches)
        rates = [search.rate_pps for search in found.searches]
        if None not in rates:
            assert found.rate_pps == pytest.approx(np.median(np.array(rates, dtype=float)))
            assert found.spread is not None
            assert found.rate_bps == pytest.approx((found.rate_pps or 0) * 64 * 8)


def test_latency_under_load_has_a_point_for_each_load(case: CaseRecord, bundle: Bundle) -> None:
    assert case.loaded is not None
    assert case.throughput is not None
    assert case.loaded.rate_pps == case.throughput.searches[0].rate_pps
    assert [point.load_ratio for point in case.loaded.points] == [0, 0.1, 0.5, 0.9]
    for point in case.loaded.points:
        assert point.background_pps == pytest.approx(point.load_ratio * case.loaded.rate_pps)
        assert (point.background_offered_pps > 0) is (point.load_ratio > 0)
        assert point.samples is not None
        assert (bundle.folder / point.samples).is_file()
        beside = [each for each in point.findings if each.rule == "background"]
        assert bool(beside) is (point.load_ratio > 0)


def test_bursts_are_counted_in_frames(case: CaseRecord) -> None:
    found = case.back_to_back
    assert found is not None
    assert found.repeats >= 1
    if found.frames is not None:
        assert found.frames_min is not None
        assert found.frames_max is not None
        assert found.frames_min <= found.frames <= found.frames_max


def test_service_levels_are_judged_and_a_violation_ends_with_1(
    everything: BenchResult, case: CaseRecord
) -> None:
    verdicts = {(each.profile, each.payload_bytes): each for each in case.sla}
    assert [key[0] for key in verdicts] == ["patient", "patient", "hasty"]
    for size in (64, 200):
        kept = verdicts["patient", size]
        assert (kept.verdict, kept.misses, kept.availability) == ("pass", kept.lost, 1.0)
    (missed,) = (each for each in case.sla if each.profile == "hasty")
    assert missed.verdict == "fail"
    assert missed.misses == missed.cycles > 0
    assert sum(length * often for length, often in missed.run_lengths.items()) == missed.misses
    assert missed.first_violation is not None
    assert missed.cycles + missed.unsent == 200
    assert everything.exit_code == 1
    assert everything.violated == [case]


def test_a_soak_is_looked_at_in_intervals(case: CaseRecord) -> None:
    assert case.soak is not None
    assert len(case.soak.intervals) == 10
    assert sum(each.sent + each.unsent for each in case.soak.intervals) == 400


def test_the_delay_is_split_by_hops(case: CaseRecord) -> None:
    assert case.hops is not None
    assert {segment.kind for segment in case.hops.segments} >= {"link", "vnf"}
    assert case.hops.packets + case.hops.left_out <= 400
    assert case.hops.worst_sum_error_ns <= 1000
    assert sum(segment.share for segment in case.hops.segments) == pytest.approx(1)


def test_cost_tells_what_each_node_took(case: CaseRecord) -> None:
    assert case.cost is not None
    assert case.cost.cpu_ns_per_packet
    assert [trial.round for trial in case.cost.trials] == [1, 2]
    resources = case.cost.trials[0].resources
    assert resources is not None
    time_told = resources.nodes["vnf1"].xdp_runs if "vnf1" in resources.nodes else None
    assert time_told or "XDP run time" in resources.unavailable


def test_what_each_trial_took_is_a_row(bundle: Bundle) -> None:
    rows = list(csv.DictReader(bundle.resources().splitlines()))
    assert {row["measurement"] for row in rows} >= {"latency", "throughput", "soak", "cost"}
    assert {row["round"] for row in rows} == {"1", "2"}


def test_samples_are_of_every_recorded_trial(case: CaseRecord, bundle: Bundle) -> None:
    named = [trial.samples for trial in case.trials]
    named += [point.samples for point in case.loaded.points] if case.loaded else []
    named += [verdict.samples for verdict in case.sla]
    assert len(set(named)) == len(named)
    for name in named:
        assert name is not None
        assert (bundle.folder / name).is_file()


def test_the_report_tells_the_verdicts(everything: BenchResult) -> None:
    done = vnf("report", str(everything.folder), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    topics = " ".join(f"{point['topic']}: {point['text']}" for point in told["points"])
    assert "Service level hasty: " in topics
    assert "Soak of " in topics
    page = Path(told["page"]).read_text()
    for text in ("Latency under load", "Back-to-back frames", "hasty", "patient"):
        assert text in page


def test_a_violation_ends_the_command_with_1_and_a_level_that_is_kept_with_0(
    tmp_path: Path, profiles: Path
) -> None:
    common = ["bench", "--topo", "chain", "--set", "dataplane=none", "sla", "--duration", "100ms"]
    for name, verdict in (("patient", "pass"), ("hasty", "fail")):
        output = tmp_path / name
        done = vnf(*common, "--profile", f"{profiles}:{name}", "--output", str(output))
        (case,) = load_bundle(bundle_in(output)).summary.cases
        assert {each.verdict for each in case.sla} == {verdict}
        # On a busy machine a trial does not count, and then neither does a level that is kept.
        kept = verdict == "pass" and all(each.valid for each in case.sla)
        assert done.returncode == (0 if kept else 1), done.stderr
        assert name in done.stdout


def test_the_way_there_and_back_is_told_as_such(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "xdp"},
        measurements=["latency"],
        round_trip=True,
        output=tmp_path,
        **QUICK,
    )
    result = run_bench(spec)
    assert result.summary.round_trip
    bundle = load_bundle(result.folder)
    (case,) = bundle.summary.cases
    samples = bundle.samples(case.name, case.trials[0].number)
    back = samples["received_ns"] != 0
    assert back.any()
    assert (samples["reflected_ns"][back] > samples["sent_ns"][back]).all()
    assert (samples["received_ns"][back] > samples["reflected_ns"][back]).all()


def test_a_load_beside_the_packets_that_are_measured_is_told(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "xdp"},
        measurements=["latency"],
        background_pps=20_000,
        output=tmp_path,
        **QUICK,
    )
    (case,) = run_bench(spec).summary.cases
    assert case.status == "finished"
    for trial in case.trials:
        assert trial.sent + trial.unsent == 400
        found = [each.text for each in trial.findings if each.rule == "background"]
        assert any("of background load" in text for text in found)


def test_sizes_patterns_and_rates_are_cases(tmp_path: Path) -> None:
    done = vnf(
        *("bench", "--topo", "chain", "--set", "dataplane=none", "latency"),
        *("--size", "64,imix", "--pattern", "const;poisson", "--rate", "1k,2k"),
        *("--duration", "100ms", "--output", str(tmp_path), "--json"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    found = {
        (case["varied"]["rate"], case["varied"]["size"], case["varied"]["pattern"])
        for case in summary["cases"]
    }
    assert found == {
        (rate, size, pattern)
        for rate in ("1000", "2000")
        for size in ("64", "imix")
        for pattern in ("const", "poisson")
    }
    bundle = load_bundle(summary["folder"])
    for case in bundle.summary.cases:
        assert case.traffic is not None
        mean_bytes = 64 if case.traffic.frames == "64" else (28 * 64 + 16 * 570 + 4 * 1518) / 48
        assert case.traffic.mean_frame_bytes == pytest.approx(mean_bytes)
        trial = case.trials[0]
        intended = bundle.samples(case.name, trial.number)["intended_ns"]
        if case.traffic.pattern == "const":
            assert trial.sent + trial.unsent == case.traffic.rate_pps * 0.1
            assert np.ptp(np.diff(intended.astype(np.int64))) <= 1
        else:
            assert np.ptp(np.diff(intended.astype(np.int64))) > 1000
    assert {each.frames for each in bundle.summary.bench} == {"64", "imix"}


def test_a_capture_is_sent_at_its_own_pace_and_with_its_own_sizes(tmp_path: Path) -> None:
    capture, times_ms = tmp_path / "a.pcap", (0, 1, 7, 9)
    with PcapWriter(str(capture)) as writer:
        for time_ms, size_bytes in zip(times_ms, (60, 1514, 60, 596), strict=True):
            packet = Ether() / Raw(bytes(size_bytes - 14))
            packet.time = time_ms / 1000
            writer.write(packet)
    done = vnf(
        *("bench", "--topo", "chain", "--set", "dataplane=none", "latency"),
        *("--pattern", f"pcap:{capture}", "--duration", "120ms"),
        *("--output", str(tmp_path / "results"), "--json"),
    )
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(json.loads(done.stdout)["folder"])
    (case,) = bundle.summary.cases
    assert case.traffic is not None
    assert case.traffic.rate_pps == pytest.approx(3 * 1000 / 9)
    assert case.traffic.mean_frame_bytes == pytest.approx((64 + 1518 + 64 + 600) / 4)
    intended = bundle.samples(case.name, 1)["intended_ns"].astype(np.int64)
    np.testing.assert_allclose(intended[:4] - intended[0], [t * 1e6 for t in times_ms], atol=1)
    assert len(intended) == 40


def test_links_change_by_a_schedule_while_they_are_measured(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(IMPAIRED)
    (tmp_path / "cut.yaml").write_text(CUT)
    done = vnf(
        *("bench", str(tmp_path / "net.py"), "latency", "--schedule", str(tmp_path / "cut.yaml")),
        *("--rate", "1000", "--duration", "500ms", "--certify", "no"),
        *("--output", str(tmp_path / "results"), "--json"),
    )
    assert done.returncode == 0, done.stderr
    (case,) = json.loads(done.stdout)["cases"]
    assert case["trials"][0]["lost"] > 0
    assert any(finding["rule"] == "loss" for finding in case["trials"][0]["findings"])


def test_ends_that_are_not_connected_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(IMPAIRED)
    target, output = str(tmp_path / "net.py"), tmp_path / "results"
    common: dict[str, Any] = {"measurements": ["latency"], "certify": "no", "output": output}

    with pytest.raises(UsageError, match="b is a host with no address") as caught:
        run_bench(BenchSpec(target, settings={"last": ""}, **common, **QUICK))
    assert caught.value.hint == "choose one of a"
    assert not output.exists()

    monkeypatch.setattr("emulator.experiment.measuring.path._READY_WITHIN_S", 0.5)
    result = run_bench(BenchSpec(target, settings={"last": "s2"}, **common, **QUICK))
    (failed,) = result.failed
    assert (failed.error or "").startswith("a: no answer from ")
    assert "check that everything on the way is up" in (failed.error_hint or "")
    assert failed.trials == ()
    assert result.exit_code == 1


SCENARIO = """
topology: net.py
settings: {last: s1}
measure: [latency, sla]
traffic: {rate: 1k, size: 64}
duration: 100ms
repeat: 2
profile: levels.toml:patient
certify: no
seed: 5
"""


def test_a_scenario_says_all_there_is_to_measure(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(IMPAIRED)
    (tmp_path / "levels.toml").write_text(PROFILES)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    done = vnf("bench", str(tmp_path / "night.yaml"), "--output", str(tmp_path / "results"))
    bundle = load_bundle(bundle_in(tmp_path / "results"))
    valid = all(verdict.valid for case in bundle.summary.cases for verdict in case.sla)
    assert done.returncode == (0 if valid else 1), done.stderr
    assert [case.name for case in bundle.summary.cases] == ["last=s1"]
    for case in bundle.summary.cases:
        assert (case.status, case.rounds_done) == ("finished", (1, 2))
        assert [verdict.verdict for verdict in case.sla] == ["pass", "pass"]
    assert bundle.run.seed == 5


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("topology: chain\ntrafic: {rate: 1k}\n", ["night.yaml:2:1", "trafic", "no such key"]),
        ("topology: chain\ntraffic:\n  size: [64, huge]\n", ["huge"]),
        ("topology: chain\ntraffic: {rate: fast}\n", ["night.yaml:2:", "traffic.rate"]),
        ("topology: chain\ngoal: quickest\n", ["quickest"]),
        ("topology: chain\nrepeat: 0\n", ["night.yaml:2:1", "repeat"]),
        ("topology: nowhere.py\n", ["nowhere.py"]),
        ("topology: [chain\n", ["night.yaml:2:1", "YAML"]),
    ],
)
def test_a_mistake_in_a_scenario_is_told_where_it_stands(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    (tmp_path / "night.yaml").write_text(text)
    done = vnf("bench", str(tmp_path / "night.yaml"), "--output", str(tmp_path / "results"))
    assert done.returncode == 2, done.stdout
    for message in messages:
        assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_nothing_else_is_said_beside_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text("topology: chain\n")
    done = vnf("bench", str(tmp_path / "night.yaml"), "--rate", "1k", "--output", str(tmp_path))
    assert done.returncode == 2
    assert "--rate" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["night.yaml"]
