"""How the process of a VNF ends, and what it said before."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

from emulator.errors import BuildVnfError, LabError, MachineError, UsageError

_STOP_S = 3.0
_LAST_LINES = 10
_ERRORS: dict[int, type[BuildVnfError]] = {2: UsageError, 3: MachineError}


def end_process(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and end it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_error(
    process: subprocess.Popen[Any], log: Path, node: str, cause: LabError
) -> BuildVnfError:
    """Why a VNF does not start, from what it printed: see vnf_fail() in the run loop."""
    try:
        status = process.wait(_STOP_S)
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
        how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
    else:
        how = f"ended with exit code {status}"
    return f"the VNF's process {how}{last_words(log, since)}"


def last_words(log: Path, since: int = 0) -> str:
    """The last lines that a process printed, to go on with in a message; empty without any."""
    lines = last_lines(log, since)
    return "; its last lines:" + "".join(f"\n    {line}" for line in lines) if lines else ""


def last_lines(log: Path, since: int = 0) -> list[str]:
    """The last lines that a process printed, after so many bytes; none when there is no file."""
    try:
        return log.read_bytes()[since:].decode(errors="replace").splitlines()[-_LAST_LINES:]
    except OSError:
        return []
