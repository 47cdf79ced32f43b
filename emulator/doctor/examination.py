"""Goes through the table and says what was found."""

from __future__ import annotations

import os
from pathlib import Path

from emulator.catalog import AVAILABLE
from emulator.doctor.model import Check, Finding, limited
from emulator.doctor.patient import Patient
from emulator.doctor.table import PLANES, SUBJECTS, Plane, Subject
from emulator.invocation import vnf_program


def diagnose(root: Path = Path("/")) -> list[Check]:
    """Examine this machine; takes about a second and leaves nothing behind.

    Without root everything that can be told by looking is told, and the rest is marked as not
    tried. The data planes come first, then what they and the measurements rest on.

    Args:
        root: where the machine's ``/proc``, ``/sys``, ``/dev`` and ``/etc`` are found.
    """
    with Patient(root) as patient:
        patient.open_ward()
        checks = {subject.name: _check(subject, patient) for subject in SUBJECTS}
    planes = [_plane(plane, checks) for plane in PLANES if plane.name in AVAILABLE]
    return [*planes, *checks.values()]


def _check(subject: Subject, patient: Patient) -> Check:
    if subject.tries and patient.ward is None:
        finding: Finding = limited(patient.why_no_ward, detail="not tried", fix=_again())
    else:
        finding = subject.probe(patient)
    fix = subject.fix if finding.fix is None else finding.fix
    return Check(subject.name, finding.status, finding.detail, finding.reason, fix)


def _plane(plane: Plane, checks: dict[str, Check]) -> Check:
    """A plane works when all it needs does; otherwise it has the first thing's reason and fix."""
    name = _plane_name(plane.name)
    ordinary_user = os.geteuid() != 0
    # An ordinary user lacks the right to try, which says nothing of what the machine can do.
    needs = [checks[need] for need in plane.needs if not (ordinary_user and need == "root")]
    for check in sorted(needs, key=lambda check: check.status == "limited"):
        if check.status == "missing" or (check.status == "limited" and not ordinary_user):
            return Check(name, check.status, "", f"{check.name}: {check.reason}", check.fix)
    if ordinary_user:
        return Check(name, "limited", "not tried", "running it takes root", _again())
    return Check(name, "works", plane.mode)


def _again() -> str:
    return f"sudo {vnf_program()} doctor"


def _plane_name(name: str) -> str:
    return f"data plane {name}"
