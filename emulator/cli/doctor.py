"""``vnf doctor``: what works on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from emulator.cli.options import JsonOption
from emulator.cli.output import print_json, print_table

if TYPE_CHECKING:
    from emulator.doctor import Check


def doctor(json: JsonOption = False) -> None:
    """Say what works on this machine, why the rest does not, and the command that fixes it.

    Everything is tried in a private network namespace; run it as root to have all of it tried.
    The exit code is 1 when a data plane of this version cannot be used at all.

    \b
    Examples:
      vnf doctor
      vnf doctor --json
    """
    from emulator.catalog import AVAILABLE
    from emulator.doctor import diagnose

    checks = diagnose()
    if json:
        print_json([check.to_dict() for check in checks])
    else:
        print_table(
            ("what", "status", "found", "what helps"),
            [(check.name, check.status, _found(check), check.fix) for check in checks],
            styles={"works": "green", "limited": "yellow", "missing": "red"},
        )
    planes = {f"data plane {name}" for name in AVAILABLE}
    if any(check.name in planes and check.status == "missing" for check in checks):
        raise typer.Exit(1)


def _found(check: Check) -> str:
    return ": ".join(part for part in (check.detail, check.reason) if part)
