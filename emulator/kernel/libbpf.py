"""The C side of libbpf as ctypes sees it: signatures, structures, constants and its error text.

Nothing here decides anything; ``emulator.kernel.bpf`` is the API that the rest of the product uses.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from emulator.errors import LabError, MachineError

SONAME = "libbpf.so.1"

XDP_ATTACH_TYPE = 37
XDP_FLAGS_SKB_MODE = 1 << 1
XDP_FLAGS_DRV_MODE = 1 << 2
XDP_FLAGS_REPLACE = 1 << 4
XDP_ATTACHED_MODES = {0: "none", 1: "native", 2: "generic", 3: "offload", 4: "multiple"}

HASH_MAP_TYPE = 1
ARRAY_MAP_TYPE = 2
LRU_HASH_MAP_TYPE = 9
XSK_MAP_TYPE = 17
DEVMAP_HASH_MAP_TYPE = 25
ARRAY_MAP_TYPES = frozenset({2, 6})
PERCPU_MAP_TYPES = frozenset({5, 6, 10, 21})
F_MMAPABLE = 1 << 10

BTF_KIND_ARRAY = 3
BTF_KINDS_BESIDE = frozenset({8, 9, 10, 11})
"""typedef, volatile, const and restrict: the type itself is behind them."""
BTF_KIND_VAR = 14
BTF_KIND_DATASEC = 15

_P, _INT, _U32, _U64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64
_SIZE, _STR, _BOOL = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_bool
_U32_OUT = ctypes.POINTER(ctypes.c_uint32)

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_file": (_P, (_STR, _P)),
    "bpf_object__load": (_INT, (_P,)),
    "bpf_object__close": (None, (_P,)),
    "bpf_object__btf": (_P, (_P,)),
    "bpf_object__next_program": (_P, (_P, _P)),
    "bpf_object__find_program_by_name": (_P, (_P, _STR)),
    "bpf_object__next_map": (_P, (_P, _P)),
    "bpf_object__find_map_by_name": (_P, (_P, _STR)),
    "bpf_program__fd": (_INT, (_P,)),
    "bpf_program__name": (_STR, (_P,)),
    "bpf_program__set_autoload": (_INT, (_P, _BOOL)),
    "bpf_program__set_log_buf": (_INT, (_P, _P, _SIZE)),
    "bpf_map__fd": (_INT, (_P,)),
    "bpf_map__name": (_STR, (_P,)),
    "bpf_map__set_max_entries": (_INT, (_P, _U32)),
    "bpf_map__key_size": (_U32, (_P,)),
    "bpf_map__value_size": (_U32, (_P,)),
    "bpf_map__reuse_fd": (_INT, (_P, _INT)),
    "bpf_map__initial_value": (_P, (_P, ctypes.POINTER(_SIZE))),
    "btf__type_cnt": (_U32, (_P,)),
    "btf__type_by_id": (_P, (_P, _U32)),
    "btf__name_by_offset": (_STR, (_P, _U32)),
    "bpf_map_create": (_INT, (_U32, _STR, _U32, _U32, _U32, _P)),
    "bpf_map_lookup_elem": (_INT, (_INT, _P, _P)),
    "bpf_map_update_elem": (_INT, (_INT, _P, _P, _U64)),
    "bpf_map_update_batch": (_INT, (_INT, _P, _P, _U32_OUT, _P)),
    "bpf_map_delete_elem": (_INT, (_INT, _P)),
    "bpf_map_get_next_key": (_INT, (_INT, _P, _P)),
    "bpf_map_get_fd_by_id": (_INT, (_U32,)),
    "bpf_prog_get_fd_by_id": (_INT, (_U32,)),
    "bpf_enable_stats": (_INT, (_INT,)),
    "bpf_prog_get_next_id": (_INT, (_U32, _U32_OUT)),
    "bpf_map_get_next_id": (_INT, (_U32, _U32_OUT)),
    "bpf_link_get_next_id": (_INT, (_U32, _U32_OUT)),
    "bpf_link_get_fd_by_id": (_INT, (_U32,)),
    "bpf_obj_get_info_by_fd": (_INT, (_INT, _P, _U32_OUT)),
    "bpf_link_create": (_INT, (_INT, _INT, _INT, _P)),
    "bpf_link_detach": (_INT, (_INT,)),
    "bpf_link_update": (_INT, (_INT, _INT, _P)),
    "bpf_xdp_query": (_INT, (_INT, _INT, _P)),
    "bpf_xdp_attach": (_INT, (_INT, _INT, _U32, _P)),
    "bpf_xdp_detach": (_INT, (_INT, _U32, _P)),
    "bpf_prog_test_run_opts": (_INT, (_INT, _P)),
    "libbpf_num_possible_cpus": (_INT, ()),
}

_PRINT_FN = ctypes.CFUNCTYPE(_INT, _INT, _STR, _P)


class LinkCreateOpts(ctypes.Structure):
    """struct bpf_link_create_opts, with the union of attach types as opaque words."""

    _fields_ = [
        ("sz", _SIZE),
        ("flags", _U32),
        ("iter_info", _P),
        ("iter_info_len", _U32),
        ("target_btf_id", _U32),
        ("attach", _U64 * 4),
    ]


class XdpAttachOpts(ctypes.Structure):
    """struct bpf_xdp_attach_opts."""

    _fields_ = [("sz", _SIZE), ("old_prog_fd", _INT)]


class XdpQueryOpts(ctypes.Structure):
    """struct bpf_xdp_query_opts."""

    _fields_ = [
        ("sz", _SIZE),
        ("prog_id", _U32),
        ("drv_prog_id", _U32),
        ("hw_prog_id", _U32),
        ("skb_prog_id", _U32),
        ("attach_mode", ctypes.c_uint8),
    ]


class TestRunOpts(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = [
        ("sz", _SIZE),
        ("data_in", _P),
        ("data_out", _P),
        ("data_size_in", _U32),
        ("data_size_out", _U32),
        ("ctx_in", _P),
        ("ctx_out", _P),
        ("ctx_size_in", _U32),
        ("ctx_size_out", _U32),
        ("retval", _U32),
        ("repeat", _INT),
        ("duration", _U32),
        ("flags", _U32),
        ("cpu", _U32),
        ("batch_size", _U32),
    ]


class MapCreateOpts(ctypes.Structure):
    """The head of struct bpf_map_create_opts."""

    _fields_ = [
        ("sz", _SIZE),
        ("btf_fd", _U32),
        ("btf_key_type_id", _U32),
        ("btf_value_type_id", _U32),
        ("btf_vmlinux_value_type_id", _U32),
        ("inner_map_fd", _U32),
        ("map_flags", _U32),
    ]


class MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info; the kernel fills as much as it is given room for."""

    _fields_ = [
        ("type", _U32),
        ("id", _U32),
        ("key_size", _U32),
        ("value_size", _U32),
        ("max_entries", _U32),
        ("map_flags", _U32),
        ("name", ctypes.c_char * 16),
    ]


class IdInfo(ctypes.Structure):
    """The head that struct bpf_prog_info and struct bpf_link_info share: a type, then the id."""

    _fields_ = [("type", _U32), ("id", _U32)]


class LinkInfo(ctypes.Structure):
    """The head of struct bpf_link_info."""

    _fields_ = [("type", _U32), ("id", _U32), ("prog_id", _U32)]


class ProgInfo(ctypes.Structure):
    """The head of struct bpf_prog_info."""

    _fields_ = [
        ("type", _U32),
        ("id", _U32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", _U32),
        ("xlated_prog_len", _U32),
        ("jited_prog_insns", _U64),
        ("xlated_prog_insns", _U64),
        ("load_time", _U64),
        ("created_by_uid", _U32),
        ("nr_map_ids", _U32),
        ("map_ids", _U64),
    ]


class BtfType(ctypes.Structure):
    """struct btf_type; a data section's variables follow it in memory."""

    _fields_ = [("name_off", _U32), ("info", _U32), ("size_or_type", _U32)]

    @property
    def kind(self) -> int:
        return int(self.info >> 24) & 0x1F

    @property
    def count(self) -> int:
        return int(self.info) & 0xFFFF


class BtfArray(ctypes.Structure):
    """struct btf_array, which follows a type of the kind array."""

    _fields_ = [("type", _U32), ("index_type", _U32), ("count", _U32)]


class BtfVarSecinfo(ctypes.Structure):
    """struct btf_var_secinfo: one variable of a data section."""

    _fields_ = [("type", _U32), ("offset", _U32), ("size", _U32)]


class _Messages(threading.local):
    """What libbpf said on this thread since the last ``collect_messages`` began."""

    def __init__(self) -> None:
        self.lines: list[str] | None = None


_messages = _Messages()
_callbacks: list[object] = []


@cache
def library() -> ctypes.CDLL:
    """libbpf with every signature set.

    Raises:
        MachineError: it is not installed, or too old to have a function we need.
    """
    try:
        lib = ctypes.CDLL(SONAME, use_errno=True)
    except OSError as error:
        raise MachineError(
            "libbpf is not installed", where=SONAME, hint="apt-get install libbpf1"
        ) from error
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(lib, name)
        except AttributeError as error:
            raise MachineError(
                f"this libbpf has no {name}", where=SONAME, hint="install libbpf 1.0 or later"
            ) from error
        function.restype = result
        function.argtypes = arguments
    _redirect_messages(lib)
    return lib


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Collect libbpf's warnings of this thread instead of letting them reach the user's stderr.

    A signal that comes meanwhile is handled at the end: what its handler raises, a Ctrl-C say,
    cannot pass through libbpf and would be lost in the function that it calls.
    """
    with _signals_held():
        outer, _messages.lines = _messages.lines, []
        try:
            yield _messages.lines
        finally:
            _messages.lines = outer


@contextmanager
def _signals_held() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run on the main thread only
        return
    arrived: list[int] = []
    with ExitStack() as restored:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if callable(handler):
                restored.callback(signal.signal, number, handler)
                signal.signal(number, lambda got, _frame: arrived.append(got))
        yield
    for each in arrived:
        signal.raise_signal(each)


def last_error() -> int:
    """The errno that the last call into libbpf left on this thread."""
    return ctypes.get_errno()


def errno_text(number: int) -> str:
    """The usual text of an errno, with its number."""
    return f"{os.strerror(number)} (errno {number})"


def object_id(fd: int) -> int:
    info = IdInfo()
    read_info(fd, info)
    return int(info.id)


def read_info(fd: int, info: ctypes.Structure) -> None:
    length = ctypes.c_uint32(ctypes.sizeof(info))
    if library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(length)) < 0:
        raise LabError(f"a BPF object cannot be described: {errno_text(last_error())}")


def refused(message: str, number: int, *, where: str = "") -> MachineError:
    return MachineError(
        f"{message}: {errno_text(number)}", where=where, hint="run as root (CAP_BPF, CAP_NET_ADMIN)"
    )


def _redirect_messages(lib: ctypes.CDLL) -> None:
    libc = ctypes.CDLL(None)
    libc.vsnprintf.argtypes = (_P, _SIZE, _STR, _P)
    libc.vsnprintf.restype = _INT

    def receive(level: int, template: bytes, arguments: int) -> int:
        if level <= 0 and _messages.lines is not None:
            text = ctypes.create_string_buffer(4096)
            libc.vsnprintf(text, len(text), template, arguments)
            line = text.value.decode(errors="replace").strip()
            _messages.lines.append(line.removeprefix("libbpf: "))
        return 0

    callback = _PRINT_FN(receive)
    lib.libbpf_set_print.argtypes = (_PRINT_FN,)
    lib.libbpf_set_print.restype = _P
    lib.libbpf_set_print(callback)
    # libbpf keeps the bare pointer, so the closure has to live as long as this module.
    _callbacks.append(callback)
