"""The process of a VNF that is written in Python.

    python_loop.py LIBRARY DESCRIPTION OPTIONS…

LIBRARY is the run loop of a data plane, compiled with ``python.c``; DESCRIPTION is JSON and says
what ``vnf.toml`` says; the options are those of every VNF process, see ``run.h``. The loop stays in
C and calls the functions here for each burst of frames. What is declared below is explained in
``python.c``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from operator import index
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import cffi
import vnf

_USAGE = 2
_EACH = -1
_WHENEVER = 2**64 - 1
_DECLARATIONS = """
    struct python_burst {
        int *verdicts;
        uint8_t *base;
        uint64_t span;
        uint64_t first;
        int64_t stride;
        uint32_t width;
        uint32_t count;
        uint32_t ports;
        uint64_t *counters;
        uint32_t lengths[64];
        uint64_t floors[64];
        uint64_t starts[64];
        uint64_t ends[64];
        uint64_t ceilings[64];
    };
    struct vnf_config {
        uint32_t bytes;
        uint32_t crc32;
        char text[65528];
    };
    extern struct python_burst python_burst;
    extern struct vnf_config python_parameters;
    void python_hooks(void (*start)(void), int (*burst)(uint32_t, uint32_t, int),
                      uint64_t (*idle)(uint32_t, int));
    void python_read_parameters(void);
    void python_places(void);
    void python_place(uint32_t number, uint64_t start, uint64_t end);
    void python_matrix(void);
    void python_change(char how, const uint32_t *bytes, uint8_t *done);
    uint64_t python_now_ns(void);
    uint64_t python_random(void);
    void python_randoms(uint64_t *numbers, uint32_t count);
    uint8_t *python_emit(uint32_t port, uint32_t bytes);
    int plane_main(int argc, char **argv);
"""


class Loop:
    """Calls a VNF's functions from the loop in C.

    Args:
        library: the path of the compiled loop.
        description: what the manifest says.
        source: the VNF's module.
    """

    def __init__(self, library: str, description: Mapping[str, Any], source: ModuleType) -> None:
        self._ffi = ffi = cffi.FFI()
        ffi.cdef(_DECLARATIONS)
        self._library = ffi.dlopen(library)
        self._shared = self._library.python_burst
        self._types: Mapping[str, str] = description["types"]
        self._counters = vnf.counters_type(description["counters"])
        self._own_bytes = 8 * len(description["counters"])
        self._state = getattr(source, "State", SimpleNamespace)
        self._configure: Callable[[Any], Any] | None = getattr(source, "configure", None)
        self._idle: Any = getattr(source, "handle_idle", None)
        self._contexts: list[vnf.Context | None] = [None] * vnf.MAX_PORTS
        self._parameters = SimpleNamespace()
        self._settings: Any = None
        self._packet = vnf.Packet(b"")
        handle_burst = getattr(source, "handle_burst", None)
        if handle_burst is not None:
            from vnf_burst import Burst

            self._burst = Burst(ffi, self._library)
            self._handle = handle_burst
            called = self._on_burst
        else:
            self._handle = source.handle
            called = self._on_packets
        # C keeps the addresses of these, so they have to live as long as the loop.
        self._hooks = [
            ffi.callback("void(void)", self._on_start),
            ffi.callback("int(uint32_t, uint32_t, int)", called),
            ffi.callback("uint64_t(uint32_t, int)", self._on_idle) if self._idle else ffi.NULL,
        ]
        self._library.python_hooks(*self._hooks)

    def run(self, options: Sequence[str]) -> int:
        """Handle frames until a signal comes; returns the exit code."""
        words = [self._ffi.new("char[]", word.encode()) for word in (sys.argv[0], *options)]
        return int(self._library.plane_main(len(words), self._ffi.new("char *[]", words)))

    # The functions that C calls. An exception has nowhere to go in there, so it ends the process.

    def _on_start(self) -> None:
        try:
            self._take_parameters()
        except BaseException as error:  # noqa: BLE001
            _end(error)

    def _on_burst(self, port: int, count: int, changed: int) -> int:
        try:
            if changed:
                self._take_parameters()
            burst = self._burst
            burst.turn_to(count)
            verdict = self._handle(self._contexts[port] or self._context(port), burst, port)
            if verdict.__class__ is int:
                return int(verdict)
            burst.put_verdicts(verdict)
            return _EACH
        except BaseException as error:  # noqa: BLE001
            _end(error)

    def _on_packets(self, port: int, count: int, changed: int) -> int:
        try:
            if changed:
                self._take_parameters()
            ctx = self._contexts[port] or self._context(port)
            shared, handle, packet = self._shared, self._handle, self._packet
            unpack = self._ffi.unpack
            self._library.python_places()
            window = memoryview(self._ffi.buffer(shared.base, shared.span))
            verdicts = shared.verdicts
            places = zip(
                range(count),
                unpack(shared.floors, count),
                unpack(shared.starts, count),
                unpack(shared.ends, count),
                unpack(shared.ceilings, count),
                strict=True,
            )
            for number, floor, start, end, ceiling in places:
                packet.turn_to(window, floor, start, end, ceiling)
                verdict = handle(ctx, packet, port)
                verdicts[number] = verdict if verdict.__class__ is int else _verdict(verdict)
                if packet.start != start or packet.end != end:
                    self._library.python_place(number, packet.start, packet.end)
            return _EACH
        except BaseException as error:  # noqa: BLE001
            _end(error)

    def _on_idle(self, port: int, changed: int) -> int:
        try:
            if changed:
                self._take_parameters()
            again_ns = self._idle(self._contexts[port] or self._context(port), port)
            return _WHENEVER if again_ns is None else index(again_ns)
        except BaseException as error:  # noqa: BLE001
            _end(error)

    # What a context asks for.

    def now_ns(self) -> int:
        return int(self._library.python_now_ns())

    def random(self) -> int:
        return int(self._library.python_random())

    def randoms(self, count: int) -> Any:
        import numpy as np

        numbers = np.empty(count, np.uint64)
        self._library.python_randoms(self._ffi.from_buffer("uint64_t[]", numbers), count)
        return numbers

    def emit(self, port: int, frame: Any) -> bool:
        content = bytes(frame)
        memory = self._library.python_emit(port, len(content))
        if memory == self._ffi.NULL:
            return False
        self._ffi.memmove(memory, content, len(content))
        return True

    def _context(self, port: int) -> vnf.Context:
        """A port's context; made while C is handling a frame of that port."""
        cells = memoryview(b"").cast("B")
        if self._own_bytes:
            cells = memoryview(self._ffi.buffer(self._shared.counters, self._own_bytes))
        counters = self._counters(cells.cast("Q"))
        made = vnf.Context(port, self._shared.ports, counters, self._state(), self)
        made.parameters, made.settings = self._parameters, self._settings
        self._contexts[port] = made
        return made

    def _take_parameters(self) -> None:
        shared = self._library.python_parameters
        text = self._ffi.buffer(shared.text, shared.bytes)[:]
        # The bank was being written while it was read: that ends within microseconds.
        while zlib.crc32(text) != shared.crc32:
            self._library.python_read_parameters()
            text = self._ffi.buffer(shared.text, shared.bytes)[:]
        values = json.loads(text or b"{}")
        self._parameters = SimpleNamespace(
            **{name: _native(self._types[name], value) for name, value in values.items()}
        )
        if self._configure is not None:
            self._settings = self._configure(self._parameters)
        for context in self._contexts:
            if context is not None:
                context.parameters, context.settings = self._parameters, self._settings


def _native(kind: str, value: Any) -> Any:
    """A parameter as a handler wants it: addresses as they stand in a frame."""
    if kind == "ipv4":
        return bytes(map(int, value.split(".")))
    if kind == "mac":
        return bytes.fromhex(value.replace(":", ""))
    return value


def _verdict(returned: Any) -> int:
    if isinstance(returned, bool) or not hasattr(returned, "__index__"):
        raise TypeError(f"handle() returned {returned!r}, which is not a verdict")
    return index(returned)


def _end(error: BaseException) -> NoReturn:
    """End the process of a VNF whose function raised, with the traceback from there on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    # Through C there is no way for an exception, nor for what sys.exit raises.
    os._exit(1)


def _fail(message: str, hint: str = "") -> NoReturn:
    """Say why the VNF cannot start, in the form that the emulator reads."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(_USAGE)


def _load(path: Path) -> ModuleType:
    """The VNF's module; it is not called ``vnf``, because that is what it imports."""
    module = ModuleType("vnf_source")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except SyntaxError as error:
        _fail(f"{error.filename}:{error.lineno}: {error.msg}")
    except Exception as error:  # noqa: BLE001 - whatever a module can raise
        trace = error.__traceback__
        own = [frame for frame in traceback.extract_tb(trace) if frame.filename == str(path)]
        traceback.print_exception(type(error), error, trace and trace.tb_next)
        _fail(f"{path}:{own[-1].lineno if own else 1}: {type(error).__name__}: {error}")
    if not callable(getattr(module, "handle_burst", getattr(module, "handle", None))):
        _fail(
            f"{path}:1: there is no function handle or handle_burst",
            "define handle(ctx, packet, port) or handle_burst(ctx, burst, port)",
        )
    return module


def main() -> None:
    library, description, *options = sys.argv[1:]
    described = json.loads(description)
    if described["stdout_is_taken"]:
        sys.stdout = sys.stderr
    path = Path(described["source"])
    # What a VNF imports may lie beside it; vnf is what has been imported above.
    sys.path.insert(0, str(path.parent))
    sys.exit(Loop(library, described, _load(path)).run(options))


if __name__ == "__main__":
    main()
