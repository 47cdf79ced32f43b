"""Every error the product raises on purpose.

Each one says what was wrong, where, and what to do about it, in one line a person can act on.
The exit codes of the ``vnf`` command hang on the class: 1 a failed check or verdict, 2 wrong use,
3 the machine lacks something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class BuildVnfError(Exception):
    """Base of all our errors.

    Args:
        message: what was wrong, as one sentence without a final full stop.
        where: the file, node, link or key concerned; empty when there is no better place.
        hint: what to do about it, as one sentence without a final full stop.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return _line(self.where, self.message, self.hint)


class UsageError(BuildVnfError):
    """Something the user wrote cannot be carried out: a file, an option, a name, a value."""

    exit_code = 2


class MachineError(BuildVnfError):
    """This machine lacks something the request needs: a right, a program, a kernel feature."""

    exit_code = 3


class LabError(BuildVnfError):
    """A running lab could not do what was asked of it."""


class VerifierError(LabError):
    """The kernel's verifier refuses a program; ``log`` is all that it wrote."""

    def __init__(self, message: str, log: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.log = log


class TableFullError(LabError):
    """A table of a VNF has no room for another entry."""


class MeasurementError(BuildVnfError):
    """A measurement gave no usable result."""


class ResultsError(BuildVnfError):
    """Results could not be written or read back."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a topology: the place, what is wrong there, and what to do."""

    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return _line(self.where, self.message, self.hint)


class TopologyError(UsageError):
    """A topology has mistakes; ``problems`` holds all of them, in the order they were found.

    Args:
        problems: the mistakes.
        of: what has them, where it is no topology.
    """

    def __init__(
        self, problems: Iterable[Problem], *, where: str = "", of: str = "topology"
    ) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} mistake{'s' if count != 1 else ''} in the {of}", where=where)

    def __str__(self) -> str:
        head = _line(self.where, self.message, "")
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


def _line(where: str, message: str, hint: str) -> str:
    text = f"{where}: {message}" if where else message
    return f"{text} ({hint})" if hint else text
