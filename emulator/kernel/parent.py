"""Programs that end with the process that started them, however that one ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

_WITH_PARENT = 'test "$PPID" = "$0" && exec "$@"'
"""The parent may have ended before the signal was asked for."""


def ending_with_us(command: Sequence[str], by: signal.Signals) -> list[str]:
    """The command line of a program that gets a signal when the thread that starts it has gone.

    The kernel sends it, so it arrives after SIGKILL too (PR_SET_PDEATHSIG in prctl(2)). It is asked
    for by setpriv(1): between fork and exec of a process with threads, Python code is not safe.

    Args:
        by: SIGTERM for what takes something back at its end, SIGKILL for what need not or would
            not listen.
    """
    wanted = ["setpriv", "--pdeathsig", by.name.removeprefix("SIG"), "--"]
    return [*wanted, "sh", "-c", _WITH_PARENT, str(os.getpid()), *command]
