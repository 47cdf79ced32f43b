"""Which revision of a source something was made from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_DEADLINE_S = 5.0


def source_revision(folder: Path) -> str | None:
    """The git revision of the checkout ``folder``, with ``+changes`` when files differ from it.

    None when it is no checkout, or git is missing or declines to answer.
    """
    if not (folder / ".git").exists():
        return None
    revision = output_of("git", "-C", str(folder), "rev-parse", "HEAD")
    if not revision:
        return None
    changes = output_of("git", "-C", str(folder), "status", "--porcelain", "-uno")
    return f"{revision}+changes" if changes else revision


def output_of(program: str, *arguments: str) -> str | None:
    """What a program prints, or None when it is missing, fails or does not answer."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, *arguments], capture_output=True, text=True, check=True, timeout=_DEADLINE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
