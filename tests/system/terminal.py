"""A person at a terminal, for the tests of what only happens on one."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
VNF = [sys.executable, "-m", "emulator"]
"""The command, to be run with ``ROOT`` as the working directory."""

_ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Z]|\x1b[=>78]"
)


class Terminal:
    """Runs a program on a terminal of its own; types, and waits for what appears.

    Args:
        command: the program and its arguments.
        env: variables added to ours.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen(
                # Makes the terminal the controlling one, so that Ctrl-C is a signal.
                ["setsid", "--ctty", *command],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=ROOT,
                # Our terminal does not answer the question where its cursor is.
                env={
                    **os.environ,
                    "TERM": "xterm",
                    "PROMPT_TOOLKIT_NO_CPR": "1",
                    "COLUMNS": "200",
                    **(env or {}),
                },
            )
        finally:
            os.close(slave)
        self.text = ""
        """Everything that has appeared, without colours and cursor movements."""
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the window, as far as the program can tell."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    @property
    def echoes(self) -> bool:
        """Whether the terminal is in its ordinary state: it shows what is typed, line by line."""
        flags = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def type(self, text: str) -> None:
        """Type characters; ``\\r`` is the Enter key."""
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str, timeout_s: float = 30.0) -> re.Match[str]:
        """The next appearance of a regular expression after the one waited for before."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            match = re.compile(pattern, re.MULTILINE).search(self.text, self._seen)
            if match is not None:
                self._seen = match.end()
                return match
            if not self._read(deadline_s - time.monotonic()):
                raise AssertionError(f"{pattern!r} did not appear after:\n{self.text}")

    def wait_exit(self, timeout_s: float = 30.0) -> int:
        """The exit code, once the program has ended."""
        deadline_s = time.monotonic() + timeout_s
        while self._read(deadline_s - time.monotonic()):
            pass
        return self.process.wait(timeout=max(0.1, deadline_s - time.monotonic()))

    def _read(self, timeout_s: float) -> bool:
        if timeout_s <= 0 or not select.select([self._master], [], [], timeout_s)[0]:
            return False
        data = b""
        # The last one to hold the terminal has closed it: EIO.
        with contextlib.suppress(OSError):
            data = os.read(self._master, 65536)
        text = self.text + data.decode(errors="replace").replace("\r", "")
        self.text = _ESCAPES.sub("", text)
        return bool(data)
