"""The fastest way there is to fill a link from one CPU, with nothing around it.

``peers/live_frames.bpf.c`` is a generator without schedule, stamps and counts, and a receiver that
drops. What a probe does besides can only make it slower, so this is what its ceiling is set beside.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.session import PEERS
from emulator.errors import MachineError
from emulator.kernel import libbpf
from emulator.kernel.bpf import BpfObject, BpfProgram
from emulator.kernel.clang import compile_bpf
from emulator.kernel.xdp import attach_xdp
from emulator.node import Node

_SOURCE = PEERS / "live_frames.bpf.c"
_LIVE_FRAMES = 1 << 1
"""``BPF_F_TEST_XDP_LIVE_FRAMES`` of linux/bpf.h."""
_BATCH = 256
"""The most that the kernel takes (``TEST_XDP_MAX_BATCH`` in net/bpf/test_run.c)."""


class LiveFrames:
    """A link with the generator on one end and the receiver on the other."""

    def __init__(self, client: Node, make: BpfProgram, frame: bytes) -> None:
        self._client = client
        self._make = make
        self._frame = frame

    def send(self, count: int) -> None:
        """Send so many frames as fast as possible.

        Raises:
            MachineError: the kernel cannot do it.
        """
        self._client.netns.run(self._send, count)

    def _send(self, count: int) -> None:
        frame = ctypes.create_string_buffer(self._frame, len(self._frame))
        options = libbpf.TestRunOpts(
            sz=ctypes.sizeof(libbpf.TestRunOpts),
            data_in=ctypes.addressof(frame),
            data_size_in=len(self._frame),
            repeat=count,
            flags=_LIVE_FRAMES,
            batch_size=_BATCH,
        )
        library = libbpf.library()
        if library.bpf_prog_test_run_opts(self._make.fd, ctypes.byref(options)) < 0:
            reason = libbpf.errno_text(libbpf.last_error())
            raise MachineError(f"the kernel makes no live frames: {reason}", hint="Linux 5.18")


@contextmanager
def live_frames(client: Node, server: Node, frame: bytes) -> Iterator[LiveFrames]:
    """Load both programs and attach the receiver."""
    source, sink = client.plan.interfaces[0].kernel_name, server.plan.interfaces[0].kernel_name
    with BpfObject(compile_bpf(_SOURCE), source=_SOURCE) as programs:
        ifindex = client.netns.run(socket.if_nametoindex, source)
        programs.set_global("ifindex", ifindex.to_bytes(4, "little"))
        programs.load()
        with attach_xdp(programs.program("take"), sink, server.netns):
            yield LiveFrames(client, programs.program("make"), frame)
