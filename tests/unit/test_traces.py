"""Files of traces: what they say, and what is said about wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emulator.errors import UsageError
from emulator.plan.model import ImpairmentPlan
from emulator.plan.traces import Trace, TracePoint, read_trace
from emulator.wire.model import Stream

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(
    path for path in (ROOT / "topologies" / "traces").iterdir() if path.suffix != ".md"
)
MS = 1_000_000
SECOND = 1000 * MS


def trace_of(folder: Path, text: str, name: str = "link.trace") -> Trace:
    path = folder / name
    path.write_text(text)
    return read_trace(path)


def test_a_trace_of_mahimahi(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, "0\n5\n5\n20\n")
    assert trace.kind == "opportunities"
    assert [point.at_ns for point in trace.points] == [0, 5 * MS, 5 * MS, 20 * MS]
    assert trace.period_ns == 20 * MS
    assert trace.sets == ("rate",)
    assert trace.mean_rate_bps == 4 * 1500 * 8 / 0.020


def test_a_table_with_units_in_its_cells(tmp_path: Path) -> None:
    text = "time, rate, delay, loss\n0s, 20mbit, 40ms, 2%\n1.5s, 0, , \n2s,,5ms,\n3s\n"
    assert trace_of(tmp_path, text, "a.csv") == Trace(
        "settings",
        (
            TracePoint(0, 20_000_000, 40 * MS, 0.02),
            TracePoint(1500 * MS, 0),
            TracePoint(2 * SECOND, None, 5 * MS),
        ),
        3 * SECOND,
    )


def test_a_table_with_units_in_its_columns(tmp_path: Path) -> None:
    text = "# a link\nLoss_Percent,time_ms,rate_kbps\n50,0,8000\n0,10,0\n"
    trace = trace_of(tmp_path, text, "a.CSV")
    assert trace.points == (
        TracePoint(0, 8_000_000, None, 0.5),
        TracePoint(10 * MS, 0, None, 0.0),
    )
    assert trace.period_ns == 20 * MS
    assert trace.sets == ("rate", "loss")
    assert trace.mean_rate_bps == 4_000_000


def test_how_long_the_last_line_holds(tmp_path: Path) -> None:
    assert trace_of(tmp_path, "time,delay\n0,1ms\n", "a.csv").period_ns == SECOND
    assert trace_of(tmp_path, "time,delay\n1s,1ms\n3s,2ms\n", "b.csv").period_ns == 5 * SECOND
    trace = trace_of(tmp_path, "time,delay\n0,1ms\n3s,2ms\n4s,\n", "c.csv")
    assert (len(trace.points), trace.period_ns) == (2, 4 * SECOND)
    assert trace.sets == ("delay",)
    assert trace.mean_rate_bps is None


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    assert len(trace_of(tmp_path, "1\n").points) == 1
    assert len(trace_of(tmp_path, "1\n2\n").points) == 2


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.trace", "", "a.trace: the trace is empty"),
        ("a.trace", "\n# nothing\n", "the trace is empty"),
        ("a.trace", "1\n5\n4\n", "a.trace:3: the trace goes back from 5 to 4 ms"),
        ("a.trace", "1\nx\n", "a.trace:2: 'x' is not a time in whole milliseconds"),
        ("a.trace", "1\n-2\n", "a.trace:2: '-2' is not a time"),
        ("a.trace", "1.5\n", "'1.5' is not a time"),
        ("a.trace", "²\n", "'²' is not a time"),
        ("a.trace", "0\n0\n", "a.trace:2: the trace takes no time"),
        ("a.trace", "999999999999999\n", "longer than 36 years"),
        ("a.trace", "time,rate\n0,1mbit\n", "a file named *.csv"),
        ("a.csv", "", "the trace is empty"),
        ("a.csv", "time,rate\n", "the trace says nothing"),
        ("a.csv", "time,rate\n5s,\n", "the trace says nothing"),
        ("a.csv", "time\n1s\n", "a column of times and one more"),
        ("a.csv", "rate,loss\n1mbit,1%\n", "a column of times and one more"),
        ("a.csv", "time,speed\n0,1\n", "a.csv:1: there is no column 'speed'"),
        ("a.csv", "time,rate,rate_mbps\n0,1mbit,1\n", "there are two columns of rate"),
        ("a.csv", "time,rate\n0,1mbit,3\n", "a.csv:2: here are 3 cells, and there are 2 columns"),
        ("a.csv", "time,rate\n,1mbit\n", "a.csv:2: here is no time"),
        ("a.csv", "time,rate\n1s,1mbit\n1s,2mbit\n", "a.csv:3: the trace goes from 1 to 1 s"),
        ("a.csv", "time,rate\n1s,1mbit\n0s,2mbit\n", "the trace goes from 1 to 0 s"),
        ("a.csv", "time,rate\n1,1mbit\n", "a.csv:2: time: 1 has no unit"),
        ("a.csv", "time,rate\n0,-1mbit\n", "rate: -1mbit is negative"),
        ("a.csv", "time_s,rate_mbps\n0,1mbit\n", "rate_mbps: 1mbit is not a number"),
        ("a.csv", "time_s,rate_mbps\nnan,1\n", "time_s: nan is not"),
        ("a.csv", "time,loss\n0,101%\n", "loss: 101% is more than 100 %"),
        ("a.csv", "time,loss\n0,0.1\n", "loss: 0.1 is not in percent"),
        ("a.csv", "time,delay\n0,5\n", "delay: 5 has no unit"),
        ("a.csv", "time,rate\n0,0\n5s,0mbit\n", "lets nothing through at any time"),
        ("a.csv", "time,rate\n0,1mbit\n5s,\n6s,1mbit\n", "a.csv:4: a line without settings ends"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        trace_of(tmp_path, text, name)
    assert says in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, says in [
        (tmp_path / "none", "no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "a\0b", "null byte"),
    ]:
        with pytest.raises(UsageError, match="the trace cannot be read") as caught:
            read_trace(path)
        assert says in str(caught.value).lower()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="is not text"):
        read_trace(tmp_path / "binary")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_traces_that_come_along_can_be_used(path: Path) -> None:
    trace = read_trace(path)
    assert 10 * SECOND <= trace.period_ns <= 120 * SECOND
    stream = Stream(ImpairmentPlan(trace=str(path), queue_packets=100))
    decided = stream.decide(range(0, 2 * trace.period_ns, 10 * MS), 500)
    assert decided.delivered.mean() > 0.8


def test_the_traces_that_come_along_are_as_their_script_makes_them() -> None:
    script = ROOT / "scripts" / "make_traces.py"
    subprocess.run([sys.executable, script, "--check"], check=True)
    readme = (ROOT / "topologies" / "traces" / "README.md").read_text()
    assert all(f"({path.name})" in readme for path in SHIPPED)
