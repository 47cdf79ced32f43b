"""What ``vnf build`` and ``vnf test`` print of what they found."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emulator.cli.outcome import report_error, say, shown
from emulator.cli.output import print_table
from emulator.errors import BuildVnfError, MachineError

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.trying.building import Built
    from emulator.trying.cases import Mismatch
    from emulator.trying.fuzzing import Breakage, Fuzzed
    from emulator.trying.suite import Verdict

_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


def print_row(*cells: str) -> None:
    name, plane, result, detail = cells
    sys.stdout.write(f"{name:<14}{plane:<9}{result:<9}{detail}".rstrip() + "\n")
    # A compiler takes its time: each line is to be seen when it is known.
    sys.stdout.flush()


def explain(errors: Iterable[BuildVnfError | None]) -> None:
    """Tell each mistake once, however many data planes stumble over it."""
    told: set[str] = set()
    for error in errors:
        if error is None or (error.where or error.message) in told:
            continue
        told.add(error.where or error.message)
        report_error(error)


def print_cases(
    manifest: Manifest, columns: Mapping[str, Sequence[str]], verdicts: Sequence[Verdict]
) -> None:
    from emulator.trying.cases import FILE
    from emulator.trying.difference import describe

    if not columns or not verdicts:
        lack = "handler of its own" if not columns else FILE
        if columns and (manifest.folder / FILE).is_file():
            lack = f"case in its {FILE}"
        sys.stdout.write(f"{manifest.name}: it has no {lack}, so there is nothing to try\n\n")
        return
    rows: dict[str, list[object]] = {}
    for each in verdicts:
        rows.setdefault(each.case, [each.case]).append(each.result)
    heads = [", ".join(same) for same in columns.values()]
    print_table((manifest.name, *heads), rows.values(), styles=_STYLES)
    sys.stdout.flush()
    # What goes wrong everywhere is told once.
    wrong: dict[tuple[str, tuple[Mismatch, ...]], list[str]] = {}
    for each in verdicts:
        if each.mismatches:
            wrong.setdefault((each.case, each.mismatches), []).append(each.plane)
    for (case, mismatches), planes in wrong.items():
        sys.stdout.write(f"{case}, on {' and '.join(planes)}:\n")
        for mismatch in mismatches:
            sys.stdout.writelines(f"  {line}\n" for line in describe(mismatch))
        sys.stdout.write("\n")
    explain(each.error for each in verdicts if each.result == "failed")
    for plane, error in {each.plane: each.error for each in verdicts if each.error}.items():
        if isinstance(error, MachineError):
            sys.stdout.write(f"{plane} is skipped: {error.message}; {error.hint}\n\n")


def print_fuzzed(manifest: Manifest, fuzzed: Fuzzed) -> None:
    if fuzzed.breakage is None:
        sys.stdout.write(
            f"{manifest.name}: {fuzzed.inputs} inputs, {fuzzed.reached} places in the code, "
            "nothing broke\n\n"
        )
        return
    from emulator.trying.difference import summary

    broken = fuzzed.breakage
    given = "".join(f", {key}={value!r}" for key, value in broken.parameters.items())
    sys.stdout.write(
        f"{manifest.name} breaks after {fuzzed.inputs} inputs, with {broken.ports} ports{given}:\n"
    )
    for number, each in enumerate(broken.thrown, 1):
        sys.stdout.write(
            f"  {number}. after {each.after_ns} ns into port {each.port}: {summary(each.frame)}\n"
            f"     bytes.fromhex({each.frame.hex()!r})\n"
        )
    sys.stdout.flush()
    report = broken.report
    say(f"{shown(report.where)}: {report.what}", hint=report.hint)


def built_json(manifest: Manifest, built: Built) -> dict[str, Any]:
    return {
        "vnf": manifest.name,
        "dataplane": built.plane,
        "result": built.result,
        "detail": built.detail,
        "seconds": round(built.seconds, 3),
        "error": _error_json(built.error),
    }


def tested_json(
    columns: Mapping[str, Sequence[str]],
    verdicts: Iterable[Verdict],
    fuzzed: Mapping[str, Fuzzed],
) -> dict[str, Any]:
    return {
        "cases": [
            {
                "case": each.case,
                "dataplanes": list(columns[each.plane]),
                "result": each.result,
                "mismatches": [
                    {
                        "step": mismatch.step,
                        "what": mismatch.what,
                        "wanted": mismatch.wanted and mismatch.wanted.hex(),
                        "got": mismatch.got and mismatch.got.hex(),
                    }
                    for mismatch in each.mismatches
                ],
                "error": _error_json(each.error),
            }
            for each in verdicts
        ],
        "fuzzed": {
            plane: {
                "inputs": each.inputs,
                "reached": each.reached,
                "breakage": _breakage_json(each.breakage),
            }
            for plane, each in fuzzed.items()
        },
    }


def _breakage_json(breakage: Breakage | None) -> dict[str, Any] | None:
    if breakage is None:
        return None
    return {
        "what": breakage.report.what,
        "where": breakage.report.where,
        "parameters": dict(breakage.parameters),
        "ports": breakage.ports,
        "frames": [
            {"frame": each.frame.hex(), "port": each.port, "after_ns": each.after_ns}
            for each in breakage.thrown
        ],
    }


def _error_json(error: BuildVnfError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"message": error.message, "where": error.where, "hint": error.hint}
