"""A program that ends with the one that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.kernel.parent import ending_with_us

WITHIN_S = 30
PARENT = """
import signal, subprocess, sys
from emulator.kernel.parent import ending_with_us
command = ending_with_us(["sleep", "1000"], signal.Signals[sys.argv[1]])
with subprocess.Popen(command):
    print("started", flush=True)
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_when_its_parent_is_killed(by: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, by.name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    parent.kill()
    # Both have to be gone before nobody holds the other end of the pipe.
    assert parent.communicate(timeout=WITHIN_S) == ("", None)


def test_it_is_the_program_itself_with_its_output_and_its_exit_code() -> None:
    command = ending_with_us(["sh", "-c", "echo $0 $$; exit 3", "-x"], signal.SIGKILL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=WITHIN_S)

    assert (said, process.returncode) == (f"-x {process.pid}\n", 3)
