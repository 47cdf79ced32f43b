"""Writes the report of a bundle, and its figures, where the user wants them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from emulator.errors import ResultsError, UsageError
from emulator.experiment.bundle_files import PAGE
from emulator.experiment.html.page import render_page
from emulator.experiment.html.pictures import Gallery

if TYPE_CHECKING:
    from emulator.experiment.bundle import Bundle

FigureFormat = Literal["png", "pdf", "svg"]


@dataclass(frozen=True)
class WrittenReport:
    """What was written; ``missing`` tells, a line each, what could not be shown and why."""

    page: Path
    figures: tuple[Path, ...]
    missing: tuple[str, ...]


def write_report(
    bundle: Bundle,
    output: Path | None = None,
    *,
    figures: Path | None = None,
    figure_format: FigureFormat = "png",
    overwrite: bool = False,
) -> WrittenReport:
    """Write the report of a bundle as one HTML page, and its figures as files if asked to.

    Args:
        bundle: what was measured.
        output: the page; in the bundle when None, where an earlier one is written anew.
        figures: a folder for the figures, made when it is missing; None for no such files.
        figure_format: of the figures.
        overwrite: whether files that exist elsewhere than in the bundle may be written anew.

    Raises:
        UsageError: a file exists, or ``output`` is a folder.
        ResultsError: a file cannot be written.
    """
    page = output or bundle.folder / PAGE
    if page.is_dir():
        raise UsageError("is a folder", where=str(page), hint=f"name a file, such as {page / PAGE}")
    if output is not None:
        _check_free(page, overwrite)
    gallery = Gallery(bundle)
    wanted = [] if figures is None else list(gallery)
    paths = [] if figures is None else [figures / f"{each.name}.{figure_format}" for each in wanted]
    for path in paths:
        _check_free(path, overwrite)
    text = render_page(bundle, gallery)
    _write(page, lambda file: file.write(text.encode()))
    for picture, path in zip(wanted, paths, strict=True):
        _write(path, lambda file, picture=picture: picture.save(file, figure_format))  # type: ignore[misc]
    return WrittenReport(page, tuple(paths), tuple(gallery.missing))


def _check_free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(
            "the file exists", where=str(path), hint="write it anew with --force, or name another"
        )


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Make the file appear with all that ``write`` puts into it, or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            write(file)
        os.replace(partial, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ResultsError(
            "no space is left" if full else f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="free some room, or choose another place" if full else "choose another place",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
