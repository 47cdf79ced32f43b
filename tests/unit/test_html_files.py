"""Where the report and its figures are written, and what is there already."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle import load_bundle
from emulator.experiment.html.write import write_report
from emulator.experiment.records import SummaryRecord
from tests.measured_runs import case, summary, write_bundle


def quick() -> SummaryRecord:
    """Of throughput and cost only, which are drawn quickly."""
    return summary(case("xdp", 700, 1e6, 200, trials=(), latency=None))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("results"), quick())


@pytest.mark.parametrize(
    ("form", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_figures_become_files(small: Path, tmp_path: Path, form: Any, magic: bytes) -> None:
    bundle = load_bundle(small)
    written = write_report(
        bundle, tmp_path / "a/page.html", figures=tmp_path / "f", figure_format=form
    )
    assert written.page.read_text().startswith("<!doctype html>")
    assert {path.name for path in written.figures} == {f"throughput.{form}", f"cost.{form}"}
    assert all(path.read_bytes().startswith(magic) for path in written.figures)
    assert written.missing == ()


def test_files_that_exist_are_kept_unless_told_otherwise(small: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(UsageError, match="the file exists") as caught:
        write_report(load_bundle(small), page)
    assert "--force" in caught.value.hint
    assert page.read_text() == "mine"
    write_report(load_bundle(small), page, overwrite=True)
    assert page.read_text().startswith("<!doctype")
    with pytest.raises(UsageError, match="is a folder"):
        write_report(load_bundle(small), tmp_path)


def test_the_page_in_the_bundle_is_written_anew(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path, quick()))
    first = write_report(bundle).page
    assert first == bundle.folder / "report.html"
    assert write_report(bundle).page.read_text() == first.read_text()


def test_no_space_left_is_told_and_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ResultsError, match="no space is left") as caught:
        write_report(load_bundle(small), tmp_path / "page.html")
    assert caught.value.where.endswith("page.html")
    assert list(tmp_path.iterdir()) == []
