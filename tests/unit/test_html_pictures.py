"""What the figures of a report are drawn from: envelopes of samples, and networks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from emulator.errors import ResultsError
from emulator.experiment.bundle import BundleWriter, load_bundle
from emulator.experiment.canvas import Picture
from emulator.experiment.html.envelope import read_envelope
from emulator.experiment.html.pictures import Gallery
from emulator.experiment.html.svg import inline_svg
from emulator.experiment.machine import describe_machine
from emulator.experiment.samples import write_samples
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from tests.measured_runs import NOON, case, columns, run, summary


class Pair(Topo):
    def build(self) -> None:
        self.addLink(self.addHost("client"), self.addHost("server"))


def naive(samples: dict[str, Any], slots: int) -> Iterator[tuple[float, float, float, int]]:
    """The envelope as its definition says."""
    since = (samples["intended_ns"] - samples["intended_ns"][0]).astype(np.int64)
    edges = np.linspace(0, since[-1] + 1, slots + 1)
    for low, high in pairwise(edges):
        within = (since >= low) & (since < high)
        arrived = within & (samples["received_ns"] != 0)
        delays = (samples["received_ns"] - samples["intended_ns"])[arrived].astype(np.int64)
        lost = int((within & ~arrived & (samples["sent_ns"] != 0)).sum())
        if len(delays):
            yield float(delays.min()), float(np.median(delays)), float(delays.max()), lost
        else:
            yield float("nan"), float("nan"), float("nan"), lost


@pytest.mark.parametrize(
    ("packets", "slots", "group"), [(1000, 7, 64), (50, 100, 8), (999, 31, 333)]
)
def test_the_envelope_is_the_same_however_the_file_is_cut(
    tmp_path: Path, packets: int, slots: int, group: int
) -> None:
    samples = columns(packets, lost=packets // 10, seed=packets)
    samples["sent_ns"][packets // 2] = 0
    samples["received_ns"][packets // 2] = 0
    # A pause of the schedule, in which there are slots without packets.
    samples["intended_ns"][packets // 3 :] += np.uint64(packets * 50_000)
    samples["received_ns"][packets // 3 :] += np.uint64(packets * 50_000) * (
        samples["received_ns"][packets // 3 :] > 0
    )
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    with open(whole, "wb") as file:
        write_samples(file, samples, {})
    pq.write_table(pq.read_table(whole), cut, row_group_size=group)
    expected = list(naive(samples, min(slots, packets)))
    for path in (whole, cut):
        found = read_envelope(path, slots)
        rows = zip(found.low_ns, found.middle_ns, found.high_ns, found.lost, strict=True)
        np.testing.assert_array_equal(np.array(list(rows)), np.array(expected))
        assert found.packets == packets


def test_samples_without_their_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    samples = columns(10)
    del samples["received_ns"]
    with open(path, "wb") as file:
        write_samples(file, samples, {})
    with pytest.raises(ResultsError, match="has no column received_ns"):
        read_envelope(path, 10)


class Tree(Topo):
    def build(self) -> None:
        root = self.addSwitch("s1")
        for n in range(3):
            leaf = self.addSwitch(f"s{n + 2}")
            self.addLink(root, leaf)
            for k in range(3):
                self.addLink(leaf, self.addHost(f"h{n}{k}"))


class Line(Topo):
    def build(self, switches: int = 9) -> None:
        last = self.addHost("client")
        for n in range(switches):
            switch = self.addSwitch(f"s{n}")
            self.addLink(last, switch)
            last = switch
        self.addLink(last, self.addHost("server"), delay="5ms")


class Apart(Topo):
    def build(self) -> None:
        for n in range(4):
            self.addHost(f"h{n}")


@pytest.mark.parametrize("topo", [Tree, Line, Apart, Pair])
def test_networks_of_all_shapes_are_drawn(tmp_path: Path, topo: type[Topo]) -> None:
    writer = BundleWriter.create(tmp_path, "t", started_at=NOON)
    plan = compile_plan(topo())
    name = writer.write_plan("dataplane=xdp", plan)
    writer.write_record("machine.json", describe_machine())
    writer.write_record("run.json", run())
    writer.write_record("summary.json", summary(case("xdp", 1, 1, 1, trials=(), plan=name)))
    (picture,) = Gallery(load_bundle(writer.folder)).by_part["network"]
    assert isinstance(picture, Picture)
    for node in plan.nodes:
        assert node.name in picture.alt
    assert ("Dashed" in picture.caption) is (topo is Line)
    ElementTree.fromstring(inline_svg(picture))
