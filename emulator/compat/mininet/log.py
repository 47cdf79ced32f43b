"""Mininet's log: lines without prefix on stderr, at levels that a script chooses.

A message brings its own line end, and one call may hand several values, which are joined by
spaces.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from emulator.compat.unsupported import refuse_names
from emulator.errors import UsageError

OUTPUT = logging.INFO + 5
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "output": OUTPUT,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
LOGLEVELDEFAULT = OUTPUT


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Looked up each time: a script may have put another stream there.
        sys.stderr.write(self.format(record))
        sys.stderr.flush()


class MininetLogger(logging.Logger):
    """The one logger of a script."""

    def __init__(self, name: str = "mininet") -> None:
        super().__init__(name, LOGLEVELDEFAULT)
        self.propagate = False
        self.addHandler(_Stderr())

    def setLogLevel(self, levelname: str | None = None) -> None:
        """Show messages of this level and above: debug, info, output, warning, error, critical.

        Raises:
            UsageError: there is no such level.
        """
        if levelname is not None and levelname not in LEVELS:
            raise UsageError(
                f"there is no log level {levelname}", hint=f"there are: {', '.join(LEVELS)}"
            )
        self.setLevel(LOGLEVELDEFAULT if levelname is None else LEVELS[levelname])

    def isEnabledFor(self, level: int) -> bool:
        """Whether a message of a level is shown."""
        # The logging module remembers its answer, and forgets it only for loggers that it made.
        return level >= self.level

    def output(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what a script is to say even when it is quiet, such as results."""
        self.log(OUTPUT, msg, *args, **kwargs)


lg = MininetLogger()


def _speaker(level: int) -> Callable[..., None]:
    def speak(*values: object) -> None:
        first = values[0] if len(values) == 1 else values
        text = " ".join(map(str, first)) if isinstance(first, list | tuple) else str(first)
        lg.log(level, "%s", text)

    return speak


debug = _speaker(logging.DEBUG)
info = _speaker(logging.INFO)
output = _speaker(OUTPUT)
warning = warn = _speaker(logging.WARNING)
error = _speaker(logging.ERROR)
setLogLevel = lg.setLogLevel

__getattr__ = refuse_names("mininet.log")
