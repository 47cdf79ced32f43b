"""How this process was started, in words that can be typed again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

_PROGRAM = "vnf"


def vnf_program() -> str:
    """The ``vnf`` command as a shell that searches other folders finds it too.

    ``sudo`` searches its own list of folders (``secure_path`` in sudoers(5)), which does not have
    the virtual environment that ``vnf`` is in.
    """
    return shlex.join(_vnf_words() or [_PROGRAM])


def with_sudo() -> str:
    """The command that starts this very process again as root; empty when it cannot be told."""
    words = _vnf_words()
    words = [*words, *sys.argv[1:]] if words else [sys.executable, *sys.orig_argv[1:]]
    if not sys.executable or any("\n" in word for word in words):
        return ""
    return f"sudo {shlex.join(words)}"


def _vnf_words() -> Sequence[str]:
    program = sys.argv[0] if sys.argv else ""
    if os.path.basename(program) == _PROGRAM:
        return [os.path.abspath(program)]
    if program == os.path.join(os.path.dirname(__file__), "__main__.py"):
        return [sys.executable, "-m", __package__]
    return []
