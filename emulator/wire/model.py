"""What an impaired link does to frames, computed without one.

The model is ``emulator/native/impair.c``, which ``vnf-wire`` holds as well: what is computed here
from arrival times is what the wire does to frames that arrive then.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from emulator.errors import MachineError, UsageError
from emulator.native_parts import native_library
from emulator.paths import native_dir
from emulator.plan.model import ImpairmentPlan
from emulator.wire.spec import Spec, spec_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DELIVERED, LOST, OVERFLOWN, AQM_DROPPED = range(4)
"""What becomes of a frame: ``Decisions.fate``."""

_MAX_DROPS = _TABLE_ENTRIES = 4096
_VERDICT = np.dtype(
    [
        ("fate", "u4"),
        ("mark", "u4"),
        ("due_ns", "u8"),
        ("copy_due_ns", "u8"),
        ("flip_bit", "i8"),
        ("waited_ns", "u8"),
    ]
)


class _Drops(ctypes.Structure):
    _fields_ = (("count", ctypes.c_uint32), ("index", ctypes.c_uint64 * _MAX_DROPS))


class _Table(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("quantile", ctypes.c_double * _TABLE_ENTRIES),
    )


class _Trace(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("period_ns", ctypes.c_uint64),
        ("start_ns", ctypes.c_uint64),
        ("opportunity_bytes", ctypes.c_uint32),
        ("points", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Decisions:
    """What becomes of frames, in the order in which they arrived.

    Attributes:
        fate: :data:`DELIVERED`, or how it is lost; what follows is 0 or -1 for those.
        mark: whether ECN's "congestion experienced" is set.
        due_ns: when it arrives, on the clock of the arrivals.
        copy_due_ns: when its copy does; 0 where there is none.
        flip_bit: which bit is flipped; -1 for none.
        waited_ns: in the queue, until it was its turn.
    """

    fate: NDArray[np.uint32]
    mark: NDArray[np.bool_]
    due_ns: NDArray[np.uint64]
    copy_due_ns: NDArray[np.uint64]
    flip_bit: NDArray[np.int64]
    waited_ns: NDArray[np.uint64]

    @property
    def delivered(self) -> NDArray[np.bool_]:
        """Which frames arrive."""
        return np.equal(self.fate, DELIVERED)


class Stream:
    """One direction of a link: decides about frames, one after another.

    Args:
        plan: what it does to them.
        index0: the index of the first frame.

    Raises:
        UsageError: the plan cannot be had.
        MachineError: the model is not compiled.
    """

    def __init__(self, plan: ImpairmentPlan | Spec, *, index0: int = 0) -> None:
        self._library = _library(str(native_dir() / "libimpair.so"))
        size = self._library.impair_model_bytes(0)
        # What the library writes is aligned as 128-bit integers are.
        memory = ctypes.create_string_buffer(size + 16)
        address = (ctypes.addressof(memory) + 15) // 16 * 16
        self._stream = ctypes.c_void_p(address)
        self._call(self._library.impair_init, plan)
        weakref.finalize(self, _free, self._library, self._stream, memory).atexit = False
        self._library.impair_skip(self._stream, index0)

    def change(self, plan: ImpairmentPlan | Spec) -> None:
        """Do something else to frames from the next on; index, queue and order stay.

        Raises:
            UsageError: the plan cannot be had; nothing has changed.
        """
        self._call(self._library.impair_change, plan)

    def decide(
        self, arrivals_ns: ArrayLike, sizes_bytes: ArrayLike, *, can_mark: ArrayLike = False
    ) -> Decisions:
        """What becomes of the next frames.

        Args:
            arrivals_ns: when each arrives; not falling.
            sizes_bytes: how long each is, with its Ethernet header; one number for all of them.
            can_mark: whether ECN can mark it.
        """
        arrivals = np.ascontiguousarray(arrivals_ns, dtype=np.uint64)
        sizes, marks = (
            np.ascontiguousarray(np.broadcast_to(np.asarray(given, dtype=kind), arrivals.shape))
            for given, kind in ((sizes_bytes, np.uint32), (can_mark, np.uint8))
        )
        verdicts = np.empty(len(arrivals), dtype=_VERDICT)
        self._library.impair_model_decide(
            self._stream,
            len(arrivals),
            *(each.ctypes.data_as(ctypes.c_void_p) for each in (arrivals, sizes, marks, verdicts)),
        )
        return Decisions(
            fate=verdicts["fate"],
            mark=verdicts["mark"].astype(np.bool_),
            due_ns=verdicts["due_ns"],
            copy_due_ns=verdicts["copy_due_ns"],
            flip_bit=verdicts["flip_bit"],
            waited_ns=verdicts["waited_ns"],
        )

    def _call(self, function: Any, plan: ImpairmentPlan | Spec) -> None:
        spec = plan if isinstance(plan, Spec) else spec_of(plan)
        assert len(spec.impairment) == self._library.impair_model_bytes(1)
        trace = _Trace()
        if spec.trace is not None:
            trace.kind, trace.count = spec.trace.kind, spec.trace.count
            trace.period_ns, trace.opportunity_bytes = (
                spec.trace.period_ns,
                spec.trace.opportunity_bytes,
            )
            trace.points = spec.trace.points
        if max(len(spec.drops), len(spec.table)) > _MAX_DROPS:
            raise UsageError(f"a link takes at most {_MAX_DROPS} dropped frames, or quantiles")
        error = function(
            self._stream,
            spec.impairment,
            ctypes.byref(_filled(_Drops(), "index", spec.drops)),
            ctypes.byref(_filled(_Table(), "quantile", spec.table)),
            ctypes.byref(trace),
        )
        if error:
            raise UsageError(
                "the impairment of a link cannot be had", hint=os.strerror(-error).lower()
            )


def uniforms(seed: int, purpose: int, count: int, *, first: int = 0) -> NDArray[np.float64]:
    """The numbers between 0 and 1 that decide, for one purpose, about frames from an index on."""
    numbers = np.empty(count)
    _library(str(native_dir() / "libimpair.so")).impair_model_uniforms(
        seed, purpose, first, count, numbers.ctypes.data_as(ctypes.c_void_p)
    )
    return numbers


def _free(library: ctypes.CDLL, stream: ctypes.c_void_p, _memory: object) -> None:
    """Free what a stream holds; the memory that it lies in has to be there until then."""
    library.impair_free(stream)


def _filled(structure: Any, array: str, values: Sequence[float]) -> Any:
    structure.count = len(values)
    numbers = getattr(structure, array)
    numbers[: len(values)] = values
    return structure


@lru_cache(maxsize=4)
def _library(path: str) -> ctypes.CDLL:
    library = native_library(path)
    pointer, u64, u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
    library.impair_model_bytes.argtypes = (u32,)
    library.impair_model_bytes.restype = u64
    library.impair_skip.argtypes = (pointer, u64)
    library.impair_skip.restype = None
    library.impair_free.argtypes = (pointer,)
    library.impair_free.restype = None
    for function in (library.impair_init, library.impair_change):
        function.argtypes = (pointer, ctypes.c_char_p, pointer, pointer, pointer)
    library.impair_model_decide.argtypes = (pointer, u64, pointer, pointer, pointer, pointer)
    library.impair_model_decide.restype = None
    library.impair_model_uniforms.argtypes = (u64, u32, u64, u64, pointer)
    library.impair_model_uniforms.restype = None
    for which, ours in enumerate((_Drops, _Table, _Trace), 2):
        if library.impair_model_bytes(which) != ctypes.sizeof(ours):
            raise MachineError(
                "the compiled model of links is not of this version",
                where=path,
                hint="run scripts/bootstrap in the checkout, or reinstall the package",
            )
    return library
