"""The user's terminal and a node's, joined while an interactive program runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterable, Iterator

_TIOCGPTPEER = 0x5441
_CHUNK = 65536


@contextlib.contextmanager
def lent_terminal(terminal: int, echo: bool) -> Iterator[None]:
    """Gives a node's terminal the manners and the size of the user's for a while.

    Args:
        terminal: the node's, by its master.
        echo: whether it shows what is typed.
    """
    _take_size(terminal)
    attributes = termios.tcgetattr(terminal)
    attributes[1] |= termios.OPOST | termios.ONLCR
    if echo:
        attributes[3] |= termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    # Signals are for the main thread; on another one, the window had better stay as it is.
    listening = threading.current_thread() is threading.main_thread()
    before = None
    if listening:
        before = signal.signal(signal.SIGWINCH, lambda _signum, _frame: _take_size(terminal))
    try:
        yield
    finally:
        if listening:
            signal.signal(signal.SIGWINCH, before)
        tame(terminal)


def tame(terminal: int) -> None:
    """Has a terminal show nothing of what is typed, and pass on what is printed as it is."""
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def _take_size(terminal: int) -> None:
    """Makes a node's terminal as large as the user's."""
    with contextlib.suppress(OSError):  # one of them is just going
        size = fcntl.ioctl(sys.stdin.fileno(), termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


def take_unread(terminal: int) -> str:
    """Takes what was typed at a terminal and read by nobody; a line need not be at its end.

    Args:
        terminal: its master.
    """
    reader = fcntl.ioctl(terminal, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    typed = b""
    try:
        before = termios.tcgetattr(reader)
        # A terminal that waits for the end of a line hands out none that was only begun.
        at_once = [*before[:3], before[3] & ~termios.ICANON, *before[4:]]
        termios.tcsetattr(reader, termios.TCSANOW, at_once)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(reader, _CHUNK):
                typed += data
        termios.tcsetattr(reader, termios.TCSANOW, before)
    finally:
        os.close(reader)
    # A Ctrl-D that nobody took for the end has become a NUL.
    return typed.replace(b"\0", b"").decode(errors="ignore")


@contextlib.contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Has a terminal pass on every key as it is for a while, Ctrl-C included."""
    before = termios.tcgetattr(fd)
    # Not at once: that would throw away what was typed ahead.
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def readable(fds: Iterable[int], timeout_s: float | None = None) -> set[int]:
    """Those from which something, or the end, can be read; none when the time is over first.

    Not by ``select``, which knows no descriptor above 1023: a large lab has more.
    """
    watched = select.poll()
    for fd in fds:
        watched.register(fd, select.POLLIN)
    return {fd for fd, _ in watched.poll(None if timeout_s is None else timeout_s * 1000)}


def print_now(text: str) -> None:
    """Prints a piece of output that is not to wait for the end of its line."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it, however little is taken at once."""
    while data:
        data = data[os.write(fd, data) :]
