"""A bundle: written whole or not at all, and read back as it was written."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle import BundleWriter, load_bundle
from emulator.experiment.machine import describe_machine
from emulator.experiment.measured import LatencyRecord, TrialRecord
from emulator.experiment.records import CaseRecord, RunRecord, SummaryRecord
from emulator.experiment.samples import latency_ns, read_samples, write_samples
from emulator.plan.model import Plan

NOON = datetime(2031, 5, 4, 12, 0, 0, tzinfo=UTC)


def some_columns(packets: int = 100) -> dict[str, NDArray[Any]]:
    intended = 5_000_000_000_000 + np.arange(packets, dtype=np.uint64) * np.uint64(100_000)
    received = intended + np.uint64(750)
    received[3] = 0
    return {
        "seq": np.arange(packets, dtype=np.uint32),
        "intended_ns": intended,
        "sent_ns": intended + np.uint64(20),
        "received_ns": received,
        "copies": (received > 0).astype(np.uint32),
        "arrival": np.arange(packets, dtype=np.uint32),
    }


def some_summary(samples: str | None, plan: str | None = None) -> SummaryRecord:
    latency = LatencyRecord(
        count=99,
        min_ns=750,
        mean_ns=750.0,
        p50_ns=750,
        p90_ns=750,
        p99_ns=None,
        p999_ns=None,
        max_ns=750,
    )
    trial = TrialRecord(
        number=1,
        round=1,
        rate_pps=10_000,
        sent=100,
        unsent=0,
        received=99,
        lost=1,
        duplicated=0,
        reordered=0,
        damaged=0,
        overrun=0,
        wait_ns=0,
        dma_latency_held=True,
        valid=True,
        elapsed_ns=10_000_000,
        offered_pps=10_000,
        received_pps=9_900,
        latency=latency,
        samples=samples,
    )
    case = CaseRecord(
        name="dataplane=xdp",
        settings={"dataplane": "xdp"},
        status="finished",
        plan=plan,
        trials=(trial,),
        latency=latency,
    )
    return SummaryRecord(
        topology="chain",
        link="veth",
        mechanism="kernel",
        measurements=("latency",),
        duration_s=0.01,
        repeat=1,
        cases=(case,),
    )


def some_run() -> RunRecord:
    return RunRecord(
        command_line=("vnf", "bench"),
        spec={"target": "chain"},
        seed=7,
        order=("dataplane=xdp",),
        started_at=NOON,
    )


def some_bundle(output: Path) -> BundleWriter:
    writer = BundleWriter.create(output, "chain", started_at=NOON)
    writer.write_record("machine.json", describe_machine())
    writer.write_record("run.json", some_run())
    plan = writer.write_plan("dataplane=xdp", Plan(name="chain", ip_base="10.0.0.0/8"))
    samples = writer.write_samples("dataplane=xdp", 1, some_columns(), {"source": "client"})
    writer.write_record("summary.json", some_summary(samples, plan))
    return writer


def test_a_bundle_reads_back_as_written(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    bundle = load_bundle(writer.folder)

    assert writer.folder.name == "20310504T120000Z-chain"
    assert bundle.run == some_run()
    assert bundle.summary.case("dataplane=xdp").trials[0].lost == 1
    assert bundle.plan("dataplane=xdp").name == "chain"
    for name, values in bundle.samples("dataplane=xdp", 1).items():
        np.testing.assert_array_equal(values, some_columns()[name])


def test_a_bundle_explains_itself(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    text = (writer.folder / "README.txt").read_text()
    for name in ("summary.json", "run.json", "machine.json", "samples/", "received_ns", "veth"):
        assert name in text
    assert "from emulator import load_bundle\n" in text


def test_every_column_says_its_unit_and_the_file_says_what_it_holds(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    schema = pq.read_schema(writer.folder / "samples/dataplane=xdp-1.parquet")
    assert schema.field("received_ns").metadata[b"unit"] == b"ns"
    assert all(b"meaning" in field.metadata for field in schema)
    assert schema.metadata[b"case"] == b"dataplane=xdp"
    assert schema.metadata[b"source"] == b"client"


@settings(max_examples=20)
@given(arrays(np.uint64, st.integers(0, 50)))
def test_samples_come_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, values: NDArray[np.uint64]
) -> None:
    path = tmp_path_factory.mktemp("samples") / "x.parquet"
    with open(path, "wb") as file:
        write_samples(file, {"intended_ns": values, "received_ns": values}, {})
    columns = read_samples(path)
    assert columns["received_ns"].dtype == np.uint64
    np.testing.assert_array_equal(columns["received_ns"], values)


def test_latency_is_of_the_packets_that_arrived() -> None:
    columns = some_columns(10)
    columns["received_ns"][5] += np.uint64(1000)
    assert latency_ns(columns).tolist() == [750] * 4 + [1750] + [750] * 4


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = [
        BundleWriter.create(tmp_path, "chain", started_at=NOON).folder.name for _ in range(3)
    ]
    assert folders == [
        "20310504T120000Z-chain",
        "20310504T120000Z-chain-2",
        "20310504T120000Z-chain-3",
    ]


def test_cases_with_odd_names_get_files_of_their_own(tmp_path: Path) -> None:
    writer = BundleWriter.create(tmp_path, "chain", started_at=NOON)
    names = [
        writer.write_samples(case, 1, some_columns(10), {})
        for case in ("file=/tmp/a b", "file=/tmp/a?b", "../../evil", "Zürich")
    ]
    assert len(set(names)) == 4
    for name in names:
        path = (writer.folder / name).resolve()
        assert path.is_file()
        assert path.parent == writer.folder / "samples"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_half(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    before = (writer.folder / "summary.json").read_bytes()

    def fail(file: BinaryIO) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ResultsError, match="the disk is full") as caught:
        writer.write_file("summary.json", fail)

    assert "summary.json" in caught.value.where
    assert "--output" in caught.value.hint
    assert (writer.folder / "summary.json").read_bytes() == before
    assert not list(writer.folder.glob("**/*.partial"))


def test_an_output_that_is_no_folder_is_an_error_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ResultsError, match="cannot be written") as caught:
        BundleWriter.create(tmp_path / "results", "chain", started_at=NOON)
    assert "results" in caught.value.where


def test_too_little_room_is_told_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"MiB free where this run may need 1,0.*MiB"):
        BundleWriter.create(tmp_path, "chain", started_at=NOON, needed_bytes=1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_discarded_bundle_leaves_nothing(tmp_path: Path) -> None:
    writer = BundleWriter.create(tmp_path, "chain", started_at=NOON)
    writer.write_record("run.json", some_run())
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_is_gone_once_released(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    assert (writer.folder / ".reserve").stat().st_blocks > 0
    writer.release_reserve()
    writer.release_reserve()
    assert not (writer.folder / ".reserve").exists()


@pytest.mark.parametrize("name", ["run.json", "machine.json", "summary.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    writer = some_bundle(tmp_path)
    (writer.folder / name).unlink()
    with pytest.raises(ResultsError, match="missing") as caught:
        load_bundle(writer.folder)
    assert caught.value.where.endswith(name)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"topology"', '"topologie"'),
        lambda text: "",
        lambda text: "[]",
    ],
    ids=["cut short", "another key", "empty", "no object"],
)
def test_a_broken_summary_is_an_error_with_its_place(tmp_path: Path, damage: Any) -> None:
    writer = some_bundle(tmp_path)
    path = writer.folder / "summary.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResultsError, match="cannot be understood") as caught:
        load_bundle(writer.folder)
    assert caught.value.where.endswith("summary.json")


@pytest.mark.parametrize(
    ("version", "hint"), [(1, "the program that wrote it, or measure again"), (99, "update this")]
)
@pytest.mark.parametrize(("name", "known"), [("summary.json", 3), ("run.json", 2)])
def test_a_bundle_of_another_version_is_told_by_both_numbers(
    tmp_path: Path, name: str, known: int, version: int, hint: str
) -> None:
    path = some_bundle(tmp_path).folder / name
    # What else is different in it does not matter.
    path.write_text(json.dumps({"version": version, "unheard-of": True}))
    with pytest.raises(ResultsError) as caught:
        load_bundle(path.parent)
    assert caught.value.message == (
        f"written by version {version} of this file; this program reads {known}"
    )
    assert hint in caught.value.hint
    assert caught.value.where == str(path)


def test_a_folder_that_is_no_bundle_names_those_inside(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle") as caught:
        load_bundle(tmp_path)
    assert "vnf results" in caught.value.hint
    some_bundle(tmp_path)
    some_bundle(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_bundle(tmp_path)
    assert caught.value.hint == "it holds 20310504T120000Z-chain-2 and 1 more; name one of these"
    with pytest.raises(UsageError, match="a bundle is a folder"):
        load_bundle(tmp_path / "20310504T120000Z-chain" / "run.json")


def test_broken_samples_do_not_hide_the_rest(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    path = writer.folder / "samples/dataplane=xdp-1.parquet"
    path.write_bytes(path.read_bytes()[:100])
    bundle = load_bundle(writer.folder)
    assert bundle.summary.cases
    with pytest.raises(ResultsError, match="cannot be read as Parquet"):
        bundle.samples("dataplane=xdp", 1)


@pytest.mark.parametrize(
    ("case", "trial", "complaint"),
    [("dataplane=dpdk", 1, "no case"), ("dataplane=xdp", 2, "no samples of a trial 2")],
)
def test_asking_for_what_is_not_there(
    tmp_path: Path, case: str, trial: int, complaint: str
) -> None:
    bundle = load_bundle(some_bundle(tmp_path).folder)
    with pytest.raises(ResultsError, match=complaint):
        bundle.samples(case, trial)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")


def test_json_holds_no_number_that_is_none(tmp_path: Path) -> None:
    writer = some_bundle(tmp_path)
    latency = json.loads((writer.folder / "summary.json").read_text())["cases"][0]["latency"]
    assert latency["p99_ns"] is None
    assert latency["p50_ns"] == 750
