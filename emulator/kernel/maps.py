"""BPF maps, as raw bytes in the machine's byte order."""

from __future__ import annotations

import ctypes
import errno
import mmap as memory
import os
from collections.abc import Iterator, Mapping

from emulator.closing import Closing
from emulator.errors import LabError, MachineError, TableFullError
from emulator.kernel import libbpf
from emulator.kernel.libbpf import errno_text, last_error, library, read_info, refused


class BpfMap(Closing):
    """A map in the kernel. Keys and values are raw bytes in the machine's byte order."""

    def __init__(self, fd: int, *, owned: bool = False) -> None:
        self._owned = owned
        self.fd = fd
        info = libbpf.MapInfo()
        read_info(fd, info)
        self.id = int(info.id)
        self.type = int(info.type)
        self.name = bytes(info.name).decode(errors="replace")
        self.key_size = int(info.key_size)
        self.value_size = int(info.value_size)
        self.max_entries = int(info.max_entries)
        self.per_cpu = info.type in libbpf.PERCPU_MAP_TYPES
        self.is_array = info.type in libbpf.ARRAY_MAP_TYPES
        self._flags = int(info.map_flags)

    @classmethod
    def from_id(cls, map_id: int) -> BpfMap:
        """A map that another process owns; ``close`` drops only our own reference. Needs root.

        Raises:
            LabError: no such map exists (any more).
        """
        fd = library().bpf_map_get_fd_by_id(map_id)
        if fd < 0:
            if last_error() == errno.ENOENT:
                raise LabError(f"there is no BPF map with id {map_id}", hint="its lab has ended")
            raise refused(f"BPF map {map_id} cannot be opened", last_error())
        return cls(fd, owned=True)

    @classmethod
    def create(
        cls, name: str, kind: int, *, key_bytes: int, value_bytes: int, entries: int, flags: int = 0
    ) -> BpfMap:
        """A new map that is ours, empty or, where it has all keys from the start, all zero.

        Args:
            name: at most 15 characters.
            kind: the map's type, as ``libbpf`` has it.

        Raises:
            MachineError: there is no memory for it, or we lack the right.
        """
        size = ctypes.sizeof(libbpf.MapCreateOpts)
        options = libbpf.MapCreateOpts(sz=size, map_flags=flags)
        fd = library().bpf_map_create(
            kind, name.encode(), key_bytes, value_bytes, entries, ctypes.byref(options)
        )
        if fd < 0:
            number = last_error()
            if number in (errno.ENOMEM, errno.E2BIG):
                raise MachineError(
                    f"no memory for {entries * value_bytes >> 20} MiB: {errno_text(number)}",
                    where=name,
                )
            raise refused("a BPF map cannot be made", number, where=name)
        return cls(fd, owned=True)

    @classmethod
    def create_array(cls, name: str, value_bytes: int, entries: int) -> BpfMap:
        """A new array that can be mapped into memory, and that is ours: all zero.

        Args:
            name: at most 15 characters.

        Raises:
            MachineError: there is no memory for it, or we lack the right.
        """
        return cls.create(
            name,
            libbpf.ARRAY_MAP_TYPE,
            key_bytes=4,
            value_bytes=value_bytes,
            entries=entries,
            flags=libbpf.F_MMAPABLE,
        )

    def lookup(self, key: bytes) -> bytes:
        """The value of a key, of a map with one for each CPU all of them after one another.

        Raises KeyError when there is none.
        """
        value = ctypes.create_string_buffer(self.update_bytes)
        self._lookup(key, value)
        return value.raw

    def lookup_percpu(self, key: bytes) -> list[bytes]:
        """The value of a key on each possible CPU. Raises KeyError when there is none."""
        step = (self.value_size + 7) // 8 * 8
        raw = self.lookup(key)
        return [raw[at : at + self.value_size] for at in range(0, len(raw), step)]

    @property
    def update_bytes(self) -> int:
        """How long a value to ``update`` has to be: with one for each CPU, all of them."""
        if not self.per_cpu:
            return self.value_size
        return (self.value_size + 7) // 8 * 8 * possible_cpus()

    def update(self, key: bytes, value: bytes) -> None:
        """Set the value of a key.

        An interface number in a DEVMAP is resolved in the namespace of the calling thread.

        Raises:
            TableFullError: it has no room for another key.
        """
        self._check(key, value)
        if library().bpf_map_update_elem(self.fd, key, value, 0) < 0:
            # Arrays say the first of these, too, to a key that they cannot have.
            if last_error() in (errno.E2BIG, errno.ENOSPC) and not self.is_array:
                raise TableFullError(f"it has room for {self.max_entries} entries", where=self.name)
            raise LabError(f"cannot be written: {errno_text(last_error())}", where=self.name)

    def update_all(self, items: Mapping[bytes, bytes]) -> None:
        """Set the values of some keys with one call.

        Of a map of maps each call waits until no program sees what was there before.
        """
        if not items:
            return
        for key, value in items.items():
            self._check(key, value)
        count = ctypes.c_uint32(len(items))
        keys, values = b"".join(items), b"".join(items.values())
        if library().bpf_map_update_batch(self.fd, keys, values, ctypes.byref(count), None) < 0:
            raise LabError(f"cannot be written: {errno_text(last_error())}", where=self.name)

    def delete(self, key: bytes) -> None:
        """Remove a key. Raises KeyError when there is none."""
        self._check(key)
        if library().bpf_map_delete_elem(self.fd, key) < 0:
            raise self._key_error(key)

    def keys(self) -> Iterator[bytes]:
        """Every key, in the kernel's order; not a snapshot."""
        key: bytes | None = None
        following = ctypes.create_string_buffer(self.key_size)
        while library().bpf_map_get_next_key(self.fd, key, following) == 0:
            key = following.raw
            yield key

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value; a key removed meanwhile is left out."""
        for key in self.keys():
            try:
                yield key, self.lookup(key)
            except KeyError:
                continue

    def mmap(self, *, writable: bool = True) -> memory.mmap:
        """The memory of an mmap-able array itself, rounded up to whole pages, not a copy of it.

        Raises:
            LabError: the map was not created with BPF_F_MMAPABLE.
        """
        if not self._flags & libbpf.F_MMAPABLE:
            raise LabError("the map cannot be mapped into memory", where=self.name)
        used = (self.value_size + 7) // 8 * 8 * self.max_entries
        length = (used + memory.PAGESIZE - 1) // memory.PAGESIZE * memory.PAGESIZE
        access = memory.PROT_READ | (memory.PROT_WRITE if writable else 0)
        return memory.mmap(self.fd, length, flags=memory.MAP_SHARED, prot=access)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Drop our reference if it is ours; a second call does nothing."""
        if self._owned:
            self._owned = False
            os.close(self.fd)

    def _lookup(self, key: bytes, value: ctypes.Array[ctypes.c_char]) -> None:
        self._check(key)
        if library().bpf_map_lookup_elem(self.fd, key, value) < 0:
            raise self._key_error(key)

    def _check(self, key: bytes, value: bytes | None = None) -> None:
        if len(key) != self.key_size:
            raise LabError(f"keys have {self.key_size} bytes, not {len(key)}", where=self.name)
        expected = self.update_bytes
        if value is not None and len(value) != expected:
            raise LabError(f"values have {expected} bytes, not {len(value)}", where=self.name)

    def _key_error(self, key: bytes) -> Exception:
        if last_error() == errno.ENOENT:
            return KeyError(key)
        return LabError(f"cannot be read: {errno_text(last_error())}", where=self.name)


def possible_cpus() -> int:
    """How many values a per-CPU map keeps per key."""
    return int(library().libbpf_num_possible_cpus())
