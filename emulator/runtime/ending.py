"""How a process that we started ends, and what it said before."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

STOP_S = 3.0
"""So long a process may take to end after it was asked to."""

_LAST_LINES = 10


def end_process(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and end it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_words(log: Path, since: int = 0) -> str:
    """The last lines that a process printed, to go on with in a message; empty without any.

    Args:
        since: how many bytes it had printed before; they tell nothing of its end.
    """
    lines = last_lines(log, since)
    return "; its last lines:" + "".join(f"\n    {line}" for line in lines) if lines else ""


def last_lines(log: Path, since: int = 0) -> list[str]:
    """The last lines that a process printed, after so many bytes; none when there is no file."""
    try:
        return log.read_bytes()[since:].decode(errors="replace").splitlines()[-_LAST_LINES:]
    except OSError:
        return []
