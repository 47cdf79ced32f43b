"""Goes through the table and says what was found."""

from __future__ import annotations

from pathlib import Path

from emulator.catalog import AVAILABLE, LATER
from emulator.doctor.model import Check, Finding, limited
from emulator.doctor.patient import Patient
from emulator.doctor.table import PLANES, SUBJECTS, Plane, Subject


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
    return [*planes, *(_later(name) for name in LATER), *checks.values()]


def _check(subject: Subject, patient: Patient) -> Check:
    if subject.tries and patient.ward is None:
        finding: Finding = limited(patient.why_no_ward, detail="not tried", fix="sudo vnf doctor")
    else:
        finding = subject.probe(patient)
    fix = subject.fix if finding.fix is None else finding.fix
    return Check(subject.name, finding.status, finding.detail, finding.reason, fix)


def _plane(plane: Plane, checks: dict[str, Check]) -> Check:
    """A plane works when all it needs does; otherwise it has the first thing's reason and fix."""
    name = _plane_name(plane.name)
    needs = [checks[need] for need in plane.needs]
    for check in sorted(needs, key=lambda check: check.status == "limited"):
        if check.status != "works":
            return Check(name, check.status, "", f"{check.name}: {check.reason}", check.fix)
    return Check(name, "works", plane.mode)


def _later(name: str) -> Check:
    return Check(
        _plane_name(name),
        "missing",
        "",
        f"not in this version of build-vnf, which has {' and '.join(AVAILABLE)}",
    )


def _plane_name(name: str) -> str:
    return f"data plane {name}"
