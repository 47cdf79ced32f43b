"""Tools that people know, beside our own measurements in a bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import UsageError
from emulator.experiment.bench import run_bench
from emulator.experiment.bundle import load_bundle
from emulator.experiment.spec import BenchSpec

pytestmark = [pytest.mark.root, pytest.mark.xdp]


@pytest.mark.usefixtures("known_limits")
def test_tools_are_run_on_the_path_and_all_they_said_is_kept(tmp_path: Path) -> None:
    spec = BenchSpec(
        "chain",
        settings={"dataplane": "kernel"},
        measurements=["latency"],
        rates_pps=[1000],
        duration_s=0.1,
        tools=["ping:count=5,interval_s=0.01", "iperf3:duration_s=1"],
        output=tmp_path,
    )
    result = run_bench(spec)
    (case,) = result.summary.cases
    ping, iperf3 = case.tools
    assert (ping.tool, ping.round_trip, ping.sent, ping.received) == ("ping", True, 5, 5)
    assert ping.latency is not None
    assert ping.latency.count == 5
    assert iperf3.throughput_bps
    for each in case.tools:
        assert each.files
        for name in each.files:
            assert (result.folder / name).stat().st_size > 0
    assert load_bundle(result.folder).summary == result.summary


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pong", "pong"),
        ("ping:often=2", "no option often"),
        ("ping:count", "no option of its own"),
        ("ping:count=1,count=2", "no option of its own"),
        ("ping:count=x", "makes no sense|count"),
        ("testpmd", "does not send"),
    ],
)
def test_a_tool_that_cannot_be_run_is_refused_before_anything_starts(
    text: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        BenchSpec("chain", tools=[text])
