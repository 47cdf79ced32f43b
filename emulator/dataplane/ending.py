"""Why the process of a VNF does not start, or has ended."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

from emulator.errors import BuildVnfError, LabError, MachineError, UsageError
from emulator.runtime.ending import STOP_S, last_lines, last_words

_ERRORS: dict[int, type[BuildVnfError]] = {2: UsageError, 3: MachineError}


def start_error(
    process: subprocess.Popen[Any], log: Path, node: str, cause: LabError
) -> BuildVnfError:
    """Why a VNF does not start, from what it printed: see vnf_fail() in the run loop."""
    try:
        status = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        return LabError(f"the VNF does not start: {cause.message}", where=node)
    lines = last_lines(log)
    message = next((line.removeprefix("error: ") for line in lines if line[:7] == "error: "), "")
    hint = next((line.removeprefix("hint: ") for line in lines if line[:6] == "hint: "), "")
    if not message:
        return LabError(why_ended(status, log), where=node)
    return _ERRORS.get(status, LabError)(message, where=node, hint=hint)


def why_ended(status: int, log: Path, since: int = 0) -> str:
    """What became of a process that ended with ``status``, and its last lines.

    Args:
        since: how many bytes it had printed when it was ready; they tell nothing of its end.
    """
    if status < 0:
        names = [f" ({each.name})" for each in signal.Signals if each == -status]
        how = f"was ended by signal {-status}{''.join(names)}"
    else:
        how = f"ended with exit code {status}"
    return f"the VNF's process {how}{last_words(log, since)}"
