"""BPF objects, maps and XDP attachments, over libbpf.

Everything is owned by file descriptors of this process: nothing is pinned, so the kernel takes
programs, maps and attachments back when the process dies, however it dies.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.closing import Closing
from emulator.errors import LabError, MachineError, UsageError, VerifierError
from emulator.kernel import libbpf
from emulator.kernel.libbpf import errno_text, last_error, library, object_id, refused
from emulator.kernel.maps import BpfMap
from emulator.kernel.verifier import read_refusal, tail
from emulator.kernel.xdp import (
    XdpLink,
    XdpMode,
    XdpState,
    attach_xdp,
    detach_unowned_xdp,
    xdp_state,
)

__all__ = [
    "BpfId",
    "BpfMap",
    "BpfObject",
    "BpfProgram",
    "RunResult",
    "XdpLink",
    "XdpMode",
    "XdpState",
    "all_ids",
    "attach_xdp",
    "detach_unowned_xdp",
    "require_libbpf",
    "xdp_state",
]

BpfKind = Literal["program", "map", "link"]

# The verifier's log of a refused program can be long; untouched pages of it cost nothing.
_LOG_BYTES = 16 << 20
_LOG_TAIL_LINES = 20
_REFUSED_PROGRAM = re.compile(r"^prog '([^']+)'", re.M)
_NO_SUCH_FUNCTION = re.compile(r"BTF for extern '(\w+)'")
_GLOBAL_SECTIONS = (".rodata", ".data", ".bss")
_NEXT_ID = {
    "program": "bpf_prog_get_next_id",
    "map": "bpf_map_get_next_id",
    "link": "bpf_link_get_next_id",
}


@dataclass(frozen=True, order=True)
class BpfId:
    """The number by which any process on the machine can find a BPF program, map or link."""

    kind: BpfKind
    id: int


@dataclass(frozen=True)
class RunResult:
    """What a program did with one packet: its return code and the packet it left behind."""

    verdict: int
    packet: bytes
    duration_ns: int


@dataclass(frozen=True)
class _Variable:
    section: str
    offset: int
    size: int
    dimensions: tuple[int, ...]
    """Of an array, how many elements it has in each dimension."""


def require_libbpf() -> None:
    """Check that libbpf can be used.

    Raises:
        MachineError: it is missing or too old.
    """
    library()


def all_ids(kind: BpfKind) -> set[int]:
    """The ids of every BPF program, map or link on the machine. Needs root."""
    step = getattr(library(), _NEXT_ID[kind])
    found: set[int] = set()
    current = ctypes.c_uint32(0)
    while step(current.value, ctypes.byref(current)) == 0:
        found.add(current.value)
    if last_error() != errno.ENOENT:
        raise refused(f"the BPF {kind}s of this machine cannot be listed", last_error())
    return found


class BpfObject(Closing):
    """A compiled BPF object file: opened here, changed, loaded once, closed.

    Between opening and ``load`` constants can be set and programs disabled. ``close`` drops our
    references; an attached program stays until its ``XdpLink`` is closed too.
    """

    def __init__(self, path: Path, *, name: str = "", source: Path | None = None) -> None:
        """Open the file.

        Args:
            name: what messages call it, the file's own name by default.
            source: the file in C that messages about its programs quote.

        Raises:
            MachineError: libbpf is missing.
            UsageError: the file is missing or is no BPF object.
        """
        self._object: int | None = None
        self._source = source
        self.path = path
        self._name = name or path.name
        self._lib = library()
        self._loaded = False
        with libbpf.collect_messages() as messages:
            self._object = self._lib.bpf_object__open_file(os.fsencode(path), None)
        if not self._object:
            reason = "; ".join(messages) or errno_text(last_error())
            function = _NO_SUCH_FUNCTION.search(reason)
            if function and source is not None:
                raise UsageError(
                    f"{function[1]} does not exist inside the kernel",
                    where=str(source),
                    hint="call only what vnf.h offers",
                )
            raise UsageError(f"this is no usable BPF object: {reason}", where=str(path))
        self._variables = dict(self._read_variables())

    def __del__(self) -> None:
        self.close()

    def set_global(self, name: str, value: bytes) -> None:
        """Set a global variable (constant or not) before the object is loaded.

        Raises:
            LabError: there is no such variable, ``value`` has not its size, or it is too late.
        """
        if self._loaded:
            raise LabError(f"{name} can be set only before the object is loaded", where=self._name)
        variable = self._variable(name)
        if len(value) != variable.size:
            raise LabError(
                f"variable {name} is {variable.size} bytes long, not {len(value)}",
                where=self._name,
            )
        size = ctypes.c_size_t()
        start = self._lib.bpf_map__initial_value(
            self._find_map(variable.section), ctypes.byref(size)
        )
        if not start or variable.offset + variable.size > size.value:
            raise LabError(f"variable {name} cannot be set before loading", where=self._name)
        ctypes.memmove(start + variable.offset, value, variable.size)

    def disable(self, program: str) -> None:
        """Leave a program out when the object is loaded."""
        self._lib.bpf_program__set_autoload(self._find_program(program), False)

    def set_max_entries(self, name: str, count: int) -> None:
        """Size a map before the object is loaded."""
        if self._lib.bpf_map__set_max_entries(self._find_map(name), count) < 0:
            raise LabError(f"map {name} cannot be resized", where=self._name)

    def reuse_map(self, name: str, existing: BpfMap) -> None:
        """Have the programs work on a map that exists, instead of on one of their own.

        Before the object is loaded. The map may be larger or smaller than what the file declares.

        Raises:
            LabError: its keys or values have another size than those that the programs expect.
        """
        pointer = self._find_map(name)
        wanted = self._lib.bpf_map__key_size(pointer), self._lib.bpf_map__value_size(pointer)
        if wanted != (existing.key_size, existing.value_size):
            raise LabError(f"map {name} has another layout", where=self._name)
        if self._lib.bpf_map__reuse_fd(pointer, existing.fd) < 0:
            raise LabError(
                f"map {name} cannot be used again: {errno_text(last_error())}", where=self._name
            )

    def load(self) -> None:
        """Create the maps and have the kernel verify and compile the programs.

        Raises:
            MachineError: we lack the right to, or the kernel lacks a feature.
            VerifierError: the verifier refuses a program; the message quotes the source, or else
                ends with the tail of the verifier's log.
        """
        # Left to the garbage collector: closed here, it would turn a Ctrl-C into an error of its
        # own, because the buffer is still borrowed then.
        log = mmap.mmap(-1, _LOG_BYTES)
        borrowed = ctypes.c_char.from_buffer(log)
        for program in self._program_pointers():
            self._lib.bpf_program__set_log_buf(program, ctypes.byref(borrowed), _LOG_BYTES)
        with libbpf.collect_messages() as messages:
            failed = self._lib.bpf_object__load(self._object) < 0
        number = last_error()
        if failed:
            text = log[: log.find(b"\0")].decode(errors="replace")
            raise self._load_error(number, messages, text)
        for program in self._program_pointers():
            self._lib.bpf_program__set_log_buf(program, None, 0)
        self._loaded = True

    def program(self, name: str) -> BpfProgram:
        """A loaded program, by the name of its C function."""
        fd = self._lib.bpf_program__fd(self._find_program(name))
        if fd < 0:
            raise LabError(f"program {name} is not loaded", where=self._name)
        return BpfProgram(fd, name)

    def programs(self) -> list[BpfProgram]:
        """The loaded programs, in the order of the file."""
        found = []
        for pointer in self._program_pointers():
            fd = self._lib.bpf_program__fd(pointer)
            if fd >= 0:
                found.append(BpfProgram(fd, self._lib.bpf_program__name(pointer).decode()))
        return found

    def map(self, name: str) -> BpfMap:
        """A created map, by its name in C. The object owns it: it closes with the object."""
        return self._created_map(self._find_map(name), name)

    def maps(self) -> list[BpfMap]:
        """All created maps, those behind global variables included."""
        found, pointer = [], self._lib.bpf_object__next_map(self._object, None)
        while pointer:
            found.append(self._created_map(pointer, self._lib.bpf_map__name(pointer).decode()))
            pointer = self._lib.bpf_object__next_map(self._object, pointer)
        return found

    def map_names(self) -> list[str]:
        """The names of all maps in C, those behind global variables included."""
        found, pointer = [], self._lib.bpf_object__next_map(self._object, None)
        while pointer:
            found.append(self._lib.bpf_map__name(pointer).decode())
            pointer = self._lib.bpf_object__next_map(self._object, pointer)
        return found

    def variables(self, section: str) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        """The variables of a section: offset and size in bytes, and an array's dimensions."""
        return {
            name: (each.offset, each.size, each.dimensions)
            for name, each in self._variables.items()
            if each.section == section
        }

    def global_map(self, section: str) -> BpfMap:
        """The map behind a section of global variables: ``.bss``, ``.data``, ``.rodata``."""
        return self.map(section)

    def global_view(self, name: str) -> memoryview:
        """A live view of a global variable of a loaded object, shared with the BPF programs.

        Writable for ``.bss`` and ``.data``. It stays valid after ``close``.
        """
        variable = self._variable(name)
        memory = self.global_map(variable.section).mmap(
            writable=not variable.section.startswith(".rodata")
        )
        return memoryview(memory)[variable.offset : variable.offset + variable.size]

    def close(self) -> None:
        """Give the object back; a second call does nothing."""
        # Forgotten first: a Ctrl-C in between must not have it freed a second time.
        pointer, self._object = self._object, None
        if pointer:
            self._lib.bpf_object__close(pointer)

    def _variable(self, name: str) -> _Variable:
        try:
            return self._variables[name]
        except KeyError:
            known = ", ".join(sorted(self._variables)) or "none"
            raise LabError(
                f"there is no global variable {name}", where=self._name, hint=f"known: {known}"
            ) from None

    def _find_map(self, name: str) -> int:
        pointer = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
        if not pointer:
            raise LabError(f"there is no map {name}", where=self._name)
        return int(pointer)

    def _find_program(self, name: str) -> int:
        pointer = self._lib.bpf_object__find_program_by_name(self._object, name.encode())
        if not pointer:
            raise LabError(f"there is no program {name}", where=self._name)
        return int(pointer)

    def _created_map(self, pointer: int, name: str) -> BpfMap:
        fd = self._lib.bpf_map__fd(pointer)
        if fd < 0:
            raise LabError(f"map {name} does not exist before loading", where=self._name)
        return BpfMap(fd)

    def _program_pointers(self) -> Iterator[int]:
        pointer = self._lib.bpf_object__next_program(self._object, None)
        while pointer:
            yield pointer
            pointer = self._lib.bpf_object__next_program(self._object, pointer)

    def _read_variables(self) -> Iterator[tuple[str, _Variable]]:
        btf = self._lib.bpf_object__btf(self._object)
        if not btf:
            return
        for type_id in range(1, self._lib.btf__type_cnt(btf)):
            address = self._lib.btf__type_by_id(btf, type_id)
            section = libbpf.BtfType.from_address(address)
            if section.kind != libbpf.BTF_KIND_DATASEC:
                continue
            section_name = self._lib.btf__name_by_offset(btf, section.name_off).decode()
            if not section_name.startswith(_GLOBAL_SECTIONS):
                continue
            members = libbpf.BtfVarSecinfo * section.count
            for member in members.from_address(address + ctypes.sizeof(libbpf.BtfType)):
                variable = libbpf.BtfType.from_address(self._lib.btf__type_by_id(btf, member.type))
                if variable.kind == libbpf.BTF_KIND_VAR:
                    name = self._lib.btf__name_by_offset(btf, variable.name_off).decode()
                    dimensions = self._dimensions(btf, variable.size_or_type)
                    yield name, _Variable(section_name, member.offset, member.size, dimensions)

    def _dimensions(self, btf: int, type_id: int) -> tuple[int, ...]:
        found: list[int] = []
        while True:
            address = self._lib.btf__type_by_id(btf, type_id)
            kind = libbpf.BtfType.from_address(address).kind
            if kind in libbpf.BTF_KINDS_BESIDE:
                type_id = libbpf.BtfType.from_address(address).size_or_type
                continue
            if kind != libbpf.BTF_KIND_ARRAY:
                return tuple(found)
            array = libbpf.BtfArray.from_address(address + ctypes.sizeof(libbpf.BtfType))
            found.append(array.count)
            type_id = array.type

    def _load_error(self, number: int, messages: list[str], log: str) -> LabError | MachineError:
        if log.strip():
            named = _REFUSED_PROGRAM.search("\n".join(messages))
            return self._refusal(log, f"program {named[1]}" if named else "a program")
        if number == errno.EPERM:
            return refused("BPF programs cannot be loaded", number, where=self._name)
        reason = "; ".join(messages) or errno_text(number)
        return MachineError(f"this kernel cannot load it: {reason}", where=self._name)

    def _refusal(self, log: str, culprit: str) -> VerifierError:
        refusal = read_refusal(log, self._source)
        if self._source is None or not (refusal.lines or refusal.inside):
            quoted = "\n".join(f"    {line}" for line in tail(log, _LOG_TAIL_LINES))
            text = f"the kernel's verifier refuses {culprit}:\n{quoted}"
            return VerifierError(text, log, where=self._name, hint=refusal.hint)
        text = f"the kernel's verifier refuses it: {refusal.reason}"
        if refusal.lines:
            text += f"\n{refusal.excerpt}"
        if refusal.inside:
            text += f"\n    inside of it, {refusal.inside}"
        where = refusal.where or str(self._source)
        return VerifierError(text, log, where=where, hint=refusal.hint)


class BpfProgram:
    """A loaded program; its object owns the descriptor."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.id = object_id(fd)

    def test_run(self, packet: bytes, *, repeat: int = 1) -> RunResult:
        """Run the program on a packet, without any interface (BPF_PROG_TEST_RUN).

        ``duration_ns`` is the kernel's mean over ``repeat`` runs, each on what the one before left.

        Raises:
            LabError: the kernel cannot run this program on this packet.
        """
        room = ctypes.create_string_buffer(len(packet) + 4096)
        source = ctypes.create_string_buffer(packet, len(packet))
        options = libbpf.TestRunOpts(
            sz=ctypes.sizeof(libbpf.TestRunOpts),
            data_in=ctypes.addressof(source),
            data_out=ctypes.addressof(room),
            data_size_in=len(packet),
            data_size_out=len(room),
            repeat=repeat,
        )
        if library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options)) < 0:
            raise LabError(
                f"the program cannot be tried: {errno_text(last_error())}", where=self.name
            )
        return RunResult(options.retval, room.raw[: options.data_size_out], options.duration)
