"""What can be changed while a VNF runs: its parameters, and the settings and tables they make.

A VNF holds its parameters and settings twice, in two banks. A change is written to the bank that
is not in use, which is then made the one in use by a single store: no frame is lost, and every
frame is handled with all of the old values or with all of the new ones.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.control import ParameterError, PortInfo, TableContent, content_of
from emulator.dataplane.build import pack_config
from emulator.dataplane.values import ValuesFile
from emulator.errors import BuildVnfError, TableFullError, UsageError

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

_LAST_FRAME_S = 0.001
"""How long a frame that began with the old bank may take at the very most."""


class LiveMemory(Closing):
    """Where a running VNF has its parameters, settings and tables."""

    @abstractmethod
    def active_bank(self) -> int:
        """The bank in use, 0 or 1."""

    def pack(self, manifest: Manifest, values: Mapping[str, Value]) -> bytes:
        """The parameters' values as the VNF has them in memory."""
        return pack_config(manifest, values)

    @abstractmethod
    def write_bank(self, bank: int, config: bytes, settings: Mapping[str, Sequence[bytes]]) -> None:
        """Fill a bank: the parameters, and of each setting the first entries, the rest zero.

        Raises:
            UsageError: the VNF has no such setting, or it has no room for so many entries.
        """

    @abstractmethod
    def activate(self, bank: int) -> None:
        """Make a bank the one in use."""

    @abstractmethod
    def update(self, table: str, key: bytes, value: bytes) -> None:
        """Set an entry of a table.

        Raises:
            UsageError: there is no such table, or key or value have not its size.
            TableFullError: it has no room for another entry.
        """

    @abstractmethod
    def delete(self, table: str, key: bytes) -> None:
        """Remove an entry of a table; one that is not there is no mistake."""

    @abstractmethod
    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """The entries of a table; not a snapshot while frames are handled."""


class LiveParameters:
    """The parameters of a running VNF, and the way to change them.

    Args:
        manifest: the VNF.
        ports: its ports, in order.
        values: every parameter's value at the start.
        memory: where the VNF has them.
        file: where the values in force are kept for other processes; None when there are none.
    """

    def __init__(
        self,
        manifest: Manifest,
        ports: tuple[PortInfo, ...],
        values: Mapping[str, Value],
        memory: LiveMemory,
        file: Path | None,
    ) -> None:
        self._manifest = manifest
        self._ports = ports
        self._values = dict(values)
        self._memory = memory
        self._file = None if file is None else ValuesFile(file)

    @classmethod
    def attached(
        cls, manifest: Manifest, described: Mapping[str, Any], memory: LiveMemory
    ) -> LiveParameters:
        """Those of another process's VNF, from what ``describe`` gave there."""
        ports = tuple(PortInfo(**each) for each in described["ports"])
        file = described["file"]
        return cls(manifest, ports, described["values"], memory, Path(file) if file else None)

    def describe(self) -> dict[str, Any]:
        """What ``attached`` needs."""
        return {
            "ports": [asdict(port) for port in self._ports],
            "file": None if self._file is None else str(self._file.path),
            "values": self._values,
        }

    @property
    def values(self) -> dict[str, Value]:
        """Every parameter with its value in force.

        Raises:
            LabError: the VNF has ended.
        """
        if self._file is not None:
            self._values = self._file.read()
        return dict(self._values)

    def install(self) -> None:
        """Give a VNF that has not handled a frame yet its parameters, settings and tables."""
        content = content_of(self._manifest, self._values, self._ports)
        config = self._memory.pack(self._manifest, self._values)
        self._memory.write_bank(0, config, content.settings)
        self._memory.activate(0)
        self._change_tables(TableContent(), content)
        if self._file is not None:
            self._file.write(self._values)

    def forget(self) -> None:
        """Remove the file of the values in force, once the VNF has ended."""
        if self._file is not None:
            self._file.remove()

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        """Change parameters; takes effect at once, and nothing changes when a value is wrong.

        Raises:
            UsageError: there is no such parameter, or a value is not allowed.
            LabError: the VNF has ended, or has no room for what the parameters ask for.
        """
        with self._alone():
            before = self.values
            after = self._checked({**before, **changes}, where)
            old = content_of(self._manifest, before, self._ports)
            try:
                new = content_of(self._manifest, after, self._ports)
            except ParameterError as error:
                text = f"parameter {error.parameter}: {error}"
                raise UsageError(text, where=where, hint=error.hint) from error
            bank = 1 - self._memory.active_bank()
            config = self._memory.pack(self._manifest, after)
            self._memory.write_bank(bank, config, new.settings)
            try:
                self._change_tables(old, new)
            except BuildVnfError:
                self._change_tables(new, old)
                raise
            self._memory.activate(bank)
            self._values = after
            if self._file is not None:
                self._file.write(after)
            time.sleep(_LAST_FRAME_S)

    def _checked(self, given: Mapping[str, object], where: str) -> dict[str, Value]:
        values, problems = self._manifest.check_parameters(given, where=where)
        if problems:
            first = problems[0]
            raise UsageError(
                "; ".join(problem.message for problem in problems), where=where, hint=first.hint
            )
        return values

    def _change_tables(self, old: TableContent, new: TableContent) -> None:
        for table in {**old.tables, **new.tables}:
            before, after = old.tables.get(table, {}), new.tables.get(table, {})
            gone = [key for key in before if key not in after]
            for key, value in after.items():
                if before.get(key) == value:
                    continue
                try:
                    self._memory.update(table, key, value)
                except TableFullError:
                    if not gone:
                        raise
                    # Better a moment without either of them than a change that cannot be made.
                    while gone:
                        self._memory.delete(table, gone.pop())
                    self._memory.update(table, key, value)
            for key in gone:
                self._memory.delete(table, key)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep other terminals from changing the same VNF at the same time."""
        return nullcontext() if self._file is None else self._file.locked()


def pack_entries(name: str, entries: Sequence[bytes], entry_bytes: int, capacity: int) -> bytes:
    """A setting's entries as they lie in memory, zero behind the last one given.

    Raises:
        UsageError: there are more than fit, or an entry has not the size it has in C.
    """
    if len(entries) > capacity:
        raise UsageError(
            f"{len(entries)} entries are more than the VNF has room for, {capacity}",
            where=f"settings {name}",
        )
    for entry in entries:
        if len(entry) != entry_bytes:
            raise UsageError(
                f"an entry of {len(entry)} bytes was given for a C type of {entry_bytes}",
                where=f"settings {name}",
                hint="pack it as the structure lies in memory, padding included",
            )
    return b"".join(entries).ljust(entry_bytes * capacity, b"\0")


def check_entry(
    table: str, key: bytes, key_bytes: int, value: bytes | None = None, value_bytes: int = 0
) -> None:
    """See whether a key, and a value if there is one, have the sizes of a table's.

    Raises:
        UsageError: they have not.
    """
    for what, given, wanted in (("key", key, key_bytes), ("value", value, value_bytes)):
        if given is not None and len(given) != wanted:
            raise UsageError(
                f"a {what} of {len(given)} bytes was given for a C type of {wanted}",
                where=f"table {table}",
                hint="pack it as the structure lies in memory, padding included",
            )


def table_full(table: str, entries: int) -> TableFullError:
    """The error for a table that has no room for more."""
    return TableFullError(f"it has room for {entries} entries", where=f"table {table}")
