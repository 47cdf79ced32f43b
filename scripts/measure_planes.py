"""Measure a chain of VNFs on every data plane that this machine offers, and without any VNF.

Run it as ``scripts/demo``; arguments are handed to ``vnf bench``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from emulator.doctor import Check, diagnose

_PREFIX = "data plane "


def main() -> None:
    planes = [check for check in diagnose() if check.name.startswith(_PREFIX)]
    for line in complaints(planes):
        print(line, file=sys.stderr)
    offered = offered_planes(planes)
    if not offered:
        sys.exit(3)
    command = ["vnf", "bench", "topologies/chain.py"]
    command += ["--vary", f"dataplane=none,{','.join(offered)}"]
    command += places(sorted(os.sched_getaffinity(0)))
    os.execv(Path(sys.executable).with_name("vnf"), [*command, *sys.argv[1:]])


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


def places(cpus: Sequence[int]) -> list[str]:
    """Where to run: a VNF that is a process would else take turns with the generator."""
    return ["--core", str(cpus[0]), "--set", f"cores={cpus[1]}"] if len(cpus) > 1 else []


if __name__ == "__main__":
    main()
