"""Where the product keeps its own files, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share_dir() -> Path:
    """The folder that holds ``vnfs/``, ``topologies/``, ``labs/`` and ``docs/``.

    An installed wheel carries them inside the package, a checkout beside it.
    """
    installed = _PACKAGE / "share"
    return installed if installed.is_dir() else _PACKAGE.parent


def native_dir() -> Path:
    """The folder of the compiled helpers: ``vnf-probe``, ``vnf-init`` and the probe's BPF."""
    return _PACKAGE / "native" / "build"


def cache_dir() -> Path:
    """The folder for compiled VNF objects; made when something is put there."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "build-vnf"


def run_dir() -> Path:
    """The folder for the records of running labs; it does not outlive a reboot."""
    return Path("/run/build-vnf")
