"""What a VNF that is written in Python imports.

Such a VNF is a file ``vnf.py`` that defines one of two functions. The first is called once per
frame, which is easy to read::

    from vnf import DROP, FORWARD, peer

    def handle(ctx, packet, port):
        if packet[12:14] == b"\\x86\\xdd":
            return DROP
        return FORWARD(peer(port))

The second is called with all frames that came by a port since the last look, up to 64, which is
many times as fast, because numpy then works on all of them at once::

    def handle_burst(ctx, burst, port):
        burst.frames[:, 42:] ^= 0x5A
        return FORWARD(peer(port))

``handle`` returns a verdict; ``handle_burst`` one for all of the frames or an array with one for
each. Names and meanings are those of the C contract in ``vnf.h``; ``ctx`` is a ``Context``,
``packet`` a ``Packet``, and ``burst`` a ``Burst`` of ``vnf_burst.py``. Besides, ``vnf.py`` may
define

- ``class State``: every port gets an instance of its own, ``ctx.state``;
- ``configure(parameters)``: called before the first frame and whenever a parameter has changed;
  what it returns is ``ctx.settings``;
- ``handle_idle(ctx, port)``: called for each port when no port had a frame; returns in how many ns
  it wants to be called again at the latest, or None.

A VNF whose function raises an exception ends, and its traceback says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_PORTS = 8
BURST_FRAMES = 64
"""The most frames that are handled at once, and that may be emitted meanwhile."""
EMIT_BYTES = 9216
"""The longest frame that can be emitted."""
HEADROOM_BYTES = 128
TAILROOM_BYTES = 128
"""How much a frame can grow at least, at its front and at its end."""

DROP = 0
BACK = 1
"""Out of the port it came in by."""
TO_HOST = 2
"""To the network stack of the VNF's own node."""
FLOOD = 3
"""A copy out of every other port."""
TAKE = 4
"""Nowhere, without counting as dropped: the VNF has taken what it needs out of the frame."""

_FORWARD_BASE = 16
_ETHERNET_BYTES = 14
_MASK = 2**64 - 1

Number = TypeVar("Number", int, "npt.NDArray[np.integer[Any]]")


def FORWARD(port: Number) -> Number:
    """Out of a port; for an array of ports, an array of verdicts."""
    return _FORWARD_BASE + port


def peer(port: int) -> int:
    """The other port of a VNF with two."""
    return port ^ 1


def mix64(value: int) -> int:
    """The finaliser of the generator splitmix64, a good hash of 64 bits."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Packet:
    """A frame, from the first byte of its Ethernet header to its last.

    It can be read and written like a ``bytearray``: ``packet[0]``, ``packet[6:12]``,
    ``packet[0:6] = mac``, ``len(packet)``, ``bytes(packet)``. A slice is a view of the frame, not a
    copy. What wants a buffer, as ``struct.unpack_from`` does, takes ``packet.data``. Other lengths
    come from ``push``, ``pull``, ``append`` and ``trim``, which say whether that was possible; if
    it was not, nothing has changed.

    A packet is the handler's until it returns; copy what shall be kept.

    Args:
        frame: to make one by hand, for instance to try a handler.
    """

    __slots__ = ("_ceiling", "_floor", "_window", "data", "end", "start")

    data: memoryview
    """The frame's bytes; take it anew after a change of the length."""
    start: int
    """Where it begins in the data plane's memory; of no use to a handler, as ``end``."""
    end: int

    def __init__(self, frame: bytes) -> None:
        end = HEADROOM_BYTES + len(frame)
        window = memoryview(bytearray(HEADROOM_BYTES) + frame + bytearray(TAILROOM_BYTES))
        self.turn_to(window, 0, HEADROOM_BYTES, end, end + TAILROOM_BYTES)

    def turn_to(self, window: memoryview, floor: int, start: int, end: int, ceiling: int) -> None:
        """Make it the frame from ``start`` to ``end``, with room from ``floor`` to ``ceiling``."""
        self._window = window
        self._floor = floor
        self.start = start
        self.end = end
        self._ceiling = ceiling
        self.data = window[start:end]

    def push(self, count: int) -> bool:
        """Make room of so many bytes, all zero, before the first byte."""
        if not 0 <= count <= self.start - self._floor:
            return False
        self._reach(self.start - count, self.end)
        self.data[:count] = bytes(count)
        return True

    def pull(self, count: int) -> bool:
        """Take so many bytes away from the front; an Ethernet header has to remain."""
        if not self._can_lose(count):
            return False
        self._reach(self.start + count, self.end)
        return True

    def append(self, count: int) -> bool:
        """Make room of so many bytes, all zero, after the last byte."""
        if not 0 <= count <= self._ceiling - self.end:
            return False
        self._reach(self.start, self.end + count)
        self.data[len(self.data) - count :] = bytes(count)
        return True

    def trim(self, count: int) -> bool:
        """Take so many bytes away from the end; an Ethernet header has to remain."""
        if not self._can_lose(count):
            return False
        self._reach(self.start, self.end - count)
        return True

    def _can_lose(self, count: int) -> bool:
        return 0 <= count <= self.end - self.start - _ETHERNET_BYTES

    def _reach(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.data = self._window[start:end]

    def __len__(self) -> int:
        return self.end - self.start

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> memoryview: ...
    def __getitem__(self, key: int | slice) -> int | memoryview:
        return self.data[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        self.data[key] = value

    def __repr__(self) -> str:
        return f"Packet({bytes(self)!r})"


class DataPlane(Protocol):
    """What a context asks the data plane for."""

    def now_ns(self) -> int: ...
    def random(self) -> int: ...
    def randoms(self, count: int) -> npt.NDArray[np.uint64]: ...
    def emit(self, port: int, frame: Any) -> bool: ...


class Context:
    """What a handler is given besides the frame; one for each port.

    Attributes:
        port: the port's number.
        ports: how many ports the VNF has.
        parameters: their values in force, as attributes. Addresses are bytes, as in a frame. They
            change between two calls, never during one.
        settings: what ``configure`` made of them.
        counters: those that vnf.toml declares, of this port: ``ctx.counters.seen += 1``.
        state: this port's memory: an instance of the VNF's own class ``State``, if it has one.
    """

    __slots__ = ("_plane", "counters", "parameters", "port", "ports", "settings", "state")

    def __init__(self, port: int, ports: int, counters: Any, state: Any, plane: DataPlane) -> None:
        self.port = port
        self.ports = ports
        self.parameters: Any = SimpleNamespace()
        self.settings: Any = None
        self.counters: Any = counters
        self.state: Any = state
        self._plane = plane

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, the same on every node of a lab."""
        return self._plane.now_ns()

    def random(self) -> int:
        """64 random bits; the same seed gives the same bits, call after call, as in C."""
        return self._plane.random()

    def randoms(self, count: int) -> npt.NDArray[np.uint64]:
        """What so many calls of ``random`` would return."""
        return self._plane.randoms(count)

    def emit(self, port: int, frame: Any) -> bool:
        """Send a frame of the VNF's own out of a port, behind the frames at hand.

        Args:
            frame: its bytes, or anything that ``bytes`` takes.

        Returns:
            Whether it will be sent: there is such a port, the frame is neither shorter than an
            Ethernet header nor longer than ``EMIT_BYTES``, and there were fewer than
            ``BURST_FRAMES`` of them already.
        """
        return self._plane.emit(port, frame)


def counters_type(names: Sequence[str]) -> type:
    """A class with an attribute for each counter, made from a memoryview of their numbers."""

    def cell(index: int) -> property:
        def get(self: Any) -> int:
            return int(self._cells[index])

        def put(self: Any, value: int) -> None:
            self._cells[index] = value

        return property(get, put)

    def init(self: Any, cells: memoryview) -> None:
        self._cells = cells

    content = {name: cell(index) for index, name in enumerate(names)}
    return type("Counters", (), {"__slots__": ("_cells",), "__init__": init, **content})
