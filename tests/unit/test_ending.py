"""How processes end, in words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from emulator.dataplane.ending import why_ended


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (3, "ended with exit code 3"),
        (-signal.SIGSEGV, "was ended by signal 11 (SIGSEGV)"),
        # Most real-time signals have no name.
        (-(signal.SIGRTMIN + 3), "was ended by signal 37"),
    ],
)
def test_every_end_has_words(tmp_path: Path, status: int, said: str) -> None:
    assert why_ended(status, tmp_path / "no.log") == f"the VNF's process {said}"
