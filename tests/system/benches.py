"""Benches for tests: short ones, and the command as people run it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.system.terminal import ROOT, VNF

DEADLINE_S = 60.0

GOAL = "loss=10%/trial=50ms/sum=100ms/width=20%"
"""Met by any path that carries anything, and soon found."""

QUICK: dict[str, Any] = {"rates_pps": [2000], "duration_s": 0.2, "goals": [GOAL]}
QUICK_OPTIONS = ["--rate", "2000", "--duration", "200ms", "--goal", GOAL]


def vnf(*arguments: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*VNF, *arguments],
        input="",
        cwd=ROOT,
        timeout=timeout_s,
        capture_output=True,
        text=True,
        check=False,
    )


def bundle_in(output: Path) -> Path:
    """The one bundle in a folder."""
    (found,) = (path for path in output.iterdir() if (path / "run.json").is_file())
    return found
