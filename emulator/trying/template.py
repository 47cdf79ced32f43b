"""A new VNF, to begin with: a folder with all that one has, which works as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from emulator.dataplane.build import library_dir
from emulator.errors import MachineError, UsageError
from emulator.names import NAME_RULE, is_name

Language = Literal["c", "python"]
LANGUAGES: tuple[Language, ...] = ("c", "python")

_PLACEHOLDER = "NAME"
_PLANES: dict[Language, str] = {"c": "xdp", "python": "python"}


def write_vnf(name: str, *, language: Language = "c", folder: Path = Path("vnfs")) -> Path:
    """Make the folder of a new VNF and return it.

    Args:
        name: what the VNF is called.
        language: what it is written in.
        folder: where its folder goes; made if it is not there.

    Raises:
        UsageError: it can have no such name, or there is something in its place.
        MachineError: it cannot be written there.
    """
    if not is_name(name):
        raise UsageError(f"{name!r} is not a usable name", hint=NAME_RULE)
    target = folder / name
    if target.exists():
        raise UsageError("is there already", where=str(target), hint="choose another name")
    template = library_dir() / "template"
    sources = [*_files(template), *_files(template / language)]
    try:
        target.mkdir(parents=True)
        for source in sources:
            text = source.read_text().replace(_PLACEHOLDER, name)
            (target / source.name).write_text(text.replace("PLANE", _PLANES[language]))
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=str(target)) from error
    return target


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
