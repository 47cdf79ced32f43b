"""A burst of frames as arrays: what ``handle_burst`` of a ``vnf.py`` is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Count = int | npt.NDArray[np.integer[Any]]


class Burst:
    """The frames that came by a port since the last look at it, in their order.

    ``len(burst)`` is how many there are. The lengths are changed by ``push``, ``pull``, ``append``
    and ``trim``, all frames by the same number of bytes or each by its own. They return an array
    that says for which frames it was possible; the others have not changed.

    A burst and its arrays are the handler's until it returns; copy what shall be kept.
    """

    __slots__ = ("_all_lengths", "_count", "_ffi", "_frames", "_library", "_shared")

    def __init__(self, ffi: Any, library: Any) -> None:
        self._ffi = ffi
        self._library = library
        self._shared = library.python_burst
        lengths = np.frombuffer(ffi.buffer(self._shared.lengths), np.uint32)
        lengths.flags.writeable = False
        self._all_lengths = lengths
        self.turn_to(0)

    def turn_to(self, count: int) -> None:
        """Show the frames that the data plane has at hand now."""
        self._count = count
        self._frames: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def frames(self) -> npt.NDArray[np.uint8]:
        """The bytes: a row for each frame, as wide as the longest; to be read and written.

        What lies behind the end of a shorter frame is zero, and is not sent. Take it anew after a
        change of the lengths.
        """
        if self._frames is None:
            self._library.python_matrix()
            shared = self._shared
            self._frames = np.ndarray(
                (self._count, shared.width),
                np.uint8,
                self._ffi.buffer(shared.base, shared.span),
                shared.first,
                (shared.stride, 1),
            )
        return self._frames

    @property
    def lengths(self) -> npt.NDArray[np.uint32]:
        """How many bytes each frame has."""
        return self._all_lengths[: self._count]

    def push(self, count: Count) -> npt.NDArray[np.bool_]:
        """Make room of so many bytes, all zero, before the first byte."""
        return self._change(b"<", count)

    def pull(self, count: Count) -> npt.NDArray[np.bool_]:
        """Take so many bytes away from the front; an Ethernet header has to remain."""
        return self._change(b"(", count)

    def append(self, count: Count) -> npt.NDArray[np.bool_]:
        """Make room of so many bytes, all zero, after the last byte."""
        return self._change(b">", count)

    def trim(self, count: Count) -> npt.NDArray[np.bool_]:
        """Take so many bytes away from the end; an Ethernet header has to remain."""
        return self._change(b")", count)

    def _change(self, how: bytes, count: Count) -> npt.NDArray[np.bool_]:
        wanted = np.asarray(count)
        if wanted.dtype.kind not in "iu" or (wanted < 0).any() or (wanted >= 1 << 31).any():
            raise ValueError(f"{count!r} is not a number of bytes")
        counts = np.ascontiguousarray(np.broadcast_to(wanted, self._count), np.uint32)
        done = np.empty(self._count, np.bool_)
        from_buffer = self._ffi.from_buffer
        self._library.python_change(
            how, from_buffer("uint32_t[]", counts), from_buffer("uint8_t[]", done)
        )
        self._frames = None
        return done

    def put_verdicts(self, verdicts: Any) -> None:
        """Give each frame its own verdict.

        Raises:
            TypeError: they are not whole numbers, one for each frame.
        """
        array = np.asarray(verdicts)
        if array.dtype.kind not in "iu" or array.shape not in ((), (self._count,)):
            raise TypeError(
                f"handle_burst() returned {verdicts!r}: neither a verdict nor an array of "
                f"{self._count} of them"
            )
        memory = self._ffi.buffer(self._shared.verdicts, 4 * self._count)
        np.frombuffer(memory, np.int32)[:] = array
