"""Parameters, settings and tables of a VNF that runs inside the kernel: BPF maps."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from emulator.dataplane.build import MAX_PORTS
from emulator.dataplane.live import LiveMemory, check_entry, pack_entries, table_full
from emulator.errors import LabError, TableFullError, UsageError
from emulator.kernel.bpf import BpfMap, BpfObject

_SECTION = ".data.live"
_SETTINGS = "_settings"
_CONFIG = f"config{_SETTINGS}"
_MASK = 2**64 - 1


class BpfMemory(LiveMemory):
    """The maps of a loaded VNF.

    Args:
        live: the map behind the section of what the control plane writes.
        variables: its variables: name -> offset, size and, for arrays, their dimensions.
        tables: the VNF's tables, by name.
    """

    def __init__(
        self,
        live: BpfMap,
        variables: Mapping[str, tuple[int, int, Sequence[int]]],
        tables: Mapping[str, BpfMap],
    ) -> None:
        self._live = live
        self._variables = variables
        self._tables = tables
        self._memory: mmap.mmap = live.mmap()

    @classmethod
    def of(cls, bpf: BpfObject) -> BpfMemory:
        """That of an object loaded just now; the maps stay the object's."""
        internal = {"counters", "all_ports"}
        tables = {
            # The kernel cuts the names of maps short.
            name: bpf.map(name)
            for name in bpf.map_names()
            if "." not in name and name not in internal
        }
        return cls(bpf.map(_SECTION), bpf.variables(_SECTION), tables)

    @classmethod
    def attached(cls, described: Mapping[str, Any], undo: ExitStack) -> BpfMemory:
        """That of another process's VNF, from what ``describe`` gave there."""
        live = undo.enter_context(BpfMap.from_id(described["live"]))
        tables = {
            name: undo.enter_context(BpfMap.from_id(number))
            for name, number in described["tables"].items()
        }
        variables = {name: tuple(row) for name, row in described["variables"].items()}
        return cls(live, variables, tables)

    def describe(self) -> dict[str, Any]:
        """What ``attached`` needs."""
        return {
            "live": self._live.id,
            "variables": {name: list(row) for name, row in self._variables.items()},
            "tables": {name: table.id for name, table in self._tables.items()},
        }

    def active_bank(self) -> int:
        return int(struct.unpack_from("=I", self._memory, self._offset("active_bank"))[0])

    def write_bank(self, bank: int, config: bytes, settings: Mapping[str, Sequence[bytes]]) -> None:
        known = {
            name.removesuffix(_SETTINGS): row
            for name, row in self._variables.items()
            if name.endswith(_SETTINGS) and name != _CONFIG
        }
        for name in settings:
            if name not in known:
                raise UsageError(
                    f"the VNF has no settings {name}", hint=f"it has: {', '.join(known)}"
                )
        offset, size, _ = self._variables[_CONFIG]
        if size != 2 * len(config):
            raise LabError(f"parameters of {len(config)} bytes for {size // 2} of the VNF's")
        self._put(offset + bank * len(config), config)
        for name, (offset, size, dimensions) in known.items():
            capacity = dimensions[1]
            entries = settings.get(name, ())
            content = pack_entries(name, entries, size // 2 // capacity, capacity)
            self._put(offset + bank * (size // 2), content)

    def activate(self, bank: int) -> None:
        struct.pack_into("=I", self._memory, self._offset("active_bank"), bank)

    def set_clock_ns(self, time_ns: int) -> None:
        """Move the time of a VNF that was loaded with its clock set."""
        struct.pack_into("=Q", self._memory, self._offset("vnf_clock_ns"), time_ns)

    def set_random_state(self, seed: int) -> None:
        """Have the VNF's random numbers begin anew."""
        self._put(self._offset("vnf_random_state"), random_state(seed))

    def update(self, table: str, key: bytes, value: bytes) -> None:
        known = self._table(table)
        check_entry(table, key, known.key_size, value, known.value_size)
        if known.per_cpu:
            # The same on every core, as in a process, which has but one.
            each = value.ljust(-(-len(value) // 8) * 8, b"\0")
            value = each * (known.update_bytes // len(each))
        try:
            known.update(key, value)
        except TableFullError:
            raise table_full(table, known.max_entries) from None

    def delete(self, table: str, key: bytes) -> None:
        known = self._table(table)
        check_entry(table, key, known.key_size)
        try:
            known.delete(key)
        except KeyError:
            return

    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        return self._table(table).items()

    def close(self) -> None:
        """Give the mapping back, without which the map could not end."""
        self._memory.close()

    def _table(self, name: str) -> BpfMap:
        try:
            return self._tables[name]
        except KeyError:
            known = ", ".join(self._tables)
            raise UsageError(f"the VNF has no table {name}", hint=f"it has: {known}") from None

    def _offset(self, variable: str) -> int:
        return self._variables[variable][0]

    def _put(self, offset: int, content: bytes) -> None:
        self._memory[offset : offset + len(content)] = content


def random_state(seed: int) -> bytes:
    """What ``vnf_random_state`` begins with, the same as in a process: see vnf_seed() in C."""
    return struct.pack(f"={MAX_PORTS}Q", *(_mix64(seed * MAX_PORTS + n) for n in range(MAX_PORTS)))


def _mix64(value: int) -> int:
    """vnf_mix64() of ``vnf.h``: the finaliser of splitmix64."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
