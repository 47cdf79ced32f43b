"""Python files that users write: running them, and telling what is wrong with them, and where."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from emulator.errors import BuildVnfError, UsageError


def run_file(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module of that name; nothing is written beside it.

    Raises:
        UsageError: it cannot be read, is no Python, or raises something.
    """
    module = ModuleType(name)
    module.__file__ = str(path)
    try:
        code = compile(path.read_bytes(), str(path), "exec")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except SyntaxError as error:
        raise UsageError(
            f"{error.msg}: {(error.text or '').strip()}".rstrip(": "),
            where=f"{path}:{error.lineno}" if error.lineno else str(path),
            hint="Python cannot read the file beyond this line",
        ) from error
    except ValueError as error:
        raise UsageError(
            f"is not Python: {error}", where=str(path), hint="Python cannot read the file"
        ) from error
    # Dataclasses and annotations look their module up by its name.
    sys.modules[module.__name__] = module
    with blaming(path):
        exec(code, module.__dict__)
    return module


@contextmanager
def blaming(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn whatever a file's code raises into an error at the line that raised it.

    Args:
        errors: what the code may raise, beside our own errors; it is left as it is.

    Raises:
        UsageError: the code raised anything else.
    """
    left_alone: tuple[type[Exception], ...] = (BuildVnfError, *errors)
    try:
        yield
    except left_alone:
        raise
    # The code is the user's and can raise anything at all, and none of it is our failure.
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path) and frame.lineno
        ]
        raise UsageError(
            f"{type(error).__name__}: {error}".rstrip(": "),
            where=f"{path}:{lines[-1]}" if lines else str(path),
            hint=_advice(error, path),
        ) from error


def _advice(error: BaseException, path: Path) -> str:
    if isinstance(error, SystemExit):
        return 'put what is only for running the file itself under if __name__ == "__main__":'
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        if module == "mininet":
            return "Mininet is not installed; from emulator import Topo has the same methods"
        return f"install {module}, or put it beside {path.name}"
    return ""
