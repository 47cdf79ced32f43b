"""``python -m emulator``: the same as ``vnf``."""

from __future__ import annotations

from emulator.cli.main import main

main()
