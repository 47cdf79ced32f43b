"""The bench on VNFs in containers: what its bundle says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.experiment.bench import BenchEvent, BenchSpec, run_bench
from emulator.experiment.bundle import load_bundle
from emulator.experiment.machine import UNAVAILABLE

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.docker,
    pytest.mark.usefixtures("known_limits"),
]


def test_a_bundle_says_which_containers_took_part(tmp_path: Path):
    events: list[BenchEvent] = []
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "packet", "cpus": "0.5", "memory": "64m"},
        vary={"runtime": ["docker"]},
        rates_pps=[2000],
        duration_s=0.2,
        goals=["loss=10%/trial=50ms/sum=100ms/width=20%"],
        output=tmp_path,
    )
    bundle = load_bundle(run_bench(spec, events.append).folder)
    engine = bundle.machine.docker
    assert engine is not None
    assert UNAVAILABLE not in engine.model_dump().values()
    case = bundle.summary.case("runtime=docker")
    assert case.status == "finished"
    assert [vnf.runtime for vnf in case.vnfs] == ["docker"]
    (container,) = case.containers
    assert (container.node, container.image) == ("vnf1", "build-vnf/forward:packet")
    assert container.image_id.startswith("sha256:")
    assert container.image_digest
    assert container.capabilities == ("NET_RAW",)
    assert (container.cpus, container.memory_bytes) == (0.5, 64 << 20)
    assert container.cpu_ns
    assert container.memory_peak_bytes
    assert container.throttled_ns is not None
    assert any(event.step == "starting the network: containers 1/1" for event in events)


def test_without_containers_no_engine_is_named(tmp_path: Path):
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "kernel"},
        rates_pps=[2000],
        duration_s=0.2,
        goals=["loss=10%/trial=50ms/sum=100ms/width=20%"],
        output=tmp_path,
    )
    bundle = load_bundle(run_bench(spec).folder)
    assert bundle.machine.docker is None
    assert [vnf.runtime for vnf in bundle.summary.cases[0].vnfs] == ["namespace"]
    assert bundle.summary.cases[0].containers == ()


def test_a_case_whose_container_cannot_be_had_fails_and_the_others_are_measured(tmp_path: Path):
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "packet", "runtime": "docker"},
        vary={"image": ["build-vnf/forward:packet", "nobody/has.this:1"]},
        rates_pps=[2000],
        duration_s=0.2,
        goals=["loss=10%/trial=50ms/sum=100ms/width=20%"],
        output=tmp_path,
    )
    result = run_bench(spec)
    failed = [case for case in result.summary.cases if case.status == "failed"]
    assert len(failed) == 1
    assert "nobody/has.this:1" in (failed[0].error or "")
    assert result.exit_code == 1
