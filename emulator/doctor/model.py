"""The words in which the doctor reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["works", "limited", "missing"]
"""Works: as good as it gets. Limited: usable, or not tried. Missing: cannot be used."""


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    Args:
        name: what was looked at.
        status: ``works``, ``limited`` or ``missing``.
        detail: what was found, such as a version or a mode.
        reason: why it does not work fully; empty when it does.
        fix: the command, or the step, that changes that; empty when nothing does.
    """

    name: str
    status: Status
    detail: str
    reason: str = ""
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """The same as plain text by key, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """What one probe found; ``fix`` is None where the usual remedy of its subject applies."""

    status: Status
    detail: str = ""
    reason: str = ""
    fix: str | None = None


def works(detail: str = "") -> Finding:
    return Finding("works", detail, fix="")


def limited(reason: str, *, detail: str = "", fix: str | None = None) -> Finding:
    return Finding("limited", detail, reason, fix)


def missing(reason: str, *, detail: str = "", fix: str | None = None) -> Finding:
    return Finding("missing", detail, reason, fix)
