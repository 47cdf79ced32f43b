"""How a ``vnf`` command ends: the exit code, and the one form of every line on stderr.

Exit codes: 0 good, 1 a failed check or verdict, 2 wrong use, 3 the machine lacks something,
70 a bug of ours, 130 stopped by Ctrl-C, 128 + n stopped by signal n.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TextIO

from emulator.errors import BuildVnfError, TopologyError, VerifierError

EXIT_BUG = 70
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_OUTPUT_CLOSED = 128 + signal.SIGPIPE


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; unwinds the program exactly as Ctrl-C does.

    Args:
        signum: the number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Stopped(Exception):
    """The command was stopped by a signal and everything it held has been unwound.

    Args:
        exit_code: the exit code the process should end with.
        message: the line to print, empty for none.
    """

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


@contextlib.contextmanager
def reasons_kept() -> Iterator[None]:
    """Make what ends the block from outside, a signal or a closed output, a :class:`Stopped`."""
    try:
        yield
    except Terminated as stop:
        name = signal.Signals(stop.signum).name
        raise Stopped(128 + stop.signum, f"terminated by {name}") from stop
    except KeyboardInterrupt as stop:
        raise Stopped(EXIT_INTERRUPTED, "interrupted") from stop
    except OSError as error:
        if error.errno == errno.EPIPE and output_is_closed():
            _discard_output()
            raise Stopped(EXIT_OUTPUT_CLOSED, "") from error
        # Files name themselves in their errors; what has no name is our output.
        if error.errno == errno.ENOSPC and error.filename is None:
            _discard_output()
            raise Stopped(1, f"cannot write the output: {error.strerror}") from error
        raise


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind the program; a signal ignored from outside stays ignored."""

    def stop(signum: int) -> None:
        raise Terminated(signum)

    with _handled((signal.SIGTERM, signal.SIGHUP), stop):
        yield


@contextlib.contextmanager
def stops_held() -> Iterator[None]:
    """What would stop the program arrives when the block is over, so that the block is whole."""
    waiting: list[int] = []
    with _handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), waiting.append):
        yield
    if waiting:
        signal.raise_signal(waiting[0])


def interrupts_go_to(
    receive: Callable[[int], object],
) -> contextlib.AbstractContextManager[None]:
    """While this lasts, SIGINT calls ``receive`` with its number and raises nothing here.

    A child that is started meanwhile can still be interrupted, as it could not if the signal were
    ignored.
    """
    return _handled((signal.SIGINT,), receive)


@contextlib.contextmanager
def _handled(signums: Iterable[int], receive: Callable[[int], object]) -> Iterator[None]:
    def handle(signum: int, _frame: FrameType | None) -> None:
        receive(signum)

    previous = {
        signum: signal.signal(signum, handle)
        for signum in signums
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def debugging() -> bool:
    """Whether the user wants tracebacks: ``vnf --debug`` or ``VNF_DEBUG`` set to anything but 0."""
    return os.environ.get("VNF_DEBUG", "0") not in ("", "0")


def say(message: str, *, hint: str = "") -> None:
    """Print one line ``vnf: message`` on stderr, and the hint below it when there is one."""
    text = f"vnf: {message}\n"
    if hint:
        text += f"     hint: {hint}\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        # The terminal is gone (SIGHUP, a closed pipe): there is nobody left to tell.
        _discard(sys.stderr)


def report_error(error: BuildVnfError) -> int:
    """Print an error of ours, every problem of a topology included; returns the exit code."""
    message = f"{shown(error.where)}: {error.message}" if error.where else error.message
    if isinstance(error, TopologyError):
        lines = [message]
        for problem in error.problems:
            lines.append(f"  - {problem.where + ': ' if problem.where else ''}{problem.message}")
            if problem.hint:
                lines.append(f"    hint: {problem.hint}")
        message = "\n".join(lines)
    say(message, hint=error.hint)
    if debugging():
        if isinstance(error, VerifierError):
            sys.stderr.write(error.log)
        traceback.print_exception(error)
    return error.exit_code


def shown(place: object) -> str:
    """A path as the user would write it: from the folder we are in, if it is below that."""
    return str(place).removeprefix(f"{os.getcwd()}{os.sep}")


def report_bug(error: BaseException) -> int:
    """Print an exception that should not have happened; returns the exit code."""
    place = ""
    if frames := traceback.extract_tb(error.__traceback__):
        place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})"
    text = str(error).strip().partition("\n")[0]
    say(
        f"internal error: {type(error).__name__}{': ' + text if text else ''}{place}",
        hint="this is a bug in build-vnf; VNF_DEBUG=1 shows where it comes from",
    )
    if debugging():
        traceback.print_exception(error)
    return EXIT_BUG


def supply_streams() -> None:
    """Put the null device in place of standard streams that were closed before we started.

    Otherwise the next file that is opened would take their number and be handed to children.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Open as long as the process is.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def finish_output() -> int:
    """Write out what stdout still holds; returns 0, or the exit code when that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return EXIT_OUTPUT_CLOSED
    except OSError as error:
        _discard_output()
        say(f"cannot write the output: {error.strerror}")
        return 1
    return 0


def output_is_closed() -> bool:
    """Whether the reader of our stdout has gone away, as ``| head`` does."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poller.poll(0))


def _discard_output() -> None:
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    # The interpreter flushes the stream once more at exit, and would turn what it still holds and
    # cannot write into an exit code of its own.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
