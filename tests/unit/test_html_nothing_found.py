"""Reports of runs in which a measurement found nothing."""

from __future__ import annotations

from pathlib import Path

from emulator.experiment.bundle import load_bundle
from emulator.experiment.html.write import write_report
from tests.measured_runs import case, summary, throughput, write_bundle


def test_a_case_of_which_no_rate_met_the_goal_is_drawn_beside_others(tmp_path: Path) -> None:
    found = case("kernel", 1500, 900_000, 400)
    nothing = case("xdp", 700, None, 200, throughputs=(throughput(None),))
    for number, cases in enumerate([(nothing,), (nothing, found)]):
        folder = write_bundle(tmp_path / str(number), summary(*cases))
        written = write_report(load_bundle(folder))
        assert "no rate that was tried met the goal quick" in written.page.read_text()
