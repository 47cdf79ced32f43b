"""What a bench is told to measure: its cases, their order, and what is refused beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from emulator.errors import ResultsError, TopologyError, UsageError
from emulator.experiment.bench import BenchResult, partial_result
from emulator.experiment.cases import (
    Case,
    Traffic,
    baseline_for,
    expand_cases,
    parse_vary,
    random_order,
)
from emulator.experiment.measured import LatencyRecord
from emulator.experiment.measured_verdicts import SlaRecord
from emulator.experiment.prepare import prepare
from emulator.experiment.records import CaseRecord, SummaryRecord
from emulator.experiment.spec import BenchSpec
from emulator.traffic.frames import FrameMix

WORDS = st.text("abcdefghij0123456789", min_size=1, max_size=6)
VARY = st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=4, unique=True), max_size=3)


def test_every_combination_is_a_case() -> None:
    cases = expand_cases({"vnf": "drop"}, {"dataplane": ["kernel", "xdp"], "length": ["1", "2"]})

    assert [case.name for case in cases] == [
        "dataplane=kernel,length=1",
        "dataplane=kernel,length=2",
        "dataplane=xdp,length=1",
        "dataplane=xdp,length=2",
    ]
    assert cases[3].settings == {"vnf": "drop", "dataplane": "xdp", "length": "2"}


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "default"), ({"dataplane": "xdp"}, "dataplane=xdp")]
)
def test_nothing_to_vary_is_one_case(settings: dict[str, str], name: str) -> None:
    assert expand_cases(settings, {}) == [Case(name, settings)]


@given(VARY)
def test_as_many_cases_as_combinations_and_all_different(vary: dict[str, list[str]]) -> None:
    cases = expand_cases({}, vary)
    expected = 1
    for values in vary.values():
        expected *= len(values)
    assert len({case.name for case in cases}) == len(cases) == expected


@given(VARY, st.integers())
def test_the_order_loses_no_case_and_hangs_on_the_seed_alone(
    vary: dict[str, list[str]], seed: int
) -> None:
    cases = expand_cases({}, vary)
    order = random_order(cases, 3, seed)
    for number in (1, 2, 3):
        names = [unit.case.name for unit in order if unit.round == number]
        assert sorted(names) == sorted(case.name for case in cases)
    assert [unit.round for unit in order] == sorted(unit.round for unit in order)
    assert order == random_order(cases, 3, seed)


def test_some_seeds_give_different_orders() -> None:
    cases = expand_cases({}, {"dataplane": ["none", "kernel", "xdp"]})
    orders = {tuple(unit.case.name for unit in random_order(cases, 1, seed)) for seed in range(50)}
    assert len(orders) == 6


def test_every_kind_of_traffic_is_a_case_of_its_own() -> None:
    traffics = [Traffic(rate, size) for rate in (1000.0, 2e6) for size in ("64", "imix")]
    cases = expand_cases({"length": "2"}, {"dataplane": ["none", "xdp"]}, traffics)
    assert [case.name for case in cases][:3] == [
        "dataplane=none,rate=1000,size=64",
        "dataplane=none,rate=1000,size=imix",
        "dataplane=none,rate=2000000,size=64",
    ]
    assert cases[0].settings == {"length": "2", "dataplane": "none"}
    assert cases[3].varied == {"dataplane": "none", "rate": "2000000", "size": "imix"}
    baseline = baseline_for(cases[5], cases)
    assert baseline is not None
    assert baseline.name == "dataplane=none,rate=1000,size=imix"


def test_traffic_that_is_the_same_for_all_is_in_no_name() -> None:
    (case,) = expand_cases({}, {}, [Traffic(5.0, "imix", "poisson")])
    assert (case.name, case.varied) == ("default", {})


def test_traffic_and_a_setting_of_the_same_name_cannot_both_vary() -> None:
    with pytest.raises(UsageError, match="both the topology's setting"):
        expand_cases({}, {"size": ["1", "2"]}, [Traffic(frames="64"), Traffic(frames="128")])


def test_the_same_traffic_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="more than once"):
        expand_cases({}, {}, [Traffic(), Traffic()])


def test_vary_options_are_read_in_the_order_written() -> None:
    vary = parse_vary(["dataplane=none, kernel,xdp", "length=1"])
    assert list(vary.items()) == [("dataplane", ["none", "kernel", "xdp"]), ("length", ["1"])]


def test_semicolons_separate_values_that_have_commas_in_them() -> None:
    vary = parse_vary(["idle=poll; yield;spin:20us,wait", "cores=0,1"])
    assert vary == {"idle": ["poll", "yield", "spin:20us,wait"], "cores": ["0", "1"]}
    with pytest.raises(UsageError) as caught:
        parse_vary(["idle=poll;spin:20us,wait", "idle=yield"])
    assert caught.value.hint.endswith("--vary idle=poll;spin:20us,wait;yield")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["dataplane"], "KEY=VALUE"),
        (["=xdp"], "KEY=VALUE"),
        (["dataplane="], "a value is missing"),
        (["dataplane=xdp,"], "a value is missing"),
        (["dataplane=xdp,xdp"], "'xdp' is given more than once"),
        (["dataplane=xdp", "dataplane=kernel"], "'dataplane' is varied twice"),
    ],
)
def test_wrong_vary_options_are_explained(options: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_vary(options)
    assert caught.value.where.startswith("--vary")
    assert caught.value.hint


def test_a_setting_cannot_be_fixed_and_varied() -> None:
    with pytest.raises(UsageError, match="both fixed and varied"):
        expand_cases({"length": "3"}, {"length": ["1", "2"]})


def test_the_baseline_differs_only_in_having_no_vnf() -> None:
    cases = expand_cases({}, {"dataplane": ["none", "xdp"], "length": ["1", "2"]})
    by_name = {case.name: case for case in cases}

    baseline = baseline_for(by_name["dataplane=xdp,length=2"], cases)

    assert baseline is by_name["dataplane=none,length=2"]
    assert baseline_for(baseline, cases) is None
    assert baseline_for(Case("dataplane=xdp", {"dataplane": "xdp"}), cases) is None


CHAIN = """
from emulator import Topo


class Chain(Topo):
    def build(self, dataplane="xdp", hosts=2, colour="red"):
        nodes = [self.addHost(f"h{number}") for number in range(1, hosts + 1)]
        middle = self.addSwitch("s1")
        if dataplane != "none":
            middle = self.addVNF("fw", "forward", dataplane=dataplane)
        for node in nodes:
            self.addLink(node, middle)
"""


@pytest.fixture
def chain(tmp_path: Path) -> str:
    path = tmp_path / "mychain.py"
    path.write_text(CHAIN)
    return str(path)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"rates_pps": [0]}, "--rate"),
        ({"rates_pps": [math.inf]}, "--rate"),
        ({"duration_s": -1}, "--duration"),
        ({"frames": ["63"]}, "--size"),
        ({"frames": ["big"]}, "--size"),
        ({"patterns": ["waves"]}, "--pattern"),
        ({"measurements": []}, ""),
        ({"measurements": ["speed"]}, ""),
        ({"measurements": ["sla"]}, "sla"),
        ({"measurements": ["sla"], "profiles": ["nobody"]}, "SLA"),
        ({"profiles": ["urllc"]}, "--profile"),
        ({"mechanism": "magic"}, "--probe"),
        ({"core": -1}, "--core"),
        ({"repeat": 0}, "--repeat"),
        ({"goals": ["fast"]}, ""),
        ({"goals": ["loss=1"]}, "goal loss=1"),
        ({"goals": ["loss=nan"]}, "goal loss=nan"),
        ({"source": "h1", "destination": "h1"}, "--from"),
        ({"rates_pps": [1e9], "duration_s": 3600}, "probe"),
        ({"settings": {"a": "1"}, "vary": {"a": ["2"]}}, "--vary a"),
    ],
)
def test_a_bench_that_makes_no_sense_is_refused_when_it_is_described(
    values: dict[str, Any], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        BenchSpec("chain", **values)
    assert where in caught.value.where


def summarised() -> LatencyRecord:
    return LatencyRecord(
        count=2, min_ns=1, mean_ns=2, p50_ns=1, p90_ns=2, p99_ns=None, p999_ns=None, max_ns=2
    )


def prepared(target: str, vary: dict[str, list[str]], **ends: str | None) -> Any:
    wanted = {"source": None, "destination": None, **ends}
    return prepare(target, expand_cases({}, vary), **wanted)


def test_the_ends_of_the_path_are_the_first_and_the_last_host() -> None:
    ready = prepared("chain", {"dataplane": ["none", "kernel"]})
    assert {(each.source, each.destination) for each in ready.values()} == {("client", "server")}
    ten = prepared("single,10", {})["default"]
    assert (ten.source, ten.destination) == ("h1", "h10")


@pytest.mark.parametrize(
    ("ends", "found"),
    [
        ({"source": "h3"}, ("h3", "h4")),
        ({"source": "h4"}, ("h4", "h3")),
        ({"destination": "h1"}, ("h2", "h1")),
        ({"source": "h4", "destination": "h2"}, ("h4", "h2")),
    ],
)
def test_the_ends_can_be_chosen(ends: dict[str, str], found: tuple[str, str]) -> None:
    ready = prepared("single,4", {}, **ends)["default"]
    assert (ready.source, ready.destination) == found


@pytest.mark.parametrize(
    ("target", "ends", "complaint", "hint"),
    [
        ("chain", {"source": "clinet"}, "no node clinet", "client"),
        ("single,2", {"destination": "s1"}, "s1 is a switch", "h1"),
        ("single,1", {}, "two hosts", "addHost"),
    ],
)
def test_ends_that_cannot_be_are_explained(
    target: str, ends: dict[str, str], complaint: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        prepared(target, {}, **ends)
    assert hint in caught.value.hint


def test_mistakes_of_all_cases_are_told_together_before_anything_runs(chain: str) -> None:
    with pytest.raises(TopologyError) as caught:
        prepared(chain, {"dataplane": ["none", "kernel", "warp", "woof"], "hosts": ["2"]})
    places = [problem.where for problem in caught.value.problems]
    assert len(places) == 2
    assert places[0].startswith("dataplane=warp,hosts=2: ")
    assert places[1].startswith("dataplane=woof,hosts=2: ")


def test_a_mistake_that_all_cases_share_is_told_once(chain: str) -> None:
    with pytest.raises(TopologyError) as caught:
        prepared(chain, {"dataplane": ["warp"], "colour": ["red", "blue"]})
    assert len(caught.value.problems) == 1
    assert "colour" not in caught.value.problems[0].where


def test_an_unknown_setting_is_told_with_those_there_are(chain: str) -> None:
    with pytest.raises(UsageError, match="colours"):
        prepared(chain, {"colours": ["red", "blue"]})


def test_without_a_single_measurement_the_exit_code_is_that_of_the_errors() -> None:
    def result(*codes: int | None) -> BenchResult:
        cases = [
            CaseRecord(
                name=str(number),
                settings={},
                status="finished" if code is None else "failed",
                error_exit_code=code,
            )
            for number, code in enumerate(codes)
        ]
        summary = SummaryRecord(
            topology="chain",
            link="veth",
            mechanism="kernel",
            measurements=("latency",),
            duration_s=1,
            repeat=1,
            cases=tuple(cases),
        )
        return BenchResult(Path("results"), summary)

    assert result(None, None).exit_code == 0
    assert result(None, 3).exit_code == 1
    assert result(3, 3).exit_code == 3
    assert result(1, 3).exit_code == 1


def test_a_service_level_that_is_violated_ends_with_1() -> None:
    sla = SlaRecord(
        profile="mine",
        source="",
        cycle_ns=None,
        deadline_ns=1,
        consecutive_misses_allowed=0,
        payload_bytes=64,
        round_trip=False,
        verdict="fail",
        reason="late",
        cycles=2,
        misses=1,
        lost=0,
        availability=0.5,
        within_deadline=0.5,
        longest_run=1,
        latency=summarised(),
        valid=True,
    )
    case = CaseRecord(name="a", settings={}, status="finished", sla=(sla,))
    summary = SummaryRecord(
        topology="chain",
        link="veth",
        mechanism="kernel",
        measurements=("sla",),
        duration_s=1,
        repeat=1,
        cases=(case,),
    )
    assert BenchResult(Path("results"), summary).exit_code == 1


def test_a_specification_reads_back_as_it_was_written() -> None:
    spec = BenchSpec(
        "chain",
        vary={"dataplane": ["none", "xdp"]},
        measurements=("latency", "sla"),
        profiles=("urllc",),
        frames=("64", "imix"),
        seed=3,
        output=Path("there"),
    )
    recorded = json.loads(json.dumps(spec.record()))
    assert BenchSpec.from_record(recorded).record() == spec.record()
    with pytest.raises(ResultsError):
        BenchSpec.from_record({**recorded, "speed": 1})


def test_an_error_that_left_nothing_has_no_partial_result() -> None:
    assert partial_result(KeyboardInterrupt()) is None


@pytest.mark.parametrize("beside", [True, False])
def test_vnfs_of_ones_own_are_found_beside_the_file_or_else_in_the_working_folder(
    chain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    folder = tmp_path / "vnfs" / "mine"
    folder.mkdir(parents=True)
    (folder / "vnf.toml").write_text(
        'name = "mine"\nsummary = "a bridge"\nports = 2\n'
        '[dataplanes.kernel]\nmechanism = "bridge"\n'
    )
    if not beside:
        monkeypatch.chdir(tmp_path)
    assert ("mine" in prepared(chain, {})["default"].catalog) is True
    assert ("mine" in prepared("chain", {})["default"].catalog) is not beside


def captured(folder: Path, *sizes_bytes: int, gap_ms: int = 2) -> str:
    path = folder / "a.pcap"
    with PcapWriter(str(path)) as writer:
        for number, size_bytes in enumerate(sizes_bytes):
            packet = Ether() / Raw(bytes(size_bytes - 14))
            packet.time = number * gap_ms / 1000
            writer.write(packet)
    return f"pcap:{path}"


def test_a_capture_has_its_own_pace_and_frames_unless_a_rate_is_given(tmp_path: Path) -> None:
    pattern = captured(tmp_path, 60, 1514, 60)
    spec = BenchSpec("chain", patterns=[pattern, "const"], frames=["64", "imix"])
    own, const, imix = spec.traffics()
    assert own.rate_pps == pytest.approx(500)
    assert own.frame_mix() == FrameMix(((64, 2), (1518, 1)))
    assert own.options() == {"rate": "500", "size": "captured", "pattern": pattern}
    assert (const, imix) == (Traffic(10_000, "64", "const"), Traffic(10_000, "imix", "const"))

    paced = spec.probe(own, own.rate_pps, 1.0, record=False)
    assert paced.frame_cycle is not None
    assert (paced.places, paced.frame_cycle.tolist()) == (500, [64, 1518, 64])
    # As fast as possible, the sizes are what is left of it.
    full = spec.probe(own, None, 1.0, record=False)
    assert (full.has_pace, full.mean_frame_bytes) == (
        False,
        pytest.approx(own.frame_mix().mean_bytes),
    )

    given = BenchSpec("chain", patterns=[pattern], rates_pps=[1000, 2000]).traffics()
    assert [each.rate_pps for each in given] == [1000, 2000]
    again = BenchSpec.from_record(json.loads(json.dumps(spec.record())))
    assert again.traffics() == spec.traffics()


def test_a_capture_of_many_frames_keeps_every_size(tmp_path: Path) -> None:
    mix = Traffic.of_capture(captured(tmp_path, *[60] * 11_000, 1514, gap_ms=1), None).frame_mix()
    assert mix.cycle_frames <= 10_000
    (small, many), (large, few) = mix.shares
    assert (small, large, few) == (64, 1518, 1)
    assert many > 9_900


def test_sizes_that_no_frame_will_have_are_refused(tmp_path: Path) -> None:
    pattern = captured(tmp_path, 60, 60)
    with pytest.raises(UsageError, match="brings the sizes") as caught:
        BenchSpec("chain", patterns=[pattern], frames=["128"])
    assert caught.value.where == "--size"
    one = captured(tmp_path, 60)
    with pytest.raises(UsageError, match="no pace of its own"):
        BenchSpec("chain", patterns=[one])
    assert BenchSpec("chain", patterns=[one], rates_pps=[5]).traffics()[0].rate_pps == 5
