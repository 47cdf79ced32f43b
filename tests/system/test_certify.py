"""Certificates of real links. Of times only what no noise of the machine can change is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from emulator import Topo, load_bundle
from emulator.catalog import Catalog
from emulator.experiment.bench import BenchSpec, run_bench
from emulator.owned_lab import OwnedLab
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.wire.certificate import Certificate, Check, DirectionCertificate
from emulator.wire.certify import certify
from emulator.wire.lines import ANOTHER_FATE, TOO_EARLY
from emulator.wire.plane_matrix import certify_planes
from emulator.wire.trials import measure_direction
from emulator.wire.way import Pace, Way
from tests.leaks import Belongings, wait_until_nothing_new

pytestmark = pytest.mark.root

TIMELESS = ("ratio", "length", "frames")
LOSSY = """
from emulator import Topo


class Lossy(Topo):
    def build(self, loss="2%", delay="1ms"):
        self.addLink(self.addHost("h1"), self.addHost("h2"), loss=loss, delay=delay, drop=[0, 3])
"""


def planned(**options: Any) -> Plan:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **options)
    return compile_plan(topo, catalog=Catalog.load())


def directions(certificate: Certificate) -> list[DirectionCertificate]:
    return [each for link in certificate.links for each in link.directions]


def timeless(each: DirectionCertificate) -> list[Check]:
    return [check for check in each.checks if check.unit in TIMELESS]


def vnf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emulator", *arguments], capture_output=True, text=True, timeout=120
    )


def test_a_link_does_what_was_asked_frame_by_frame() -> None:
    before = Belongings.now()
    plan = planned(
        up={"loss_model": "gemodel(p=1%, r=25%)", "drop": [5, 9, 12], "duplicate": "2%"},
        down={"loss": "3%", "corrupt": "2%", "reorder": "5%", "delay": "5ms", "keep_order": False},
    )
    up, down = directions(certify(plan))

    assert (up.source, up.destination, down.source) == ("h1", "h2", "h2")
    for each, expected in (
        (up, {"loss", "loss, length of bursts", "duplicated", "frames dropped by number"}),
        (down, {"loss", "corrupted", "reordered"}),
    ):
        assert {check.what for check in each.checks} >= {*expected, ANOTHER_FATE}
        assert [check for check in timeless(each) if check.verdict != "pass"] == []
        assert not [check for check in each.checks if check.what == TOO_EARLY]
        assert each.unasked_frames == 0
    assert not wait_until_nothing_new(before)


def test_rate_and_queue_are_measured_and_bursts_of_a_bucket_too() -> None:
    (up, _) = directions(certify(planned(rate="10mbit", burst="32KB", queue="50p")))
    by_name = {check.what: check for check in up.checks}

    assert by_name["rate"].measured == pytest.approx(10e6, rel=0.05)
    room = by_name["queue, frames that find room"]
    assert room.asked is not None
    assert 60 < room.asked < 90


def test_a_link_that_does_something_else_fails() -> None:
    asked = planned(loss="1%", seed=5).links[0].up
    assert asked is not None
    plan = planned(loss="1%", seed=6)
    with closing(OwnedLab.start(plan)) as lab:
        near, far = (
            (lab.nodes[name].netns, lab.nodes[name].plan.interfaces[0].kernel_name)
            for name in ("h1", "h2")
        )
        way = Way(lab, plan.links[0], near, far, 1500, back=False, pace=Pace(fast_s=0.1))
        found = measure_direction(way, asked)

    # As many are lost as should be, but they are others.
    (fate,) = [check for check in found.checks if check.what == ANOTHER_FATE][-1:]
    assert found.verdict == "fail"
    assert fate.verdict == "fail"


def test_a_plan_without_impairments_has_an_empty_certificate() -> None:
    certificate = certify(planned())

    assert certificate.links == ()
    assert certificate.verdict == "pass"


@pytest.mark.xdp
def test_planes_make_no_difference_to_the_fate_of_frames() -> None:
    certificate = certify_planes(planned(up={"delay": "2ms", "loss": "3%"}, seed=4))
    measured = {link.plane: link.directions for link in certificate.links if link.directions}

    assert {"kernel", "xdp", "packet"} <= set(measured)
    for plane, ways in measured.items():
        for each in ways:
            if each.unasked_frames == 0:
                wrong = [check for check in timeless(each) if check.verdict != "pass"]
                assert not wrong, plane


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    file = tmp_path / "lossy.py"
    file.write_text(LOSSY)
    table, document = vnf("certify", str(file)), vnf("certify", str(file), "--json")

    assert table.returncode in (0, 1), table.stderr
    for text in ("h1 → h2", "[wire, seed", "impaired link", "exactly"):
        assert text in table.stdout
    certificate = Certificate.model_validate_json(document.stdout)
    assert len(directions(certificate)) == 2
    assert document.returncode == (0 if certificate.verdict == "pass" else 1)


def test_the_command_refuses_links_that_are_not_there(tmp_path: Path) -> None:
    file = tmp_path / "lossy.py"
    file.write_text(LOSSY)
    done = vnf("certify", str(file), "--link", "h1-h9")

    assert done.returncode == 2
    assert "there is no link h1-h9" in done.stderr
    assert vnf("certify").returncode == 2
    nothing = vnf("certify", "--topo", "linear,2")
    assert nothing.returncode == 0
    assert "nothing to certify" in nothing.stdout


def bench(tmp_path: Path, certify: Any) -> Any:
    file = tmp_path / "lossy.py"
    file.write_text(LOSSY)
    return run_bench(
        BenchSpec(
            str(file),
            rates_pps=[500],
            duration_s=0.2,
            goals=["loss=10%/trial=50ms/sum=100ms/width=20%"],
            output=tmp_path / "results",
            certify=certify,
        )
    )


@pytest.mark.xdp
@pytest.mark.usefixtures("known_limits")
def test_a_bench_keeps_its_certificate(tmp_path: Path) -> None:
    result = bench(tmp_path, "warn")
    kept = load_bundle(result.folder).certificates()

    assert not result.refused
    assert kept == result.certificates
    assert kept is not None
    assert kept.certified[0].cases == ("default",)
    assert result.summary.cases[0].trials
    assert json.loads((result.folder / "certificates.json").read_text())["verdict"] == kept.verdict


@pytest.mark.xdp
def test_a_bench_measures_nothing_on_links_that_are_not_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tolerance that no machine can keep stands for a link that is not as it should be.
    monkeypatch.setattr("emulator.wire.checks.ERROR_P99_NS", 1)
    refused = bench(tmp_path, "require")

    assert refused.refused
    assert refused.exit_code == 1
    assert not any(case.trials for case in refused.summary.cases)
    assert load_bundle(refused.folder).run.outcome == "failed"
    assert load_bundle(refused.folder).certificates() == refused.certificates


@pytest.mark.xdp
@pytest.mark.usefixtures("known_limits")
def test_a_bench_does_without_a_certificate_when_told(tmp_path: Path) -> None:
    result = bench(tmp_path, "no")

    assert result.certificates is None
    assert load_bundle(result.folder).certificates() is None
    assert result.summary.cases[0].trials
