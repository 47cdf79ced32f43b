"""When a program that has just begun has come to its work, as far as that can be seen from outside.

One that fails at once is to be told at once; yet nobody should wait for one that already waits for
something to do.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

_LOOK_S = 0.005
_LOOKS = 3


def wait_settled(program: subprocess.Popen[Any], deadline_s: float) -> None:
    """Return when a program has ended, sleeps and has nobody else at work, or at the deadline.

    Args:
        deadline_s: by ``time.monotonic()``.
    """
    asleep = 0
    while asleep < _LOOKS and (left_s := deadline_s - time.monotonic()) > 0:
        try:
            program.wait(min(left_s, _LOOK_S))
            return
        except subprocess.TimeoutExpired:
            asleep = asleep + 1 if _sleeps_alone(program.pid) else 0


def _sleeps_alone(pid: int) -> bool:
    """Whether a process sleeps, with no other thread and no child that may be at work for it."""
    process = Path(f"/proc/{pid}")
    try:
        state, *fields = (process / "stat").read_text().rpartition(")")[2].split()
        children = (process / "task" / str(pid) / "children").read_text()
    except OSError:  # it has just ended, or the kernel does not tell of children
        return False
    threads = int(fields[16])
    return state == "S" and threads == 1 and not children.strip()
