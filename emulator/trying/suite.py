"""All cases of a VNF on all the data planes that it names, as far as this machine has them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.errors import BuildVnfError, MachineError, UsageError
from emulator.names import choice_hint
from emulator.trying.cases import Case, Mismatch, run_one_of
from emulator.trying.dut import Duts, planes_to_try, prepare

if TYPE_CHECKING:
    from emulator.catalog import Manifest

Result = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """What became of a case on a data plane.

    Attributes:
        case: its name.
        plane: the data plane that was tried.
        result: ``ok``, ``failed`` or ``skipped``.
        mismatches: what went otherwise than the case says.
        error: why the VNF could not be tried at all.
    """

    case: str
    plane: str
    result: Result
    mismatches: tuple[Mismatch, ...] = ()
    error: BuildVnfError | None = None


def chosen_planes(
    manifest: Manifest, wanted: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """The data planes to try a VNF on, each with those that run the very same code.

    Args:
        wanted: data planes; all of the manifest's by default.

    Raises:
        UsageError: the VNF has no handler on a data plane that is wanted.
    """
    planes = planes_to_try(manifest)
    if wanted is None:
        return planes
    for name in wanted:
        if not any(name in same for same in planes.values()):
            known = [each for same in planes.values() for each in same]
            raise UsageError(
                f"VNF {manifest.name} has no handler to try on {name}",
                where="--dataplane",
                hint=choice_hint(name, known),
            )
    return {
        next(name for name in wanted if name in same): same
        for same in planes.values()
        if set(same) & set(wanted)
    }


def run_cases(
    manifest: Manifest,
    cases: Sequence[Case],
    planes: Mapping[str, object],
    *,
    sanitized: bool = True,
) -> Iterator[Verdict]:
    """Run each case on each data plane, one data plane after another."""
    for plane in planes:
        error = _obstacle(manifest, plane, sanitized)
        if error is not None:
            result: Result = "skipped" if isinstance(error, MachineError) else "failed"
            yield from (Verdict(case.name, plane, result, error=error) for case in cases)
            continue
        with Duts(manifest, plane, sanitized=sanitized) as duts:
            for case in cases:
                try:
                    found = run_one_of(duts, case)
                except BuildVnfError as failure:
                    yield Verdict(case.name, plane, "failed", error=failure)
                else:
                    yield Verdict(case.name, plane, "failed" if found else "ok", tuple(found))


def _obstacle(manifest: Manifest, plane: str, sanitized: bool) -> BuildVnfError | None:
    """Why no case at all can be run on a data plane; None when they can."""
    try:
        if plane == "xdp" and os.geteuid() != 0:
            raise MachineError("the kernel tries a program for root alone", hint="run it as root")
        prepare(manifest, plane, sanitized=sanitized)
    except BuildVnfError as error:
        return error
    return None
