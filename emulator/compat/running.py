"""Running a script for another emulator: as Python would, and with an end that leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType

from emulator.compat import aliases, growth
from emulator.compat.machine_commands import reaching_switches
from emulator.compat.unsupported import OTHERS
from emulator.errors import BuildVnfError, TopologyError, UsageError
from emulator.owned_lab import OnFailure

_PACKAGE = str(Path(__file__).resolve().parents[1])
_OLD_PYTHON = re.compile(
    r"Missing parentheses in call to|leading zeros in decimal|backtick"
    r"|multiple exception types must be parenthesized|inconsistent use of tabs"
)
_OLD_NAMES = ("raw_input", "xrange", "unicode", "unichr", "basestring", "long", "reduce")
_OLD_MODULES = (
    "Queue",
    "ConfigParser",
    "SocketServer",
    "urllib2",
    "httplib",
    "commands",
    "thread",
    "Tkinter",
)
_OLD_HINT = "it is written for Python 2; 2to3 -w -n {} rewrites it"


def run_script(file: str, arguments: Sequence[str], *, on_failure: OnFailure = "stop") -> int:
    """Runs a script to its end, and takes back whatever it has left.

    Args:
        on_failure: whether a node that does not start ends its lab.

    Returns:
        The exit code: the script's own, or 1 when it raised something.

    Raises:
        BuildVnfError: the script asked for what cannot be had, and did not catch that.
    """
    path = Path(file)
    code = _compiled(path)
    growth.ON_FAILURE = on_failure
    with aliases.install(), reaching_switches(), _as_main(path, arguments) as main:
        try:
            try:
                exec(code, main.__dict__)
            finally:
                # Who stops a script does not wait for what its threads do.
                if not isinstance(sys.exception(), KeyboardInterrupt):
                    _wait_for_threads()
        except SystemExit as end:
            return _exit_code(end)
        except BuildVnfError as error:
            say_where(error, path)
            raise
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            print_traceback(error, path)
            return 1
        finally:
            end_labs()
    return 0


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except SyntaxError as error:
        text = (error.text or "").strip()
        raise UsageError(
            f"{error.msg}: {text}".rstrip(": "),
            where=f"{path}:{error.lineno}" if error.lineno else str(path),
            hint=_OLD_HINT.format(path) if _OLD_PYTHON.search(error.msg or "") else "",
        ) from error
    except ValueError as error:
        raise UsageError(f"is not Python: {error}", where=str(path)) from error


@contextmanager
def _as_main(path: Path, arguments: Sequence[str]) -> Iterator[ModuleType]:
    """A module ``__main__`` for a script, and for as long, its arguments and its folder."""
    main = ModuleType("__main__")
    main.__file__ = str(path)
    before, argv = sys.modules["__main__"], sys.argv
    folder = str(path.resolve().parent)
    sys.modules["__main__"] = main
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, folder)
    try:
        yield main
    finally:
        sys.modules["__main__"], sys.argv = before, argv
        if folder in sys.path:
            sys.path.remove(folder)


def _end_as_other_programs() -> None:
    """Has a process that the script forks end by a signal without a word: it has no labs to end."""
    if sys._getframe(1).f_code.co_filename.startswith(_PACKAGE):
        return
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # A handler of the script's own stays.
        if getattr(signal.getsignal(signum), "__module__", "").startswith("emulator."):
            signal.signal(signum, signal.SIG_DFL)


os.register_at_fork(after_in_child=_end_as_other_programs)


def _wait_for_threads() -> None:
    """As at the end of any program: it goes on until its threads have ended."""
    for thread in threading.enumerate():
        ours = thread is threading.current_thread() or thread is threading.main_thread()
        if not ours and not thread.daemon:
            thread.join()


def end_labs() -> None:
    """Ends the labs that are still there, and says so."""
    for id in growth.end_all():
        sys.stderr.write(f"*** Lab {id} was still there when the script ended: taken back\n")
        sys.stderr.flush()


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    sys.stderr.write(f"{end.code}\n")
    return 1


def say_where(error: BuildVnfError, path: Path) -> None:
    """Adds the script's line to an error that does not say it."""
    if str(path) in error.where or isinstance(error, TopologyError):
        return
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if lines:
        error.where = ": ".join(part for part in (f"{path}:{lines[-1]}", error.where) if part)


def print_traceback(error: Exception, path: Path) -> None:
    """Prints an exception with the frames that are the script's, or of what it uses."""
    from emulator.cli.outcome import debugging

    told = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = told
    while part is not None and not debugging():
        frames = [frame for frame in part.stack if not frame.filename.startswith(_PACKAGE)]
        part.stack = traceback.StackSummary.from_list(frames)
        part = part.__cause__ or part.__context__
    sys.stdout.flush()
    sys.stderr.write("".join(told.format()))
    hint = _hint(error, path)
    if hint:
        sys.stderr.write(f"vnf: {hint}\n")
    sys.stderr.flush()


def _hint(error: Exception, path: Path) -> str:
    """What helps against an exception, if that can be told; or an empty text."""
    name = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError):
        package = name.partition(".")[0]
        if name in _OLD_MODULES:
            return _OLD_HINT.format(path)
        if package in OTHERS:
            return f"{package} is not supported: {OTHERS[package]}"
        return f"scripts run in {sys.executable}: is {package} installed there?"
    if isinstance(error, NameError) and name in _OLD_NAMES:
        return _OLD_HINT.format(path)
    if isinstance(error, AttributeError):
        return _reason(error.obj, name)
    return ""


def _reason(thing: object, name: str) -> str:
    """Why something of ours has not an attribute that Mininet's has, if it is known."""
    from emulator.compat.parity_reasons import DIFFERENT

    for cls in type(thing).__mro__:
        ours = cls.__module__.startswith("emulator.compat.")
        path = f".{cls.__name__}.{name}"
        why = next((why for key, why in DIFFERENT.items() if ours and key.endswith(path)), "")
        if why:
            return f"{cls.__name__}.{name} is not supported: {why}"
    return ""
