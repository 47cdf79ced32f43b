"""What stands in the place of a VNF that does not run, so that a lab can go on without it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.dataplane.running import Description, PortCounters, RunningVnf
from emulator.dataplane.values import ValuesFile
from emulator.errors import LabError
from emulator.kernel.bpf import BpfId


class FailedVnf(RunningVnf):
    """A VNF that could not be started again, or that cannot be reached from here.

    Args:
        dataplane: the one it was to run on.
        values: the parameters it is to have when it is started again.
        reason: why it does not run.
    """

    mode = "not running"

    def __init__(self, dataplane: str, values: Mapping[str, Any], reason: str) -> None:
        self.dataplane = dataplane
        self._values = dict(values)
        self._reason = reason

    @classmethod
    def described(cls, description: Description, reason: str) -> FailedVnf:
        """The one that is described but cannot be reached."""
        known = description.get("parameters", {})
        values = known.get("values", {})
        if known.get("file"):
            # What was changed since it was described; the file goes with the lab.
            with contextlib.suppress(LabError):
                values = ValuesFile(Path(known["file"])).read()
        return cls(description["dataplane"], values, reason)

    def counters(self) -> dict[str, PortCounters]:
        raise LabError(self._reason)

    def bpf_ids(self) -> list[BpfId]:
        return []

    def parameters(self) -> dict[str, Any]:
        return dict(self._values)

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        raise LabError(self._reason, where=where)

    def failure(self) -> str | None:
        return self._reason

    def describe(self) -> dict[str, Any]:
        return {
            "dataplane": self.dataplane,
            "parameters": {"values": self._values},
            "bpf": [],
            "failure": self._reason,
        }

    def close(self) -> None:
        """Nothing of it is left."""
