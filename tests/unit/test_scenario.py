"""Scenario files: what they say, and where in them a mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import TopologyError, UsageError
from emulator.experiment.scenario import is_scenario, load_scenario, schema

WHOLE = """\
topology: chain.py
settings: {length: 2, fast: true}
vary:
  dataplane: [none, xdp]
from: client
to: server
measure: [latency, throughput, sla]
traffic:
  rate: [1k, 1.5M]
  size: [64, imix]
  pattern: poisson
background: 100kpps
duration: 500ms
repeat: 3
goal: csit-pdr
profile: [urllc]
stop: {after: 10min, on_violation: true}
certify: warn
seed: 7
output: there
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "night.yaml"
    path.write_text(text)
    return path


def test_a_scenario_says_all_that_the_options_do(tmp_path: Path) -> None:
    (tmp_path / "chain.py").write_text("")
    spec = load_scenario(written(tmp_path, WHOLE))
    assert spec.target == str(tmp_path / "chain.py")
    assert spec.settings == {"length": "2", "fast": "true"}
    assert spec.vary == {"dataplane": ("none", "xdp")}
    assert (spec.source, spec.destination) == ("client", "server")
    assert spec.measurements == ("latency", "throughput", "sla")
    assert spec.rates_pps == (1000.0, 1_500_000.0)
    assert (spec.frames, spec.patterns) == (("64", "imix"), ("poisson",))
    assert (spec.background_pps, spec.duration_s, spec.repeat) == (100_000.0, 0.5, 3)
    assert (spec.goals, spec.profiles) == (("csit-pdr",), ("urllc",))
    assert (spec.stop_after_s, spec.stop_on_violation) == (600.0, True)
    assert (spec.certify, spec.seed, spec.output) == ("warn", 7, Path("there"))


def test_a_topology_is_all_that_has_to_be_said(tmp_path: Path) -> None:
    spec = load_scenario(written(tmp_path, "topology: linear,4\n"))
    assert spec.target == "linear,4"
    assert spec.measurements == ("latency", "throughput", "cost")


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        ("topology: chain\nspeed: 3\n", ":2:1: speed", "there is no such key"),
        ("topology: chain\ntraffic:\n  sizes: [64]\n", ":3:3: traffic.sizes", "no such key"),
        ("topology: chain\ntraffic: {rate: [1k, fast]}\n", ":2:", "not a packet rate"),
        ("topology: chain\nduration: soon\n", ":2:1: duration", "not a duration"),
        ("topology: chain\nrepeat: 0\n", ":2:1: repeat", "should be 1 or more, not 0"),
        ("topology: chain\nmeasure: [latency, speed]\n", ":2:", "should be 'latency'"),
        ("topology: chain\ncertify: maybe\n", ":2:1: certify", "should be 'require'"),
        ("repeat: 2\n", "topology", "is missing"),
        ("topology: chain\nstop: {on: true}\n", ":2:", "there is no such key"),
        ("topology: a\nseed: 1\nseed: 2\n", ":3:1: seed", "a second time"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_column(
    tmp_path: Path, text: str, place: str, complaint: str
) -> None:
    with pytest.raises(TopologyError) as caught:
        load_scenario(written(tmp_path, text))
    (problem,) = caught.value.problems
    assert place in problem.where
    assert complaint in problem.message


def test_the_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as caught:
        load_scenario(written(tmp_path, "topology: chain\nrepeat: x\nseed: y\n"))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "topology: [\n", "a: b: c\n", "\x00"])
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_scenario(written(tmp_path, text))
    assert "night.yaml" in caught.value.where


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_scenario(tmp_path / "none.yaml")


def test_mistakes_are_told_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = "colour: red\ntopology: chain\nrepeat: 0\nspeed: 1\nduration: soon\n"
    with pytest.raises(TopologyError, match="4 mistakes in the scenario") as caught:
        load_scenario(written(tmp_path, text))
    lines = [int(problem.where.split(":")[1]) for problem in caught.value.problems]
    assert lines == [1, 3, 4, 5]


def test_certify_no_is_not_false(tmp_path: Path) -> None:
    assert load_scenario(written(tmp_path, "topology: chain\ncertify: no\n")).certify == "no"
    with pytest.raises(TopologyError):
        load_scenario(written(tmp_path, "topology: chain\ncertify: yes\n"))


def test_what_a_bench_refuses_is_refused_in_a_scenario_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="different hosts|same node"):
        load_scenario(written(tmp_path, "topology: chain\nfrom: a\nto: a\n"))


def test_values_that_cannot_be_carried_out_are_told_with_those_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    text = "topology: nix.py\nmeasure: latency\nprofile: calvin-mek\nseed: abc\ncore: 9999\n"
    with pytest.raises(TopologyError) as caught:
        load_scenario(written(tmp_path, text))
    told = [
        (int(problem.where.split(":")[1]), problem.message) for problem in caught.value.problems
    ]
    assert told == [
        (1, "nix.py: there is no such file"),
        (3, "a profile is for the measurement sla"),
        (3, "there is no profile calvin-mek"),
        (4, "should be a whole number, not 'abc'"),
        (5, "there is no CPU 9999"),
    ]


def test_ends_that_are_not_there_are_told_where_they_stand(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as caught:
        load_scenario(written(tmp_path, "from: klient\ntopology: chain\nto: vnf1\n"))
    first, second = caught.value.problems
    assert ":1:1: from" in first.where
    assert first.hint == "did you mean client?"
    assert ":3:1: to" in second.where


def test_files_are_told_apart_by_their_names() -> None:
    assert is_scenario("a.yaml")
    assert is_scenario("b.yml")
    assert not is_scenario("chain.py")
    assert not is_scenario("linear,4")


def test_editors_get_a_schema() -> None:
    made = schema()
    assert {"topology", "from", "to", "traffic"} <= made["properties"].keys()
    assert made["additionalProperties"] is False


def test_a_key_that_is_nearly_right_is_told(tmp_path: Path) -> None:
    path = tmp_path / "night.yaml"
    path.write_text("topology: chain\nmeasur: latency\ntraffic: {rat: 1k}\n")
    with pytest.raises(TopologyError) as caught:
        load_scenario(path)
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == ["did you mean measure?", "did you mean rate?"]
