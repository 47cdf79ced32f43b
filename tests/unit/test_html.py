"""The page of a report: whole, escaped, by itself, and made of whatever a bundle still has."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from emulator.experiment.bundle import BundleWriter, load_bundle
from emulator.experiment.html.page import render_page
from emulator.experiment.html.pictures import Gallery
from emulator.experiment.html.svg import inline_svg
from emulator.experiment.machine import describe_machine
from emulator.experiment.measured import FindingRecord, NodeResourcesRecord, ResourcesRecord
from emulator.experiment.records import CaseRecord
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from tests.measured_runs import (
    NOON,
    case,
    columns,
    histogram,
    interval,
    latency,
    run,
    summary,
    throughput,
    traffic,
    trial,
    write_bundle,
)

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = '<script>alert("&1")</script>'


class Page(HTMLParser):
    """What is in a page; complains about elements that are not closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class Pair(Topo):
    def build(self) -> None:
        self.addLink(self.addHost("client"), self.addHost("server"))


def filled(output: Path, names: tuple[str, ...] = ("xdp", "kernel"), **changed: Any) -> Path:
    """A bundle of latency trials with their samples and plans."""
    writer = BundleWriter.create(output, "chain", started_at=NOON)
    cases: list[CaseRecord] = []
    for number, name in enumerate(names):
        samples = columns(3000, median_ns=700 * (number + 1), lost=2, seed=number)
        path = writer.write_samples(f"dataplane={name}", 1, samples, {})
        plan = writer.write_plan(f"dataplane={name}", compile_plan(Pair()))
        found = latency(700 * (number + 1))
        one = trial(found, lost=2, samples=path, histogram=histogram(samples))
        cases.append(case(name, 700, 1e6 / (number + 1), 200, trials=(one,), plan=plan))
    writer.write_record("machine.json", describe_machine())
    writer.write_record("run.json", run())
    writer.write_record("summary.json", summary(*cases, **changed))
    writer.release_reserve()
    return writer.folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return render_page(load_bundle(folder))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_needs_nothing_else(page: Page, text: str) -> None:
    assert not page.all("script")
    assert not page.all("link")
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "url(" not in re.sub(r"url\(#", "", text)
    (policy,) = [each for each in page.all("meta") if each.get("http-equiv")]
    assert str(policy["content"]).startswith("default-src 'none'")


def test_the_answer_comes_first(page: Page) -> None:
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections[:3] == ["answer", "results", "latency"]
    assert {"throughput", "cost", "network", "findings", "repeat"} <= set(sections)
    assert "sla" not in sections
    assert "xdp has the highest throughput" in page.text
    assert "vnf replay 20310504T120000Z-chain" in page.text


def test_who_cannot_see_is_told_what_there_is_to_see(page: Page) -> None:
    pictures = page.all("svg")
    assert len(pictures) >= 5
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert len(str(attributes["aria-label"])) > 40
    for attributes in page.all("th"):
        assert attributes["scope"] in ("row", "col")
    assert page.all("html") == [{"lang": "en"}]
    labels = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    for attributes in page.all("section"):
        assert attributes["aria-labelledby"] in labels


def test_no_two_elements_have_the_same_name(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(names) == len(set(names))


def test_every_reference_within_a_picture_leads_somewhere(text: str) -> None:
    names = set(re.findall(r'\sid="([^"]*)"', text))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', text)
    assert used
    assert set(used) <= names


def test_pictures_take_the_colours_of_the_page(folder: Path) -> None:
    picture = next(iter(Gallery(load_bundle(folder))))
    text = inline_svg(picture)
    ElementTree.fromstring(text)
    assert "var(--c0)" in text
    assert not re.search(r"(?:fill|stroke): #[0-9a-f]{6}", text)


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    nasty = case(
        "xdp",
        700,
        1e6,
        200,
        name=f"vnf={HOSTILE}",
        varied={f"k{HOSTILE}": HOSTILE},
        impaired_links={HOSTILE: "$\\frac$ 5 ms"},
        trials=(
            trial(
                latency(700),
                samples=None,
                findings=(FindingRecord(rule="hog", severity="warn", text=HOSTILE),),
            ),
        ),
    )
    about = run(command_line=("vnf", "bench", HOSTILE), spec={"target": HOSTILE})
    of = summary(nasty, topology=HOSTILE)
    text = render_page(load_bundle(write_bundle(tmp_path, of, about)))
    page = Page(text)
    assert not page.all("script")
    assert "<script" not in text
    assert HOSTILE in page.text


def test_findings_and_resources_and_intervals_are_on_the_page(tmp_path: Path) -> None:
    finding = FindingRecord(rule="cpu-hog", severity="invalid", text="stress (pid 7) took CPU 0")
    node = NodeResourcesRecord(cpu_ns=5, cpu_ns_per_packet=812.0, xdp_run_time_ns=590, xdp_runs=10)
    took = ResourcesRecord(
        elapsed_ns=10**9, nodes={"fw": node}, steal_ns=2_000_000, unavailable={"perf": "no PMU"}
    )
    one = trial(latency(700), valid=False, samples=None, findings=(finding,), resources=took)
    rates = throughput(1e6, rounds=(9e5, 1e6, 1.1e6), interval=interval(9e5, 1.1e6))
    of = summary(case("xdp", 700, None, 200, trials=(one,), throughputs=(rates,)))
    text = Page(render_page(load_bundle(write_bundle(tmp_path, of)))).text
    assert "Some trials are invalid and were not counted" in text
    assert "cpu-hog: stress (pid 7) took CPU 0" in text
    assert "perf: unavailable, because no PMU." in text
    for cell in ("812", "59.0", "2 ms", "[0.900, 1.10]"):
        assert cell in text


def test_missing_and_broken_samples_leave_the_rest(tmp_path: Path) -> None:
    folder = filled(tmp_path, ("xdp", "kernel", "dpdk"))
    (folder / "samples/dataplane=xdp-1.parquet").unlink()
    (folder / "samples/dataplane=kernel-1.parquet").write_bytes(b"PAR1 and no more")
    (folder / "plan-dataplane=dpdk.json").write_text("{")
    (folder / "certificates.json").write_text("{")
    gallery = Gallery(load_bundle(folder))
    told = " ".join(gallery.missing)
    assert "dataplane=xdp: nothing over time" in told
    assert "dataplane=kernel: nothing over time" in told
    assert "dataplane=dpdk: no picture of the network" in told
    text = Page(render_page(load_bundle(folder), gallery)).text
    assert "What is not shown" in text
    assert "no certificates of links" in text
    # From the histograms, which need no samples.
    (curves,) = [each for each in gallery if each.name == "latency-cdf"]
    assert all(name in curves.alt for name in ("xdp", "kernel", "dpdk"))


def test_a_broken_histogram_costs_its_curve_only(tmp_path: Path) -> None:
    broken = trial(latency(700), samples=None, histogram="bm8gaGlzdG9ncmFt")
    of = summary(case("xdp", 700, 1e6, 200, trials=(broken,)))
    gallery = Gallery(load_bundle(write_bundle(tmp_path, of)))
    assert any("dataplane=xdp: no distribution of delays" in line for line in gallery.missing)
    assert [each.name for each in gallery] == ["throughput", "cost"]


def test_a_run_that_measured_nothing_has_a_page_too(tmp_path: Path) -> None:
    text = Page(render_page(load_bundle(write_bundle(tmp_path, summary())))).text
    assert "Nothing was measured." in text


def test_many_cases_are_shown_in_several_pictures(tmp_path: Path) -> None:
    cases = [
        case(
            "xdp",
            700 + n,
            1e6,
            200,
            name=f"length={n}",
            varied={"length": str(n)},
            trials=(trial(latency(700), samples=None, histogram=histogram(columns(300, seed=n))),),
        )
        for n in range(20)
    ]
    names = [each.name for each in Gallery(load_bundle(write_bundle(tmp_path, summary(*cases))))]
    assert [name for name in names if name.startswith("latency-cdf")] == [
        "latency-cdf-1",
        "latency-cdf-2",
        "latency-cdf-3",
    ]


def test_several_sizes_are_drawn_as_lines(tmp_path: Path) -> None:
    cases = [
        case(
            "xdp",
            700,
            None,
            200,
            name=f"size={size}",
            varied={"size": size},
            traffic=traffic(size, mean=mean),
            throughputs=(throughput(1e9 / mean, frame_bytes=mean),),
        )
        for size, mean in (("64", 64.0), ("1518", 1518.0), ("imix", 353.8))
    ]
    of = summary(*(each.model_copy(update={"trials": ()}) for each in cases))
    (picture,) = Gallery(load_bundle(write_bundle(tmp_path, of))).by_part["throughput"]
    assert picture.name == "throughput-size"
    assert "imix 2.83 Mpps" in picture.alt
    file = io.BytesIO()
    picture.save(file, "pdf")
    assert file.getvalue().startswith(b"%PDF")
