"""The compiled parts of the product: programs and libraries made from ``emulator/native``."""

from __future__ import annotations

import ctypes
from pathlib import Path

from emulator.errors import MachineError
from emulator.paths import native_dir

_HINT = "run scripts/bootstrap in the checkout, or reinstall the package"


def native_part(name: str) -> Path:
    """A compiled part, such as ``vnf-init``.

    Raises:
        MachineError: it is not compiled.
    """
    path = native_dir() / name
    if not path.is_file():
        raise MachineError(f"the compiled helper {name} is missing", where=str(path), hint=_HINT)
    return path


def native_library(path: str) -> ctypes.CDLL:
    """A compiled library, such as ``libimpair.so``, loaded.

    Raises:
        MachineError: it is not compiled, or not for this machine.
    """
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        name = Path(path).name
        raise MachineError(
            f"the compiled helper {name} is missing", where=path, hint=_HINT
        ) from error
