"""Measure a chain of VNFs on every data plane that this machine offers, and without any VNF; then
write the report.

Run it as ``scripts/demo``; arguments are handed to ``vnf bench``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emulator.doctor import Check, diagnose
from emulator.errors import BuildVnfError
from emulator.kernel.parent import ending_with_us

_PREFIX = "data plane "
GOAL = "loss=0.1%/trial=250ms/sum=1.25s/width=5%"
"""Coarser than the goal quick: a search takes 12 s at most instead of 44 s, so that the whole takes
three minutes at most."""


def main() -> None:
    began_s = time.monotonic()
    planes = [check for check in diagnose() if check.name.startswith(_PREFIX)]
    for line in complaints(planes):
        print(line, file=sys.stderr)
    offered = offered_planes(planes)
    if not offered:
        sys.exit(3)
    given = sys.argv[1:]
    command = bench_command(offered, sorted(os.sched_getaffinity(0)), given)
    code, printed = _run([str(Path(sys.executable).with_name("vnf")), *command])
    document = results_of(printed)
    if document is None:
        # Of --help, and of nothing measured.
        print(printed, end="")
        sys.exit(code)
    try:
        _tell(document, began_s, as_json="--json" in given)
    except BuildVnfError as error:
        print(f"demo: {error}", file=sys.stderr)
        code = code or error.exit_code
    sys.exit(code)


def offered_planes(planes: Sequence[Check]) -> list[str]:
    return [check.name.removeprefix(_PREFIX) for check in planes if check.status != "missing"]


def complaints(planes: Sequence[Check]) -> Iterator[str]:
    """What is not as good as it gets, with the fix: nothing is left out in silence."""
    for check in planes:
        if check.status != "works":
            left_out = ", so it is left out" if check.status == "missing" else ""
            yield f"demo: {check.name} is {check.status}{left_out}: {check.reason}"
            if check.fix:
                yield f"    what helps: {check.fix}"


def bench_command(planes: Sequence[str], cpus: Sequence[int], given: Sequence[str]) -> list[str]:
    """The arguments of ``vnf``; of an option that is given twice the last one holds, the user's."""
    return [
        *("bench", "topologies/chain.py", "--vary", f"dataplane=none,{','.join(planes)}"),
        *("--goal", GOAL, *places(cpus), *given),
        *(() if "--json" in given else ("--json",)),
    ]


def places(cpus: Sequence[int]) -> list[str]:
    """Where to run: a VNF that is a process would else take turns with the generator."""
    return ["--core", str(cpus[0]), "--set", f"cores={cpus[1]}"] if len(cpus) > 1 else []


def results_of(printed: str) -> dict[str, Any] | None:
    """The document that ``vnf bench --json`` printed; None: it printed none."""
    try:
        document = json.loads(printed)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def took(seconds: float) -> str:
    """How long it took, for a person.

    >>> took(83.4)
    '1 min 23 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run it to its end, also when stopped: what was measured until then is worth a report."""
    started: list[subprocess.Popen[str]] = []

    def pass_on(number: int, _frame: object) -> None:
        # A terminal interrupts the two of us; everything else comes to us alone.
        for process in started if number != signal.SIGINT else ():
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    # SIGKILL cannot be passed on.
    command = ending_with_us(command, signal.SIGTERM)
    started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    printed, _ = started[0].communicate()
    code = started[0].returncode
    return (code if code >= 0 else 128 - code), printed


def _tell(document: dict[str, Any], began_s: float, *, as_json: bool) -> None:
    """Print what was measured, write the report, and say where it is.

    Raises:
        ResultsError: the bundle cannot be read, or the report cannot be written.
    """
    from emulator.cli.output import print_json, print_rich
    from emulator.experiment.answer import answer
    from emulator.experiment.bundle import load_bundle
    from emulator.experiment.html.write import write_report
    from emulator.experiment.report import render

    bundle = load_bundle(document["folder"])
    page = write_report(bundle).page
    took_s = time.monotonic() - began_s
    if as_json:
        print_json({**document, "report": str(page), "took_s": took_s})
        return
    print_rich(render(bundle.summary))
    print(answer(bundle.summary).sentence)
    print(f"Bundle   {bundle.folder}")
    print(f"Report   {page}")
    if any(case.status == "unfinished" for case in bundle.summary.cases):
        print(f"Go on    vnf bench --resume {bundle.folder}")
    print(f"Took     {took(took_s)}")


if __name__ == "__main__":
    main()
