"""``vnf report``, ``compare``, ``results`` and ``replay`` of what a real bench left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from emulator.cli import main
from emulator.experiment.bench import run_bench
from emulator.experiment.spec import BenchSpec

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("known_limits")]

DEADLINE_S = 180.0
TOPOLOGY = """
from emulator import Topo


class Net(Topo):
    def build(self, mtu=1500):
        self.addLink(self.addHost("a"), self.addHost("b"), mtu=mtu)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, known_limits: None) -> Path:
    """A folder with a topology and the bundle of a short run of it in ``results``."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "net.py").write_text(TOPOLOGY)
    spec = BenchSpec(
        target="net.py",
        vary={"mtu": ["1500", "3000"]},
        measurements=("latency",),
        mechanism="app",
        rates_pps=(1000.0,),
        duration_s=0.2,
        repeat=2,
        seed=5,
        output=Path("results"),
    )
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_bench(spec)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def bundle(place: Path) -> str:
    return str(min((place / "results").iterdir()).relative_to(place))


def vnf(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emulator", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_the_report_is_one_page_and_its_figures_are_files(
    place: Path, bundle: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    options = ["--output", str(page), "--figures", str(tmp_path / "figures"), "--format", "pdf"]
    done = vnf(place, "report", bundle, *options)
    assert done.returncode == 0, done.stderr
    assert f"Report   {page}" in done.stdout
    text = page.read_text()
    HTMLParser().feed(text)
    for words in ("The answer", "mtu=1500", "Median latency", "vnf replay", "How to repeat it"):
        assert words in text
    assert "<script" not in text
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"latency-cdf.pdf", "latency-time.pdf", "network.pdf"} <= names

    again = vnf(place, "report", bundle, "--output", str(page))
    assert again.returncode == 2
    assert "the file exists" in again.stderr
    assert vnf(place, "report", bundle, "--output", str(page), "--force").returncode == 0


def test_the_report_as_json_says_where_it_is_and_the_answer(place: Path, bundle: str) -> None:
    done = vnf(place, "report", bundle, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (place / document["page"]).is_file()
    assert document["missing"] == []
    assert any(each["topic"] == "Median latency" for each in document["points"])


def test_the_results_are_listed_with_the_damaged_ones(place: Path, bundle: str) -> None:
    damaged = place / "results" / "20000101T000000Z-net"
    damaged.mkdir()
    try:
        done = vnf(place, "results", "--json")
        assert done.returncode == 0, done.stderr
        entries = {each["name"]: each for each in json.loads(done.stdout)}
        found = entries[Path(bundle).name]
        assert (found["topology"], found["outcome"], found["cases"]) == ("net", "finished", 2)
        assert found["measurements"] == ["latency"]
        assert entries[damaged.name]["outcome"] == "damaged"
        text = vnf(place, "results").stdout
        assert f"{damaged.name}: " in text
        assert "no bundle" in text
    finally:
        damaged.rmdir()


def test_a_bundle_is_the_same_as_itself(place: Path, bundle: str) -> None:
    done = vnf(place, "compare", bundle, bundle)
    assert done.returncode == 0, done.stderr
    assert "are the same" in done.stdout
    assert "Only in" not in done.stdout
    assert "better" not in done.stdout
    assert "worse" not in done.stdout


def test_a_replay_measures_the_same_again_and_compares(place: Path, bundle: str) -> None:
    done = vnf(place, "replay", bundle, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    new = Path(document["folder"])
    assert new.parent == (place / "results").resolve()
    first, second = (
        json.loads((place / folder / "run.json").read_text()) for folder in (bundle, new)
    )
    assert (second["seed"], second["order"]) == (first["seed"], first["order"])
    assert second["spec"]["vary"] == first["spec"]["vary"]
    names = [case["name"] for case in document["comparison"]["cases"]]
    assert names == ["mtu=1500", "mtu=3000"]
    # Whether numbers changed is for the machine to say; that nothing else did is certain.
    about = {each["about"] for each in document["comparison"]["differences"]}
    assert about <= {"revision", "machine"}


def test_a_replay_says_what_is_not_as_it_was(place: Path, bundle: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(TOPOLOGY.replace('addHost("b")', 'addHost("c")'))
    topology = place / "net.py"
    topology.rename(place / "elsewhere.py")
    try:
        gone = vnf(tmp_path, "replay", str(place / bundle))
    finally:
        (place / "elsewhere.py").rename(topology)
    assert gone.returncode == 2
    assert "the topology's file is not there" in gone.stderr
    done = vnf(tmp_path, "replay", str(place / bundle), "--topology", "other.py", "--output", "new")
    assert done.returncode == 0, done.stderr
    assert "the network is not as it was: mtu=1500: nodes.b: there → –" in done.stderr
    assert "plan: mtu=1500: nodes.c: – → there" in done.stdout


@pytest.mark.parametrize("command", ["report", "compare", "replay"])
def test_what_is_no_bundle_is_told_in_one_line(
    place: Path,
    bundle: str,
    tmp_path: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    other = [bundle] if command == "compare" else []
    empty = tmp_path / "empty"
    empty.mkdir()
    old = tmp_path / "old"
    shutil.copytree(place / bundle, old)
    (old / "summary.json").write_text('{"version": 1}')
    cut = tmp_path / "cut"
    shutil.copytree(place / bundle, cut)
    (cut / "run.json").write_text('{"version": 2, "seed"')
    for folder, code, complaint in (
        (tmp_path / "nowhere", 2, "no such folder"),
        (empty, 2, "the folder is no bundle"),
        (place / "results", 2, "the folder is no bundle"),
        (old, 1, "written by version 1 of this file; this program reads 3"),
        (cut, 1, "cannot be understood"),
    ):
        assert main.execute([command, *other, str(folder)]) == code
        first, *rest = capsys.readouterr().err.splitlines()
        assert complaint in first
        assert rest
        assert all(line.startswith("     hint: ") for line in rest)
