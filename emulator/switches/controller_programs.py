"""Programs as controllers: where they are found, and how they end with all that they started."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from emulator.errors import MachineError
from emulator.plan.switch_model import PORT_MARK, ControllerPlan
from emulator.runtime.ending import STOP_S

_POLL_S = 0.01


def command_of(plan: ControllerPlan, name: str) -> list[str]:
    """The command of a controller, with its program's path and its port.

    A program is looked for on PATH and then, as one of a name with a slash is at once, in the
    folder that it works in.

    Raises:
        MachineError: there is no such program.
    """
    program, *arguments = plan.command
    path = os.environ.get("PATH", os.defpath)
    beside = Path(plan.folder or "/", Path(program).expanduser())
    found = None if "/" in program else shutil.which(program, path=path)
    if found is None:
        if not beside.is_file():
            place = "" if "/" in program else f", nor on PATH ({path})"
            raise MachineError(
                f"there is no program {program}, which is to be the controller: it is not in "
                f"{beside.parent}{place}",
                where=name,
                hint='install it, or say where it is: folder="…" (Mininet\'s cdir)',
            )
        if not os.access(beside, os.X_OK):
            script = ["python3", program] if program.endswith(".py") else ["sh", program]
            raise MachineError(
                f"{beside}, which is to be the controller, cannot be executed",
                where=name,
                hint=f"chmod +x {shlex.quote(str(beside))}, or have it run by another: "
                f'command="{shlex.join(script)} …"',
            )
        found = str(beside)
    return [found, *(word.replace(PORT_MARK, str(plan.port)) for word in arguments)]


def end_group(process: subprocess.Popen[Any]) -> None:
    """Asks a process and what it started to end, and ends what does not.

    The process leads a session, by which the others are known, also when it has ended itself.
    """
    deadline = time.monotonic() + STOP_S
    asked: set[int] = set()
    while members := _members(process):
        overdue = time.monotonic() > deadline
        for pid in members if overdue else members - asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if overdue else signal.SIGTERM)
        asked |= members
        time.sleep(_POLL_S)
        process.poll()
    process.wait()


def _members(process: subprocess.Popen[Any]) -> set[int]:
    """The processes of a process's session that have not ended."""
    import psutil

    if process.returncode is not None and psutil.pid_exists(process.pid):
        # The number belongs to somebody else by now, which it cannot before a session has ended.
        return set()
    members = set()
    for each in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == process.pid and each.status() != psutil.STATUS_ZOMBIE:
                members.add(each.pid)
    return members
